//! One line of text that is asked for. Data only.

use crate::dashboard::widgets::text_field::TextField;

/// One line of text that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineDialog {
    /// What it is for.
    pub what: LinePurpose,
    /// The text.
    pub field: TextField,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// What a line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinePurpose {
    /// An answer to a worker.
    Reply {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Another name for a worker.
    Rename {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
}
