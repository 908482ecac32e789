//! The keys of each preset. Owns the rows: every preset but the first says only what it changes, and its
//! rows of an action replace all rows of that action in the default. Never says what an action does.

use super::action::{Action, Context};
use Context::{Changes, Global, List, Logs, Page, Scroll, Tiles};

/// A ready-made set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Preset {
    /// Podbay's own.
    #[default]
    Default,
    /// For hands that know Claude Squad.
    ClaudeSquad,
    /// A prefix, as in tmux.
    Tmux,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Default, Self::ClaudeSquad, Self::Tmux];

    /// The word used in configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::ClaudeSquad => "claude-squad",
            Self::Tmux => "tmux",
        }
    }

    /// The preset of that word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|preset| preset.as_str() == word)
    }

    /// Key sequences that give the keys back to the dashboard when nothing else is configured,
    /// written as Docker's detach keys. The first one is shown.
    #[must_use]
    pub fn leave_keys(self) -> &'static [&'static str] {
        match self {
            Self::Default | Self::ClaudeSquad => &["ctrl-q", "ctrl-\\", "ctrl-p,ctrl-q"],
            Self::Tmux => &["ctrl-b,d", "ctrl-q", "ctrl-\\", "ctrl-p,ctrl-q"],
        }
    }

    /// Its rows: those of the default that it does not replace, then its own.
    pub(super) fn rows(self) -> impl Iterator<Item = &'static Row> {
        let own = match self {
            Self::Default => &[][..],
            Self::ClaudeSquad => CLAUDE_SQUAD,
            Self::Tmux => TMUX,
        };
        DEFAULT
            .iter()
            .filter(|(action, ..)| !own.iter().any(|(replaced, ..)| replaced == action))
            .chain(own)
    }
}

