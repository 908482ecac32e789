//! Modes of the user's terminal that change while the dashboard runs: keys, mouse, cursor, title.
//! While a program is typed into, they are what the program asked for.

use crate::dashboard::widgets::text;
use worker_agent::screen::{CursorShape, Modes, Mouse};

/// Longest title, in characters.
const MAX_TITLE: usize = 200;
/// Ends all that [`HostTerminal::change`] can begin, but for the title, on the screen in use.
pub const RESET: &str = concat!(
    "\x1b[?1l\x1b>\x1b[<99u\x1b[=0u\x1b[>4;0m\x1b[0 q",
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l",
);

/// What the terminal is set to. The default is what [`RESET`] leaves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HostTerminal {
    app_cursor: bool,
    app_keypad: bool,
    kitty_flags: u8,
    other_keys: u8,
    /// As DECSCUSR has it; 0 is the terminal's own.
    cursor: u8,
    mouse: HostMouse,
    title: String,
}

/// Which mouse events the terminal reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum HostMouse {
    /// None: the terminal selects text itself.
    #[default]
    Off,
    /// Buttons, and motion while one is down.
    Drag,
    /// All motion.
    Motion,
}

impl HostTerminal {
    /// For a title, with the mouse on or off, and the modes of the program that is typed into.
    pub fn new(title: &str, mouse: bool, program: Option<&Modes>) -> Self {
        let motion = program.is_some_and(|modes| modes.mouse == Mouse::Motion);
        let title = text::clean(title).chars().take(MAX_TITLE).collect();
        let mouse = match (mouse, motion) {
            (false, _) => HostMouse::Off,
            (true, false) => HostMouse::Drag,
            (true, true) => HostMouse::Motion,
        };
        let Some(modes) = program else {
            return Self {
                mouse,
                title,
                ..Self::default()
            };
        };
        Self {
            app_cursor: modes.app_cursor,
            app_keypad: modes.app_keypad,
            kitty_flags: modes.kitty_flags,
            other_keys: modes.other_keys,
            cursor: cursor(modes),
            mouse,
            title,
        }
    }

    /// What makes a terminal that is set to `self` one that is set to `to`.
    pub fn change(&self, to: &Self) -> String {
        let mut out = String::new();
        let mut switch = |from: bool, to: bool, on: &str, off: &str| {
            if from != to {
                out.push_str(if to { on } else { off });
            }
        };
        switch(self.app_cursor, to.app_cursor, "\x1b[?1h", "\x1b[?1l");
        switch(self.app_keypad, to.app_keypad, "\x1b=", "\x1b>");
        match (self.kitty_flags, to.kitty_flags) {
            (from, flags) if from == flags => {}
            (_, 0) => out.push_str("\x1b[<u"),
            (0, flags) => out.push_str(&format!("\x1b[>{flags}u")),
            (_, flags) => out.push_str(&format!("\x1b[={flags};1u")),
        }
        if self.other_keys != to.other_keys {
            out.push_str(&format!("\x1b[>4;{}m", to.other_keys));
        }
        if self.cursor != to.cursor {
            out.push_str(&format!("\x1b[{} q", to.cursor));
        }
        if self.mouse != to.mouse {
            out.push_str(match to.mouse {
                HostMouse::Off => "\x1b[?1003l\x1b[?1002l\x1b[?1006l",
                HostMouse::Drag => "\x1b[?1003l\x1b[?1002h\x1b[?1006h",
                HostMouse::Motion => "\x1b[?1002l\x1b[?1003h\x1b[?1006h",
            });
        }
        if self.title != to.title {
            out.push_str(&format!("\x1b]2;{}\x1b\\", to.title));
        }
        out
    }
}

fn cursor(modes: &Modes) -> u8 {
    let steady = match modes.cursor_shape {
        // What no program asked for is the terminal's own.
        CursorShape::Block if !modes.cursor_blink => return 0,
        CursorShape::Block => 2,
        CursorShape::Underline => 4,
        CursorShape::Bar => 6,
    };
    steady - u8::from(modes.cursor_blink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_typed_into_has_the_keys_as_it_wants_them() {
        let modes = Modes {
            app_cursor: true,
            app_keypad: true,
            kitty_flags: 5,
            other_keys: 2,
            cursor_shape: CursorShape::Bar,
            cursor_blink: true,
            mouse: Mouse::Motion,
            ..Modes::default()
        };
        let before = HostTerminal::new("podbay", true, None);
        let typing = HostTerminal::new("podbay", true, Some(&modes));
        assert_eq!(
            HostTerminal::default().change(&before),
            "\x1b[?1003l\x1b[?1002h\x1b[?1006h\x1b]2;podbay\x1b\\"
        );
        assert_eq!(
            before.change(&typing),
            "\x1b[?1h\x1b=\x1b[>5u\x1b[>4;2m\x1b[5 q\x1b[?1002l\x1b[?1003h\x1b[?1006h"
        );
        let changed = HostTerminal::new(
            "podbay",
            false,
            Some(&Modes {
                kitty_flags: 1,
                ..modes
            }),
        );
        assert_eq!(
            typing.change(&changed),
            "\x1b[=1;1u\x1b[?1003l\x1b[?1002l\x1b[?1006l"
        );
        assert_eq!(
            typing.change(&before),
            "\x1b[?1l\x1b>\x1b[<u\x1b[>4;0m\x1b[0 q\x1b[?1003l\x1b[?1002h\x1b[?1006h"
        );
        assert_eq!(typing.change(&typing), "");
    }

    #[test]
    fn a_title_cannot_hold_a_sequence() {
        let outer = HostTerminal::new("a\x1b]52;c;AAAA\x07b", false, None);
        assert!(!outer.title.chars().any(char::is_control), "{outer:?}");
    }
}
