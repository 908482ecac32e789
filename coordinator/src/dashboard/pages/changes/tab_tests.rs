//! The changes tab, from what is fetched to what is asked for.

use super::*;
use crate::{
    dashboard::{
        app::effect::Call,
        tests::{
            changes_fixtures::{change, some_changes},
            fixtures::worker,
        },
    },
    model::keys::Action,
    wire::ChangeKind,
};
use ratatui::layout::{Position, Rect};

fn worker_of(changes: Option<ChangeCount>) -> Worker {
    let mut view = worker(0, "fix", WorkerState::Running, None);
    view.unapplied = changes.is_some();
    view.changes = changes;
    Worker::new(view, 0)
}

fn id() -> String {
    worker_of(None).view.id
}

fn listed() -> ChangesTab {
    let mut tab = ChangesTab::default();
    tab.on_shown(Some(&worker_of(None)));
    let changes = Ok(some_changes());
    let worker = id();
    tab.on_fetched(Fetched::Changes { worker, changes });
    tab
}

fn names(tab: &ChangesTab) -> Vec<&str> {
    let files = tab.files().unwrap();
    files.rows.iter().map(|row| row.name.as_str()).collect()
}

fn asks(effects: &[Effect]) -> usize {
    let is = |e: &&Effect| matches!(e, Effect::Fetch(Fetch::Changes { .. }));
    effects.iter().filter(is).count()
}

#[test]
fn changes_are_fetched_when_seen_and_when_the_count_moves() {
    let mut tab = ChangesTab::default();
    assert_eq!(tab.on_shown(None), []);
    assert_eq!(asks(&tab.on_shown(Some(&worker_of(None)))), 1);
    assert_eq!(asks(&tab.on_shown(Some(&worker_of(None)))), 0);
    let one = ChangeCount {
        files: 1,
        ..ChangeCount::default()
    };
    // The first answer is not here yet: once more when it is.
    assert_eq!(asks(&tab.on_shown(Some(&worker_of(Some(one))))), 0);
    let answer = || Fetched::Changes {
        worker: id(),
        changes: Ok(some_changes()),
    };
    assert_eq!(asks(&tab.on_fetched(answer())), 1);
    assert_eq!(asks(&tab.on_fetched(answer())), 0);
    // Who comes back may have missed something.
    assert_eq!(tab.on_shown(None), []);
    assert_eq!(asks(&tab.on_shown(Some(&worker_of(Some(one))))), 1);
}

#[test]
fn another_workers_answer_is_dropped() {
    let mut tab = listed();
    let empty = Changes {
        entries: vec![],
        ..some_changes()
    };
    let worker = "ffffffffffff".to_owned();
    let changes = Ok(empty);
    assert_eq!(tab.on_fetched(Fetched::Changes { worker, changes }), []);
    assert_eq!(names(&tab).len(), 6);
}

#[test]
fn a_folder_is_listed_only_where_nothing_in_it_is() {
    let tab = listed();
    assert!(!names(&tab).contains(&"src/search/"));
    let mut folder = change("empty", ChangeKind::Added, 0, 0);
    folder.after = Some(crate::wire::EntryType::Directory);
    let changes = Changes {
        entries: vec![folder],
        ..some_changes()
    };
    assert_eq!(Files::new(changes, "", None).rows[0].name, "empty/");
}

#[test]
fn a_refresh_keeps_the_selection_and_the_marks_by_path() {
    let mut tab = listed();
    tab.perform(Action::Mark, 10);
    tab.perform(Action::Down, 10);
    assert_eq!(tab.files().unwrap().selected().unwrap().name, "scripts/run");
    let mut changes = some_changes();
    changes.entries.remove(1);
    changes
        .entries
        .insert(0, change("a.txt", ChangeKind::Added, 1, 0));
    let worker = id();
    let changes = Ok(changes);
    tab.on_fetched(Fetched::Changes { worker, changes });
    let files = tab.files().unwrap();
    assert_eq!(files.selected().unwrap().name, "scripts/run");
    assert_eq!(files.marked.len(), 1);
}

