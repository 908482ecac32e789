//! Changes.
use super::{changes::TabOutcome, event::{Effect, Fetched}, field::Field, keymap::Action, worker::Worker};
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogsTab {}
#[derive(Debug, Clone, PartialEq, Default)]
impl LogsTab {
    pub fn follow(&mut self, _w: Option<&Worker>) -> Vec<Effect> { vec![] }
    pub fn take(&mut self, _f: Fetched) -> Vec<Effect> { vec![] }
    pub fn text_field(&mut self) -> Option<&mut Field> { None }
    pub fn searching(&self) -> bool { false }
    pub fn search_changed(&mut self) {}
    pub fn search_ended(&mut self, _k: bool) {}
    pub fn back(&mut self) -> bool { false }
}
