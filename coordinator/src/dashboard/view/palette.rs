//! P.
use super::pen::Pen;
use crate::dashboard::{palette::Palette, state::State};
use ratatui::layout::{Position, Rect};
pub fn draw(_s: &State, _p: &Palette, _a: Rect, _pen: &mut Pen<'_>) -> Option<Position> {
    None
}
