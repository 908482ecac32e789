//! What keys can ask for, and where. Owns the list of actions. Never says which key.

/// Where keys are looked up. A binding is good in one or several of them; `Global` holds in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Everywhere where keys are the dashboard's and no text is typed.
    Global,
    /// The list of workers.
    List,
    /// A terminal's scrollback.
    Scroll,
    /// The changes.
    Changes,
    /// The logs.
    Logs,
    /// The details and the help.
    Page,
    /// Several terminals at once.
    Tiles,
}

/// What a key or the palette can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// One row down.
    Down,
    /// One row up.
    Up,
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// A page down.
    PageDown,
    /// A page up.
    PageUp,
    /// First row.
    First,
    /// Last row.
    Last,
    /// Type into the worker in place; in other tabs: give the tab the keys.
    Enter,
    /// The terminal in full screen.
    Zoom,
    /// Type into it as the writer, whoever writes now.
    Takeover,
    /// Back: from a tab to the list, from tiles to the list; clears filter, marks, messages.
    Back,
    /// The next tab.
    NextTab,
    /// The tab before.
    PreviousTab,
    /// The live terminal.
    ShowTerminal,
    /// The changes.
    ShowChanges,
    /// The logs.
    ShowLogs,
    /// The details.
    ShowDetails,
    /// Several terminals at once, or the list again.
    Tiles,
    /// The next worker that waits for the user.
    NextWaiting,
    /// Answer a worker with one line.
    Reply,
    /// Open the spawn form.
    Spawn,
    /// Stop the worker, or the marked ones.
    Stop,
    /// Restart the worker, or the marked ones.
    Restart,
    /// Remove what has ended.
    Remove,
    /// Give the worker another name.
    Rename,
    /// A shell beside the session.
    Shell,
    /// Carry the changes over into the project: marked files, or all.
    Apply,
    /// Drop the changes: marked files, or all.
    Discard,
    /// Stop every worker.
    StopAll,
    /// Mark the worker or the file.
    Mark,
    /// Mark all that is listed, or none.
    MarkAll,
    /// One warm worker more.
    PoolUp,
    /// One warm worker less.
    PoolDown,
    /// Pause or resume refilling.
    PoolPause,
    /// Filter the list, or search what is shown.
    Filter,
    /// The next match.
    NextMatch,
    /// The match before.
    PreviousMatch,
    /// Sort by something else.
    Sort,
    /// The worker in this row of the list, from 1 to 10.
    Worker(u8),
    /// Look at what scrolled away.
    Scrollback,
    /// Scroll the right side down without leaving the list.
    ScrollDown,
    /// The same up.
    ScrollUp,
    /// Begin or end a selection.
    Select,
    /// Copy what is selected.
    Copy,
    /// Follow what comes, or stay.
    Follow,
    /// Differences side by side, or in one column.
    SideBySide,
    /// Load again.
    Refresh,
    /// Every action, by name.
    Palette,
    /// Show the keys.
    Help,
    /// The next theme.
    NextTheme,
    /// Let go of the mouse, or take it.
    ToggleMouse,
    /// Notifications on or off.
    ToggleNotifications,
    /// Draw anew.
    Redraw,
    /// Stop the process until it is continued.
    Suspend,
    /// Leave.
    Quit,
}
