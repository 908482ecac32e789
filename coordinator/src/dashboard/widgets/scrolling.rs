//! How far a text is scrolled after a movement.

use crate::model::keys::Action;

/// Lines scrolled after a movement.
pub fn scrolled(lines: u16, action: Action, last: u16) -> u16 {
    match action {
        Action::Down | Action::ScrollDown => lines.saturating_add(1),
        Action::Up | Action::ScrollUp => lines.saturating_sub(1),
        Action::PageDown => lines.saturating_add(10),
        Action::PageUp => lines.saturating_sub(10),
        Action::First => 0,
        Action::Last => last,
        _ => lines,
    }
    .min(last)
}
