//! Changes.
use super::pen::Pen;
use crate::dashboard::{logs::LogsTab, state::State};
use ratatui::layout::{Position, Rect};
pub fn draw(_s: &State, _t: &LogsTab, _f: bool, _a: Rect, _p: &mut Pen<'_>) -> Option<Position> {
    None
}
