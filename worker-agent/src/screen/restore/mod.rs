//! The restore writer: one byte string that rebuilds a screen elsewhere.
//!
//! Owns: the order of its parts. It never changes what a user can see of the screen it reads.

pub(super) mod dump;
mod paint;

use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{CursorShape, NamedColor};
use unicode_width::UnicodeWidthChar;

use self::paint::{Painter, is_erased};
use super::model::{Keyboard, Model, default_tabs, tidy_row, to_i32};

/// Writes the restore string. Tidies states no user can see on the way.
///
/// Order matters throughout: saved cursors are set on the blank screen and painted over; the scroll
/// region and origin mode move the cursor, so they come before it; insert mode and autowrap change
/// how text lands, so they come after the last printed character; the unread part of a sequence in
/// progress is last.
pub(super) fn write(model: &mut Model, pending: &[u8]) -> Vec<u8> {
    let mut out = Painter::new();
    out.raw(b"\x1bc");
    colors(model, &mut out);
    titles(model, &mut out);
    tidy(model.term.grid_mut());
    if model.alternate() {
        let active = model.active_charset;
        model.with_other_grid(|primary| {
            tidy(primary);
            out.grid(primary);
            // Entering the alternate screen saves the cursor, clears with the
            // pen and carries pen and charsets over.
            out.cursor(primary, active, 0, None);
        });
        keyboard(&model.other_keyboard, &mut out);
        out.raw(b"\x1b[?1049h");
        out.plain_pen();
        out.plain_charsets();
        out.raw(b"\x1b[H\x1b[J");
    } else {
        other_screen(model, &mut out);
    }
    keyboard(&model.keyboard, &mut out);
    let saved = &model.term.grid().saved_cursor;
    if model.alternate() || !is_fresh(saved) {
        out.saved_cursor(saved, model.active_charset);
    }
    out.grid(model.term.grid());
    repeated(model, &mut out);
    tabs(model, &mut out);
    modes(model, &mut out);
    out.raw(pending);
    out.finish()
}

fn is_fresh(cursor: &Cursor<Cell>) -> bool {
    *cursor == Cursor::default()
}

fn tidy(grid: &mut Grid<Cell>) {
    for line in grid.topmost_line().0..to_i32(grid.screen_lines()) {
        tidy_row(grid, Line(line));
    }
    // The pending wrap is made by printing the last cell again, which leaves no mark.
    if grid.cursor.input_needs_wrap {
        let line = grid.cursor.point.line;
        let last = grid.last_column();
        let cell = &mut grid[line][last];
        cell.flags
            .remove(Flags::WRAPLINE | Flags::LEADING_WIDE_CHAR_SPACER);
        // Overwriting a wide character at the left edge unmarks the row above.
        if last.0 <= 2 && line > grid.topmost_line() {
            grid[line - 1i32][last]
                .flags
                .remove(Flags::LEADING_WIDE_CHAR_SPACER);
        }
    }
}

/// The alternate screen keeps its saved cursor and keyboard flags while away.
fn other_screen(model: &mut Model, out: &mut Painter) {
    let saved = model.with_other_grid(|grid| grid.saved_cursor.clone());
    if is_fresh(&saved) && model.other_keyboard == Keyboard::default() {
        return;
    }
    out.raw(b"\x1b[?1049h");
    keyboard(&model.other_keyboard, out);
    out.saved_cursor(&saved, model.active_charset);
    out.raw(b"\x1b[?1049l");
    if is_fresh(&model.term.grid().saved_cursor) {
        out.raw(b"\x1b[H\x1b7");
    }
}

fn keyboard(keyboard: &Keyboard, out: &mut Painter) {
    let mut values = keyboard.stack.iter().chain([&keyboard.flags]);
    if let Some(first) = values.next().filter(|first| **first != 0) {
        out.format(format_args!("\x1b[={first};1u"));
    }
    let values: Vec<u8> = keyboard
        .stack
        .iter()
        .copied()
        .chain([keyboard.flags])
        .skip(1)
        .collect();
    for value in values {
        out.format(format_args!("\x1b[>{value}u"));
    }
}

fn colors(model: &Model, out: &mut Painter) {
    const FOREGROUND: usize = NamedColor::Foreground as usize;
    const CURSOR: usize = NamedColor::Cursor as usize;
    for &index in &model.touched_colors {
        let dynamic = (FOREGROUND..=CURSOR)
            .contains(&index)
            .then(|| index - FOREGROUND + 10);
        match (model.term.colors()[index], dynamic) {
            (Some(c), Some(code)) => out.format(format_args!(
                "\x1b]{code};rgb:{:02x}/{:02x}/{:02x}\x1b\\",
                c.r, c.g, c.b
            )),
            (Some(c), None) => out.format(format_args!(
                "\x1b]4;{index};rgb:{:02x}/{:02x}/{:02x}\x1b\\",
                c.r, c.g, c.b
            )),
            (None, Some(code)) => out.format(format_args!("\x1b]{}\x1b\\", code + 100)),
            (None, None) => out.format(format_args!("\x1b]104;{index}\x1b\\")),
        }
    }
}

