//! Every action: what configuration calls it, what people read about it, where it is good. Owns these
//! texts. Never says which key.

use super::action::{Action, Context};

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// What it does.
    pub action: Action,
    /// What configuration calls it.
    pub name: &'static str,
    /// One word for the footer; empty: never there.
    pub label: &'static str,
    /// A sentence for help and palette.
    pub help: &'static str,
    /// Where it is good. With [`Context::Global`] among them: everywhere.
    pub contexts: &'static [Context],
}

use Context::{Changes, Global, List, Logs, Page, Scroll, Tiles};

/// Where there are rows or lines to move in.
const ROWS: &[Context] = &[List, Scroll, Changes, Logs, Page, Tiles];
/// Where there is text to move in.
const LINES: &[Context] = &[List, Scroll, Changes, Logs, Page];
/// Where a worker is chosen.
const WORKERS: &[Context] = &[List, Tiles];
/// Everywhere.
const ALL: &[Context] = &[Global];

const fn entry(
    action: Action,
    name: &'static str,
    label: &'static str,
    help: &'static str,
    contexts: &'static [Context],
) -> Entry {
    Entry {
        action,
        name,
        label,
        help,
        contexts,
    }
}

/// The table, in the order of the help.
#[rustfmt::skip]
pub const ENTRIES: &[Entry] = &[
    entry(Action::Enter, "enter", "type", "type into the worker in place; to a file's difference", &[List, Tiles, Changes]),
    entry(Action::Zoom, "zoom", "zoom", "the terminal in full screen", WORKERS),
    entry(Action::Takeover, "takeover", "takeover", "type into it as the writer, whoever writes now", WORKERS),
    entry(Action::Spawn, "spawn", "spawn", "spawn a worker", WORKERS),
    entry(Action::Reply, "reply", "reply", "answer a worker with one line", WORKERS),
    entry(Action::NextWaiting, "next_waiting", "waiting", "go to the next worker that waits for you", WORKERS),
    entry(Action::Stop, "stop", "stop", "stop the worker or the marked ones, after a question", WORKERS),
    entry(Action::Restart, "restart", "restart", "restart the worker or the marked ones", WORKERS),
    entry(Action::Remove, "remove", "remove", "remove workers that have ended", WORKERS),
    entry(Action::Rename, "rename", "rename", "give the worker another name", WORKERS),
    entry(Action::Shell, "shell", "shell", "open a shell beside the session", WORKERS),
    entry(Action::StopAll, "stop_all", "stop all", "stop every worker, after a question", WORKERS),
    entry(Action::Apply, "apply", "apply", "carry changes over into the project: marked files, or all", &[Changes]),
    entry(Action::Discard, "discard", "discard", "drop changes: marked files, or all", &[Changes]),
    entry(Action::SideBySide, "side_by_side", "layout", "differences side by side or not; long lines wrapped or not", &[Changes, Logs]),
    entry(Action::Refresh, "refresh", "refresh", "load again", &[Changes, Logs]),
    entry(Action::Follow, "follow", "follow", "follow what comes, or stay", &[Logs]),
    entry(Action::Select, "select", "select", "begin or end a selection", &[Scroll]),
    entry(Action::Copy, "copy", "copy", "copy what is selected, or what is in view", &[Scroll, Logs]),
    entry(Action::Mark, "mark", "mark", "mark the worker or the file", &[List, Changes]),
    entry(Action::MarkAll, "mark_all", "mark all", "mark all that is listed, or none", &[List, Changes]),
    entry(Action::Filter, "filter", "filter", "filter the list, or search in what is shown", LINES),
    entry(Action::NextMatch, "next_match", "next", "go to the next match", &[Scroll, Changes, Logs, Page]),
    entry(Action::PreviousMatch, "previous_match", "previous", "go to the match before", &[Scroll, Changes, Logs, Page]),
    entry(Action::Sort, "sort", "sort", "sort by something else", &[List]),
    entry(Action::Scrollback, "scrollback", "scrollback", "look at what scrolled away", WORKERS),
    entry(Action::Down, "down", "", "one down", ROWS),
    entry(Action::Up, "up", "", "one up", ROWS),
    entry(Action::Left, "left", "", "to the left", &[Scroll, Changes, Logs, Tiles]),
    entry(Action::Right, "right", "", "to the right", &[Scroll, Changes, Logs, Tiles]),
    entry(Action::PageDown, "page_down", "", "a page down", LINES),
    entry(Action::PageUp, "page_up", "", "a page up", LINES),
    entry(Action::First, "first", "", "to the first", LINES),
    entry(Action::Last, "last", "", "to the last", LINES),
    entry(Action::ScrollDown, "scroll_down", "", "scroll the right side down from the list", &[List, Changes]),
    entry(Action::ScrollUp, "scroll_up", "", "scroll the right side up from the list", &[List, Changes]),
    entry(Action::Worker(1), "worker_1", "", "go to the worker in the first row", WORKERS),
    entry(Action::Worker(2), "worker_2", "", "go to the worker in row 2", WORKERS),
    entry(Action::Worker(3), "worker_3", "", "go to the worker in row 3", WORKERS),
    entry(Action::Worker(4), "worker_4", "", "go to the worker in row 4", WORKERS),
    entry(Action::Worker(5), "worker_5", "", "go to the worker in row 5", WORKERS),
    entry(Action::Worker(6), "worker_6", "", "go to the worker in row 6", WORKERS),
    entry(Action::Worker(7), "worker_7", "", "go to the worker in row 7", WORKERS),
    entry(Action::Worker(8), "worker_8", "", "go to the worker in row 8", WORKERS),
    entry(Action::Worker(9), "worker_9", "", "go to the worker in row 9", WORKERS),
    entry(Action::Worker(10), "worker_10", "", "go to the worker in row 10", WORKERS),
    entry(Action::Tiles, "tiles", "tiles", "several terminals at once, or the list again", ALL),
    entry(Action::NextTab, "next_tab", "tab", "the next tab; among tiles, the next tile", ALL),
    entry(Action::PreviousTab, "previous_tab", "", "the tab before; among tiles, the tile before", ALL),
    entry(Action::ShowTerminal, "show_terminal", "terminal", "show the live terminal", ALL),
    entry(Action::ShowChanges, "show_changes", "changes", "show what the worker changed", ALL),
    entry(Action::ShowLogs, "show_logs", "logs", "show the session's output", ALL),
    entry(Action::ShowDetails, "show_details", "details", "show all about the worker and the coordinator", ALL),
    entry(Action::PoolUp, "pool_up", "", "keep one warm worker more", &[List]),
    entry(Action::PoolDown, "pool_down", "", "keep one warm worker less", &[List]),
    entry(Action::PoolPause, "pool_pause", "pool", "pause or resume refilling the pool", &[List]),
    entry(Action::Back, "back", "back", "back to the list; clears filter, marks and messages", ALL),
    entry(Action::Palette, "palette", "palette", "every action, by name", ALL),
    entry(Action::NextTheme, "next_theme", "theme", "the next theme", ALL),
    entry(Action::ToggleMouse, "toggle_mouse", "mouse", "let go of the mouse, or take it", ALL),
    entry(Action::ToggleNotifications, "toggle_notifications", "notify", "notifications on or off", ALL),
    entry(Action::Redraw, "redraw", "", "draw the screen anew", ALL),
    entry(Action::Suspend, "suspend", "", "back to the shell until fg", ALL),
    entry(Action::Help, "help", "help", "show the keys", ALL),
    entry(Action::Quit, "quit", "quit", "leave the dashboard; workers run on", ALL),
];

