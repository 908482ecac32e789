//! What a piece of text is there for; a theme gives each role its colours.

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
    /// The selected row; laid over what is there.
    Selected,
    /// A marked row or file.
    Marked,
    /// Characters that match a search.
    Match,
    /// A tab that is not shown.
    Tab,
    /// The tab that is shown.
    TabActive,
    /// The filled part of a bar, and sparklines.
    Gauge,
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
    /// A line that was added.
    Added,
    /// A line that was removed.
    Removed,
    /// The heading of a part of a difference.
    Hunk,
    /// A keyword of a program's text.
    SyntaxKeyword,
    /// A string.
    SyntaxString,
    /// A comment.
    SyntaxComment,
    /// A number.
    SyntaxNumber,
}

impl Role {
    /// All of them.
    #[cfg(test)]
    pub const ALL: [Self; 27] = [
        Self::Text,
        Self::Muted,
        Self::Heading,
        Self::Key,
        Self::Border,
        Self::Focus,
        Self::Selected,
        Self::Marked,
        Self::Match,
        Self::Tab,
        Self::TabActive,
        Self::Gauge,
        Self::Attention,
        Self::Working,
        Self::Done,
        Self::Idle,
        Self::Warm,
        Self::Error,
        Self::Warning,
        Self::Stale,
        Self::Added,
        Self::Removed,
        Self::Hunk,
        Self::SyntaxKeyword,
        Self::SyntaxString,
        Self::SyntaxComment,
        Self::SyntaxNumber,
    ];
}
