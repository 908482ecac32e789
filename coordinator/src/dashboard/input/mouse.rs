//! The mouse as terminals report it: read in SGR's form (mode 1006), written in that or in X10's
//! (xterm's ctlseqs, "Mouse Tracking").

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use worker_agent::screen::Mouse;

/// Bits of the button number.
const SHIFT: u16 = 4;
const MOTION: u16 = 32;
const WHEEL: u16 = 64;
/// Buttons 8 to 11.
const EXTRA: u16 = 128;
/// The highest column and row that X10's form can say, from 0.
const X10_LAST: u16 = 222;

/// A report as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MouseReport {
    /// Button and modifiers, as on the wire.
    pub code: u16,
    /// From 0.
    pub column: u16,
    /// From 0.
    pub row: u16,
    /// Whether a button went up.
    pub up: bool,
}

impl MouseReport {
    /// Reads `ESC [ < code ; column ; row M`, or `m`.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (last, body) = bytes.strip_prefix(b"\x1b[<")?.split_last()?;
        let up = match last {
            b'm' => true,
            b'M' => false,
            _ => return None,
        };
        let mut numbers = std::str::from_utf8(body).ok()?.split(';');
        let mut number = || numbers.next()?.parse::<u16>().ok();
        let (code, column, row) = (number()?, number()?, number()?);
        Some(Self {
            code,
            column: column.checked_sub(1)?,
            row: row.checked_sub(1)?,
            up,
        })
    }

    /// For the dashboard; `None` for buttons it does not know.
    pub fn event(self) -> Option<MouseEvent> {
        let button = match self.code & 3 {
            0 => Some(MouseButton::Left),
            1 => Some(MouseButton::Middle),
            2 => Some(MouseButton::Right),
            _ => None,
        };
        let kind = match (self.code & (EXTRA | WHEEL | MOTION), self.code & 3, button) {
            (0, _, Some(button)) if self.up => MouseEventKind::Up(button),
            (0, _, Some(button)) => MouseEventKind::Down(button),
            (MOTION, _, Some(button)) => MouseEventKind::Drag(button),
            (MOTION, ..) => MouseEventKind::Moved,
            (WHEEL, 0, _) => MouseEventKind::ScrollUp,
            (WHEEL, 1, _) => MouseEventKind::ScrollDown,
            (WHEEL, 2, _) => MouseEventKind::ScrollLeft,
            (WHEEL, 3, _) => MouseEventKind::ScrollRight,
            _ => return None,
        };
        let mut modifiers = KeyModifiers::NONE;
        for (bit, modifier) in [
            (4, KeyModifiers::SHIFT),
            (8, KeyModifiers::ALT),
            (16, KeyModifiers::CONTROL),
        ] {
            modifiers.set(modifier, self.code & bit != 0);
        }
        Some(MouseEvent {
            kind,
            column: self.column,
            row: self.row,
            modifiers,
        })
    }

    fn moves(self) -> bool {
        self.code & MOTION != 0
    }

    fn wheel(self) -> bool {
        self.code & WHEEL != 0
    }

    /// For a program whose screen is at `area`; empty when it did not ask for such a report, or
    /// its form cannot say it. What is outside of the area is told as its edge.
    pub fn for_program(self, area: Rect, wants: Mouse, sgr: bool) -> Vec<u8> {
        let wanted = match wants {
            Mouse::Off => false,
            Mouse::Click => !self.moves(),
            Mouse::Drag => !self.moves() || self.code & 3 != 3,
            Mouse::Motion => true,
        };
        if !wanted || area.is_empty() {
            return Vec::new();
        }
        let column = self.column.clamp(area.x, area.right() - 1) - area.x;
        let row = self.row.clamp(area.y, area.bottom() - 1) - area.y;
        if sgr {
            let last = if self.up { 'm' } else { 'M' };
            let (x, y) = (column + 1, row + 1);
            return format!("\x1b[<{};{x};{y}{last}", self.code).into_bytes();
        }
        // Which button goes up is not said.
        let code = if self.up { self.code | 3 } else { self.code };
        match (u8::try_from(code + 32), column, row) {
            (Ok(code), ..=X10_LAST, ..=X10_LAST) => {
                let byte = |n: u16| u8::try_from(n + 33).unwrap_or(u8::MAX);
                vec![0x1b, b'[', b'M', code, byte(column), byte(row)]
            }
            _ => Vec::new(),
        }
    }
}

