//! What the sequence parser calls.
//!
//! Most calls go straight to the crate. The others touch state the crate hides, would tear wide
//! characters, or do what terminals do where the crate does not.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Line;
use alacritty_terminal::vte::ansi::{
    Attr, CharsetIndex, ClearMode, CursorShape, CursorStyle, Handler, Hyperlink, KeyboardModes,
    KeyboardModesApplyBehavior, LineClearMode, Mode, ModifyOtherKeys, NamedPrivateMode,
    PrivateMode, Rgb, StandardCharset, TabulationClearMode,
};

use super::osc::clean;
use super::palette;
use super::{BLINK, MAX_STACK, Model, default_tabs, to_i32};
use crate::screen::event::ScreenEvent;

/// Private modes kept only to hand them on to the user's terminal: reverse
/// screen, X10 mouse, keypad and backarrow keys, further mouse encodings,
/// meta keys, grapheme clusters, colour scheme and resize reports.
const PASSED_MODES: [u16; 12] = [5, 9, 66, 67, 1001, 1015, 1016, 1034, 1036, 2027, 2031, 2048];

macro_rules! to_the_crate {
    ($($name:ident($($arg:ident: $kind:ty),*);)*) => {
        $(#[inline]
        fn $name(&mut self, $($arg: $kind),*) {
            Handler::$name(&mut self.term, $($arg),*);
        })*
    };
}

impl Handler for Model {
    to_the_crate! {
        goto(line: i32, column: usize);
        identify_terminal(intermediate: Option<char>);
        device_status(report: usize);
        move_forward(count: usize);
        move_backward(count: usize);
        backspace();
        carriage_return();
        linefeed();
        substitute();
        newline();
        scroll_up(count: usize);
        scroll_down(count: usize);
        insert_blank_lines(count: usize);
        delete_lines(count: usize);
        save_cursor_position();
        reverse_index();
        set_mode(mode: Mode);
        unset_mode(mode: Mode);
        report_mode(mode: Mode);
        report_private_mode(mode: PrivateMode);
        set_keypad_application_mode();
        unset_keypad_application_mode();
        configure_charset(index: CharsetIndex, charset: StandardCharset);
        decaln();
        text_area_size_chars();
    }

    fn set_hyperlink(&mut self, link: Option<Hyperlink>) {
        let link = link.filter(|link| {
            let id = link.id.as_deref().unwrap_or_default();
            self.links.allows(&self.term, id, &link.uri)
        });
        self.term.set_hyperlink(link);
    }

    #[inline]
    fn input(&mut self, c: char) {
        self.put(c);
    }

    fn bell(&mut self) {
        if !self.events.contains(&ScreenEvent::Bell) {
            self.events.push(ScreenEvent::Bell);
        }
    }

    fn goto_line(&mut self, line: i32) {
        let column = self.column();
        self.goto(line, column);
    }

    fn goto_col(&mut self, column: usize) {
        self.move_to(self.line(), column);
    }

    fn move_up(&mut self, count: usize) {
        self.move_to(self.above(count), self.column());
    }

    fn move_down(&mut self, count: usize) {
        self.move_to(self.below(count), self.column());
    }

    fn move_up_and_cr(&mut self, count: usize) {
        self.move_to(self.above(count), 0);
    }

    fn move_down_and_cr(&mut self, count: usize) {
        self.move_to(self.below(count), 0);
    }

    fn put_tab(&mut self, count: u16) {
        self.move_forward_tabs(count);
    }

    fn move_forward_tabs(&mut self, count: u16) {
        let last = self.term.columns() - 1;
        let from = self.column();
        if from == last {
            return;
        }
        let stops = self
            .tabs
            .iter()
            .enumerate()
            .skip(from + 1)
            .filter(|(_, stop)| **stop);
        let target = stops
            .map(|(column, _)| column)
            .nth(usize::from(count.max(1)) - 1);
        self.move_to(self.line(), target.unwrap_or(last));
    }

