//! Keys and pastes, however the stream is cut and wherever it stops.

use super::*;
use crate::cli::attach::keys::DEFAULT;
use proptest::prelude::*;

fn keyboard() -> Keyboard {
    Keyboard::new(Matcher::new(&DEFAULT).unwrap())
}

/// Feeds pieces; after each, nothing comes for [`Keyboard::hold`] as often as asked, but never so long
/// that a paste stalls.
fn feed(
    keyboard: &mut Keyboard,
    pieces: &[(&[u8], usize)],
    wanted: bool,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut out = Vec::new();
    for (at, (piece, pauses)) in pieces.iter().enumerate() {
        let (fed, used) = keyboard.feed(piece, wanted, &mut out);
        if fed == Fed::Detach {
            let mut behind = piece[used..].to_vec();
            for (piece, _) in &pieces[at + 1..] {
                behind.extend_from_slice(piece);
            }
            return (out, Some(behind));
        }
        for _ in 0..*pauses {
            if keyboard.hold().is_some_and(|hold| hold < STALLED) {
                keyboard.expire(&mut out);
            }
        }
    }
    (out, None)
}

/// Every way in which keys that detach are sent.
const DETACHES: [&[u8]; 6] = [
    b"\x1c",
    b"\x10\x11",
    b"\x1b[112;5u\x1b[113;5u",
    b"\x1b[92;5u",
    b"\x1b[27;5;92~",
    b"\x1b[112;5:1u\x1b[112;5:3u\x1b[113;5:1u",
];

#[test]
fn no_key_in_a_paste_detaches_wherever_the_stream_is_cut() {
    for keys in DETACHES {
        let paste = [b"echo one\r", keys, b"rm -rf it\r\n"].concat();
        let input = [&START[..], &paste, END, b"z"].concat();
        for wanted in [true, false] {
            for cut in 1..input.len() {
                for pauses in [0, 1] {
                    let mut keyboard = keyboard();
                    let (a, b) = input.split_at(cut);
                    let (mut out, detached) = feed(&mut keyboard, &[(a, pauses), (b, 0)], wanted);
                    assert_eq!(detached, None, "{keys:?} cut at {cut}");
                    assert!(!keyboard.in_paste());
                    keyboard.expire(&mut out);
                    if wanted {
                        assert_eq!(out, input, "{keys:?} cut at {cut}");
                    } else if pauses == 0 {
                        assert_eq!(out, [&paste[..], b"z"].concat(), "{keys:?} cut at {cut}");
                    }
                }
            }
        }
        // The same keys before and after one do.
        for input in [
            [keys, &START[..], b"x", &END[..]].concat(),
            [&START[..], b"x", &END[..], keys].concat(),
        ] {
            let (_, detached) = feed(&mut keyboard(), &[(&input, 0)], true);
            assert!(detached.is_some(), "{input:?}");
        }
    }
}

#[test]
fn keys_before_a_paste_are_not_completed_by_it() {
    let (out, detached) = feed(
        &mut keyboard(),
        &[(b"\x10\x1b[200~\x11\x1b[201~", 0)],
        false,
    );
    assert_eq!((out, detached), (b"\x10\x11".to_vec(), None));
}

#[test]
fn a_paste_without_an_end_does_not_lock_the_user_in() {
    for keys in DETACHES {
        let mut keyboard = keyboard();
        let (out, detached) = feed(&mut keyboard, &[(b"\x1b[200~text", 0), (keys, 0)], false);
        assert_eq!((out, detached), ([b"text", keys].concat(), None));
        assert_eq!(keyboard.hold(), Some(STALLED));
        keyboard.expire(&mut Vec::new());
        assert_eq!(keyboard.hold(), None);
        // Keys that are not the next thing are the paste's.
        let more = [b"more", keys].concat();
        let (out, detached) = feed(&mut keyboard, &[(&more, 1)], false);
        assert_eq!((out, detached), (more, None));
        keyboard.expire(&mut Vec::new());
        // And so is the beginning of a sequence that is not completed.
        let (out, detached) = feed(&mut keyboard, &[(b"\x10", 1), (b"\x10z", 0)], false);
        assert_eq!((out, detached), (b"\x10\x10z".to_vec(), None));
        keyboard.expire(&mut Vec::new());
        let (out, detached) = feed(&mut keyboard, &[(keys, 0)], false);
        assert_eq!((out, detached), (Vec::new(), Some(Vec::new())), "{keys:?}");
        assert!(keyboard.in_paste());
    }
}

