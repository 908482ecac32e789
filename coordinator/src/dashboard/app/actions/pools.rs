//! Actions of the pools: more or fewer warm workers, pausing the refill.

use crate::dashboard::app::{
    actions::pending_call,
    effect::{Call, Effect},
    state::AppState,
};

/// The pool that pool keys are for: the selected worker's, or the only one, or the first.
pub fn pool_of(state: &AppState) -> Option<&crate::wire::PoolView> {
    let profile = state.selected_worker().map(|w| &w.view.profile);
    profile
        .and_then(|p| state.pools.get(p))
        .or_else(|| state.pools.values().next())
}

/// Sets one more or one fewer warm worker.
pub fn scale(state: &mut AppState, up: bool, effects: &mut Vec<Effect>) {
    let Some(pool) = pool_of(state) else {
        return;
    };
    let min = match up {
        true => pool.min_warm.saturating_add(1),
        false => pool.min_warm.saturating_sub(1),
    };
    let profile = pool.profile.clone();
    let call = Call::Scale {
        max: pool.max_warm.max(min),
        profile: profile.clone(),
        min,
    };
    pending_call::begin(state, format!("scale {profile}"), call, effects);
}

/// Pauses the refill, or resumes it.
pub fn pause(state: &mut AppState, effects: &mut Vec<Effect>) {
    let Some(pool) = pool_of(state) else {
        return;
    };
    let (profile, paused) = (pool.profile.clone(), !pool.paused);
    let word = if paused { "pause" } else { "resume" };
    let what = format!("{word} refilling {profile}");
    pending_call::begin(state, what, Call::Pause { profile, paused }, effects);
}
