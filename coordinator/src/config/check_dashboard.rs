//! Judges `[dashboard]`.

use super::{
    check::Checker,
    dashboard::{Notifications, SORTS, ThemeChoice},
    fields,
    raw::RawDashboard,
    types::DashboardConfig,
};
use crate::model::keys::{Bindings, Preset};
use std::collections::BTreeMap;

impl Checker<'_> {
    pub(super) fn dashboard(&mut self, raw: &RawDashboard) -> DashboardConfig {
        let keymap = self.value(
            "dashboard.keymap",
            &raw.keymap,
            Preset::default(),
            |given| fields::word(given, &Preset::ALL.map(|one| (one.as_str(), one))),
        );
        let theme = self.value(
            "dashboard.theme",
            &raw.theme,
            ThemeChoice::default(),
            |given| fields::word(given, &ThemeChoice::ALL.map(|one| (one.word(), one))),
        );
        let notifications = self.value(
            "dashboard.notifications",
            &raw.notifications,
            Notifications::default(),
            |given| fields::word(given, &Notifications::ALL.map(|one| (one.word(), one))),
        );
        let sort = self.value("dashboard.sort", &raw.sort, "name", |given| {
            fields::word(given, &SORTS.map(|one| (one, one)))
        });
        let truth = |field: &super::raw::Field<bool>, default| {
            field.as_ref().map_or(default, |f| *f.get_ref())
        };
        DashboardConfig {
            keymap,
            keys: self.keys(keymap, raw),
            leave_keys: self.leave_keys(keymap, raw),
            theme,
            mouse: truth(&raw.mouse, true),
            notifications,
            clipboard: truth(&raw.clipboard, false),
            sort,
        }
    }

    fn leave_keys(&mut self, keymap: Preset, raw: &RawDashboard) -> Vec<String> {
        let key = "dashboard.leave_keys";
        if let Some(given) = &raw.leave_keys
            && given.get_ref().is_empty()
        {
            let right = "give at least one, such as \"ctrl-q\"";
            let wrong = "nothing would lead back from a worker to the dashboard";
            self.layers.fault(&given.span(), key, wrong, right);
        }
        self.list(key, &raw.leave_keys, fields::leave_keys)
            .unwrap_or_else(|| {
                keymap
                    .leave_keys()
                    .iter()
                    .map(|k| (*k).to_owned())
                    .collect()
            })
    }

    fn keys(&mut self, keymap: Preset, raw: &RawDashboard) -> BTreeMap<String, Vec<String>> {
        let given: BTreeMap<String, Vec<String>> = raw
            .keys
            .iter()
            .map(|(action, keys)| {
                let keys = keys.get_ref().iter().map(|key| key.get_ref().clone());
                (action.clone(), keys.collect())
            })
            .collect();
        let (_, problems) = Bindings::new(keymap, &given);
        for problem in problems {
            let at = raw.keys.get(&problem.action);
            let one = problem
                .index
                .and_then(|index| at.and_then(|keys| keys.get_ref().get(index)));
            let span = one.map(toml::Spanned::span).or(at.map(toml::Spanned::span));
            let mut key = format!("dashboard.keys.{}", problem.action);
            if let Some(index) = problem.index {
                key.push_str(&format!("[{index}]"));
            }
            self.layers
                .fault(&span.unwrap_or(0..0), key, problem.wrong, problem.right);
        }
        given
    }
}
