//! Rules about several keys, and defaults that follow from other keys.
//!
//! Owns what is checked when each value has been read. Never judges a value alone (`values.rs`).

use super::{
    key::At,
    sections::{Config, DashboardConfig, Profile, TcpConfig},
    words::{Network, SecurityProfile},
};
use crate::model::{did_you_mean, keys::Bindings};
use toml::Spanned;

/// There is a program in a command.
#[expect(clippy::ptr_arg, reason = "what `Kind::checked` takes for a list")]
pub(super) fn program(words: &mut Vec<String>, at: &mut At<'_>) {
    if words.first().is_none_or(String::is_empty) {
        let right = "give the program and its arguments, such as [\"bash\", \"-l\"]";
        at.fault("there is no program", right);
    }
}

/// There is a program in a command that may be empty.
pub(super) fn program_if_any(words: &mut Vec<String>, at: &mut At<'_>) {
    if !words.is_empty() {
        program(words, at);
    }
}

/// The keys of a preset with those that take their place.
pub(super) fn dashboard(dashboard: &mut DashboardConfig, at: &mut At<'_>) {
    let given = at
        .given("leave_keys")
        .and_then(|keys| keys.get_ref().as_array());
    if given.is_none() {
        let usual = dashboard.keymap.leave_keys().iter();
        dashboard.leave_keys = usual.map(|keys| (*keys).to_owned()).collect();
    } else if given.is_some_and(|keys| keys.is_empty()) {
        let wrong = "nothing would lead back from a worker to the dashboard";
        at.fault_of("leave_keys", wrong, "give at least one, such as \"ctrl-q\"");
    }
    let (_, problems) = Bindings::new(dashboard.keymap, &dashboard.keys);
    for problem in problems {
        let action = &problem.action;
        let list = at.given("keys").and_then(|keys| keys.get_ref().get(action));
        let item = problem.index.and_then(|index| list?.get_ref().get(index));
        let span = item.or(list).map_or(0..0, Spanned::span);
        let index = problem
            .index
            .map_or_else(String::new, |index| format!("[{index}]"));
        let key = format!("{}.keys.{action}{index}", at.key);
        at.layers.fault(&span, key, problem.wrong, problem.right);
    }
}

/// The keys that open a port only make sense together.
pub(super) fn tcp(_: &mut Option<TcpConfig>, at: &mut At<'_>) {
    let is_given = |name: &&str| at.given(name).is_some();
    let (given, missing): (Vec<&str>, Vec<&str>) = ["tls_cert", "tls_key", "token_file"]
        .into_iter()
        .partition(is_given);
    if at.given("listen").is_none() {
        for name in given {
            let right = "add api.listen, or remove this key";
            at.fault_of(name, "means nothing without api.listen", right);
        }
    } else if !missing.is_empty() {
        let keys = missing.join(", ");
        let wrong =
            format!("the API is not served over TCP without TLS and a token: {keys} missing");
        let right = format!("add {keys} to [api], or remove listen");
        at.fault_of("listen", wrong, right);
    }
}

/// What cannot be kept is not promised.
pub(super) fn profile(profile: &mut Profile, at: &mut At<'_>) {
    if profile.egress.is_open() {
        return;
    }
    if profile.security == SecurityProfile::Build {
        let wrong = "security = \"build\" lets sessions become root, and rules go by the uid";
        let right = "use egress = \"open\" with it, or security = \"strict\"";
        at.fault_of("egress", wrong, right);
    }
    if profile.network == Network::Isolated {
        let wrong = "rules hold in the shared network alone";
        let right = "use network = \"shared\" or \"none\" with it, or egress = \"open\"";
        at.fault_of("egress", wrong, right);
    }
}

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
