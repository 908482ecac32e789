//! The keys that lead back from a full-screen attach, found in what is typed.
//!
//! A program may switch the terminal to another way of sending keys, so each key is known as its
//! legacy byte, in kitty's form (`ESC [ code ; modifiers u`) and in xterm's (`ESC [ 27 ; modifiers
//! ; code ~`).

use std::time::Duration;

/// How long a begun sequence is held before it goes to the session.
const HOLD: Duration = Duration::from_millis(700);
/// The same for the beginning of an escape sequence, which comes in one piece.
const HOLD_ESCAPE: Duration = Duration::from_millis(15);
/// Longest sequence of keys.
const MAX_KEYS: usize = 4;
/// Modifier numbers of Ctrl: alone, and with Caps Lock, Num Lock or both.
const CTRL: [u8; 4] = [5, 69, 133, 197];

/// Finds the sequences; passes everything else on unchanged.
#[derive(Debug, Clone, Default)]
pub struct Detach {
    /// Sequences of keys; each key in all its forms.
    sequences: Vec<Vec<Vec<Vec<u8>>>>,
    held: Vec<u8>,
}

/// How the held bytes relate to a sequence.
#[derive(PartialEq, Eq)]
enum Match {
    Whole,
    Begun,
    No,
}

impl Detach {
    /// From sequences as Docker writes them: `ctrl-p,ctrl-q`.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn new(sequences: &[String]) -> Result<Self, String> {
        let sequences = sequences
            .iter()
            .map(|text| parse(text))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            sequences,
            held: Vec::new(),
        })
    }

    /// Takes input; appends to `out` what is for the session. `true`: the user wants back, and
    /// what came after the keys is dropped.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for &byte in input {
            self.held.push(byte);
            while !self.held.is_empty() {
                match self.state() {
                    Match::Whole => {
                        self.held.clear();
                        return true;
                    }
                    Match::Begun => break,
                    Match::No => out.push(self.held.remove(0)),
                }
            }
        }
        false
    }

    fn state(&self) -> Match {
        let mut begun = false;
        for sequence in &self.sequences {
            match matches(sequence, &self.held) {
                Match::Whole => return Match::Whole,
                Match::Begun => begun = true,
                Match::No => {}
            }
        }
        if begun { Match::Begun } else { Match::No }
    }

    /// How long to wait for more before [`Self::flush`]; `None` when nothing is held.
    pub fn hold(&self) -> Option<Duration> {
        match self.held.as_slice() {
            [] => None,
            [0x1b] | [0x1b, b'['] => Some(HOLD_ESCAPE),
            _ => Some(HOLD),
        }
    }

    /// Gives up on a begun sequence.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }
}

fn matches(keys: &[Vec<Vec<u8>>], held: &[u8]) -> Match {
    let Some((first, rest)) = keys.split_first() else {
        return if held.is_empty() {
            Match::Whole
        } else {
            Match::No
        };
    };
    let mut begun = false;
    for form in first {
        if let Some(after) = held.strip_prefix(form.as_slice()) {
            // A key's release may be reported between two presses.
            let released = form
                .strip_suffix(b":1u")
                .and_then(|press| after.strip_prefix([press, b":3u"].concat().as_slice()));
            let after = released.unwrap_or(after);
            match matches(rest, after) {
                Match::Whole => return Match::Whole,
                Match::Begun => begun = true,
                Match::No => {}
            }
            let release = form
                .strip_suffix(b":1u")
                .map(|press| [press, b":3u"].concat());
            begun |= release.is_some_and(|r| r.starts_with(after)) && !rest.is_empty();
        } else if form.starts_with(held) {
            begun = true;
        }
    }
    if begun { Match::Begun } else { Match::No }
}

fn parse(text: &str) -> Result<Vec<Vec<Vec<u8>>>, String> {
    let wrong = || {
        format!(
            "invalid detach keys {text:?}: give keys such as ctrl-q or ctrl-p,ctrl-q, each ctrl- \
             and one of a-z [ \\ ] ^ _"
        )
    };
    let keys: Option<Vec<_>> = text.to_ascii_lowercase().split(',').map(forms).collect();
    keys.filter(|keys| (1..=MAX_KEYS).contains(&keys.len()))
        .ok_or_else(wrong)
}

