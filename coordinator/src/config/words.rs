//! The choices of keys that take one of a few words.
//!
//! Owns each choice with its words; the first one is the default. Never says which keys take them.

macro_rules! words {
    ($(
        $(#[doc = $about:literal])*
        pub enum $name:ident { $( $(#[doc = $doc:literal])* $variant:ident = $word:literal, )* }
    )*) => {$(
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[doc = $doc])* $variant, )* }

        impl $name {
            /// All of them, the default first.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The word used in configuration and output.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The one of that word.
            #[must_use]
            pub fn of(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|one| one.as_str() == word)
            }
        }

        impl Default for $name {
            fn default() -> Self {
                let [first, ..] = Self::ALL;
                first
            }
        }
    )*};
}

words! {
    /// How log lines look.
    pub enum LogFormat {
        /// Human-readable.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }

    /// Whether a session whose worker was lost (its network, its container) moves to a new container.
    pub enum RecreatePolicy {
        /// When the user restarts it.
        Ask = "ask",
        /// Immediately.
        Auto = "auto",
        /// Not at all: it is looked at and removed.
        Never = "never",
    }

    /// What a worker may do.
    pub enum SecurityProfile {
        /// No capability for sessions, no new privileges.
        Strict = "strict",
        /// CHOWN, DAC_OVERRIDE, FOWNER, SETUID, SETGID: apt and sudo work.
        Build = "build",
        /// As strict, and a session may make namespaces and mounts of its own: bubblewrap works.
        NestedSandbox = "nested-sandbox",
    }

    /// Which network a worker has.
    pub enum Network {
        /// The parent's, together with all other workers.
        Shared = "shared",
        /// One of its own, on a bridge of the instance where workers do not reach each other.
        Isolated = "isolated",
        /// Loopback alone.
        None = "none",
    }

    /// Which colours.
    pub enum ThemeChoice {
        /// As the terminal says.
        Auto = "auto",
        /// For a dark background.
        Dark = "dark",
        /// For a light background.
        Light = "light",
        /// The terminal's own sixteen colours.
        Sixteen = "16",
        /// Few colours, far apart.
        HighContrast = "high-contrast",
        /// No colours.
        None = "none",
    }

    /// How the outer terminal tells that a worker waits.
    pub enum Notifications {
        /// Its bell, and a notification of the desktop as most terminals know it (OSC 9).
        All = "all",
        /// Its bell, and a notification as rxvt and VTE know it (OSC 777).
        Osc777 = "osc777",
        /// Its bell, and a notification as kitty knows it (OSC 99).
        Osc99 = "osc99",
        /// Its bell.
        Bell = "bell",
        /// Not at all.
        Off = "off",
    }
}

impl Notifications {
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
