//! The changes, the logs and the spawn form in a real terminal.
//!
//! The program under test is this test binary itself, as in `dashboard_pty.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this is test code, helpers included"
)]

mod dashboard_support;

use dashboard_support::{Dashboard, Script, worker};

#[test]
fn the_dashboard_itself() {
    dashboard_support::be_the_dashboard();
}

#[test]
fn changes_are_read_and_applied() {
    let script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 120, 40, &[]);
    dashboard.until("hello from one");
    dashboard.keys("2");
    dashboard.until("2 files (+2 -2)");
    dashboard.until("the new src/cart.rs");
    dashboard.keys("j");
    dashboard.until("the new src/total.rs");
    dashboard.keys("a");
    // More than the file under the cursor: it asks first, and Cancel is the first answer.
    dashboard.until("Apply 2 files to /home/me/shop?");
    dashboard.keys("y");
    dashboard.until("2 paths written to the project");
    dashboard.until("No changes yet.");
    // Back to the list, and out.
    dashboard.keys("qq");
    dashboard.left_cleanly(true);
}

#[test]
fn output_is_shown_line_by_line_and_again_after_the_coordinator_was_gone() {
    let mut script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 120, 40, &[]);
    dashboard.until("hello from one");
    dashboard.keys("3");
    dashboard.until("following · 2 lines");
    dashboard.until("100% done");
    assert!(!dashboard.text().contains("50%"));
    script.stop();
    dashboard.until("unreachable");
    assert!(dashboard.text().contains("100% done"));
    script.start_again();
    dashboard.until_not("unreachable");
    dashboard.until("following · 2 lines");
}

#[test]
fn a_project_is_completed_on_the_engines_host() {
    let script = Script::start(vec![worker("one")]);
    let mut dashboard = Dashboard::start(&script, 120, 40, &[]);
    dashboard.until("hello from one");
    dashboard.keys("n");
    dashboard.until("/home/me/shop");
    dashboard.keys("-");
    dashboard.until("/home/me/shop-two");
    dashboard.keys("\t");
    dashboard.until("/home/me/shop-two/");
}