/// Every way in which a terminal may send Ctrl with a character.
fn forms(key: &str) -> Option<Vec<Vec<u8>>> {
    let &[c @ (b'a'..=b'z' | b'['..=b'_')] = key.strip_prefix("ctrl-")?.as_bytes() else {
        return None;
    };
    let mut forms = vec![vec![c & 0x1f]];
    for m in CTRL {
        forms.push(format!("\x1b[{c};{m}u").into_bytes());
        forms.push(format!("\x1b[{c};{m}:1u").into_bytes());
        forms.push(format!("\x1b[27;{m};{c}~").into_bytes());
    }
    Some(forms)
}

/// For people: `Ctrl-Q`.
pub fn label(sequence: &str) -> String {
    let key = |key: &str| match key.to_ascii_lowercase().strip_prefix("ctrl-") {
        Some(c) => format!("Ctrl-{}", c.to_uppercase()),
        None => key.to_owned(),
    };
    sequence.split(',').map(key).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn detach() -> Detach {
        Detach::new(&["ctrl-q", "ctrl-p,ctrl-q", "ctrl-\\"].map(str::to_owned)).unwrap()
    }

    #[test]
    fn every_form_leads_back_and_split_anywhere() {
        for input in [
            &b"ab\x11x"[..],
            b"ab\x1c",
            b"ab\x1b[113;5u",
            b"ab\x1b[27;5;113~",
            b"ab\x1b[92;69:1u",
        ] {
            for chunk in 1..input.len() {
                let (mut detach, mut out) = (detach(), Vec::new());
                assert!(
                    input
                        .chunks(chunk)
                        .any(|piece| detach.feed(piece, &mut out)),
                    "{input:?}"
                );
                assert_eq!(out, b"ab", "{input:?}");
            }
        }
    }

    #[test]
    fn a_sequence_is_found_with_releases_between() {
        for input in [&b"\x10\x11"[..], b"\x1b[112;5:1u\x1b[112;5:3u\x1b[113;5:1u"] {
            let (mut keys, mut out) = (
                Detach::new(&["ctrl-p,ctrl-q".to_owned()]).unwrap(),
                Vec::new(),
            );
            assert!(
                input.chunks(1).any(|piece| keys.feed(piece, &mut out)),
                "{input:?}"
            );
            assert!(out.is_empty());
        }
    }

    #[test]
    fn what_is_begun_and_not_ended_goes_to_the_session() {
        let (mut detach, mut out) = (detach(), Vec::new());
        assert!(!detach.feed(b"\x10", &mut out));
        assert_eq!((out.as_slice(), detach.hold()), (&b""[..], Some(HOLD)));
        assert!(!detach.feed(b"a\x1b", &mut out));
        assert_eq!(
            (out.as_slice(), detach.hold()),
            (&b"\x10a"[..], Some(HOLD_ESCAPE))
        );
        detach.flush(&mut out);
        assert_eq!(out, b"\x10a\x1b");
    }

    #[test]
    fn wrong_keys_are_refused_with_what_is_right() {
        for bad in ["", "q", "ctrl-", "ctrl-qq", "alt-x", "ctrl-p,"] {
            assert!(
                Detach::new(&[bad.to_owned()])
                    .unwrap_err()
                    .contains("such as"),
                "{bad}"
            );
        }
        assert_eq!(label("ctrl-p,ctrl-q"), "Ctrl-P Ctrl-Q");
    }

    proptest! {
        #[test]
        fn other_input_passes_unchanged(input in prop::collection::vec(0u8.., 0..60)) {
            prop_assume!(!input.contains(&0x11) && !input.contains(&0x1c));
            prop_assume!(!input.contains(&b'u') && !input.contains(&b'~'));
            let (mut detach, mut out) = (detach(), Vec::new());
            prop_assert!(!detach.feed(&input, &mut out));
            detach.flush(&mut out);
            prop_assert_eq!(out, input);
        }
    }
}
