//! The state machine's rules, one test each.

use super::*;
use ActivityState::{Done, Error, Idle, Stopped, Unknown, Waiting, Working};

fn tracker() -> (ActivityTracker, Instant) {
    let now = Instant::now();
    (ActivityTracker::new(now, 1), now)
}

fn after(now: Instant, ms: u64) -> Instant {
    now + Duration::from_millis(ms)
}

#[test]
fn nothing_known_is_unknown_and_stays_so() {
    let (mut it, now) = tracker();
    assert_eq!(it.current().state, Unknown);
    assert!(!it.quiet(false, after(now, 9000), 2));
    assert!(!it.mark_seen(now, 2));
    assert_eq!(it.current().state, Unknown);
}

#[test]
fn output_works_and_quiet_is_done_unseen_or_idle_when_watched() {
    let (mut it, now) = tracker();
    assert!(it.output(now, 2));
    assert!(!it.output(after(now, 10), 3), "no flood of equal states");
    assert!(!it.quiet(false, after(now, 1000), 4));
    assert!(it.quiet(false, after(now, 1600), 5));
    assert_eq!(
        (it.current().state, it.current().seq, it.current().since_ms),
        (Done, 2, 5)
    );
    assert!(it.mark_seen(after(now, 1700), 6));
    assert_eq!(it.current().state, Idle);
    it.output(after(now, 2000), 7);
    it.quiet(true, after(now, 3600), 8);
    assert_eq!(it.current().state, Idle);
}

#[test]
fn titles_outrank_output_and_quiet() {
    let (mut it, now) = tracker();
    assert!(it.title("⠂ Fixing", false, now, 2));
    assert!(!it.quiet(false, after(now, 5000), 3));
    assert_eq!(it.current().state, Working);
    assert!(it.title("✳ Fixing", false, after(now, 6000), 4));
    assert!(!it.output(after(now, 6001), 5));
    assert_eq!(
        (it.current().state, it.current().why.as_str()),
        (Done, "title ✳")
    );
    assert!(
        !it.title("vim", false, after(now, 6002), 5),
        "an ordinary title says nothing"
    );
}

#[test]
fn a_bell_after_a_resting_title_waits() {
    let (mut it, now) = tracker();
    it.title("✳ x", false, now, 2);
    assert!(it.attention("bell", now, 3));
    assert!(!it.title("✳ y", false, now, 4));
    assert_eq!(it.current().state, Waiting);
    assert!(it.title("◐ y", false, now, 5));
    assert_eq!(it.current().state, Working);
}

#[test]
fn hooks_outrank_all_but_the_end() {
    let (mut it, now) = tracker();
    assert!(it.hook(HookSign::Working, "hook PreToolUse", 10, false, now, 2));
    assert!(!it.title("✳ x", false, now, 3));
    assert!(!it.attention("bell", now, 3));
    assert!(it.hook(HookSign::Finished, "hook Stop", 20, false, now, 4));
    assert!(
        !it.hook(HookSign::Working, "hook PostToolUse", 15, false, now, 5),
        "late"
    );
    assert!(!it.hook(HookSign::Reminder, "hook Notification", 30, false, now, 6));
    assert_eq!(it.current().state, Done);
    assert!(it.exited(ExitStatus::Code(3), false, now, 7));
    assert!(!it.hook(HookSign::Working, "hook x", 40, false, now, 8));
    assert_eq!(
        (it.current().state, it.current().why.as_str()),
        (Error, "exited with 3")
    );
}

#[test]
fn a_busy_title_well_after_a_permission_request_means_answered() {
    let (mut it, now) = tracker();
    it.hook(
        HookSign::Waiting,
        "hook PermissionRequest",
        1,
        false,
        now,
        2,
    );
    assert!(!it.title("◐ x", false, after(now, 100), 3));
    assert_eq!(it.current().state, Waiting);
    assert!(it.title("◑ x", false, after(now, 1500), 4));
    assert_eq!(it.current().state, Working);
}

#[test]
fn progress_states() {
    let (mut it, now) = tracker();
    assert!(it.progress(3, false, now, 2));
    assert_eq!(it.current().state, Working);
    assert!(!it.title("✳ x", false, now, 3), "progress is still shown");
    assert!(it.progress(2, false, now, 4));
    assert_eq!(it.current().state, Error);
    assert!(it.progress(0, true, now, 5));
    assert_eq!(it.current().state, Idle);
}

#[test]
fn input_answers_a_bare_bell() {
    let (mut it, now) = tracker();
    it.attention("bell", now, 2);
    assert!(it.input(now, 3));
    it.output(now, 4);
    assert!(it.quiet(false, after(now, 1600), 5), "quiet counts again");
}

#[test]
fn a_stopped_program_is_stopped_until_it_runs_again() {
    let (mut it, now) = tracker();
    it.output(now, 2);
    assert!(it.stop("stopped by SIGSTOP", 3));
    assert!(!it.stop("stopped by SIGSTOP", 3));
    let stopped = it.current().clone();
    assert_eq!((stopped.state, stopped.since_ms), (Stopped, 3));
    // Neither silence nor what others of the session write is news of the program.
    assert!(!it.quiet(false, after(now, 2000), 4));
    assert!(!it.output(after(now, 2100), 5));
    assert!(!it.mark_seen(after(now, 2200), 6));
    assert_eq!(it.current(), &stopped);
    // It worked when it was stopped, and it has its time to say something again.
    assert!(it.resume(after(now, 9000), 7));
    assert!(!it.resume(after(now, 9000), 7));
    assert_eq!((it.current().state, it.current().since_ms), (Working, 7));
    assert!(it.current().seq > stopped.seq);
    assert!(!it.quiet(false, after(now, 9100), 8));
    assert!(it.quiet(false, after(now, 10_600), 9));
    assert_eq!(it.current().state, Done);
}

#[test]
fn what_others_say_of_a_stopped_program_is_shown_once_it_runs() {
    let (mut it, now) = tracker();
    it.output(now, 2);
    it.stop("stopped by SIGTSTP", 3);
    assert!(!it.hook(HookSign::Waiting, "hook", 9, false, after(now, 10), 4));
    assert_eq!(it.current().state, Stopped);
    assert!(it.resume(after(now, 20), 5));
    assert_eq!(it.current().state, Waiting);
}

#[test]
fn the_end_of_a_stopped_program_is_its_end() {
    let (mut it, now) = tracker();
    it.stop("stopped by SIGSTOP", 2);
    let before = it.current().seq;
    assert!(it.exited(ExitStatus::Signal(9), false, after(now, 10), 3));
    assert_eq!(it.current().state, Error);
    assert!(it.current().seq > before);
    assert!(!it.stop("stopped by SIGSTOP", 4));
}
