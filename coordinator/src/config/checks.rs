//! Rules about several sections, and defaults that follow from other keys.
//!
//! Owns what is checked when each value has been read. Never judges a value alone
//! (`values.rs`), nor a section alone (that is beside its keys).

use super::{
    key::At,
    sections::{Config, Profile},
};
use crate::model::did_you_mean;

/// The default profile exists, and the pools have bounds.
pub(super) fn config(config: &mut Config, at: &mut At<'_>) {
    let default = &config.defaults.profile;
    if !config.profiles.contains_key(default) {
        let there: Vec<&str> = config.profiles.keys().map(String::as_str).collect();
        let right = match did_you_mean(default, there.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None if there.is_empty() => {
                format!("add [profiles.{default}], or use \"default\"")
            }
            None => format!("there are: {}", there.join(", ")),
        };
        if let Some(mut defaults) = at.key("defaults") {
            defaults.fault_of("profile", format!("there is no profile {default:?}"), right);
        }
    }
    let Some(mut profiles) = at.key("profiles") else {
        return;
    };
    for (name, profile) in &mut config.profiles {
        if let Some(mut at) = profiles.key(name) {
            pool_bounds(profile, name == default, &mut at);
        }
        if !config.pool.enabled {
            (profile.min_warm, profile.max_warm) = (0, 0);
        }
    }
}

/// Only one bound given: the other follows.
fn pool_bounds(profile: &mut Profile, is_default: bool, at: &mut At<'_>) {
    if at.given("min_warm").is_none() && !is_default {
        profile.min_warm = 0;
    }
    let (min, max) = (profile.min_warm, profile.max_warm);
    match (at.is_good("min_warm"), at.is_good("max_warm")) {
        (true, true) if min > max => {
            let other = at.layers.origin(&at.span_of("max_warm"));
            let wrong = format!("{min} is more than max_warm, which is {max} ({other})");
            let right = format!("give at most {max}, or raise max_warm");
            at.fault_of("min_warm", wrong, right);
        }
        (true, false) => profile.max_warm = max.max(min),
        _ => {}
    }
    profile.min_warm = profile.min_warm.min(profile.max_warm);
}
