//! Detach keys: their written form, and finding them in what is typed.
//!
//! A program may switch the terminal to another way of sending keys, so each sequence is looked for
//! as legacy bytes, in kitty's form (`ESC [ code ; modifiers u`) and in xterm's
//! (`ESC [ 27 ; modifiers ; code ~`).

use std::time::Duration;

/// The default sequences.
pub(crate) const DEFAULT: [&str; 2] = ["ctrl-p,ctrl-q", "ctrl-\\"];

/// How long a key that may begin a sequence is held before it goes to the session: a person who
/// meant the key alone must not feel it wait.
const HOLD_KEYS: Duration = Duration::from_millis(80);
/// How long the next key of a sequence may take. The keys before it have gone to the session by then.
const NEXT_KEY: Duration = Duration::from_millis(700);
/// The same for the beginning of an escape sequence: it comes in one piece, a lone Escape must not
/// be felt to wait.
const HOLD_ESCAPE: Duration = Duration::from_millis(15);
/// Longest sequence of keys.
const MAX_KEYS: usize = 8;

/// One key of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    /// What a legacy terminal sends.
    byte: u8,
    /// The character without Ctrl.
    plain: u8,
    ctrl: bool,
}

/// Parses `ctrl-p,ctrl-q` as Docker writes it: characters, or `ctrl-` and one of a-z @ [ \ ] ^ _.
fn parse(text: &str) -> Result<Vec<Key>, String> {
    let wrong = || {
        format!(
            "invalid detach keys {text:?}: give keys such as ctrl-p,ctrl-q; each a character, or ctrl- and one of a-z @ [ \\ ] ^ _"
        )
    };
    let keys: Option<Vec<Key>> = text
        .split(',')
        .map(|key| match *key.to_ascii_lowercase().as_bytes() {
            [
                b'c',
                b't',
                b'r',
                b'l',
                b'-',
                c @ (b'a'..=b'z' | b'@' | b'['..=b'_'),
            ] => Some(Key {
                byte: c & 0x1f,
                plain: c,
                ctrl: true,
            }),
            _ => match *key.as_bytes() {
                [c @ 0x20..=0x7e] => Some(Key {
                    byte: c,
                    plain: c,
                    ctrl: false,
                }),
                _ => None,
            },
        })
        .collect();
    keys.filter(|keys| (1..=MAX_KEYS).contains(&keys.len()))
        .ok_or_else(wrong)
}

/// What came of some input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fed {
    /// Go on.
    Forward,
    /// The user detached; what came after the keys was dropped.
    Detach,
}

/// Finds detach sequences in a stream of input and passes everything else on unchanged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Matcher {
    patterns: Vec<Vec<u8>>,
    /// The beginning of a sequence.
    held: Vec<u8>,
    /// How many bytes of it were passed on already.
    passed: usize,
}

impl Matcher {
    /// A matcher of the given sequences; of none when there are none or one is `none`.
    pub(crate) fn new(sequences: &[impl AsRef<str>]) -> Result<Self, String> {
        let mut patterns = Vec::new();
        if sequences.iter().any(|text| text.as_ref() == "none") {
            return Ok(Self::default());
        }
        for text in sequences {
            patterns.extend(forms(&parse(text.as_ref())?));
        }
        patterns.dedup();
        Ok(Self {
            patterns,
            held: Vec::new(),
            passed: 0,
        })
    }

