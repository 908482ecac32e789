//! A one-line text field: its text, its cursor, and what editing keys do in it.

use crate::dashboard::widgets::text;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Longest content, in characters.
const MAX_CHARS: usize = 4096;

/// Text and a cursor, counted in characters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextField {
    chars: Vec<char>,
    cursor: usize,
}

impl TextField {
    /// With this content and the cursor at its end.
    pub fn new(content: &str) -> Self {
        let mut field = Self::default();
        field.insert(content);
        field
    }

    /// The content.
    pub fn content(&self) -> String {
        self.chars.iter().collect()
    }

    /// Whether there is no content.
    pub fn is_empty(&self) -> bool {
        self.chars.is_empty()
    }

    /// Inserts text at the cursor; line breaks become blanks, other control characters go.
    pub fn insert(&mut self, given: &str) {
        for c in given.trim_end_matches(['\r', '\n']).chars() {
            let c = if matches!(c, '\n' | '\r' | '\t') {
                ' '
            } else {
                c
            };
            if !c.is_control() && self.chars.len() < MAX_CHARS {
                self.chars.insert(self.cursor.min(self.chars.len()), c);
                self.cursor += 1;
            }
        }
    }

    /// Takes a key; says whether it was one for a text field.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        let ctrl = key.modifiers.contains(KeyModifiers::CONTROL);
        let alt = key.modifiers.contains(KeyModifiers::ALT);
        match key.code {
            KeyCode::Char('a') if ctrl => self.cursor = 0,
            KeyCode::Char('e') if ctrl => self.cursor = self.chars.len(),
            KeyCode::Char('u') if ctrl => {
                self.chars.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('k') if ctrl => self.chars.truncate(self.cursor),
            KeyCode::Char('w') if ctrl => self.delete_word(),
            KeyCode::Char(c) if !ctrl && !alt => self.insert(c.encode_utf8(&mut [0; 4])),
            KeyCode::Backspace if alt => self.delete_word(),
            KeyCode::Backspace => {
                if let Some(before) = self.cursor.checked_sub(1) {
                    self.chars.remove(before);
                    self.cursor = before;
                }
            }
            KeyCode::Delete if self.cursor < self.chars.len() => {
                self.chars.remove(self.cursor);
            }
            KeyCode::Delete => {}
            KeyCode::Left => self.cursor = self.cursor.saturating_sub(1),
            KeyCode::Right => self.cursor = (self.cursor + 1).min(self.chars.len()),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.chars.len(),
            _ => return false,
        }
        true
    }

    fn delete_word(&mut self) {
        let before = self.chars.iter().take(self.cursor);
        let blanks = before
            .clone()
            .rev()
            .take_while(|c| c.is_whitespace())
            .count();
        let word = before
            .rev()
            .skip(blanks)
            .take_while(|c| !c.is_whitespace())
            .count();
        let start = self.cursor.saturating_sub(blanks + word);
        self.chars.drain(start..self.cursor);
        self.cursor = start;
    }

    /// What to show in `columns`, and the cursor's column in it. The part around the cursor is
    /// shown when all does not fit.
    pub fn window(&self, columns: usize) -> (String, usize) {
        let show = |chars: &[char]| text::clean(&chars.iter().collect::<String>());
        let (before, after) = self.chars.split_at(self.cursor.min(self.chars.len()));
        let mut start = 0;
        while start < before.len()
            && text::width(&show(before.get(start..).unwrap_or_default())) >= columns.max(1)
        {
            start += 1;
        }
        let left = show(before.get(start..).unwrap_or_default());
        let column = text::width(&left);
        (
            text::fit(&format!("{left}{}", show(after)), columns),
            column,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(field: &mut TextField, code: KeyCode, modifiers: KeyModifiers) {
        assert!(field.key(KeyEvent::new(code, modifiers)));
    }

    #[test]
    fn editing_works_as_in_a_shell() {
        let mut field = TextField::new("claude -p fix");
        press(&mut field, KeyCode::Char('w'), KeyModifiers::CONTROL);
        assert_eq!(field.content(), "claude -p ");
        press(&mut field, KeyCode::Home, KeyModifiers::NONE);
        press(&mut field, KeyCode::Char('>'), KeyModifiers::NONE);
        press(&mut field, KeyCode::Delete, KeyModifiers::NONE);
        assert_eq!(field.content(), ">laude -p ");
        press(&mut field, KeyCode::Char('k'), KeyModifiers::CONTROL);
        press(&mut field, KeyCode::Backspace, KeyModifiers::NONE);
        assert!(field.is_empty());
    }

    #[test]
    fn a_paste_brings_no_control_characters() {
        assert_eq!(TextField::new("a\x1b[201~b\nc\n").content(), "a[201~b c");
    }

    #[test]
    fn the_cursor_is_always_in_the_window() {
        let field = TextField::new(&"long/".repeat(20));
        let (shown, column) = field.window(10);
        assert!(column < 10 && text::width(&shown) <= 10, "{shown} {column}");
        assert_eq!(TextField::default().window(0), (String::new(), 0));
    }
}