    fn move_backward_tabs(&mut self, count: u16) {
        let from = self.column();
        let stops = self
            .tabs
            .iter()
            .enumerate()
            .take(from)
            .rev()
            .filter(|(_, stop)| **stop);
        let target = stops
            .map(|(column, _)| column)
            .nth(usize::from(count.max(1)) - 1);
        self.move_to(self.line(), target.unwrap_or(0));
    }

    fn set_horizontal_tabstop(&mut self) {
        let column = self.column();
        if let Some(stop) = self.tabs.get_mut(column) {
            *stop = true;
        }
    }

    fn clear_tabs(&mut self, mode: TabulationClearMode) {
        let column = self.column();
        match mode {
            TabulationClearMode::All => self.tabs.fill(false),
            TabulationClearMode::Current => {
                if let Some(stop) = self.tabs.get_mut(column) {
                    *stop = false;
                }
            }
        }
    }

    fn set_tabs(&mut self, _interval: u16) {
        self.tabs = default_tabs(0, self.term.columns());
    }

    fn insert_blank(&mut self, count: usize) {
        let (line, columns) = (Line(self.line()), self.term.columns());
        self.split_wide(line, self.column());
        self.split_wide(
            line,
            columns.saturating_sub(count.min(columns - self.column())),
        );
        self.term.insert_blank(count);
    }

    fn erase_chars(&mut self, count: usize) {
        self.split_at_cursor(count);
        self.term.erase_chars(count);
    }

    /// Deletes within the row. The crate's own version clears the row's tail
    /// from the wrong column when `count` reaches past the right edge.
    fn delete_chars(&mut self, count: usize) {
        let count = count.min(self.term.columns() - self.column());
        self.split_at_cursor(count);
        self.term.delete_chars(count);
    }

    fn clear_line(&mut self, mode: LineClearMode) {
        let (line, column) = (Line(self.line()), self.column());
        match mode {
            // The crate erases nothing while a wrap is pending.
            LineClearMode::Right if self.term.grid().cursor.input_needs_wrap => {}
            LineClearMode::Right => self.split_wide(line, column),
            LineClearMode::Left => self.split_wide(line, column + 1),
            LineClearMode::All => {}
        }
        self.term.clear_line(mode);
    }

    fn clear_screen(&mut self, mode: ClearMode) {
        let (line, column) = (Line(self.line()), self.column());
        match mode {
            ClearMode::Below => self.split_wide(line, column),
            ClearMode::Above => {
                self.split_wide(line, column + 1);
                if line == 1 {
                    self.term.grid_mut().reset_region(..line);
                }
            }
            _ => {}
        }
        self.term.clear_screen(mode);
    }

    fn restore_cursor_position(&mut self) {
        self.term.restore_cursor_position();
        self.clamp_to_region();
    }

    fn set_scrolling_region(&mut self, top: usize, bottom: Option<usize>) {
        let lines = self.term.screen_lines();
        let bottom = bottom.unwrap_or(lines).min(lines);
        if top >= bottom {
            return;
        }
        self.region = to_i32(top) - 1..to_i32(bottom);
        self.term.set_scrolling_region(top, Some(bottom));
    }

    fn reset_state(&mut self) {
        self.term.reset_state();
        self.reset();
    }

    fn set_active_charset(&mut self, index: CharsetIndex) {
        self.active_charset = index;
        self.term.set_active_charset(index);
    }

    fn terminal_attribute(&mut self, attribute: Attr) {
        let flags = &mut self.term.grid_mut().cursor.template.flags;
        match attribute {
            Attr::BlinkSlow | Attr::BlinkFast => flags.insert(BLINK),
            Attr::CancelBlink => flags.remove(BLINK),
            _ => self.term.terminal_attribute(attribute),
        }
    }

