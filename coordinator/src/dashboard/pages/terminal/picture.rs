//! A worker's terminal at one moment, as the live tasks give it and the view paints it.

use crate::dashboard::pages::terminal::grid::Grid;
use std::ops::Range;
use worker_agent::screen::Modes;

/// A worker's terminal at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Picture {
    /// What is in view.
    pub grid: Grid,
    /// How keys and the mouse are to be sent.
    pub modes: Modes,
    /// Lines above the visible ones.
    pub history: usize,
    /// Lines scrolled up; 0 at the bottom.
    pub offset: usize,
    /// Cells that match the search, in view: row and columns.
    pub found: Vec<(u16, Range<u16>)>,
    /// Of these, the current match.
    pub found_here: Vec<(u16, Range<u16>)>,
    /// The search's current match, from 1, and how many there are; none while nothing is searched.
    pub found_at: Option<(usize, usize)>,
    /// Selected cells in view: row and columns.
    pub selected: Vec<(u16, Range<u16>)>,
}
