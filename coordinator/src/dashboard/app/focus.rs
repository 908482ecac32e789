//! Where keys go: a tab, the list or the pane, a selection in a terminal, or nowhere
//! ([`LateKeys`]). Data only.

/// The tabs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Tab {
    /// The live terminal.
    #[default]
    Terminal,
    /// What the worker changed.
    Changes,
    /// What the session wrote.
    Logs,
    /// All about it.
    Details,
}

impl Tab {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Terminal, Self::Changes, Self::Logs, Self::Details];

    /// The word on the tab.
    pub fn word(self) -> &'static str {
        match self {
            Self::Terminal => "Terminal",
            Self::Changes => "Changes",
            Self::Logs => "Logs",
            Self::Details => "Details",
        }
    }

    /// The next one, around the end.
    pub fn next(self) -> Self {
        match self {
            Self::Terminal => Self::Changes,
            Self::Changes => Self::Logs,
            Self::Logs => Self::Details,
            Self::Details => Self::Terminal,
        }
    }

    /// The one before, around the beginning.
    pub fn previous(self) -> Self {
        self.next().next().next()
    }
}

/// What the keys move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Focus {
    /// The list.
    #[default]
    List,
    /// What the tab shows; for a terminal: its scrollback.
    Pane,
}

/// A selection by keys in a terminal's view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Selecting {
    /// Where it began, once it did.
    pub from: Option<(u16, u16)>,
    /// Where the cursor is.
    pub at: (u16, u16),
}

/// Keys are thrown away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateKeys {
    /// Why, in words: `fix-login finished (exit 0)`.
    pub why: String,
    /// Until then, unless a key comes before: Unix milliseconds.
    pub until_ms: u64,
}
