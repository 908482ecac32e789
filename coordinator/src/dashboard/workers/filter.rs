//! The list's filter: words that must all match. `state:waiting`, `profile:claude`, `project:shop`
//! and `name:fix` look at one field, `is:marked` at the marks, anything else fuzzily at all of
//! them.

use crate::dashboard::{
    widgets::fuzzy,
    workers::{group::Group, worker::Worker},
};

/// Whether a worker is listed under this filter.
pub fn matches(filter: &str, worker: &Worker, marked: bool) -> bool {
    filter
        .split_whitespace()
        .all(|word| word_matches(word, worker, marked))
}

fn word_matches(word: &str, worker: &Worker, marked: bool) -> bool {
    let view = &worker.view;
    let project = || view.project.as_ref().map(ToString::to_string);
    let has = |text: &str, needle: &str| text.to_lowercase().contains(&needle.to_lowercase());
    match word.split_once(':') {
        Some(("state", needle)) => {
            has(worker.group().word(), needle)
                || has(view.state.as_str(), needle)
                || (worker.group() == Group::NeedsYou && has("waiting", needle))
        }
        Some(("profile", needle)) => has(&view.profile, needle),
        Some(("name", needle)) => has(&view.name, needle),
        Some(("project", needle)) => project().is_some_and(|p| has(&p, needle)),
        Some(("is", "marked")) => marked,
        _ => {
            let command = view.argv.join(" ");
            let project = project().unwrap_or_default();
            fuzzy::score(word, &view.name).is_some()
                || [
                    worker.group().word(),
                    &view.profile,
                    &view.title,
                    &project,
                    &command,
                ]
                .into_iter()
                .any(|field| has(field, word))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dashboard::tests::fixtures, model::WorkerState};
    use podbay_protocol::ActivityState;

    #[test]
    fn words_look_at_fields_and_all_must_match() {
        let waiting = Worker::new(
            fixtures::worker(
                1,
                "add-search",
                WorkerState::Running,
                Some(ActivityState::Waiting),
            ),
            0,
        );
        for yes in [
            "",
            "state:waiting",
            "state:needs",
            "profile:cla",
            "adsrch",
            "shop",
            "state:wait name:add",
        ] {
            assert!(matches(yes, &waiting, false), "{yes}");
        }
        for no in [
            "state:idle",
            "profile:codex",
            "zzz",
            "state:wait name:fix",
            "is:marked",
        ] {
            assert!(!matches(no, &waiting, false), "{no}");
        }
        assert!(matches("is:marked", &waiting, true));
    }
}
