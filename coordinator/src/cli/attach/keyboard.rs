//! What is typed, told from what is pasted: the keys that detach are looked for in the first alone.
//!
//! The terminal is asked to put brackets around pastes (`ESC [ ? 2004 h`) for as long as it is ours,
//! whether the program wants them or not; a program that does not want them does not get them. No
//! byte between the brackets is taken for a key, however the stream is cut into pieces.
//!
//! A paste whose end never comes (a terminal that died, a connection that was cut) must not lock the
//! user in: once nothing has come for [`STALLED`] inside of a paste, the keys that detach count when
//! they are the very next thing. Anything else that comes is the paste's again.

use super::keys::{Fed, Matcher};
use std::time::Duration;

/// What a terminal sends before and after a paste (xterm's ctlseqs, "bracketed paste mode").
pub(super) const START: &[u8; 6] = b"\x1b[200~";
const END: &[u8; 6] = b"\x1b[201~";
const ESCAPE: u8 = 0x1b;

/// How long the beginning of a bracket is held before it goes to the session as typed.
const HOLD_START: Duration = Duration::from_millis(15);
/// The same inside of a paste, where nobody waits for an Escape to act.
const HOLD_END: Duration = Duration::from_millis(250);
/// How long nothing has come in a paste that has stalled.
const STALLED: Duration = Duration::from_secs(5);
/// How long the next of the keys that detach may take in a paste that has stalled.
const NEXT_KEY: Duration = Duration::from_millis(700);

/// A paste that has begun and not ended.
#[derive(Debug, Clone, Copy)]
struct Paste {
    /// Whether the session gets the brackets.
    bracketed: bool,
    stalled: bool,
}

/// Finds keys and pastes in a stream of input.
#[derive(Debug, Default)]
pub(super) struct Keyboard {
    keys: Matcher,
    paste: Option<Paste>,
    /// How much of the next bracket has come, and how much of that was passed on.
    seen: usize,
    passed: usize,
}

impl Keyboard {
    /// Looks for these keys.
    pub(super) fn new(keys: Matcher) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    /// Whether a paste has begun and not ended.
    pub(super) fn in_paste(&self) -> bool {
        self.paste.is_some()
    }

