//! Palette.
use super::{
    field::Field,
    keymap::{Action, Preset},
    state::State,
    theme::Theme,
};
use crossterm::event::KeyEvent;
/// P.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Palette {
    pub query: Field,
}
pub enum Entry {
    Action(Action),
    Worker(String),
    Theme(Theme),
    Keymap(Preset),
}
pub enum Outcome {
    Stay,
    Close,
    Run(Entry),
}
impl Palette {
    pub fn key(&mut self, _s: &State, _k: KeyEvent) -> Outcome {
        Outcome::Close
    }
}
