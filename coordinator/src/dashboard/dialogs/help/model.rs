//! The help that is open: its search and how far it is scrolled. Data only.

use crate::{dashboard::widgets::text_field::TextField, model::keys::Context};

/// The help that is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Help {
    /// Rows scrolled.
    pub scrolled: u16,
    /// What is searched; empty: everything is shown.
    pub query: TextField,
    /// Whether keys go to the search.
    pub searching: bool,
    pub(super) contexts: &'static [Context],
}

impl Help {
    /// Opened where these keys work.
    pub fn new(contexts: &'static [Context]) -> Self {
        Self {
            scrolled: 0,
            query: TextField::default(),
            searching: false,
            contexts,
        }
    }
}
