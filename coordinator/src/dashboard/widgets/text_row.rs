//! A row of a text of terms and their meanings, as the help and the details are made of.

/// A line: a term and what it means, a heading, or blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TextRow {
    /// A heading.
    Heading(String),
    /// A term and its text.
    Pair(String, String),
    /// Nothing.
    Blank,
}