/// Keys of an action in some contexts.
pub(super) type Row = (Action, &'static [Context], &'static [&'static str]);

const WORKERS: &[Context] = &[List, Tiles];
const TEXTS: &[Context] = &[Scroll, Changes, Logs, Page];

#[rustfmt::skip]
const DEFAULT: &[Row] = &[
    (Action::Down, &[List, Scroll, Changes, Logs, Page, Tiles], &["j", "down"]),
    (Action::Up, &[List, Scroll, Changes, Logs, Page, Tiles], &["k", "up"]),
    (Action::Left, &[Scroll, Changes, Logs, Tiles], &["h", "left"]),
    (Action::Right, &[Scroll, Changes, Logs, Tiles], &["l", "right"]),
    (Action::PageDown, &[List, Changes], &["pgdn"]),
    (Action::PageDown, &[Scroll, Logs, Page], &["pgdn", "ctrl-d"]),
    (Action::PageUp, &[List, Changes], &["pgup"]),
    (Action::PageUp, &[Scroll, Logs, Page], &["pgup", "ctrl-u"]),
    (Action::First, &[List], &["home"]),
    (Action::First, TEXTS, &["g", "home"]),
    (Action::Last, &[List, Scroll, Changes, Logs, Page], &["G", "end"]),
    (Action::ScrollDown, &[List, Changes], &["shift-down", "ctrl-d"]),
    (Action::ScrollUp, &[List, Changes], &["shift-up", "ctrl-u"]),

    (Action::Enter, &[List, Tiles, Changes], &["enter"]),
    (Action::Zoom, WORKERS, &["z"]),
    (Action::Takeover, WORKERS, &["T"]),
    (Action::Spawn, WORKERS, &["n", "w"]),
    (Action::Reply, WORKERS, &["r"]),
    (Action::NextWaiting, WORKERS, &["g"]),
    (Action::Stop, WORKERS, &["x"]),
    (Action::Restart, WORKERS, &["R"]),
    (Action::Remove, WORKERS, &["D"]),
    (Action::Rename, WORKERS, &[",", "f2"]),
    (Action::Shell, WORKERS, &["e"]),
    (Action::StopAll, WORKERS, &["S"]),
    (Action::Scrollback, WORKERS, &["["]),
    (Action::Tiles, &[Global], &["t"]),
    (Action::Worker(1), WORKERS, &["alt-1"]),
    (Action::Worker(2), WORKERS, &["alt-2"]),
    (Action::Worker(3), WORKERS, &["alt-3"]),
    (Action::Worker(4), WORKERS, &["alt-4"]),
    (Action::Worker(5), WORKERS, &["alt-5"]),
    (Action::Worker(6), WORKERS, &["alt-6"]),
    (Action::Worker(7), WORKERS, &["alt-7"]),
    (Action::Worker(8), WORKERS, &["alt-8"]),
    (Action::Worker(9), WORKERS, &["alt-9"]),
    (Action::Worker(10), WORKERS, &["alt-0"]),
    (Action::PoolUp, &[List], &["+"]),
    (Action::PoolDown, &[List], &["-"]),
    (Action::PoolPause, &[List], &["p"]),
    (Action::Sort, &[List], &["o"]),
    (Action::Mark, &[List, Changes], &["space"]),
    (Action::MarkAll, &[List, Changes], &["*"]),
    (Action::Filter, &[List, Scroll, Changes, Logs, Page], &["/"]),
    (Action::NextMatch, TEXTS, &["n"]),
    (Action::PreviousMatch, TEXTS, &["N"]),

    (Action::Apply, &[Changes], &["a"]),
    (Action::Discard, &[Changes], &["X"]),
    (Action::SideBySide, &[Changes, Logs], &["v"]),
    (Action::Refresh, &[Changes, Logs], &["ctrl-r"]),
    (Action::Follow, &[Logs], &["f"]),
    (Action::Select, &[Scroll], &["space", "v"]),
    (Action::Copy, &[Scroll], &["y", "enter"]),
    (Action::Copy, &[Logs], &["y"]),

    (Action::NextTab, &[Global], &["tab"]),
    (Action::PreviousTab, &[Global], &["shift-tab"]),
    (Action::ShowTerminal, &[Global], &["1"]),
    (Action::ShowChanges, &[Global], &["2"]),
    (Action::ShowChanges, &[List], &["d"]),
    (Action::ShowLogs, &[Global], &["3"]),
    (Action::ShowLogs, &[List], &["l"]),
    (Action::ShowDetails, &[Global], &["4"]),
    (Action::ShowDetails, &[List], &["s"]),
    (Action::Back, &[Global], &["esc"]),
    (Action::Back, TEXTS, &["q"]),
    (Action::Palette, &[Global], &[":", "ctrl-k"]),
    (Action::NextTheme, &[Global], &[]),
    (Action::ToggleMouse, &[Global], &["m"]),
    (Action::ToggleNotifications, &[Global], &[]),
    (Action::Redraw, &[Global], &["ctrl-l"]),
    (Action::Suspend, &[Global], &["ctrl-z"]),
    (Action::Help, &[Global], &["?", "f1"]),
    (Action::Quit, WORKERS, &["q"]),
    (Action::Quit, &[Global], &["ctrl-c"]),
];

/// There, `D` ends a session, Enter and `o` open it full screen, `r` starts it again, `c` and `p`
/// hand its work over. Here the work is looked at before it is applied.
#[rustfmt::skip]
const CLAUDE_SQUAD: &[Row] = &[
    (Action::Zoom, WORKERS, &["enter", "o"]),
    (Action::Enter, WORKERS, &["i"]),
    (Action::Enter, &[Changes], &["enter"]),
    (Action::Spawn, WORKERS, &["n", "N"]),
    (Action::Stop, WORKERS, &["D", "x"]),
    (Action::Remove, WORKERS, &["X"]),
    (Action::Restart, WORKERS, &["r"]),
    (Action::Reply, WORKERS, &["R"]),
    (Action::Sort, &[List], &["O"]),
    (Action::PoolPause, &[List], &["P"]),
    (Action::ShowChanges, &[Global], &["2"]),
    (Action::ShowChanges, &[List], &["d", "c", "p"]),
];

/// What acts on workers is behind the prefix; what only moves is not.
#[rustfmt::skip]
const TMUX: &[Row] = &[
    (Action::Down, &[Scroll, Changes, Logs, Page], &["j", "down"]),
    (Action::Down, WORKERS, &["down", "ctrl-b n"]),
    (Action::Up, &[Scroll, Changes, Logs, Page], &["k", "up"]),
    (Action::Up, WORKERS, &["up", "ctrl-b p"]),
    (Action::Left, &[Scroll, Changes, Logs], &["h", "left"]),
    (Action::Left, &[Tiles], &["left", "ctrl-b left"]),
    (Action::Right, &[Scroll, Changes, Logs], &["l", "right"]),
    (Action::Right, &[Tiles], &["right", "ctrl-b right"]),
    (Action::Last, TEXTS, &["G", "end"]),
    (Action::Last, &[List], &["end"]),
    (Action::Zoom, WORKERS, &["ctrl-b z"]),
    (Action::Takeover, WORKERS, &["ctrl-b T"]),
    (Action::Spawn, WORKERS, &["ctrl-b c"]),
    (Action::Reply, WORKERS, &["ctrl-b r"]),
    (Action::NextWaiting, WORKERS, &["ctrl-b g"]),
    (Action::Stop, WORKERS, &["ctrl-b x", "ctrl-b &"]),
    (Action::Restart, WORKERS, &["ctrl-b R"]),
    (Action::Remove, WORKERS, &["ctrl-b D"]),
    (Action::Rename, WORKERS, &["ctrl-b ,", "ctrl-b $"]),
    (Action::Shell, WORKERS, &["ctrl-b e"]),
    (Action::StopAll, WORKERS, &["ctrl-b S"]),
    (Action::Scrollback, WORKERS, &["ctrl-b [", "ctrl-b pgup"]),
    (Action::Tiles, &[Global], &["ctrl-b s", "ctrl-b t"]),
    (Action::Worker(1), WORKERS, &["ctrl-b 0"]),
    (Action::Worker(2), WORKERS, &["ctrl-b 1"]),
    (Action::Worker(3), WORKERS, &["ctrl-b 2"]),
    (Action::Worker(4), WORKERS, &["ctrl-b 3"]),
    (Action::Worker(5), WORKERS, &["ctrl-b 4"]),
    (Action::Worker(6), WORKERS, &["ctrl-b 5"]),
    (Action::Worker(7), WORKERS, &["ctrl-b 6"]),
    (Action::Worker(8), WORKERS, &["ctrl-b 7"]),
    (Action::Worker(9), WORKERS, &["ctrl-b 8"]),
    (Action::Worker(10), WORKERS, &["ctrl-b 9"]),
    (Action::PoolUp, &[List], &["ctrl-b +"]),
    (Action::PoolDown, &[List], &["ctrl-b -"]),
    (Action::PoolPause, &[List], &["ctrl-b P"]),
    (Action::Sort, &[List], &["ctrl-b O"]),
    (Action::NextTab, &[Global], &["tab", "ctrl-b o"]),
    (Action::PreviousTab, &[Global], &["shift-tab", "ctrl-b ;"]),
    (Action::ShowChanges, &[Global], &["2"]),
    (Action::ShowLogs, &[Global], &["3"]),
    (Action::ShowDetails, &[Global], &["4", "ctrl-b i"]),
    (Action::Back, &[Global], &["esc", "ctrl-b w"]),
    (Action::Back, TEXTS, &["q"]),
    (Action::Palette, &[Global], &["ctrl-b :", "ctrl-k"]),
    (Action::ToggleMouse, &[Global], &["ctrl-b m"]),
    (Action::Help, &[Global], &["ctrl-b ?", "?", "f1"]),
    (Action::Quit, WORKERS, &["q"]),
    (Action::Quit, &[Global], &["ctrl-b d", "ctrl-c"]),
];