#[test]
fn an_end_that_comes_after_a_stall_is_the_end() {
    let mut keyboard = keyboard();
    feed(&mut keyboard, &[(b"\x1b[200~text", 0)], true);
    assert_eq!(keyboard.hold(), Some(STALLED));
    keyboard.expire(&mut Vec::new());
    feed(&mut keyboard, &[(b"\x1b[201", 1), (b"~", 0)], true);
    assert!(!keyboard.in_paste());
    feed(&mut keyboard, &[(b"\x1b[200~text", 1)], true);
    keyboard.skip(b"more\x1c\x10\x11\x1b[20");
    assert!(keyboard.in_paste());
    keyboard.skip(b"1~");
    assert!(!keyboard.in_paste());
}

#[test]
fn a_lone_escape_and_other_keys_go_on_soon() {
    let mut keyboard = keyboard();
    let (out, _) = feed(&mut keyboard, &[(b"\x1b", 0)], true);
    assert_eq!((out, keyboard.hold()), (Vec::new(), Some(HOLD_START)));
    let (out, _) = feed(
        &mut keyboard,
        &[(b"", 1), (b"[24~", 0), (b"\x1b[A", 0)],
        true,
    );
    assert_eq!(out, b"\x1b[24~\x1b[A");
    let (out, _) = feed(&mut keyboard, &[(b"\x10", 1), (b"\x11", 0)], true);
    assert_eq!(out, b"\x10");
}

/// What is typed and pasted: pieces of text, keys and pastes.
fn input() -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let alphabet = b"ab\r\x10\x11\x1c\x1b[;125u~0".to_vec();
    let text = prop::collection::vec(prop::sample::select(alphabet), 0..20);
    let safe = text.prop_filter("no bracket inside", |text| {
        !text.windows(3).any(|w| w == b"\x1b[2")
            && !text.ends_with(b"\x1b")
            && !text.ends_with(b"\x1b[")
    });
    prop::collection::vec((any::<bool>(), safe), 0..6)
}

proptest! {
    #![proptest_config(crate::seeds::cases(2_000))]

    /// Of any mixture of keys and pastes, cut anywhere and with pauses anywhere: only typed keys
    /// detach, at the first sequence, and nothing is lost, changed, or told from where it was cut.
    #[test]
    fn only_what_is_typed_detaches(
        parts in input(),
        cuts in prop::collection::vec((1usize..9, 0usize..2), 1..12),
        wanted in any::<bool>(),
    ) {
        // The reference: typed parts through a matcher alone, pastes as they are.
        let mut keys = Matcher::new(&DEFAULT).unwrap();
        let (mut input, mut expected, mut detaches) = (Vec::new(), Vec::new(), false);
        for (pasted, text) in &parts {
            if *pasted {
                input.extend([&START[..], text, END].concat());
            } else {
                input.extend_from_slice(text);
            }
            if detaches {
                continue;
            }
            if *pasted {
                keys.flush(&mut expected);
                let piece = if wanted { [&START[..], text, END].concat() } else { text.clone() };
                expected.extend(piece);
            } else {
                detaches = keys.feed(text, &mut expected).0 == Fed::Detach;
            }
        }
        let without_pauses = cuts.iter().all(|(_, pauses)| *pauses == 0);
        let (mut pieces, mut rest, mut turn) = (Vec::new(), &input[..], 0);
        while !rest.is_empty() {
            let (size, pauses) = cuts[turn % cuts.len()];
            let (piece, tail) = rest.split_at(size.min(rest.len()));
            pieces.push((piece, pauses));
            (rest, turn) = (tail, turn + 1);
        }
        let mut keyboard = Keyboard::new(Matcher::new(&DEFAULT).unwrap());
        let (mut out, detached) = feed(&mut keyboard, &pieces, wanted);
        if without_pauses {
            prop_assert_eq!(detached.is_some(), detaches);
            if !detaches {
                for _ in 0..3 {
                    keyboard.expire(&mut out);
                }
                keys.flush(&mut expected);
            }
            prop_assert_eq!(out, expected);
        } else if !detaches {
            // A pause may pass the beginning of a bracket on; it never makes a key of a paste's byte.
            prop_assert_eq!(detached, None);
            prop_assert!(!keyboard.in_paste());
        }
    }
}
