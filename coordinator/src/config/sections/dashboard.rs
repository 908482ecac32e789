//! `[dashboard]`: read by the dashboard's process, not by the coordinator's.

use super::super::{
    key::{About, At, Kind, Shown},
    kinds::{keys_of_actions, strings, truth, word},
    section::{Section, section},
    values,
    words::{Notifications, SORTS, ThemeChoice},
};
use crate::model::keys::{Bindings, Preset};
use serde_json::json;
use std::collections::BTreeMap;
use toml::Spanned;

section! {
    /// The dashboard.
    pub struct DashboardConfig {
        /// The keys to begin with.
        //! The keys to begin with: "default", "claude-squad", or "tmux" (with a prefix, Ctrl-B).
        keymap: Preset = word(Preset::ALL, Preset::as_str);
        /// Keys of single actions, in place of the preset's; [] for none.
        //! Keys of single actions, in place of the preset's; [] for none. The actions and their keys are in
        //! the README under Keys, and behind ? in the dashboard.
        //!   keys.spawn = ["n", "f5"]
        //!   keys.zoom = ["ctrl-b z"]
        //!   keys.stop_all = []
        keys: BTreeMap<String, Vec<String>> = keys_of_actions();
        /// Key sequences that give the keys back to the dashboard, as Docker writes them.
        //! Key sequences that lead back while you type into a worker, written as detach_keys above. The
        //! first one is shown. With keymap = "tmux", "ctrl-b,d" comes before these.
        leave_keys: Vec<String> = strings(values::leave_keys),
            (Preset::Default.leave_keys()), [["ctrl-q"]];
        /// The colours.
        //! "auto", "dark", "light", "16" (the terminal's own colours), "high-contrast", "none".
        theme: ThemeChoice = word(ThemeChoice::ALL, ThemeChoice::as_str);
        /// Take the mouse; false: it is the terminal's.
        //! false leaves the mouse to the terminal.
        mouse: bool = truth(), true;
        /// How it tells that a worker waits.
        //! A worker waits for you: "all" rings the bell and notifies the desktop (OSC 9); "osc777" and
        //! "osc99" do so for terminals that know only these; "bell", "off".
        notifications: Notifications = word(Notifications::ALL, Notifications::as_str);
        /// Let programs in workers write the terminal's clipboard.
        //! Let programs in workers write your clipboard (OSC 52).
        clipboard: bool = truth(), false;
        /// What the list is sorted by within its groups.
        //! The list within its groups, by: "name", "age", "cpu", "memory", "project".
        sort: &'static str = word(SORTS, |word| word);
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
