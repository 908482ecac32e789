//! Colours and glyphs, named by their role. A state always has a word and a glyph as well, so
//! nothing is said by colour alone.

use ratatui::style::{Color, Modifier, Style};

/// What a piece of text is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ordinary text.
    Text,
    /// Less important text.
    Muted,
    /// Headings and the product's name.
    Heading,
    /// A key the user can press.
    Key,
    /// Lines around things.
    Border,
    /// Lines around what has the focus.
    Focus,
    /// The selected row.
    Selected,
    /// A worker that needs you.
    Attention,
    /// Busy.
    Working,
    /// Finished, unseen.
    Done,
    /// At rest.
    Idle,
    /// Ready to be claimed.
    Warm,
    /// Something failed.
    Error,
    /// Something may go wrong.
    Warning,
    /// Shown from memory, not from the coordinator.
    Stale,
    /// Marked.
    Marked,
    /// Tab.
    TabActive,
    /// Tab.
    Tab,
    /// Match.
    Match,
    /// Gauge.
    Gauge,
}

/// How roles look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// Whether colours may be used (`NO_COLOR` is not set).
    pub colour: bool,
    /// Whether glyphs beyond ASCII may be used.
    pub unicode: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self {
            colour: true,
            unicode: true,
        }
    }
}

impl Theme {
    /// From the environment: `NO_COLOR` (no-color.org), `TERM`, and the locale's character set.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"));
        // In a container without a locale the terminal outside is nearly always UTF-8; only a
        // locale that names another character set says otherwise.
        let other_charset = locale.is_some_and(|l| {
            let l = l.to_string_lossy().to_ascii_lowercase();
            l.contains('.') && !l.contains("utf-8") && !l.contains("utf8")
        });
        Self {
            colour: set("NO_COLOR").is_none() && term != "dumb",
            unicode: term != "linux" && !other_charset,
        }
    }

    /// The style of a role. Only the terminal's own sixteen colours, so that the user's scheme
    /// decides.
    pub fn style(self, role: Role) -> Style {
        let plain = Style::new();
        let (colour, modifier) = match role {
            Role::Text => (None, Modifier::empty()),
            Role::Muted => (Some(Color::DarkGray), Modifier::DIM),
            Role::Heading => (None, Modifier::BOLD),
            Role::Key => (Some(Color::Cyan), Modifier::BOLD),
            Role::Border => (Some(Color::DarkGray), Modifier::DIM),
            Role::Focus => (Some(Color::Cyan), Modifier::empty()),
            Role::Selected => (None, Modifier::REVERSED),
            Role::Attention => (Some(Color::Yellow), Modifier::BOLD),
            Role::Working => (Some(Color::Green), Modifier::empty()),
            Role::Done => (Some(Color::Cyan), Modifier::BOLD),
            Role::Idle => (None, Modifier::empty()),
            Role::Warm => (Some(Color::Blue), Modifier::empty()),
            Role::Error => (Some(Color::Red), Modifier::BOLD),
            Role::Warning => (Some(Color::Yellow), Modifier::empty()),
            Role::Stale => (Some(Color::DarkGray), Modifier::DIM),
            Role::Marked => (Some(Color::Magenta), Modifier::BOLD),
            Role::TabActive => (Some(Color::Cyan), Modifier::REVERSED),
            Role::Tab => (None, Modifier::empty()),
            Role::Match => (Some(Color::Yellow), Modifier::REVERSED),
            Role::Gauge => (Some(Color::Green), Modifier::empty()),
        };
        match colour {
            // Dark grey is itself dim; both together vanish on some schemes.
            Some(Color::DarkGray) if self.colour => plain.fg(Color::DarkGray),
            Some(colour) if self.colour => plain.fg(colour).add_modifier(modifier),
            _ => plain.add_modifier(modifier),
        }
    }

    pub fn colour(self) -> bool {
        self.colour
    }
    pub fn next(self) -> Self {
        self
    }
    pub fn word(self) -> &'static str {
        "x"
    }
    /// One of two glyphs: with Unicode, or ASCII.
    pub fn glyph(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_no_role_has_one() {
        let theme = Theme {
            colour: false,
            unicode: true,
        };
        for role in [
            Role::Error,
            Role::Working,
            Role::Stale,
            Role::Key,
            Role::Selected,
        ] {
            let style = theme.style(role);
            assert_eq!((style.fg, style.bg), (None, None), "{role:?}");
        }
    }
}