#[test]
fn the_one_file_under_the_cursor_is_applied_without_a_question() {
    let mut tab = listed();
    tab.perform(Action::Mark, 10);
    // Marking went on to the next one.
    tab.perform(Action::Up, 10);
    let outcome = tab.perform(Action::Apply, 10);
    let said = outcome.said.unwrap();
    assert!(
        said.contains("1 file, the marked ones, to /home/me/shop"),
        "{said}"
    );
    let [
        Effect::Call {
            call: Call::Apply { paths, force, .. },
            ..
        },
    ] = &outcome.effects[..]
    else {
        panic!("{:?}", outcome.effects)
    };
    assert_eq!((paths.len(), force), (1, &false));
}

#[test]
fn one_file_that_is_all_there_is_is_applied_by_its_name() {
    let mut tab = listed();
    let mut changes = some_changes();
    changes.entries.truncate(1);
    let (worker, changes) = (id(), Ok(changes));
    tab.on_fetched(Fetched::Changes { worker, changes });
    let outcome = tab.perform(Action::Apply, 10);
    // What the session has changed since is not meant.
    let [
        Effect::Call {
            call: Call::Apply { paths, .. },
            ..
        },
    ] = &outcome.effects[..]
    else {
        panic!("{outcome:?}")
    };
    assert_eq!(paths, &[HostPath::new("assets/logo.png")]);
}

#[test]
fn an_apply_of_more_than_the_file_under_the_cursor_asks_and_says_how_many_go_where() {
    let mut tab = listed();
    let mut changes = some_changes();
    changes.entries.retain(|change| !change.conflict);
    let (worker, changes) = (id(), Ok(changes));
    tab.on_fetched(Fetched::Changes { worker, changes });
    let outcome = tab.perform(Action::Apply, 10);
    assert!(outcome.effects.is_empty() && outcome.said.is_none());
    let ask = outcome.ask.unwrap();
    assert_eq!(ask.question, "Apply 5 files to /home/me/shop?");
    assert!(ask.losses[0].starts_with("5 files (+"), "{:?}", ask.losses);
    assert!(
        ask.losses.iter().any(|l| l.contains("docs/old.md")),
        "{:?}",
        ask.losses
    );
    assert!(!ask.on_verb, "Cancel has the focus");

    // Another one than the cursor is on is marked.
    tab.perform(Action::Mark, 10);
    let ask = tab.perform(Action::Apply, 10).ask.unwrap();
    assert_eq!(ask.question, "Apply 1 file to /home/me/shop?");
}

#[test]
fn an_apply_over_conflicts_asks() {
    let outcome = listed().perform(Action::Apply, 10);
    assert!(outcome.effects.is_empty() && outcome.said.is_none());
    let ask = outcome.ask.unwrap();
    assert!(
        ask.losses.iter().any(|l| l.contains("src/cart.rs")),
        "{:?}",
        ask.losses
    );
    assert!(!ask.on_verb);
    assert!(matches!(ask.call, Call::Apply { force: true, paths, .. } if paths.is_empty()));
}

#[test]
fn a_discard_always_asks_and_names_what_is_lost() {
    let mut tab = listed();
    let ask = tab.perform(Action::Discard, 10).ask.unwrap();
    assert_eq!(ask.question, "Discard the changes of 6 files?");
    assert!(
        ask.losses[0].contains("6 files (+346 -124)"),
        "{:?}",
        ask.losses
    );
    tab.perform(Action::Filter, 10);
    tab.text_field().unwrap().insert("search");
    tab.search_changed();
    tab.search_ended(true);
    let ask = tab.perform(Action::Discard, 10).ask.unwrap();
    assert!(ask.losses[0].contains("those listed"), "{:?}", ask.losses);
    assert!(matches!(ask.call, Call::Discard { paths, .. } if paths.len() == 1));
}

