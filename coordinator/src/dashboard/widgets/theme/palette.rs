//! The colours of each theme. Of the 256, only those from 16 on: their values are the same
//! everywhere, so their contrast is known (a test computes it).

use crate::dashboard::widgets::theme::role::Role;
use ratatui::style::{Color, Modifier, Style};

const NONE: Modifier = Modifier::empty();
const BOLD: Modifier = Modifier::BOLD;
const ITALIC: Modifier = Modifier::ITALIC;

/// On black to dark grey.
pub fn dark(role: Role) -> Style {
    match role {
        Role::Text | Role::Idle => plain(NONE),
        Role::Muted | Role::Tab | Role::SyntaxComment => indexed(248, NONE),
        Role::Stale => indexed(248, ITALIC),
        Role::Heading => plain(BOLD),
        Role::Key => indexed(117, BOLD),
        Role::Border => indexed(245, NONE),
        Role::Focus => indexed(117, NONE),
        Role::Selected => plain(BOLD).bg(Color::Indexed(237)),
        Role::Marked => indexed(219, BOLD),
        Role::Match => indexed(16, NONE).bg(Color::Indexed(221)),
        Role::TabActive => indexed(117, BOLD | Modifier::UNDERLINED),
        Role::Gauge => indexed(80, NONE),
        Role::Attention => indexed(221, BOLD),
        Role::Working => indexed(114, NONE),
        Role::Done => indexed(80, BOLD),
        Role::Warm => indexed(111, NONE),
        Role::Error => indexed(210, BOLD),
        Role::Warning => indexed(215, NONE),
        Role::Added => indexed(114, NONE),
        Role::Removed => indexed(210, NONE),
        Role::Hunk => indexed(80, NONE),
        Role::SyntaxKeyword => indexed(183, NONE),
        Role::SyntaxString => indexed(150, NONE),
        Role::SyntaxNumber => indexed(215, NONE),
    }
}

/// On white to light grey.
pub fn light(role: Role) -> Style {
    match role {
        Role::Text | Role::Idle => plain(NONE),
        Role::Muted | Role::Tab | Role::SyntaxComment => indexed(240, NONE),
        Role::Stale => indexed(240, ITALIC),
        Role::Heading => plain(BOLD),
        Role::Key => indexed(25, BOLD),
        Role::Border => indexed(243, NONE),
        Role::Focus => indexed(25, NONE),
        Role::Selected => plain(BOLD).bg(Color::Indexed(254)),
        Role::Marked => indexed(90, BOLD),
        Role::Match => indexed(16, NONE).bg(Color::Indexed(221)),
        Role::TabActive => indexed(25, BOLD | Modifier::UNDERLINED),
        Role::Gauge => indexed(23, NONE),
        Role::Attention => indexed(94, BOLD),
        Role::Working => indexed(22, NONE),
        Role::Done => indexed(23, BOLD),
        Role::Warm => indexed(19, NONE),
        Role::Error => indexed(124, BOLD),
        Role::Warning => indexed(94, NONE),
        Role::Added => indexed(22, NONE),
        Role::Removed => indexed(124, NONE),
        Role::Hunk => indexed(23, NONE),
        Role::SyntaxKeyword => indexed(54, NONE),
        Role::SyntaxString => indexed(22, NONE),
        Role::SyntaxNumber => indexed(94, NONE),
    }
}

/// Only the terminal's own sixteen colours.
pub fn sixteen(role: Role) -> Style {
    let of = |colour: Color, modifier: Modifier| plain(modifier).fg(colour);
    match role {
        Role::Text | Role::Idle => plain(NONE),
        // Dark grey is itself dim; both together vanish on some schemes.
        Role::Muted | Role::Border | Role::Stale | Role::Tab | Role::SyntaxComment => {
            of(Color::DarkGray, NONE)
        }
        Role::Heading => plain(BOLD),
        Role::Key => of(Color::Cyan, BOLD),
        Role::Focus => of(Color::Cyan, NONE),
        Role::Selected | Role::Match => plain(Modifier::REVERSED),
        Role::Marked => of(Color::Magenta, BOLD),
        Role::TabActive => of(Color::Cyan, BOLD | Modifier::UNDERLINED),
        Role::Gauge | Role::Hunk => of(Color::Cyan, NONE),
        Role::Attention => of(Color::Yellow, BOLD),
        Role::Working | Role::Added | Role::SyntaxString => of(Color::Green, NONE),
        Role::Done => of(Color::Cyan, BOLD),
        Role::Warm => of(Color::Blue, NONE),
        Role::Error => of(Color::Red, BOLD),
        Role::Removed => of(Color::Red, NONE),
        Role::Warning | Role::SyntaxNumber => of(Color::Yellow, NONE),
        Role::SyntaxKeyword => of(Color::Magenta, NONE),
    }
}

/// The terminal's own foreground, nothing dim; what needs attention has a background of its own.
pub fn high_contrast(role: Role) -> Style {
    let on = |fg: u8, bg: u8, modifier: Modifier| indexed(fg, modifier).bg(Color::Indexed(bg));
    match role {
        Role::Attention => on(16, 226, BOLD),
        Role::Warning => on(16, 214, NONE),
        Role::Error => on(231, 88, BOLD),
        Role::Done => on(16, 51, BOLD),
        Role::Match => on(16, 226, NONE),
        Role::Added => on(16, 120, NONE),
        Role::Removed => on(231, 88, NONE),
        Role::Marked => on(16, 213, BOLD),
        Role::Muted | Role::Border | Role::Tab | Role::SyntaxComment => plain(NONE),
        Role::Stale => plain(ITALIC),
        _ => none(role),
    }
}

/// No colours.
pub(super) fn none(role: Role) -> Style {
    plain(match role {
        Role::Text
        | Role::Idle
        | Role::Working
        | Role::Warm
        | Role::Focus
        | Role::Gauge
        | Role::Added
        | Role::Removed
        | Role::Tab
        | Role::SyntaxString
        | Role::SyntaxNumber => NONE,
        Role::Muted | Role::Border | Role::Stale | Role::SyntaxComment => Modifier::DIM,
        Role::Heading
        | Role::Key
        | Role::Attention
        | Role::Done
        | Role::Error
        | Role::Hunk
        | Role::Marked
        | Role::SyntaxKeyword => BOLD,
        Role::Warning => Modifier::UNDERLINED,
        Role::TabActive => BOLD | Modifier::UNDERLINED,
        Role::Selected | Role::Match => Modifier::REVERSED,
    })
}

fn plain(modifier: Modifier) -> Style {
    Style::new().add_modifier(modifier)
}

fn indexed(fg: u8, modifier: Modifier) -> Style {
    plain(modifier).fg(Color::Indexed(fg))
}
