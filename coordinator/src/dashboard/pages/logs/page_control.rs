//! Characters, control characters and escape sequences, as operations of a page.

use crate::dashboard::pages::logs::page::{COLUMNS, Page};
use alacritty_terminal::vte::{Params, Perform};

/// Columns between tab stops of a terminal.
const TAB: usize = 8;

impl Perform for Page {
    fn print(&mut self, c: char) {
        self.put(c);
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            0x08 => self.column = self.column.saturating_sub(1),
            0x09 => self.column = ((self.column / TAB + 1) * TAB).min(COLUMNS),
            // The terminal's driver sends CR before LF; a pipe has no driver.
            0x0a..=0x0c => self.new_line(),
            0x0d => self.column = 0,
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if ignore || !intermediates.is_empty() {
            if intermediates == b"?" && matches!(action, 'h' | 'l') {
                let screen = params.iter().any(|p| matches!(p, [47 | 1047 | 1049]));
                if screen {
                    self.addressed = None;
                    self.go_below();
                }
            }
            return;
        }
        let mut params = params.iter().map(|p| p.first().copied().unwrap_or(0));
        let first = params.next().unwrap_or(0);
        let second = params.next().unwrap_or(0);
        let count = usize::from(first.max(1));
        let last_row = self.lines.len().saturating_sub(1);
        match action {
            'A' | 'F' => self.row = self.row.saturating_sub(count),
            'B' | 'E' | 'e' => self.row = self.row.saturating_add(count).min(last_row),
            'C' | 'a' => self.column = self.column.saturating_add(count).min(COLUMNS),
            'D' => self.column = self.column.saturating_sub(count),
            'G' | '`' => self.go_to(first),
            'H' | 'f' => self.address(first.max(1), second),
            'd' => {
                let column = u16::try_from(self.column + 1).unwrap_or(u16::MAX);
                self.address(first.max(1), column);
            }
            'J' => self.erase_display(first),
            'K' => match first {
                0 => self.erase(self.column, usize::MAX),
                1 => self.erase(0, self.column + 1),
                _ => self.erase(0, usize::MAX),
            },
            'X' => self.erase(self.column, self.column + count),
            'P' => self.delete_cells(count),
            '@' => self.insert_cells(count),
            'L' => self.insert_lines(count),
            'M' => self.delete_lines(count),
            'b' => {
                if let Some(c) = self.last {
                    (0..count.min(COLUMNS)).for_each(|_| self.put(c));
                }
            }
            's' => self.saved = (self.row, self.column),
            'u' => self.restore(),
            _ => {}
        }
        if matches!(action, 'E' | 'F') {
            self.column = 0;
        }
    }

    fn esc_dispatch(&mut self, intermediates: &[u8], _ignore: bool, byte: u8) {
        match (intermediates, byte) {
            ([], b'7') => self.saved = (self.row, self.column),
            ([], b'8') => self.restore(),
            ([], b'D' | b'E') => self.new_line(),
            ([], b'M') => self.row = self.row.saturating_sub(1),
            ([], b'c') => self.go_below(),
            _ => {}
        }
    }
}