    fn set_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Named(NamedPrivateMode::SwapScreenAndSetRestoreCursor)
            | PrivateMode::Unknown(47 | 1047) => self.set_alternate(true),
            PrivateMode::Unknown(1048) => self.save_cursor_position(),
            PrivateMode::Unknown(mode) if PASSED_MODES.contains(&mode) => {
                self.passed_modes.insert(mode);
            }
            PrivateMode::Named(named) => {
                self.term.set_private_mode(mode);
                self.after_mode(named);
            }
            PrivateMode::Unknown(_) => {}
        }
    }

    fn unset_private_mode(&mut self, mode: PrivateMode) {
        match mode {
            PrivateMode::Named(NamedPrivateMode::SwapScreenAndSetRestoreCursor)
            | PrivateMode::Unknown(47 | 1047) => self.set_alternate(false),
            PrivateMode::Unknown(1048) => self.restore_cursor_position(),
            PrivateMode::Unknown(mode) => {
                self.passed_modes.remove(&mode);
            }
            PrivateMode::Named(named) => {
                self.term.unset_private_mode(mode);
                self.after_mode(named);
                if named == NamedPrivateMode::Origin {
                    self.goto(0, 0);
                }
            }
        }
    }

    fn set_cursor_style(&mut self, style: Option<CursorStyle>) {
        self.cursor_style = style;
        self.term.set_cursor_style(style);
    }

    fn set_cursor_shape(&mut self, shape: CursorShape) {
        self.term.set_cursor_shape(shape);
        self.cursor_style = Some(self.term.cursor_style());
    }

    fn set_title(&mut self, title: Option<String>) {
        self.title = clean(&title.unwrap_or_default());
        self.events
            .retain(|event| !matches!(event, ScreenEvent::Title(_)));
        self.events.push(ScreenEvent::Title(self.title.clone()));
    }

    fn push_title(&mut self) {
        if self.title_stack.len() >= MAX_STACK {
            self.title_stack.remove(0);
        }
        self.title_stack.push(self.title.clone());
    }

    fn pop_title(&mut self) {
        if let Some(title) = self.title_stack.pop() {
            self.set_title(Some(title));
        }
    }

    fn set_color(&mut self, index: usize, color: Rgb) {
        self.touched_colors.insert(index);
        self.term.set_color(index, color);
    }

    fn reset_color(&mut self, index: usize) {
        self.term.reset_color(index);
    }

    fn dynamic_color_sequence(&mut self, prefix: String, index: usize, terminator: &str) {
        let color = self.term.colors()[index].unwrap_or_else(|| palette::default_color(index));
        let (r, g, b) = (color.r, color.g, color.b);
        self.replies.push(&format!(
            "\x1b]{prefix};rgb:{r:02x}{r:02x}/{g:02x}{g:02x}/{b:02x}{b:02x}{terminator}"
        ));
    }

    fn report_keyboard_mode(&mut self) {
        self.replies
            .push(&format!("\x1b[?{}u", self.keyboard.flags));
    }

    fn push_keyboard_mode(&mut self, mode: KeyboardModes) {
        if self.keyboard.stack.len() >= MAX_STACK {
            self.keyboard.stack.remove(0);
        }
        self.keyboard.stack.push(self.keyboard.flags);
        self.keyboard.flags = mode.bits();
    }

    fn pop_keyboard_modes(&mut self, count: u16) {
        for _ in 0..usize::from(count).min(MAX_STACK) {
            self.keyboard.flags = self.keyboard.stack.pop().unwrap_or(0);
        }
    }

    fn set_keyboard_mode(&mut self, mode: KeyboardModes, apply: KeyboardModesApplyBehavior) {
        let flags = &mut self.keyboard.flags;
        match apply {
            KeyboardModesApplyBehavior::Replace => *flags = mode.bits(),
            KeyboardModesApplyBehavior::Union => *flags |= mode.bits(),
            KeyboardModesApplyBehavior::Difference => *flags &= !mode.bits(),
        }
    }

    fn set_modify_other_keys(&mut self, mode: ModifyOtherKeys) {
        self.modify_other_keys = mode as u8;
    }

    fn report_modify_other_keys(&mut self) {
        self.replies
            .push(&format!("\x1b[>4;{}m", self.modify_other_keys));
    }
}
