//! The logs tab, from what comes to what is seen.

use super::*;
use crate::{dashboard::tests::fixtures::worker as a_worker, model::WorkerState};
use proptest::prelude::*;

fn worker() -> Worker {
    Worker::new(a_worker(0, "fix", WorkerState::Running, None), 0)
}

fn came(tab: &mut LogsTab, replace: usize, lines: &[&str]) {
    let lines = LogLines {
        replace,
        lines: lines.iter().map(|l| (*l).to_owned()).collect(),
        ended: false,
    };
    let worker = worker().view.id;
    let lines = Ok(lines);
    tab.on_fetched(Fetched::Logs { worker, lines });
}

fn opened(lines: usize) -> LogsTab {
    let mut tab = LogsTab::default();
    tab.fit(Rect::new(0, 0, 20, 11));
    tab.on_shown(Some(&worker()));
    let all: Vec<String> = (0..lines).map(|n| format!("line {n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    came(&mut tab, usize::MAX, &all);
    tab
}

fn seen(tab: &LogsTab) -> Vec<String> {
    tab.seen().map(|(_, line)| line.to_owned()).collect()
}

fn type_in(tab: &mut LogsTab, text: &str) {
    tab.perform(Action::Filter, 10);
    tab.text_field().unwrap().insert(text);
    tab.search_changed();
    tab.search_ended(true);
}

#[test]
fn there_is_one_stream_while_the_tab_is_seen() {
    let mut tab = LogsTab::default();
    let id = worker().view.id;
    let ask = |worker: Option<String>| Effect::Fetch(Fetch::Logs { worker });
    assert_eq!(tab.on_shown(Some(&worker())), [ask(Some(id.clone()))]);
    assert_eq!(tab.on_shown(Some(&worker())), []);
    assert_eq!(tab.on_shown(None), [ask(None)]);
    assert_eq!(tab.on_shown(None), []);
    assert_eq!(tab.on_shown(Some(&worker())), [ask(Some(id))]);
    let mut other = worker();
    other.view.id = "ffffffffffff".into();
    assert_eq!(
        tab.on_shown(Some(&other)),
        [ask(Some(other.view.id.clone()))]
    );
    let mut again = other.clone();
    again.view.restarts = 1;
    assert_eq!(tab.on_shown(Some(&again)).len(), 1);
    again.view.session = None;
    assert_eq!(tab.on_shown(Some(&again)), [ask(None)]);
}

#[test]
fn the_end_is_seen_until_one_scrolls_up() {
    let mut tab = opened(100);
    assert_eq!(seen(&tab).last().unwrap(), "line 99");
    came(&mut tab, 1, &["line 99 whole", "line 100"]);
    assert_eq!(seen(&tab)[8..], ["line 99 whole", "line 100"]);
    tab.perform(Action::Up, 11);
    assert_eq!(tab.below(), Some(1));
    came(&mut tab, 0, &["new"]);
    assert_eq!(seen(&tab).last().unwrap(), "line 99 whole");
    tab.perform(Action::PageDown, 11);
    assert_eq!((tab.below(), seen(&tab).len()), (None, 10));
    tab.perform(Action::First, 11);
    assert_eq!(seen(&tab)[0], "line 0");
    tab.perform(Action::Follow, 11);
    assert_eq!(seen(&tab).last().unwrap(), "new");
}

#[test]
fn no_more_lines_are_kept_than_allowed() {
    let mut tab = opened(MAX_LINES);
    tab.perform(Action::First, 11);
    type_in(&mut tab, "line 19999");
    came(&mut tab, 0, &["a", "b"]);
    assert_eq!(tab.count(), (MAX_LINES, 2));
    tab.perform(Action::First, 11);
    assert_eq!(seen(&tab)[0], "line 2");
    tab.perform(Action::NextMatch, 11);
    assert_eq!(tab.found().2, Some(1));
}

#[test]
fn a_stream_that_is_opened_again_repeats_no_line() {
    let mut tab = opened(30);
    tab.on_fetched(Fetched::Logs {
        worker: worker().view.id,
        lines: Err(Failure::new("gone")),
    });
    assert!(matches!(tab.source(), LogSource::Broken(_)));
    // The last line was a part; only the recording's tail comes again.
    let all: Vec<String> = (20..35).map(|n| format!("line {n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    came(&mut tab, usize::MAX, &all);
    assert_eq!(tab.count().0, 35);
    came(&mut tab, usize::MAX, &["something", "else"]);
    assert_eq!(seen(&tab), ["something", "else"]);
}

#[test]
fn a_search_goes_to_the_nearest_match_and_around() {
    let mut tab = opened(100);
    type_in(&mut tab, "LINE 5");
    assert_eq!(tab.found().3, 0);
    type_in(&mut tab, "ine 5");
    // 5 and 50 to 59.
    assert_eq!((tab.found().2, tab.found().3), (Some(11), 11));
    assert!(seen(&tab).contains(&"line 59".to_owned()));
    tab.perform(Action::NextMatch, 11);
    assert_eq!(tab.found().2, Some(1));
    assert!(seen(&tab).contains(&"line 5".to_owned()));
    tab.perform(Action::PreviousMatch, 11);
    assert_eq!(tab.found().2, Some(11));
    came(&mut tab, 0, &["line 5x"]);
    assert_eq!(tab.found().3, 12);
    assert!(tab.back());
    assert!(!tab.back());
}

#[test]
fn what_is_seen_can_be_copied() {
    let mut tab = opened(2);
    let outcome = tab.perform(Action::Copy, 11);
    assert_eq!(
        outcome.effects,
        [Effect::Clipboard("line 0\nline 1\n".to_owned())]
    );
    assert!(
        LogsTab::default()
            .perform(Action::Copy, 11)
            .refused
            .is_some()
    );
}

#[test]
fn wrapped_lines_take_their_rows() {
    let mut tab = opened(3);
    came(&mut tab, 0, &[&"x".repeat(50)]);
    tab.perform(Action::SideBySide, 11);
    assert_eq!(tab.rows(&"x".repeat(50)), 3);
    tab.fit(Rect::new(0, 0, 20, 5));
    assert_eq!(seen(&tab)[0], "line 2");
    tab.fit(Rect::new(0, 0, 20, 2));
    assert_eq!(seen(&tab).len(), 1);
}

fn an_action() -> impl Strategy<Value = Action> {
    use Action as A;
    prop::sample::select(vec![
        A::Down,
        A::Up,
        A::Left,
        A::Right,
        A::PageDown,
        A::PageUp,
        A::First,
        A::Last,
        A::Follow,
        A::SideBySide,
        A::NextMatch,
        A::PreviousMatch,
        A::ScrollDown,
        A::ScrollUp,
        A::Copy,
        A::Refresh,
    ])
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn whatever_comes_what_is_seen_is_there(
        steps in prop::collection::vec((
            an_action(), 0u16..30, 0usize..9, prop::collection::vec("[ab]{0,30}", 0..30),
            (0u16..40, 0u16..20), "[ab]{0,2}",
        ), 0..20)
    ) {
        let mut tab = opened(5);
        for (action, page, replace, lines, (cols, rows), search) in steps {
            tab.perform(action, page);
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            came(&mut tab, if replace == 8 { usize::MAX } else { replace }, &lines);
            tab.fit(Rect::new(0, 0, cols, rows));
            type_in(&mut tab, &search);
            let (count, dropped) = tab.count();
            for (number, _) in tab.seen() {
                prop_assert!((dropped..dropped + count).contains(&number));
            }
            if rows > 1 && count > 0 {
                prop_assert!(tab.seen().count() > 0);
            }
            let (_, _, current, found) = tab.found();
            prop_assert!(current.is_none_or(|at| at <= found));
        }
    }
}
