//! Beginning a call of the coordinator. The only way to one, so that each is shown while it is
//! under way.

use crate::dashboard::app::{
    effect::{Call, Effect},
    state::AppState,
};

/// Begins a call; it is shown as under way until its end comes.
pub fn begin(state: &mut AppState, what: String, call: Call, effects: &mut Vec<Effect>) {
    state.pending.push(what.clone());
    effects.push(Effect::Call { what, call });
}
