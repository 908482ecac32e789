//! What `[dashboard]` may say, as words that configuration and dashboard share.

/// Which colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ThemeChoice {
    /// As the terminal says.
    #[default]
    Auto,
    /// For a dark background.
    Dark,
    /// For a light background.
    Light,
    /// The terminal's own sixteen colours.
    Sixteen,
    /// Few colours, far apart.
    HighContrast,
    /// No colours.
    None,
}

impl ThemeChoice {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Auto,
        Self::Dark,
        Self::Light,
        Self::Sixteen,
        Self::HighContrast,
        Self::None,
    ];

    /// The word used in configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Sixteen => "16",
            Self::HighContrast => "high-contrast",
            Self::None => "none",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }
}

/// How the outer terminal tells that a worker waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Notifications {
    /// Its bell, and a notification of the desktop as most terminals know it (OSC 9).
    #[default]
    All,
    /// Its bell, and a notification as rxvt and VTE know it (OSC 777).
    Osc777,
    /// Its bell, and a notification as kitty knows it (OSC 99).
    Osc99,
    /// Its bell.
    Bell,
    /// Not at all.
    Off,
}

impl Notifications {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::All, Self::Osc777, Self::Osc99, Self::Bell, Self::Off];

    /// The word used in configuration.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Osc777 => "osc777",
            Self::Osc99 => "osc99",
            Self::Bell => "bell",
            Self::Off => "off",
        }
    }

    /// The one of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.word() == word)
    }

    /// The next one, around the end.
    #[must_use]
    pub fn next(self) -> Self {
        match self {
            Self::All | Self::Osc777 | Self::Osc99 => Self::Bell,
            Self::Bell => Self::Off,
            Self::Off => Self::All,
        }
    }
}

/// What the list can be sorted by, within its groups.
pub const SORTS: [&str; 5] = ["name", "age", "cpu", "memory", "project"];
