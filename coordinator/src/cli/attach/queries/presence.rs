//! Whether the terminal is still there.
//!
//! A terminal that was closed behind `docker exec -it` shows neither a hang-up nor an end of input to
//! the process in the container. So the terminal is asked what it is (DA1, `CSI c`) once it has said
//! nothing for a while; one that answered before and does not now is gone.
//!
//! Owns when to ask, when to give up, and which bytes are the answer. Never reads or writes; a clock is
//! passed in.

use std::time::Duration;
use tokio::time::Instant;

/// Asks what the terminal is (xterm's control sequences, Primary DA).
pub(in crate::cli::attach) const ASK: &[u8] = b"\x1b[c";
/// How the answer begins: `CSI ? numbers c`. No key sends it.
const ANSWER: &[u8] = b"\x1b[?";
/// The longest answer.
const LONGEST: usize = 64;
/// When the terminal is asked first: what ends at once leaves no answer to the caller's shell.
const FIRST: Duration = Duration::from_secs(2);
/// How long it says nothing before it is asked again.
const SILENCE: Duration = Duration::from_secs(60);
/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli::attach) enum Due {
    Nothing,
    /// Write [`ASK`] to the terminal.
    Ask,
    /// Nobody is there any more.
    Gone,
}

/// What is known of the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    /// It answers.
    Answers,
    /// It did not when it was certainly there: its silence means nothing.
    Mute,
}

/// A terminal that is asked now and then.
#[derive(Debug)]
pub(in crate::cli::attach) struct Presence {
    known: Known,
    /// When something last came from it, at first when it was opened.
    heard: Instant,
    /// When it was asked, while its silence counts.
    asked: Option<Instant>,
    /// An answer is still to be taken out of the input.
    awaited: bool,
    /// The beginning of one, at the end of what was read last.
    held: Vec<u8>,
}

impl Presence {
    /// A terminal that was opened just now.
    pub(in crate::cli::attach) fn new(now: Instant) -> Self {
        Self {
            known: Known::Nothing,
            heard: now,
            asked: None,
            awaited: false,
            held: Vec::new(),
        }
    }

    /// When there is something to do next.
    pub(in crate::cli::attach) fn at(&self) -> Option<Instant> {
        match (self.asked, self.known) {
            (Some(asked), _) => Some(asked + ANSWER_WITHIN),
            (None, Known::Nothing) => Some(self.heard + FIRST),
            (None, Known::Answers) => Some(self.heard + SILENCE),
            (None, Known::Mute) => None,
        }
    }

    /// What is to be done by now.
    pub(in crate::cli::attach) fn due(&mut self, now: Instant) -> Due {
        if self.at().is_none_or(|at| now < at) {
            return Due::Nothing;
        }
        match (self.asked.take(), self.known) {
            (Some(_), Known::Answers) => Due::Gone,
            (Some(_), _) => {
                self.known = Known::Mute;
                Due::Nothing
            }
            (None, _) => {
                self.asked = Some(now);
                self.awaited = true;
                Due::Ask
            }
        }
    }

    /// Takes note of what was read, and takes the answer out of it.
    pub(in crate::cli::attach) fn without(&mut self, read: &[u8], now: Instant) -> Vec<u8> {
        if self.known != Known::Nothing {
            // Whatever comes comes from somebody. Before the first answer it says nothing of whether
            // there will be one.
            (self.heard, self.asked) = (now, None);
        }
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(read);
        let mut from = 0;
        while let Some(at) = self.awaited.then(|| find(&bytes, from)).flatten() {
            match answer(bytes.get(at..).unwrap_or_default()) {
                Found::Whole(length) => {
                    bytes.drain(at..at + length);
                    self.answered(now);
                }
                Found::Cut => {
                    self.held = bytes.split_off(at);
                    break;
                }
                Found::Other => from = at + 1,
            }
        }
        bytes
    }

    fn answered(&mut self, now: Instant) {
        self.awaited = false;
        if self.known == Known::Nothing {
            self.known = Known::Answers;
        }
        (self.heard, self.asked) = (now, None);
    }
}