#[test]
fn where_there_is_nothing_it_is_said_why() {
    let mut tab = ChangesTab::default();
    assert!(tab.perform(Action::Apply, 10).refused.is_some());
    let mut direct = worker_of(None);
    direct.view.isolation = Isolation::Bind;
    assert_eq!(tab.on_shown(Some(&direct)), []);
    let refused = tab.perform(Action::Discard, 10).refused.unwrap();
    assert!(refused.contains("straight to the project"), "{refused}");
}

#[test]
fn the_next_hunk_after_the_last_is_in_the_next_file() {
    let mut tab = listed();
    tab.fit(Rect::new(0, 0, 80, 24));
    let hunks = "@@ -1 +1 @@\n-a\n+b\n".repeat(30);
    let path = tab.files().unwrap().selected().unwrap().change.path.clone();
    let change = change("assets/logo.png", ChangeKind::Modified, 1, 1);
    let diff = Ok(vec![FileDiff {
        change,
        unified: hunks,
        truncated: false,
    }]);
    let worker = id();
    tab.on_fetched(Fetched::Diff { worker, path, diff });
    tab.perform(Action::NextMatch, 20);
    assert_eq!(tab.scroll().0, 3);
    tab.perform(Action::PreviousMatch, 20);
    assert_eq!(tab.scroll().0, 0);
    let steps = (0..30).take_while(|_| {
        tab.perform(Action::NextMatch, 20);
        tab.files().unwrap().at == 0
    });
    assert!(steps.count() > 20);
    assert_eq!(tab.files().unwrap().at, 1);
    assert_eq!(tab.scroll().0, 0);
}

#[test]
fn back_leads_out_step_by_step() {
    let mut tab = listed();
    tab.perform(Action::Mark, 10);
    tab.perform(Action::Enter, 10);
    assert!(tab.back() && tab.part() == ChangesPart::Files);
    assert!(tab.back() && tab.files().unwrap().marked.is_empty());
    assert!(!tab.back());
}

#[test]
fn a_marked_file_that_the_filter_hides_is_still_meant() {
    let mut tab = listed();
    tab.perform(Action::Mark, 10);
    tab.perform(Action::Filter, 10);
    tab.text_field().unwrap().insert("cart");
    tab.search_changed();
    tab.search_ended(true);
    let ask = tab.perform(Action::Apply, 10).ask.unwrap();
    assert_eq!(ask.question, "Apply 1 file to /home/me/shop?");
}

#[test]
fn what_is_known_stays_when_a_refresh_fails() {
    let mut tab = listed();
    let failed = |worker| Fetched::Changes {
        worker,
        changes: Err(Failure::new("cannot reach the coordinator")),
    };
    tab.on_fetched(failed(id()));
    assert_eq!(names(&tab).len(), 6);
    assert!(tab.outdated().is_some());
    let changes = Ok(some_changes());
    let worker = id();
    tab.on_fetched(Fetched::Changes { worker, changes });
    assert_eq!(tab.outdated(), None);
    let mut new = ChangesTab::default();
    new.on_shown(Some(&worker_of(None)));
    new.on_fetched(failed(id()));
    assert!(matches!(new.content(), ChangesContent::Failed(_)));
}

#[test]
fn a_press_selects_a_file_or_gives_the_difference_the_keys() {
    let mut tab = listed();
    let area = Rect::new(10, 5, 120, 30);
    tab.fit(area);
    tab.press(area, Position { x: 12, y: 8 });
    assert_eq!(tab.files().unwrap().selected().unwrap().name, "scripts/run");
    tab.press(area, Position { x: 100, y: 20 });
    assert_eq!(tab.part(), ChangesPart::Diff);
    tab.press(area, Position { x: 12, y: 30 });
    assert_eq!(tab.files().unwrap().at, 2);
}
