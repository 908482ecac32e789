//! Keeps the terminal's brackets around pastes switched on, and knows whether the program wants them.
//!
//! Reads a session's output on its way to the terminal. Whatever may switch mode 2004 off there is
//! followed by what switches it on again.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Switches brackets on (xterm's ctlseqs).
pub(super) const ON: &[u8] = b"\x1b[?2004h";
const MODE: u32 = 2004;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    /// In a `CSI`: its prefix, the number being read, whether 2004 was among them, and its last
    /// intermediate byte.
    Csi {
        private: bool,
        number: u32,
        found: bool,
        between: u8,
    },
}

const CSI: State = State::Csi {
    private: false,
    number: 0,
    found: false,
    between: 0,
};

/// A reader of one connection's output.
#[derive(Debug)]
pub(super) struct Brackets {
    state: State,
    /// The last byte was the first of U+0080 to U+00BF: terminals take U+009B as `ESC [`.
    lead: bool,
    saved: bool,
    wanted: Arc<AtomicBool>,
}

impl Brackets {
    /// At the start of a stream; tells through `wanted` what the program asked for.
    pub(super) fn new(wanted: Arc<AtomicBool>) -> Self {
        Self {
            state: State::Ground,
            lead: false,
            saved: false,
            wanted,
        }
    }

    /// Appends the bytes to `out`, and what switches brackets on again.
    pub(super) fn pass(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while let Some(&first) = bytes.first() {
            if self.state == State::Ground && !self.lead {
                let plain = bytes
                    .iter()
                    .take_while(|byte| !matches!(**byte, 0x1b | 0xc2))
                    .count();
                let (text, rest) = bytes.split_at(plain);
                out.extend_from_slice(text);
                bytes = rest;
                if plain > 0 {
                    continue;
                }
            }
            out.push(first);
            if self.byte(first) {
                out.extend_from_slice(ON);
            }
            bytes = bytes.get(1..).unwrap_or_default();
        }
    }

    /// Whether brackets may be off now.
    fn byte(&mut self, byte: u8) -> bool {
        if std::mem::take(&mut self.lead) && byte == 0x9b {
            self.state = CSI;
            return false;
        }
        match (byte, self.state) {
            (0xc2, _) => self.lead = true,
            (0x1b, _) => self.state = State::Escape,
            // CAN and SUB end a sequence, other controls act inside of it.
            (0x18 | 0x1a, _) => self.state = State::Ground,
            (0x00..=0x1f | 0x7f.., _) | (_, State::Ground) => {}
            (b'[', State::Escape) => self.state = CSI,
            (b'c', State::Escape) => {
                self.state = State::Ground;
                self.wanted.store(false, Ordering::Relaxed);
                return true;
            }
            // Intermediate bytes of an escape sequence.
            (0x20..=0x2f, State::Escape) => {}
            (_, State::Escape) => self.state = State::Ground,
            (
                _,
                State::Csi {
                    private,
                    number,
                    found,
                    between,
                },
            ) => {
                return self.csi(byte, private, number, found, between);
            }
        }
        false
    }

    fn csi(&mut self, byte: u8, private: bool, number: u32, found: bool, between: u8) -> bool {
        let digit = byte.wrapping_sub(b'0');
        let (mut private, mut number, mut found, mut between) = (private, number, found, between);
        match byte {
            b'0'..=b'9' => number = number.saturating_mul(10).saturating_add(u32::from(digit)),
            b';' | b':' => {
                found |= number == MODE;
                number = 0;
            }
            b'?' => private = true,
            0x20..=0x2f => between = byte,
            0x3c..=0x3f => {}
            _ => {
                self.state = State::Ground;
                found |= number == MODE;
                return self.done(byte, private && found, between);
            }
        }
        self.state = State::Csi {
            private,
            number,
            found,
            between,
        };
        false
    }

    fn done(&mut self, last: u8, of_brackets: bool, between: u8) -> bool {
        match last {
            // A soft reset: terminals differ in whether it is a part of that.
            b'p' => between == b'!',
            _ if !of_brackets => false,
            b'h' => {
                self.wanted.store(true, Ordering::Relaxed);
                false
            }
            b'l' => {
                self.wanted.store(false, Ordering::Relaxed);
                true
            }
            b's' => {
                self.saved = self.wanted.load(Ordering::Relaxed);
                false
            }
            b'r' => {
                self.wanted.store(self.saved, Ordering::Relaxed);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use worker_agent::screen::{Screen, ScreenOptions};

    fn passed(pieces: &[&[u8]]) -> (Vec<u8>, bool) {
        let wanted = Arc::new(AtomicBool::new(false));
        let mut brackets = Brackets::new(wanted.clone());
        let mut out = Vec::new();
        for piece in pieces {
            brackets.pass(piece, &mut out);
        }
        (out, wanted.load(Ordering::Relaxed))
    }

    #[test]
    fn what_switches_brackets_off_switches_them_on_again_wherever_it_is_cut() {
        for (off, wanted) in [
            (&b"\x1b[?2004l"[..], false),
            (b"\x1b[?1049;02004;25l", false),
            (b"\x1b[?20\n04l", false),
            (b"\xc2\x9b?2004l", false),
            (b"\x1b[?2004h\x1bc", false),
            (b"\x1b[?2004h\x1b[?2004s\x1b[?2004r", true),
            (b"\x1b[!p", false),
        ] {
            for cut in 0..off.len() {
                let (a, b) = off.split_at(cut);
                let (out, now) = passed(&[b"x", a, b]);
                assert_eq!(out, [b"x", off, ON].concat());
                assert_eq!(now, wanted, "{off:?}");
            }
        }
    }

    #[test]
    fn other_output_is_passed_as_it_is() {
        for (text, wanted) in [
            (
                &b"\x1b[?2004h text \xc2\xa0 \x1b[?25l\x1b[2004l\x1b[?200\x184l"[..],
                true,
            ),
            (
                b"\x1b]0;?2004l\x07\x1b(B\x1b[?2004$p\x1b[?12004l\x1b[>2004l",
                false,
            ),
        ] {
            assert_eq!(passed(&[text]), (text.to_vec(), wanted));
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        /// As a terminal's own parser sees it: brackets are on after everything.
        #[test]
        fn a_terminal_never_loses_its_brackets(
            pieces in prop::collection::vec(prop::sample::select(vec![
                &b"\x1b"[..], b"[", b"?", b"2004", b"1049", b";", b"l", b"h", b"c", b"\x1b[?2004l",
                b"\x18", b"text", b"\n", b"\x1b]0;t\x07", b"!", b"p", b"r", b"s",
            ]), 0..40),
        ) {
            let mut terminal = Screen::new(40, 5, ScreenOptions::default());
            terminal.process(ON);
            let mut brackets = Brackets::new(Arc::default());
            for piece in pieces {
                let mut out = Vec::new();
                brackets.pass(piece, &mut out);
                terminal.process(&out);
                prop_assert!(terminal.modes().bracketed_paste);
            }
        }
    }
}