    /// Takes input and appends what the session gets to `out`; `wanted` says whether its program
    /// asked for brackets. Says how many bytes were taken: what came after the keys that detach was
    /// not.
    pub(super) fn feed(&mut self, input: &[u8], wanted: bool, out: &mut Vec<u8>) -> (Fed, usize) {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            // What holds no Escape holds no bracket.
            let plain = match self.paste {
                Some(Paste { stalled: true, .. }) => 0,
                _ if self.seen > 0 => 0,
                _ => rest.iter().take_while(|byte| **byte != ESCAPE).count(),
            };
            let piece = rest.get(..plain.max(1)).unwrap_or(rest);
            let fed = match (&self.paste, plain) {
                (Some(_), 1..) => {
                    out.extend_from_slice(piece);
                    (Fed::Forward, piece.len())
                }
                (None, 1..) => self.keys.feed(piece, out),
                (Some(_), 0) => (self.pasted(piece, out), 1),
                (None, 0) => (self.typed(piece, wanted, out), 1),
            };
            at += fed.1;
            if fed.0 == Fed::Detach {
                return (Fed::Detach, at);
            }
        }
        (Fed::Forward, input.len())
    }

    /// One byte outside of a paste.
    fn typed(&mut self, byte: &[u8], wanted: bool, out: &mut Vec<u8>) -> Fed {
        if START.get(self.seen) == byte.first() {
            self.seen += 1;
            if self.seen == START.len() {
                // Keys before a paste are keys alone.
                self.keys.flush(out);
                let bracketed = wanted || self.passed > 0;
                if bracketed {
                    out.extend_from_slice(START.get(self.passed..).unwrap_or_default());
                }
                self.paste = Some(Paste {
                    bracketed,
                    stalled: false,
                });
                (self.seen, self.passed) = (0, 0);
            }
            return Fed::Forward;
        }
        let held = START.get(self.passed..self.seen).unwrap_or_default();
        (self.seen, self.passed) = (0, 0);
        if self.keys.feed(held, out).0 == Fed::Detach {
            return Fed::Detach;
        }
        if byte.first() == Some(&ESCAPE) {
            self.seen = 1;
            return Fed::Forward;
        }
        self.keys.feed(byte, out).0
    }

    /// One byte of a paste.
    fn pasted(&mut self, byte: &[u8], out: &mut Vec<u8>) -> Fed {
        let Some(Paste { stalled: true, .. }) = self.paste else {
            self.content(byte, out);
            return Fed::Forward;
        };
        let mut no_keys = Vec::new();
        if self.keys.feed(byte, &mut no_keys).0 == Fed::Detach {
            return Fed::Detach;
        }
        if no_keys.is_empty() && self.keys.hold().is_some() {
            return Fed::Forward;
        }
        self.keys.flush(&mut no_keys);
        self.set_stalled(false);
        self.content(&no_keys, out);
        Fed::Forward
    }

    fn set_stalled(&mut self, stalled: bool) {
        if let Some(paste) = &mut self.paste {
            paste.stalled = stalled;
        }
    }

    /// Bytes that belong to a paste, its end included.
    fn content(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for byte in bytes {
            let Some(Paste { bracketed, .. }) = self.paste else {
                // Behind the end: cannot be, since what is fed here at once holds one bracket at most.
                out.push(*byte);
                continue;
            };
            if END.get(self.seen) == Some(byte) {
                self.seen += 1;
            } else {
                if !bracketed {
                    out.extend_from_slice(END.get(self.passed..self.seen).unwrap_or_default());
                }
                (self.seen, self.passed) = (0, 0);
                match *byte == ESCAPE {
                    true => self.seen = 1,
                    false if bracketed => {}
                    false => out.push(*byte),
                }
            }
            if bracketed {
                out.push(*byte);
                self.passed = self.seen;
            }
            if self.seen == END.len() {
                self.paste = None;
                (self.seen, self.passed) = (0, 0);
            }
        }
    }

    /// How long to wait for more before [`Self::expire`]; `None` when nothing has begun.
    pub(super) fn hold(&self) -> Option<Duration> {
        let held = self.seen > self.passed;
        match self.paste {
            None if held => Some(HOLD_START),
            None => self.keys.hold(),
            Some(Paste { stalled: true, .. }) => self.keys.hold().map(|_| NEXT_KEY),
            Some(_) if held => Some(HOLD_END),
            Some(_) => Some(STALLED),
        }
    }

    /// Nothing more has come for [`Self::hold`]: what is held goes on to the session. A bracket whose
    /// beginning was passed on is still one when the rest comes.
    pub(super) fn expire(&mut self, out: &mut Vec<u8>) {
        let held = self.passed..self.seen;
        match self.paste {
            None if !held.is_empty() => {
                self.keys.feed(START.get(held).unwrap_or_default(), out);
                self.passed = self.seen;
                self.keys.flush(out);
            }
            None => self.keys.expire(out),
            Some(Paste { stalled: true, .. }) => {
                let mut no_keys = Vec::new();
                self.keys.flush(&mut no_keys);
                self.content(&no_keys, out);
            }
            Some(_) if !held.is_empty() => {
                out.extend_from_slice(END.get(held).unwrap_or_default());
                self.passed = self.seen;
            }
            Some(_) => self.set_stalled(true),
        }
    }

    /// Takes input that nobody gets, to know where a paste ends.
    pub(super) fn skip(&mut self, input: &[u8]) {
        self.keys = Matcher::default();
        self.set_stalled(false);
        self.feed(input, true, &mut Vec::new());
    }
}

#[cfg(test)]
mod tests;
