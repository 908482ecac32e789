//! Workers' terminals inside of the dashboard: typed into in place, scrolled, and flooding.
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

use base64::{Engine, prelude::BASE64_STANDARD};
use dashboard_support::{Dashboard, Script, worker};
use nix::sys::signal::Signal;
use std::time::{Duration, Instant};
use worker_agent::screen::{CursorShape, Mouse};

#[test]
fn the_dashboard_itself() {
    dashboard_support::be_the_dashboard();
}

/// A dashboard that shows one worker's terminal.
fn started(script: &Script) -> Dashboard {
    let mut dashboard = Dashboard::start(script, 120, 40, &[]);
    dashboard.until("hello from one");
    dashboard
}

fn wait(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "waiting for {what}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

/// A dashboard that types into that worker.
fn typing(script: &Script) -> Dashboard {
    let mut dashboard = started(script);
    dashboard.keys("\r");
    wait("a writer", || {
        script.attaches().iter().any(|a| a.starts_with("one Write"))
    });
    dashboard.until("back to the list");
    dashboard
}

#[test]
fn a_worker_is_typed_into_in_place() {
    let script = Script::start(vec![worker("one"), worker("two")]);
    let mut dashboard = started(&script);
    assert!(script.attaches().contains(&"one ReadOnly -".to_owned()));
    let (left, top) = dashboard.place("hello from one");
    dashboard.keys("\r");
    dashboard.keys("typed \x1b[A\x1bx\x03é\x1b[200~pasted\x1b[201~");
    script.until_typed("typed \x1b[A\x1bx\x03épasted");
    // As large as the pane.
    let wanted = format!("one Write {}x", 120 - (left - 1));
    assert!(
        script.attaches().iter().any(|a| a.starts_with(&wanted)),
        "{wanted}: {:?}",
        script.attaches()
    );
    assert!(top > 1);
    script.output("one", "\r\nan answer");
    dashboard.until("an answer");
    let cursor = dashboard.screen().cursor();
    assert!(cursor.is_some(), "the program's cursor is shown");
    // The keys are the dashboard's again.
    dashboard.keys("\x11j");
    dashboard.until("hello from two");
    dashboard.keys("q");
    dashboard.left_cleanly(true);
    assert!(!script.typed().contains('j') && !script.typed().contains('\x11'));
}

#[test]
fn what_is_typed_ahead_goes_where_it_was_meant() {
    let script = Script::start(vec![worker("one"), worker("two")]);
    let mut dashboard = started(&script);
    // All at once: into the worker, text, back, down, into the next one, text, back, and out.
    dashboard.keys("\rfirst\r\x11j\rsecond\x1b[C\x11q");
    dashboard.left_cleanly(true);
    script.until_typed("first\r");
    script.until_typed("second\x1b[C");
}

#[test]
fn what_is_typed_after_the_coordinator_is_gone_is_no_command() {
    let mut script = Script::start(vec![worker("one"), worker("two")]);
    let mut dashboard = typing(&script);
    script.stop();
    dashboard.until("keys are ignored");
    // Any of them would leave, open something, or move; the last ones come at once behind them.
    dashboard.keys("q?xnt/jj\x03\x1b[200~q\r\x1b[201~");
    dashboard.keys("\x1b");
    dashboard.until_not("keys are ignored");
    assert!(dashboard.runs(), "a typed q left the dashboard");
    let shown = dashboard.text();
    for opened in ["Help,", "Stop ", "Spawn a worker"] {
        assert!(!shown.contains(opened), "{opened} is open:\n{shown}");
    }
    dashboard.keys("q");
    dashboard.left_cleanly(true);
}

#[test]
fn the_mouse_is_the_programs_where_it_asked_for_it() {
    let script = Script::start(vec![worker("one"), worker("two")]);
    let mut dashboard = typing(&script);
    script.output("one", "\x1b[?1002;1006h\r\nmouse on");
    dashboard.until("mouse on");
    let (x, y) = dashboard.place("hello from one");
    dashboard.keys(&format!("\x1b[<0;{};{}M\x1b[<0;{x};{y}m", x + 2, y + 1));
    script.until_typed("\x1b[<0;3;2M\x1b[<0;1;1m");
    // In the form that the program asked for.
    script.output("one", "\x1b[?1006l\r\nold form");
    dashboard.until("old form");
    dashboard.keys(&format!("\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"));
    script.until_typed("\x1b[M !!\x1b[M#!!");
    // Outside of it the dashboard has the mouse: a press on a row selects.
    let (x, y) = dashboard.place("two");
    dashboard.keys(&format!("\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"));
    dashboard.until("hello from two");
}

#[test]
fn the_terminal_is_set_as_the_program_wants_while_it_is_typed_into() {
    let script = Script::start(vec![worker("one")]);
    let mut dashboard = typing(&script);
    let modes = dashboard.screen().modes();
    assert!(modes.mouse == Mouse::Drag && modes.sgr_mouse && modes.focus_events);
    assert!(dashboard.screen().title().starts_with("podbay"));
    script.output(
        "one",
        "\x1b[?1h\x1b=\x1b[>5u\x1b[>4;2m\x1b[6 q\x1b[?1003h\x1b[?2004h",
    );
    dashboard.until_set("the program's modes", |screen| {
        let modes = screen.modes();
        modes.app_cursor
            && modes.app_keypad
            && modes.kitty_flags == 5
            && modes.other_keys == 2
            && modes.cursor_shape == CursorShape::Bar
            && modes.mouse == Mouse::Motion
    });
    dashboard.keys("\x1b[200~a paste\x1b[201~");
    script.until_typed("\x1b[200~a paste\x1b[201~");
    // Ctrl-Q as kitty says it.
    dashboard.keys("\x1b[113;5u");
    dashboard.until_set("the dashboard's modes", |screen| {
        let modes = screen.modes();
        !modes.app_cursor
            && !modes.app_keypad
            && modes.kitty_flags == 0
            && modes.other_keys == 0
            && modes.cursor_shape == CursorShape::Block
            && modes.mouse == Mouse::Drag
    });
    // The outer terminal's own selection.
    dashboard.keys("m");
    dashboard.until_set("the mouse let go", |screen| {
        screen.modes().mouse == Mouse::Off
    });
    dashboard.keys("q");
    dashboard.left_cleanly(true);
}

#[test]
fn signals_undo_what_was_set_for_a_program() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP] {
        let script = Script::start(vec![worker("one")]);
        let mut dashboard = typing(&script);
        script.output("one", "\x1b[?1h\x1b=\x1b[>5u\x1b[>4;2m\x1b[6 q\x1b[?1003h");
        dashboard.until_set("the program's modes", |screen| {
            screen.modes().kitty_flags == 5
        });
        dashboard.signal(signal);
        dashboard.left_cleanly(true);
    }
}