    /// Takes input; what is certainly not part of a sequence is appended to `out`. Says how many
    /// bytes were taken: what came after the keys was not.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> (Fed, usize) {
        let mut at = 0;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if self.held.is_empty() {
                let plain = rest.iter().take_while(|byte| !self.begins(**byte)).count();
                out.extend_from_slice(rest.get(..plain).unwrap_or_default());
                at += plain;
                if plain == rest.len() {
                    break;
                }
            }
            self.held.extend(input.get(at));
            at += 1;
            loop {
                if self.patterns.contains(&self.held) {
                    self.forget();
                    return (Fed::Detach, at);
                }
                if self.held.is_empty() || self.patterns.iter().any(|p| p.starts_with(&self.held)) {
                    break;
                }
                let first = self.held.remove(0);
                match self.passed.checked_sub(1) {
                    Some(left) => self.passed = left,
                    None => out.push(first),
                }
            }
        }
        (Fed::Forward, input.len())
    }

    /// Whether a sequence may begin with this byte.
    fn begins(&self, byte: u8) -> bool {
        self.patterns.iter().any(|p| p.first() == Some(&byte))
    }

    /// How long to wait for more before [`Self::expire`]; `None` when no sequence has begun.
    pub(crate) fn hold(&self) -> Option<Duration> {
        match self.held.len() {
            0 => None,
            length if length == self.passed => Some(NEXT_KEY),
            _ if self.cut() => Some(HOLD_ESCAPE),
            // A whole first key and more to come.
            _ => Some(HOLD_KEYS),
        }
    }

    /// Whether what is held ends within an escape sequence.
    fn cut(&self) -> bool {
        let held = self.held.as_slice();
        held.first() == Some(&0x1b) && !held.ends_with(b"u") && !held.ends_with(b"~")
    }

    /// Nothing more has come for [`Self::hold`]: what is held goes on to the session. The sequence
    /// may still be completed within [`NEXT_KEY`] of whole keys; after the second call it may not.
    pub(crate) fn expire(&mut self, out: &mut Vec<u8>) {
        let held = self.held.get(self.passed..).unwrap_or_default();
        if held.is_empty() || self.cut() {
            out.extend_from_slice(held);
            self.forget();
        } else {
            out.extend_from_slice(held);
            self.passed = self.held.len();
        }
    }

    /// Gives up on a begun sequence: what is held goes on to the session.
    pub(crate) fn flush(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.held.get(self.passed..).unwrap_or_default());
        self.forget();
    }

    fn forget(&mut self) {
        self.held.clear();
        self.passed = 0;
    }
}

/// Modifier numbers of Ctrl alone and with Caps Lock, Num Lock, or both (one more than the bits).
const CTRL: [u16; 4] = [5, 69, 133, 197];