fn titles(model: &Model, out: &mut Painter) {
    for title in &model.title_stack {
        out.format(format_args!("\x1b]2;{title}\x1b\\\x1b[22;2t"));
    }
    if !model.title.is_empty() || !model.title_stack.is_empty() {
        out.format(format_args!("\x1b]2;{}\x1b\\", model.title));
    }
}

/// Makes REP repeat the right character: prints it on an erased cell and
/// erases it again. Without an erased cell on the screen this is left out.
fn repeated(model: &Model, out: &mut Painter) {
    let Some(c) = model.last_char.filter(|c| out.last_char != Some(*c)) else {
        return;
    };
    let grid = model.term.grid();
    let width = c.width().unwrap_or(0).max(1);
    let columns = grid.columns();
    let free = |line: i32, column: usize| {
        let row = &grid[Line(line)];
        let bg = row[Column(column)].bg;
        (column..column + width).all(|at| is_erased(&row[Column(at)]) && row[Column(at)].bg == bg)
    };
    let place = (0..to_i32(grid.screen_lines())).rev().find_map(|line| {
        let column = (0..columns.saturating_sub(width))
            .rev()
            .find(|&at| free(line, at))?;
        Some((line, column))
    });
    let Some((line, column)) = place else { return };
    let combines = c.width() == Some(0);
    out.pen(&grid[Line(line)][Column(column)]);
    out.go(line, column + usize::from(combines));
    out.print(c, None);
    out.go(line, column);
    out.format(format_args!("\x1b[{width}X"));
}

fn tabs(model: &Model, out: &mut Painter) {
    if model.tabs == default_tabs(0, model.tabs.len()) {
        return;
    }
    out.raw(b"\x1b[3g");
    for (column, _) in model.tabs.iter().enumerate().filter(|(_, stop)| **stop) {
        out.go(0, column);
        out.raw(b"\x1bH");
    }
}

fn modes(model: &Model, out: &mut Painter) {
    let grid = model.term.grid();
    let lines = to_i32(grid.screen_lines());
    if model.region != (0..lines) {
        out.format(format_args!(
            "\x1b[{};{}r",
            model.region.start + 1,
            model.region.end
        ));
    }
    let origin = model.has(TermMode::ORIGIN);
    if origin {
        out.raw(b"\x1b[?6h");
    }
    let top = if origin { model.region.start } else { 0 };
    out.cursor(grid, model.active_charset, top, model.last_char);

    let switches: [(TermMode, &[u8]); 11] = [
        (TermMode::INSERT, b"\x1b[4h"),
        (TermMode::LINE_FEED_NEW_LINE, b"\x1b[20h"),
        (TermMode::APP_CURSOR, b"\x1b[?1h"),
        (TermMode::APP_KEYPAD, b"\x1b="),
        (TermMode::MOUSE_REPORT_CLICK, b"\x1b[?1000h"),
        (TermMode::MOUSE_DRAG, b"\x1b[?1002h"),
        (TermMode::MOUSE_MOTION, b"\x1b[?1003h"),
        (TermMode::FOCUS_IN_OUT, b"\x1b[?1004h"),
        (TermMode::UTF8_MOUSE, b"\x1b[?1005h"),
        (TermMode::SGR_MOUSE, b"\x1b[?1006h"),
        (TermMode::BRACKETED_PASTE, b"\x1b[?2004h"),
    ];
    for (mode, sequence) in switches {
        if model.has(mode) {
            out.raw(sequence);
        }
    }
    let on_by_default: [(TermMode, &[u8]); 4] = [
        (TermMode::LINE_WRAP, b"\x1b[?7l"),
        (TermMode::ALTERNATE_SCROLL, b"\x1b[?1007l"),
        (TermMode::URGENCY_HINTS, b"\x1b[?1042l"),
        (TermMode::SHOW_CURSOR, b"\x1b[?25l"),
    ];
    for (mode, sequence) in on_by_default {
        if !model.has(mode) {
            out.raw(sequence);
        }
    }
    for mode in &model.passed_modes {
        out.format(format_args!("\x1b[?{mode}h"));
    }
    if model.modify_other_keys != 0 {
        out.format(format_args!("\x1b[>4;{}m", model.modify_other_keys));
    }
    if let Some(style) = model.cursor_style {
        let shape = match style.shape {
            CursorShape::Underline => 4,
            CursorShape::Beam => 6,
            _ => 2,
        };
        out.format(format_args!("\x1b[{} q", shape - u8::from(style.blinking)));
    }
}
