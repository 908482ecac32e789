//! Colours and glyphs by role, on the terminal that the environment describes. A state always has a
//! word and a glyph as well; no theme paints a background over everything.

use crate::{
    config::ThemeChoice,
    dashboard::widgets::theme::{self, role::Role},
};
use ratatui::style::Style;

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// The terminal's own sixteen, so that the user's scheme decides.
    #[default]
    Sixteen,
    /// 256 colours on a dark background.
    Dark,
    /// 256 colours on a light background.
    Light,
    /// Few colours, each with a background far from it.
    HighContrast,
    /// None.
    None,
}

impl Scheme {
    /// All of them, in the order in which a key goes through them.
    pub const ALL: [Self; 5] = [
        Self::Dark,
        Self::Light,
        Self::Sixteen,
        Self::HighContrast,
        Self::None,
    ];
}

/// How roles look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// The colours.
    pub scheme: Scheme,
    /// Whether glyphs beyond ASCII may be used.
    pub unicode: bool,
}

impl Default for Theme {
    fn default() -> Self {
        Self {
            scheme: Scheme::Sixteen,
            unicode: true,
        }
    }
}

impl Theme {
    /// What was chosen, on the terminal that the environment describes: `NO_COLOR`
    /// (no-color.org), `TERM`, `COLORTERM`, `COLORFGBG`, and the locale's character set. `insist`:
    /// the choice wins over `NO_COLOR`.
    pub fn new(choice: ThemeChoice, insist: bool, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let term = set("TERM").unwrap_or_default();
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"));
        // In a container without a locale the terminal outside is nearly always UTF-8; only a
        // locale that names another character set says otherwise.
        let other_charset = locale.is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains('.') && !locale.contains("utf-8") && !locale.contains("utf8")
        });
        let colourless = set("NO_COLOR").is_some() || term == "dumb";
        let scheme = match choice {
            ThemeChoice::None => Scheme::None,
            ThemeChoice::Auto if colourless => Scheme::None,
            _ if colourless && !insist => Scheme::None,
            ThemeChoice::Dark => Scheme::Dark,
            ThemeChoice::Light => Scheme::Light,
            ThemeChoice::Sixteen => Scheme::Sixteen,
            ThemeChoice::HighContrast => Scheme::HighContrast,
            ThemeChoice::Auto if !many_colours(&term, set("COLORTERM").as_deref()) => {
                Scheme::Sixteen
            }
            ThemeChoice::Auto if light_background(set("COLORFGBG").as_deref()) => Scheme::Light,
            ThemeChoice::Auto => Scheme::Dark,
        };
        Self {
            scheme,
            unicode: term != "linux" && !other_charset,
        }
    }

    /// Whether colours may be used.
    pub fn colour(self) -> bool {
        self.scheme != Scheme::None
    }

    /// The word for it, as in configuration.
    pub fn word(self) -> &'static str {
        match self.scheme {
            Scheme::Dark => ThemeChoice::Dark,
            Scheme::Light => ThemeChoice::Light,
            Scheme::Sixteen => ThemeChoice::Sixteen,
            Scheme::HighContrast => ThemeChoice::HighContrast,
            Scheme::None => ThemeChoice::None,
        }
        .as_str()
    }

    /// The same glyphs in other colours.
    pub fn with(self, scheme: Scheme) -> Self {
        Self { scheme, ..self }
    }

    /// The next one, around the end.
    pub fn next(self) -> Self {
        let all = Scheme::ALL;
        let here = all.iter().position(|s| *s == self.scheme).unwrap_or(0);
        let next = all.get((here + 1) % all.len()).copied();
        self.with(next.unwrap_or_default())
    }

    /// The style of a role.
    pub fn style(self, role: Role) -> Style {
        match self.scheme {
            Scheme::Dark => theme::palette::dark(role),
            Scheme::Light => theme::palette::light(role),
            Scheme::HighContrast => theme::palette::high_contrast(role),
            Scheme::Sixteen => theme::palette::sixteen(role),
            Scheme::None => Style {
                fg: None,
                bg: None,
                ..theme::palette::none(role)
            },
        }
    }

    /// One of two glyphs: with Unicode, or ASCII.
    pub fn glyph(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        if self.unicode { unicode } else { ascii }
    }
}

/// Whether the terminal says that it has 256 colours or more.
fn many_colours(term: &str, colorterm: Option<&str>) -> bool {
    let modern = [
        "256color",
        "direct",
        "kitty",
        "alacritty",
        "ghostty",
        "foot",
        "wezterm",
    ];
    colorterm.is_some_and(|said| said.contains("truecolor") || said.contains("24bit"))
        || modern.iter().any(|word| term.contains(word))
}

/// Whether `COLORFGBG` (`foreground;background`, as rxvt began it) names a light background.
fn light_background(colorfgbg: Option<&str>) -> bool {
    let background = colorfgbg.and_then(|said| said.rsplit(';').next()?.parse::<u8>().ok());
    matches!(background, Some(7 | 9..=15))
}

#[cfg(test)]
#[path = "scheme_tests.rs"]
mod tests;