/// The actions of the footer, the most wanted first; help and quit stay at its end.
#[must_use]
pub fn footer(context: Context) -> &'static [Action] {
    match context {
        List => &[
            Action::Enter,
            Action::Zoom,
            Action::Spawn,
            Action::Reply,
            Action::NextWaiting,
            Action::Stop,
            Action::Remove,
            Action::ShowChanges,
            Action::ShowLogs,
            Action::ShowDetails,
            Action::Tiles,
            Action::Filter,
            Action::Back,
            Action::Palette,
        ],
        Scroll => &[
            Action::Filter,
            Action::NextMatch,
            Action::PreviousMatch,
            Action::Select,
            Action::Copy,
            Action::Back,
        ],
        Changes => &[
            Action::Apply,
            Action::Discard,
            Action::Mark,
            Action::MarkAll,
            Action::Enter,
            Action::SideBySide,
            Action::Filter,
            Action::Refresh,
            Action::Back,
        ],
        Logs => &[
            Action::Follow,
            Action::Filter,
            Action::NextMatch,
            Action::SideBySide,
            Action::Copy,
            Action::Back,
        ],
        Page => &[Action::Filter, Action::NextMatch, Action::Back],
        Tiles => &[
            Action::Enter,
            Action::Zoom,
            Action::NextWaiting,
            Action::Reply,
            Action::Spawn,
            Action::Stop,
            Action::Back,
            Action::Palette,
        ],
        Global => &[Action::Help, Action::Quit],
    }
}

impl Action {
    /// Whether it only moves what is in view or selected.
    #[must_use]
    pub fn moves(self) -> bool {
        matches!(
            self,
            Self::Down
                | Self::Up
                | Self::Left
                | Self::Right
                | Self::PageDown
                | Self::PageUp
                | Self::First
                | Self::Last
                | Self::ScrollDown
                | Self::ScrollUp
        )
    }

    /// Its line of the table.
    #[must_use]
    pub fn entry(self) -> Option<&'static Entry> {
        ENTRIES.iter().find(|entry| entry.action == self)
    }

    /// What configuration calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.entry().map_or("", |entry| entry.name)
    }

    /// The action that configuration calls so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let entry = ENTRIES.iter().find(|entry| entry.name == name)?;
        Some(entry.action)
    }

    /// One word for the footer in a context; empty: never there.
    #[must_use]
    pub fn label(self, context: Context) -> &'static str {
        match (self, context) {
            (Self::Filter, Scroll | Logs | Page) => "search",
            (Self::Back, List) => "clear",
            (Self::Enter, Changes) => "read",
            (Self::SideBySide, Logs) => "wrap",
            _ => self.entry().map_or("", |entry| entry.label),
        }
    }

    /// A sentence about it.
    #[must_use]
    pub fn help(self) -> &'static str {
        self.entry().map_or("", |entry| entry.help)
    }
}

impl Context {
    /// All of them, in the order of the help.
    pub const ALL: [Self; 7] = [List, Tiles, Scroll, Changes, Logs, Page, Global];

    /// Its heading in the help.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Global => "Everywhere",
            List => "List of workers",
            Scroll => "Scrollback",
            Changes => "Changes",
            Logs => "Logs",
            Page => "Details and help",
            Tiles => "Tiles",
        }
    }
}
