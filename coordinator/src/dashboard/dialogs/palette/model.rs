//! The palette that is open: its search and its selected row. Data only.

use crate::dashboard::widgets::text_field::TextField;

/// The palette.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Palette {
    /// What is searched.
    pub query: TextField,
    /// The row, among those that match.
    pub(super) selected: usize,
}

impl Palette {
    /// The selected row among so many.
    pub fn selected(&self, count: usize) -> usize {
        self.selected.min(count.saturating_sub(1))
    }
}
