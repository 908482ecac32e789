//! Measures how fast the screen model and the output filter read output, in MB/s.
//!
//! `cargo run --release -p worker-agent --example screen_throughput`

use std::time::Instant;

use worker_agent::hygiene::OutputFilter;
use worker_agent::screen::{Screen, ScreenOptions};

const TARGET: usize = 20_000_000;
const CHUNK: usize = 16 * 1024;

fn repeat(lines: impl Fn(usize) -> String) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(TARGET + 1024);
    let mut number = 0;
    while bytes.len() < TARGET {
        bytes.extend_from_slice(lines(number).as_bytes());
        number += 1;
    }
    bytes
}

fn main() {
    let inputs = [
        (
            "coloured log lines",
            repeat(|n| {
                format!(
                    "\x1b[32m{n:>8}\x1b[0m \x1b[1;34mINFO\x1b[0m request \x1b[38;5;208m/api/v1/items/{n}\x1b[0m finished in \x1b[33m{} ms\x1b[0m with status \x1b[1m200\x1b[0m\r\n",
                    n % 997
                )
            }),
        ),
        (
            "plain text",
            repeat(|n| {
                format!(
                    "{n:>8} the quick brown fox jumps over the lazy dog and runs away from it again\r\n"
                )
            }),
        ),
        (
            "every word coloured",
            repeat(|n| {
                format!(
                    "\x1b[31mab\x1b[32mcd\x1b[38;2;{};20;30mef\x1b[0m gh\r\n",
                    n % 256
                )
            }),
        ),
        (
            "wide and accented",
            repeat(|n| format!("{n} größe 漢字かな e\u{301} naïve façade 🦀 über\r\n")),
        ),
        (
            "full-screen redraw",
            repeat(|n| {
                format!(
                    "\x1b[{};{}H\x1b[7mcell {n}\x1b[27m\x1b[K",
                    n % 40 + 1,
                    n % 60 + 1
                )
            }),
        ),
    ];
    for (name, bytes) in inputs {
        let mut best = f64::MAX;
        for _ in 0..3 {
            let mut screen = Screen::new(120, 40, ScreenOptions::default());
            let start = Instant::now();
            for chunk in bytes.chunks(CHUNK) {
                screen.process(chunk);
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        let start = Instant::now();
        let mut out = Vec::with_capacity(CHUNK * 2);
        let mut filter = OutputFilter::new(false);
        for chunk in bytes.chunks(CHUNK) {
            out.clear();
            filter.filter(chunk, &mut out);
        }
        let megabytes = bytes.len() as f64 / 1e6;
        let filtering = megabytes / start.elapsed().as_secs_f64();
        println!(
            "{name:<22} model {:>7.1} MB/s   filter {filtering:>7.1} MB/s",
            megabytes / best
        );
    }
    let mut screen = Screen::new(120, 40, ScreenOptions::default());
    screen.process(&repeat(|n| {
        format!("\x1b[3{}mline {n}\x1b[0m some more text here\r\n", n % 8)
    }));
    let start = Instant::now();
    let blob = screen.restore();
    println!(
        "restore of 5000 lines: {} bytes in {:?}",
        blob.len(),
        start.elapsed()
    );
}