#[test]
fn what_scrolled_away_is_looked_at_searched_and_copied() {
    let script = Script::start(vec![worker("one")]);
    let lines: String = (0..600).map(|n| format!("\r\nline {n} here")).collect();
    script.output("one", &lines);
    let mut dashboard = Dashboard::start(&script, 200, 40, &[]);
    dashboard.until("line 599 here");
    dashboard.keys("[g");
    dashboard.until("hello from one");
    // Output does not move what is looked at.
    script.output("one", "\r\nnews");
    dashboard.keys("/line 30");
    dashboard.until("match 11 of 11");
    dashboard.keys("\r");
    dashboard.keys("n");
    dashboard.until("match 10 of 11");
    dashboard.keys("gvkky");
    dashboard.until("news");
    dashboard.until("copied");
    dashboard.settle();
    let written = dashboard.written();
    let (_, encoded) = written
        .split_once("\x1b]52;c;")
        .expect("text for the clipboard");
    let encoded = encoded.split('\x07').next().unwrap();
    let copied = String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap();
    assert!(
        copied.contains("here") || copied.contains("hello"),
        "{copied:?}"
    );
    dashboard.keys("q");
    dashboard.left_cleanly(true);
}

#[test]
fn a_flood_neither_holds_up_keys_nor_outlasts_itself() {
    for typed in [false, true] {
        let script = Script::start(vec![worker("one"), worker("two")]);
        let mut dashboard = if typed {
            typing(&script)
        } else {
            started(&script)
        };
        script.flood("one", true);
        dashboard.until("all work and no play");
        for _ in 0..5 {
            // Bounded by the waits themselves, whatever else the machine does.
            dashboard.keys(if typed { "\x11?" } else { "?" });
            dashboard.until("Help,");
            dashboard.keys("\x1b");
            dashboard.until_not("Help,");
            if typed {
                dashboard.keys("\r");
                dashboard.until("back to the list");
            }
        }
        script.flood("one", false);
        let began = Instant::now();
        dashboard.until("the flood is over");
        println!("typed {typed}: over after {:?}", began.elapsed());
        if typed {
            dashboard.keys("\x11");
        }
        dashboard.keys("q");
        dashboard.left_cleanly(true);
    }
}

#[test]
fn a_terminal_that_takes_nothing_does_not_keep_it_from_ending() {
    let script = Script::start(vec![worker("one")]);
    let mut dashboard = started(&script);
    dashboard.hang(true);
    for n in 0..60 {
        script.output(
            "one",
            &format!("\x1b[2J\x1b[H{}", format!("{n} ").repeat(800)),
        );
        std::thread::park_timeout(Duration::from_millis(25));
    }
    dashboard.signal(Signal::SIGTERM);
    dashboard.lets_go_within(Duration::from_secs(5));
}

/// Context switches of all its threads that it asked for.
fn wakes(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).ok())
        .filter_map(|status| {
            let line = status
                .lines()
                .find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}

#[test]
fn an_idle_dashboard_sleeps() {
    let script = Script::start(vec![worker("one"), worker("two")]);
    let mut dashboard = typing(&script);
    dashboard.settle();
    // A minute of the clock may pass meanwhile, once.
    let woken: Vec<u64> = (0..3)
        .map(|_| {
            let before = wakes(dashboard.pid());
            std::thread::park_timeout(Duration::from_secs(1));
            dashboard.settle();
            wakes(dashboard.pid()) - before
        })
        .collect();
    assert!(woken.contains(&0), "woken {woken:?} times in a second each");
}
