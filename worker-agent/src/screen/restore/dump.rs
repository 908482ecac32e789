//! The whole state as text, to compare two screens.
//!
//! Reads the grid itself, not the restore writer, so that it can judge it.

use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::Line;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::CharsetIndex;

use super::paint::is_blank;
use crate::screen::model::{Model, to_i32};

/// Everything a restore must carry over, as text: for tests and bug reports.
pub(crate) fn write(model: &mut Model) -> String {
    let mut text = String::new();
    let mut put = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    put(format!(
        "size {:?} mode {:?}",
        model.size(),
        model.term.mode()
    ));
    put(format!(
        "region {:?} tabs {:?}",
        model.region,
        stops(&model.tabs)
    ));
    put(format!(
        "charset {:?} style {:?}",
        model.active_charset, model.cursor_style
    ));
    put(format!(
        "title {:?} stack {:?}",
        model.title, model.title_stack
    ));
    put(format!(
        "keyboard {:?} other {:?}",
        model.keyboard, model.other_keyboard
    ));
    put(format!(
        "other keys {} passed {:?}",
        model.modify_other_keys, model.passed_modes
    ));
    for index in &model.touched_colors {
        if let Some(color) = model.term.colors()[*index] {
            put(format!("color {index} {color}"));
        }
    }
    dump_grid(model.term.grid(), &mut put);
    let alternate = model.alternate();
    model.with_other_grid(|grid| {
        if alternate {
            dump_grid(grid, &mut put);
        } else {
            put(format!("other saved {}", cursor_text(&grid.saved_cursor)));
        }
    });
    text
}

fn stops(tabs: &[bool]) -> Vec<usize> {
    tabs.iter()
        .enumerate()
        .filter(|(_, stop)| **stop)
        .map(|(column, _)| column)
        .collect()
}

fn cursor_text(cursor: &Cursor<Cell>) -> String {
    let sets = [
        CharsetIndex::G0,
        CharsetIndex::G1,
        CharsetIndex::G2,
        CharsetIndex::G3,
    ];
    let sets = sets.map(|index| cursor.charsets[index]);
    let (point, wrap) = (cursor.point, cursor.input_needs_wrap);
    format!(
        "{point:?} wrap {wrap} {} {sets:?}",
        cell_text(&cursor.template)
    )
}

fn cell_text(cell: &Cell) -> String {
    let link = cell.hyperlink();
    // What combines with the blank before a wide character that found no room: nothing that a
    // restore could write again, and nothing to be seen.
    let spacer = cell.flags.contains(Flags::LEADING_WIDE_CHAR_SPACER);
    let marks = cell.zerowidth().filter(|_| !spacer);
    format!(
        "{:?}{:?} {:?}/{:?} {:?} {:?} {:?}",
        cell.c,
        marks.unwrap_or_default(),
        cell.fg,
        cell.bg,
        cell.flags,
        cell.underline_color(),
        link.as_ref().map(|link| (named(link.id()), link.uri())),
    )
}

/// The id of a link; the crate numbers those without one, over all screens.
fn named(id: &str) -> &str {
    if id.ends_with("_alacritty") { "" } else { id }
}

fn dump_grid(grid: &Grid<Cell>, put: &mut impl FnMut(String)) {
    put(format!("cursor {}", cursor_text(&grid.cursor)));
    put(format!("saved {}", cursor_text(&grid.saved_cursor)));
    for line in grid.topmost_line().0..to_i32(grid.screen_lines()) {
        let row = &grid[Line(line)];
        let mut cells = String::new();
        for cell in row {
            if is_blank(cell) {
                cells.push('.');
            } else {
                cells.push_str(&cell_text(cell));
            }
        }
        put(format!("{line}: {}", cells.trim_end_matches('.')));
    }
}
