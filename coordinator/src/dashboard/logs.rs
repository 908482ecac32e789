//! Changes.
use super::{
    changes::TabOutcome,
    event::{Effect, Fetched},
    field::Field,
    keymap::Action,
    worker::Worker,
};
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LogsTab {}
impl LogsTab {
    pub fn follow(&mut self, _w: Option<&Worker>) -> Vec<Effect> {
        vec![]
    }
    pub fn take(&mut self, _f: Fetched) -> Vec<Effect> {
        vec![]
    }
    pub fn act(&mut self, _a: Action, _p: u16) -> TabOutcome {
        TabOutcome::default()
    }
    pub fn text_field(&mut self) -> Option<&mut Field> {
        None
    }
    pub fn searching(&self) -> bool {
        false
    }
    pub fn search_changed(&mut self) {}
    pub fn search_ended(&mut self, _k: bool) {}
    pub fn back(&mut self) -> bool {
        false
    }
}
