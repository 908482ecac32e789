//! Ten thousand random keys and sizes: the dashboard does not panic and leaves no mode behind.
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
#[path = "../../tests/support/seeds.rs"]
mod seeds;

use dashboard_support::{Dashboard, Script, worker};

/// Keys and sizes of the session.
const STEPS: u32 = 10_000;
/// Changing it changes the session.
const SEED: u64 = 0x90db_a7e5;

/// What is typed: keys of every context, text, mouse reports, pieces of sequences. Not among them:
/// what ends the dashboard (q, Ctrl-C) or stops the process (Ctrl-Z).
const KEYS: [&str; 44] = [
    "j",
    "k",
    "g",
    "G",
    "\r",
    "\x11",
    "\x1b",
    "\t",
    "\x1b[Z",
    "1",
    "2",
    "3",
    "4",
    "d",
    "l",
    "s",
    "t",
    "z",
    "n",
    "r",
    "x",
    "y",
    " ",
    "*",
    "/",
    "[",
    "m",
    ":ta\x1b[B\x1b",
    "?",
    "o",
    "v",
    "f",
    "\x7f",
    "\x1b[A",
    "\x1b[B",
    "\x1b[C",
    "\x1b[D",
    "\x1b[5~",
    "\x1b[6~",
    "\x1b[200~pasted text\x1b[201~",
    "\x1b[<0;10;5M\x1b[<0;10;5m",
    "\x1b[<64;20;8M",
    "\x1b[<32;70;9M",
    "日本",
];

#[test]
fn the_dashboard_itself() {
    dashboard_support::be_the_dashboard();
}

/// The numbers of a linear congruential generator (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

#[test]
fn random_keys_and_sizes_neither_break_it_nor_leave_modes_behind() {
    seeds::each([SEED], session);
}

fn session(seed: u64) {
    let names: Vec<String> = (0..12).map(|n| format!("worker-{n}")).collect();
    let script = Script::start(names.iter().map(|n| worker(n)).collect());
    let mut dashboard = Dashboard::start(&script, 120, 40, &[]);
    dashboard.until("worker-11");
    let mut random = Random(seed);
    for step in 0..STEPS {
        match random.below(40) {
            0 => {
                let (cols, rows) = (1 + random.below(300), 1 + random.below(100));
                dashboard.resize(cols.try_into().unwrap(), rows.try_into().unwrap());
            }
            1 => {
                let name = &names[random.below(names.len())];
                script.output(name, "\x1b[?1049h\x1b[31mred\x1b[?1003h\r\nmore\x1b[?25l");
            }
            _ => dashboard.keys(KEYS[random.below(KEYS.len())]),
        }
        // It keeps up: what it has not drawn yet is read now and then.
        if step % 50 == 0 {
            dashboard.settle();
            assert!(dashboard.runs(), "it ended at step {step}");
        }
    }
    dashboard.resize(100, 30);
    // Out of every dialog, search and terminal.
    for _ in 0..6 {
        dashboard.keys("\x11\x1b");
        // An Escape and a key in one piece would be Alt with that key.
        std::thread::park_timeout(std::time::Duration::from_millis(300));
        dashboard.settle();
    }
    dashboard.until("quit");
    dashboard.keys("q");
    dashboard.left_cleanly(true);
}