/// What the bytes from an answer's beginning on are.
enum Found {
    /// An answer of so many bytes.
    Whole(usize),
    Cut,
    Other,
}

fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest.windows(ANSWER.len()).position(|part| part == ANSWER)?;
    Some(from + at)
}

/// Reads what begins as an answer does.
fn answer(bytes: &[u8]) -> Found {
    let numbers = bytes.get(ANSWER.len()..).unwrap_or_default();
    let number = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
    match numbers.iter().position(|byte| !number(byte)) {
        Some(end) if numbers.get(end) == Some(&b'c') => Found::Whole(ANSWER.len() + end + 1),
        None if bytes.len() < LONGEST => Found::Cut,
        _ => Found::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DA1: &[u8] = b"\x1b[?62;22c";

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// A terminal that answered its first question, and when it did.
    fn known() -> (Presence, Instant) {
        let start = Instant::now();
        let mut presence = Presence::new(start);
        assert_eq!(presence.due(start + seconds(1)), Due::Nothing);
        assert_eq!(presence.due(start + FIRST), Due::Ask);
        let now = start + seconds(3);
        assert_eq!(presence.without(DA1, now), b"");
        (presence, now)
    }

    #[test]
    fn a_terminal_that_answered_and_is_silent_is_asked_and_then_gone() {
        let (mut presence, now) = known();
        assert_eq!(presence.due(now + seconds(59)), Due::Nothing);
        assert_eq!(presence.due(now + SILENCE), Due::Ask);
        assert_eq!(presence.due(now + seconds(69)), Due::Nothing);
        assert_eq!(presence.due(now + seconds(70)), Due::Gone);
    }

    #[test]
    fn an_answer_or_a_key_says_that_somebody_is_there() {
        for said in [DA1, b"x"] {
            let (mut presence, mut now) = known();
            for _ in 0..3 {
                now += SILENCE;
                assert_eq!(presence.due(now), Due::Ask);
                now += seconds(9);
                presence.without(said, now);
                assert_eq!(presence.due(now + seconds(59)), Due::Nothing);
            }
        }
        // What is typed puts the question off, too.
        let (mut presence, now) = known();
        assert_eq!(presence.without(b"x", now + seconds(59)), b"x");
        assert_eq!(presence.due(now + SILENCE), Due::Nothing);
        assert_eq!(presence.at(), Some(now + seconds(59) + SILENCE));
    }

    #[test]
    fn a_terminal_that_never_answered_is_not_asked_again() {
        let start = Instant::now();
        let mut presence = Presence::new(start);
        assert_eq!(presence.due(start + FIRST), Due::Ask);
        presence.without(b"typed", start + seconds(5));
        assert_eq!(presence.due(start + FIRST + ANSWER_WITHIN), Due::Nothing);
        assert_eq!(presence.at(), None);
        // An answer that comes late is not typed into the session.
        assert_eq!(presence.without(DA1, start + seconds(20)), b"");
        assert_eq!(presence.at(), None);
    }

    #[test]
    fn the_answer_is_taken_out_wherever_it_is_cut_and_once() {
        for at in ANSWER.len()..DA1.len() {
            let (mut presence, now) = known();
            let now = now + SILENCE;
            assert_eq!(presence.due(now), Due::Ask);
            let (begin, end) = DA1.split_at(at);
            let mut passed = presence.without(&[b"a", begin].concat(), now);
            passed.extend(presence.without(&[end, b"b"].concat(), now));
            assert_eq!(passed, b"ab", "{at}");
            // The next one answers somebody else's question.
            assert_eq!(presence.without(DA1, now), DA1);
        }
    }

    #[test]
    fn other_reports_pass() {
        let (mut presence, now) = known();
        assert_eq!(presence.due(now + SILENCE), Due::Ask);
        for report in [&b"\x1b[?0u"[..], b"\x1b[?2026;2$y", b"\x1b[A"] {
            assert_eq!(presence.without(report, now + SILENCE), report);
        }
        let endless = [b"\x1b[?", "1".repeat(LONGEST).as_bytes()].concat();
        assert_eq!(presence.without(&endless, now + SILENCE), endless);
    }
}
