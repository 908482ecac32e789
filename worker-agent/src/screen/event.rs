//! What output does besides changing the grid.

/// What output did besides changing the grid.
///
/// Text is free of control characters and at most 1024 bytes. One call of
/// [`Screen::process`](super::Screen::process) reports a bell once, the last title and one joined reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScreenEvent {
    /// The title changed (OSC 0 or 2, or popped from the title stack).
    Title(String),
    /// BEL.
    Bell,
    /// A desktop notification: OSC 9, OSC 777 `notify`, OSC 99.
    Notification(String),
    /// A progress report, OSC 9;4: 0 none, 1 running, 2 error, 3 busy, 4 paused.
    Progress(u8),
    /// What the terminal answers to queries; to be written to the program only
    /// while no terminal is attached that answers itself.
    Reply(Vec<u8>),
    /// The grid had to be thrown away; the text says why. The program should
    /// be made to draw again.
    Rebuilt(String),
}
