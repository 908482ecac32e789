//! How often one kind of line is written to a log. Owns the bound on what it remembers. Never reads a
//! clock, which is passed in, or writes a line.

use podbay_protocol::cut;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Longest subject that is told apart, in bytes; what follows is cut off.
const MAX_SUBJECT: usize = 64;

/// Whether a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogDecision {
    /// Write it.
    Write {
        /// Lines of the same kind and subject that were left out since the last one written.
        left_out: u64,
    },
    /// Leave it out; it has been counted.
    LeaveOut,
}

/// Lines that were left out and that no later line has reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The kind of line.
    pub kind: &'static str,
    /// What it was about (a worker's id, or empty); empty also for subjects beyond the bound.
    pub subject: String,
    /// How many.
    pub lines: u64,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    left_out: u64,
}

/// At most so many lines of one kind and subject in each window.
///
/// A kind is a `&'static str`, so there are only as many as the code has; subjects can come from
/// outside. At most `max_entries` pairs are remembered: when that many had a line within the last
/// window, further subjects of a kind share one entry.
#[derive(Debug)]
pub struct LogLimit {
    window: Duration,
    most: u32,
    max_entries: usize,
    seen: HashMap<(&'static str, String), Window>,
}

impl LogLimit {
    /// `most` lines of a kind and subject in each `window`, over at most `max_entries` pairs.
    #[must_use]
    pub fn new(window: Duration, most: u32, max_entries: usize) -> Self {
        Self {
            window,
            most,
            max_entries,
            seen: HashMap::new(),
        }
    }

    /// One line a minute of each kind and worker.
    #[must_use]
    pub fn per_worker() -> Self {
        Self::new(Duration::from_secs(60), 1, 4096)
    }

    /// Asks for one line; counts it when it is to be left out.
    pub fn ask(&mut self, kind: &'static str, subject: &str, now: Instant) -> LogDecision {
        let mut key = (kind, cut(subject, MAX_SUBJECT).to_owned());
        if !self.seen.contains_key(&key) && self.seen.len() >= self.max_entries {
            let (window, most) = (self.window, self.max_entries);
            self.seen
                .retain(|_, w| w.left_out > 0 || now.saturating_duration_since(w.began) < window);
            if self.seen.len() >= most {
                // Kinds are finite: these entries need no bound of their own.
                key.1 = String::new();
            }
        }
        let window = self.seen.entry(key).or_insert(Window {
            began: now,
            written: 0,
            left_out: 0,
        });
        if now.saturating_duration_since(window.began) >= self.window {
            window.began = now;
            window.written = 0;
        }
        if window.written < self.most {
            window.written += 1;
            let left_out = std::mem::take(&mut window.left_out);
            return LogDecision::Write { left_out };
        }
        window.left_out = window.left_out.saturating_add(1);
        LogDecision::LeaveOut
    }

    /// What was left out in windows that are over, each told once; forgets those windows.
    pub fn due(&mut self, now: Instant) -> Vec<LeftOut> {
        let window = self.window;
        let mut due = Vec::new();
        self.seen.retain(|(kind, subject), w| {
            let over = now.saturating_duration_since(w.began) >= window;
            if over && w.left_out > 0 {
                due.push(LeftOut {
                    kind,
                    subject: subject.clone(),
                    lines: w.left_out,
                });
            }
            !over
        });
        due.sort_by(|a, b| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)));
        due
    }

    /// Pairs of kind and subject that are remembered.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.seen.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn one_line_a_minute_and_the_next_says_how_many_were_left_out() {
        let mut limit = LogLimit::per_worker();
        let began = Instant::now();
        let write = |left_out| LogDecision::Write { left_out };
        assert_eq!(limit.ask("refused", "a", began), write(0));
        for n in 0..1000 {
            let at = began + Duration::from_millis(n);
            assert_eq!(limit.ask("refused", "a", at), LogDecision::LeaveOut);
        }
        assert_eq!(limit.ask("refused", "b", began), write(0), "another worker");
        assert_eq!(limit.ask("rebuilt", "a", began), write(0), "another kind");
        assert_eq!(limit.ask("refused", "a", began + MINUTE), write(1000));
        assert_eq!(
            limit.ask("refused", "a", began + MINUTE),
            LogDecision::LeaveOut
        );
    }

    #[test]
    fn a_flood_that_ended_is_told_once() {
        let mut limit = LogLimit::per_worker();
        let began = Instant::now();
        for _ in 0..5 {
            limit.ask("refused", "a", began);
        }
        assert_eq!(limit.due(began), []);
        let told = LeftOut {
            kind: "refused",
            subject: "a".to_owned(),
            lines: 4,
        };
        assert_eq!(limit.due(began + MINUTE), [told]);
        assert_eq!(limit.due(began + MINUTE), []);
        assert_eq!(limit.entries(), 0);
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn memory_and_lines_are_bounded_and_nothing_is_uncounted(
            asked in proptest::collection::vec((0usize..3, "[a-z]{1,3}", 0u64..200), 1..400),
        ) {
            const KINDS: [&str; 3] = ["one", "two", "three"];
            let mut limit = LogLimit::new(MINUTE, 2, 16);
            let began = Instant::now();
            let (mut written, mut told) = (0u64, 0u64);
            let mut at = 0;
            for (kind, subject, step) in &asked {
                at += step;
                let now = began + Duration::from_millis(at);
                if let LogDecision::Write { left_out } = limit.ask(KINDS[*kind], subject, now) {
                    written += 1;
                    told += left_out;
                }
                prop_assert!(limit.entries() <= 16 + KINDS.len());
            }
            let end = began + Duration::from_millis(at) + MINUTE;
            told += limit.due(end).iter().map(|d| d.lines).sum::<u64>();
            prop_assert_eq!(written + told, asked.len() as u64);
            let windows = at / 60_000 + 2;
            prop_assert!(written <= 2 * (16 + 3) * windows);
        }
    }
}
