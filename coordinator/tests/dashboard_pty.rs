//! The dashboard in a real terminal, against a coordinator that follows a script.
//!
//! The program under test is this test binary itself: `the_dashboard_itself` runs it when
//! `PODBAY_TEST_SOCKET` names a socket.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, helpers included"
)]

mod dashboard_support;

use dashboard_support::{Dashboard, Script, worker};
use std::time::Duration;

#[test]
fn the_dashboard_itself() {
    dashboard_support::be_the_dashboard();
}

#[test]
fn a_newcomer_is_told_what_to_do_and_q_leaves_the_terminal_as_it_was() {
    let script = Script::start(vec![]);
    let mut dashboard = Dashboard::start(&script, 80, 24, &[]);
    dashboard.until("No workers yet. Press n to spawn one");
    dashboard.keys("q");
    dashboard.left_cleanly(true);
}

#[test]
fn every_way_out_restores_the_terminal() {
    use nix::sys::signal::Signal::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGTERM, SIGHUP, SIGINT] {
        let script = Script::start(vec![worker("one")]);
        let mut dashboard = Dashboard::start(&script, 80, 24, &[]);
        dashboard.until("hello from one");
        dashboard.signal(signal);
        dashboard.left_cleanly(true);
    }
    let script = Script::start(vec![]);
    let mut dashboard = Dashboard::start(&script, 80, 24, &[("PODBAY_TEST_PANIC", "1")]);
    dashboard.until("No workers yet");
    dashboard.left_cleanly(false);
}

#[test]
fn the_selected_workers_screen_is_live_and_follows_the_selection() {
    let script = Script::start(vec![worker("one"), worker("two")]);
    let mut dashboard = Dashboard::start(&script, 120, 40, &[]);
    dashboard.until("hello from one");
    script.output("one", "\r\nand more of it");
    dashboard.until("and more of it");
    dashboard.keys("j");
    dashboard.until("hello from two");
    assert!(!dashboard.text().contains("hello from one"));
}

#[test]
fn attach_passes_bytes_both_ways_and_comes_back() {
    let script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 80, 24, &[]);
    dashboard.until("hello from one");
    dashboard.keys("z");
    dashboard.until_not("1 worker");
    dashboard.until("hello from one");
    dashboard.keys("typed\x1b[A");
    script.until_typed("typed\x1b[A");
    // The program leaves the terminal in another state.
    script.output("one", "\x1b[?1049h\x1b[?1000h\x1b[?25lfull screen");
    dashboard.until("full screen");
    // What is typed behind the keys that lead back is the dashboard's.
    dashboard.keys("\x11?");
    dashboard.until("Help,");
    dashboard.keys("\x1b");
    dashboard.until_not("Help,");
    dashboard.keys("q");
    dashboard.left_cleanly(true);
}

#[test]
fn full_screen_outlives_the_coordinator() {
    let mut script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 80, 24, &[]);
    dashboard.until("hello from one");
    // Typed ahead of the attach.
    dashboard.keys("zahead");
    script.until_typed("ahead");
    script.stop();
    dashboard.until("went away");
    dashboard.keys("meanwhile");
    script.start_again();
    script.until_typed("meanwhile");
    dashboard.keys("\x11");
    dashboard.until("1 worker");
    dashboard.keys("q");
    dashboard.left_cleanly(true);
}

#[test]
fn a_signal_while_attached_undoes_what_the_session_left() {
    let script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 80, 24, &[]);
    dashboard.until("hello from one");
    dashboard.keys("z");
    dashboard.until_not("1 worker");
    dashboard.until("hello from one");
    script.output(
        "one",
        "\x1b[?1049h\x1b[?1003h\x1b[?2004h\x1b[?25lfull screen",
    );
    dashboard.until("full screen");
    dashboard.signal(nix::sys::signal::Signal::SIGTERM);
    dashboard.left_cleanly(true);
}

#[test]
fn a_coordinator_that_goes_away_is_shown_and_comes_back_by_itself() {
    let mut script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 80, 24, &[]);
    dashboard.until("hello from one");
    script.stop();
    dashboard.until("coordinator unreachable since");
    dashboard.until("stale");
    script.start_again();
    dashboard.until_not("coordinator unreachable");
    dashboard.until("hello from one");
}

#[test]
fn an_idle_dashboard_writes_not_one_byte() {
    let script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 80, 24, &[]);
    dashboard.until("hello from one");
    dashboard.quiet_for(Duration::from_millis(1_500));
}