/// Every way in which a terminal may send the keys.
fn forms(keys: &[Key]) -> Vec<Vec<u8>> {
    let mut forms = vec![keys.iter().map(|key| key.byte).collect()];
    // Without Ctrl, keys are sent as text in most modes.
    if keys.iter().any(|key| !key.ctrl) {
        return forms;
    }
    for modifiers in CTRL {
        let all = |one: &dyn Fn(u8) -> String| {
            keys.iter()
                .map(|key| one(key.plain))
                .collect::<String>()
                .into_bytes()
        };
        forms.push(all(&|c| format!("\x1b[{c};{modifiers}u")));
        forms.push(all(&|c| format!("\x1b[27;{modifiers};{c}~")));
        forms.push(all(&|c| format!("\x1b[{c};{modifiers}:1u")));
        // With releases reported, each but the last key's release comes before the next press.
        let mut with_releases = String::new();
        for (index, key) in keys.iter().enumerate() {
            let c = key.plain;
            with_releases.push_str(&format!("\x1b[{c};{modifiers}:1u"));
            if index + 1 < keys.len() {
                with_releases.push_str(&format!("\x1b[{c};{modifiers}:3u"));
            }
        }
        forms.push(with_releases.into_bytes());
    }
    forms
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(matcher: &mut Matcher, input: &[u8]) -> (Vec<u8>, Fed) {
        let mut out = Vec::new();
        let (fed, _) = matcher.feed(input, &mut out);
        (out, fed)
    }

    #[test]
    fn the_default_keys_detach_in_every_form_and_split_anywhere() {
        for input in [
            &b"ab\x10\x11cd"[..],
            b"ab\x1c",
            b"ab\x1b[112;5u\x1b[113;5u",
            b"ab\x1b[112;5:1u\x1b[112;5:3u\x1b[113;5:1u",
            b"ab\x1b[27;5;112~\x1b[27;5;113~",
            b"ab\x1b[92;69u",
        ] {
            for chunk in 1..input.len() {
                let mut matcher = Matcher::new(&DEFAULT).unwrap();
                let (mut out, mut detached) = (Vec::new(), false);
                for piece in input.chunks(chunk) {
                    if matcher.feed(piece, &mut out).0 == Fed::Detach {
                        detached = true;
                        break;
                    }
                }
                assert!(detached, "{input:?}");
                assert_eq!(out, b"ab", "{input:?}");
            }
        }
    }

    #[test]
    fn a_partial_match_is_held_and_passed_on_when_it_turns_out_not_to_be_one() {
        let mut matcher = Matcher::new(&DEFAULT).unwrap();
        assert_eq!(feed(&mut matcher, b"x\x10"), (b"x".to_vec(), Fed::Forward));
        assert_eq!(matcher.hold(), Some(HOLD_KEYS));
        assert_eq!(
            feed(&mut matcher, b"\x10"),
            (b"\x10".to_vec(), Fed::Forward)
        );
        assert_eq!(feed(&mut matcher, b"z"), (b"\x10z".to_vec(), Fed::Forward));
        feed(&mut matcher, b"\x10");
        let mut out = Vec::new();
        matcher.flush(&mut out);
        assert_eq!((out, matcher.hold()), (b"\x10".to_vec(), None));
        feed(&mut matcher, b"\x1b");
        assert_eq!(matcher.hold(), Some(HOLD_ESCAPE));
    }

    #[test]
    fn a_key_that_waits_is_passed_on_soon_and_the_sequence_may_still_be_completed() {
        assert!(HOLD_KEYS < Duration::from_millis(100));
        let begun = |matcher: &mut Matcher| {
            let mut out = Vec::new();
            assert_eq!(feed(matcher, b"\x10").0, b"");
            matcher.expire(&mut out);
            assert_eq!((out, matcher.hold()), (b"\x10".to_vec(), Some(NEXT_KEY)));
        };
        let mut matcher = Matcher::new(&DEFAULT).unwrap();
        begun(&mut matcher);
        assert_eq!(feed(&mut matcher, b"\x11"), (Vec::new(), Fed::Detach));
        // What was passed on is not passed on twice.
        begun(&mut matcher);
        assert_eq!(feed(&mut matcher, b"a"), (b"a".to_vec(), Fed::Forward));
        begun(&mut matcher);
        assert_eq!(
            feed(&mut matcher, b"\x10a"),
            (b"\x10a".to_vec(), Fed::Forward)
        );
        // The next key came too late.
        begun(&mut matcher);
        let mut out = Vec::new();
        matcher.expire(&mut out);
        assert_eq!((out.len(), matcher.hold()), (0, None));
        assert_eq!(
            feed(&mut matcher, b"\x11"),
            (b"\x11".to_vec(), Fed::Forward)
        );
    }

    #[test]
    fn what_is_not_a_sequence_of_keys_is_refused() {
        for bad in [
            "",
            "ctrl-",
            "ctrl-1",
            "ctrl-p,,q",
            "alt-x",
            "ctrl-p ctrl-q",
            "é",
        ] {
            assert!(
                Matcher::new(&[bad]).unwrap_err().contains("ctrl-p,ctrl-q"),
                "{bad}"
            );
        }
        assert_eq!(
            feed(&mut Matcher::new(&["a,Ctrl-B"]).unwrap(), b"xa\x02").1,
            Fed::Detach
        );
        assert_eq!(
            feed(&mut Matcher::new(&["none"]).unwrap(), b"\x10\x11\x1c"),
            (b"\x10\x11\x1c".to_vec(), Fed::Forward)
        );
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn nothing_before_the_first_sequence_is_lost_or_changed(
            input in prop::collection::vec(prop::sample::select(b"ab\x10\x11\x1b[;15u".to_vec()), 0..60),
            cuts in prop::collection::vec(1usize..7, 1..8),
        ) {
            let mut matcher = Matcher::new(&["ctrl-p,ctrl-q", "a,b,a"]).unwrap();
            let (mut out, mut detached, mut rest, mut turn) = (Vec::new(), false, &input[..], 0);
            while !rest.is_empty() && !detached {
                let (piece, tail) = rest.split_at(cuts[turn % cuts.len()].min(rest.len()));
                detached = matcher.feed(piece, &mut out).0 == Fed::Detach;
                (rest, turn) = (tail, turn + 1);
            }
            let find = |p: &[u8]| input.windows(p.len()).position(|w| w == p).map(|at| (at + p.len(), at));
            let first = [&b"\x10\x11"[..], b"aba"].iter().filter_map(|p| find(p)).min();
            match first {
                Some((_, at)) => {
                    prop_assert!(detached);
                    prop_assert_eq!(&out[..], &input[..at]);
                }
                None => {
                    prop_assert!(!detached);
                    matcher.flush(&mut out);
                    prop_assert_eq!(out, input);
                }
            }
        }
    }
}