/// Who gets the mouse while keys go to a program: the one on whose side a button went down has it
/// until it goes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MouseGrab {
    program: bool,
    dashboard: bool,
}

impl MouseGrab {
    /// Whether the report is for the program whose screen is at `area`.
    pub fn is_programs(&mut self, report: MouseReport, area: Option<Rect>, wants: Mouse) -> bool {
        let place = Position {
            x: report.column,
            y: report.row,
        };
        let inside = area.is_some_and(|area| area.contains(place));
        let button = !report.wheel() && !report.moves();
        if button && report.up {
            let program = self.program || (inside && !self.dashboard && wants != Mouse::Off);
            *self = Self::default();
            return program;
        }
        if self.program || self.dashboard {
            return self.program;
        }
        // Shift is how people say that the terminal is meant and not the program in it.
        let program = inside && wants != Mouse::Off && report.code & SHIFT == 0;
        if button {
            (self.program, self.dashboard) = (program, !program);
        }
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREA: Rect = Rect {
        x: 10,
        y: 5,
        width: 20,
        height: 10,
    };

    fn report(text: &str) -> MouseReport {
        MouseReport::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_program_gets_what_it_asked_for_in_its_form() {
        let click = report("\x1b[<0;11;6M");
        assert_eq!(click.for_program(AREA, Mouse::Click, true), b"\x1b[<0;1;1M");
        assert_eq!(click.for_program(AREA, Mouse::Click, false), b"\x1b[M !!");
        let up = report("\x1b[<2;30;15m");
        assert_eq!(up.for_program(AREA, Mouse::Drag, true), b"\x1b[<2;20;10m");
        assert_eq!(up.for_program(AREA, Mouse::Drag, false), b"\x1b[M#4*");
        let (drag, hover) = (report("\x1b[<32;12;7M"), report("\x1b[<35;12;7M"));
        for (mouse, drags, hovers) in [
            (Mouse::Off, false, false),
            (Mouse::Click, false, false),
            (Mouse::Drag, true, false),
            (Mouse::Motion, true, true),
        ] {
            assert_eq!(!drag.for_program(AREA, mouse, true).is_empty(), drags);
            assert_eq!(!hover.for_program(AREA, mouse, true).is_empty(), hovers);
        }
        // A drag that has left the screen is at its edge.
        assert_eq!(
            report("\x1b[<32;1;1M").for_program(AREA, Mouse::Drag, true),
            b"\x1b[<32;1;1M"
        );
        assert_eq!(
            report("\x1b[<0;300;6M").for_program(Rect::new(0, 0, 400, 9), Mouse::Click, false),
            b""
        );
    }

    #[test]
    fn a_button_belongs_to_where_it_went_down() {
        let mut grab = MouseGrab::default();
        let mut whose = |text: &str| grab.is_programs(report(text), Some(AREA), Mouse::Drag);
        assert!(whose("\x1b[<0;11;6M"));
        assert!(whose("\x1b[<32;1;1M"), "a drag out of the screen");
        assert!(whose("\x1b[<0;1;1m"));
        assert!(!whose("\x1b[<0;1;1M"));
        assert!(!whose("\x1b[<32;11;6M"), "a drag into the screen");
        assert!(!whose("\x1b[<0;11;6m"));
        assert!(!whose("\x1b[<4;11;6M"), "with Shift");
        assert!(!whose("\x1b[<4;11;6m"));
        assert!(whose("\x1b[<64;11;6M"), "the wheel");
        assert!(!whose("\x1b[<65;1;1M"));
    }

    #[test]
    fn reports_become_events() {
        let event = report("\x1b[<20;3;4M").event().unwrap();
        assert_eq!(event.kind, MouseEventKind::Down(MouseButton::Left));
        assert_eq!(event.modifiers, KeyModifiers::SHIFT | KeyModifiers::CONTROL);
        assert_eq!((event.column, event.row), (2, 3));
        assert_eq!(
            report("\x1b[<65;3;4M").event().unwrap().kind,
            MouseEventKind::ScrollDown
        );
        for bad in [
            "\x1b[<0;0;1M",
            "\x1b[<0;1M",
            "\x1b[<a;1;1M",
            "\x1b[<0;99999;1M",
        ] {
            assert_eq!(MouseReport::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(report("\x1b[<128;1;1M").event(), None);
    }
}
