//! How much the links under a screen's cells (OSC 8) may take.
//!
//! Owns: the count. Each cell of the scrollback can have a link of its own.

use alacritty_terminal::{
    Term,
    event::EventListener,
    grid::Dimensions,
    index::{Column, Line},
};

/// Longest address and name of a link; longer ones are left out, as in other terminals
/// (VTE's limits).
const MAX_ADDRESS: usize = 2083;
const MAX_ID: usize = 250;
/// Bytes that the links of one screen take, over which further ones are left out.
const MAX_BYTES: usize = 4 << 20;
/// They are counted each time that this many bytes of links were set.
const COUNT_EVERY: usize = 4 << 20;
/// What a link takes besides its text.
const OVERHEAD: usize = 64;

/// A count of links.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Set since they were counted.
    set: usize,
    /// How much there was then.
    counted: usize,
}

impl Links {
    /// Whether a link is kept.
    pub(super) fn allows<T: EventListener>(&mut self, term: &Term<T>, id: &str, uri: &str) -> bool {
        if uri.len() > MAX_ADDRESS || id.len() > MAX_ID {
            return false;
        }
        self.set += uri.len() + id.len() + OVERHEAD;
        if self.set > COUNT_EVERY {
            self.set = 0;
            self.counted = count(term);
        }
        self.counted <= MAX_BYTES
    }
}

/// What the links of the screen in use take; one under several cells in a row is counted once.
fn count<T: EventListener>(term: &Term<T>) -> usize {
    let grid = term.grid();
    let (mut total, mut last) = (0, None);
    for line in grid.topmost_line().0..=grid.bottommost_line().0 {
        for column in 0..grid.columns() {
            let link = grid[Line(line)][Column(column)].hyperlink();
            if let Some(link) = &link
                && last.as_ref() != Some(link)
            {
                total += link.uri().len() + link.id().len() + OVERHEAD;
            }
            last = link.or(last);
        }
    }
    total
}
