//! Splits, modes, pastes.

use super::*;
use crossterm::event::{KeyCode, KeyModifiers};
use proptest::prelude::*;
use worker_agent::screen::Mouse;

fn input() -> InputDecoder {
    InputDecoder::new(Matcher::new(&["ctrl-q", "ctrl-p,ctrl-q", "ctrl-\\"]).unwrap())
}

fn program(modes: Modes) -> InputMode {
    InputMode::Program {
        area: Some(Rect::new(10, 5, 20, 10)),
        modes,
    }
}

fn key(c: char) -> Typed {
    Typed::Key(KeyEvent::from(KeyCode::Char(c)))
}

/// All events, with what a program gets joined.
fn all(input: &mut InputDecoder, mode: InputMode) -> Vec<Typed> {
    let mut events: Vec<Typed> = Vec::new();
    while let Some(event) = input.next(mode) {
        match (events.last_mut(), event) {
            (Some(Typed::Bytes(before)), Typed::Bytes(more)) => before.extend(more),
            (_, event) => events.push(event),
        }
    }
    events
}

fn pieces(bytes: &[u8], sizes: &[usize], mode: InputMode) -> Vec<Typed> {
    let (mut input, mut events, mut rest, mut turn) = (input(), Vec::new(), bytes, 0);
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(sizes[turn % sizes.len()].min(rest.len()));
        input.feed(piece);
        events.extend(all(&mut input, mode));
        (rest, turn) = (tail, turn + 1);
    }
    input.expire();
    events.extend(all(&mut input, mode));
    let mut joined: Vec<Typed> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Typed::Bytes(before)), Typed::Bytes(more)) => before.extend(more),
            (_, event) => joined.push(event),
        }
    }
    joined
}

#[test]
fn what_follows_a_key_is_read_in_the_mode_it_led_to() {
    let mut input = input();
    input.feed(b"jihello\x1b[A\x11kx");
    assert_eq!(input.next(InputMode::Keys), Some(key('j')));
    assert_eq!(input.next(InputMode::Keys), Some(key('i')));
    let typing = program(Modes::default());
    assert_eq!(
        input.next(typing),
        Some(Typed::Bytes(b"hello\x1b[A".to_vec()))
    );
    assert_eq!(input.next(typing), Some(Typed::Leave));
    assert_eq!(input.next(InputMode::Keys), Some(key('k')));
    assert_eq!(input.next(InputMode::Keys), Some(key('x')));
    assert_eq!(input.next(InputMode::Keys), None);
    assert_eq!(input.hold(), None);
}

#[test]
fn a_lone_escape_is_one_after_a_moment() {
    for (bytes, keys) in [
        (&b"\x1b"[..], vec![KeyEvent::from(KeyCode::Esc)]),
        (b"\x1b\x1b", vec![KeyEvent::from(KeyCode::Esc); 2]),
        (
            b"\x1b[",
            vec![KeyEvent::new(KeyCode::Char('['), KeyModifiers::ALT)],
        ),
        (
            b"\x1bP",
            vec![KeyEvent::new(
                KeyCode::Char('P'),
                KeyModifiers::ALT | KeyModifiers::SHIFT,
            )],
        ),
    ] {
        let mut input = input();
        input.feed(bytes);
        assert_eq!(input.next(InputMode::Keys), None, "{bytes:?}");
        assert!(input.hold().unwrap() <= ESCAPE * 2);
        input.expire();
        let keys: Vec<Typed> = keys.into_iter().map(Typed::Key).collect();
        assert_eq!(all(&mut input, InputMode::Keys), keys, "{bytes:?}");
    }
    let mut input = input();
    input.feed(b"\x1b");
    let typing = program(Modes::default());
    assert_eq!(input.next(typing), None);
    input.expire();
    assert_eq!(input.next(typing), Some(Typed::Bytes(b"\x1b".to_vec())));
    assert_eq!(input.hold(), None);
}

#[test]
fn all_the_keys_that_lead_back_do() {
    for leave in [
        &b"\x11"[..],
        b"\x10\x11",
        b"\x1c",
        b"\x1b[113;5u",
        b"\x1b[27;5;113~",
        b"\x1b[112;5u\x1b[113;5u",
        b"\x1b[112;5:1u\x1b[112;5:3u\x1b[113;5:1u",
    ] {
        let bytes = [b"ab", leave, b"cd"].concat();
        for size in 1..bytes.len() {
            let mut input = input();
            let mut events = Vec::new();
            for piece in bytes.chunks(size) {
                input.feed(piece);
                while !events.contains(&Typed::Leave) {
                    let Some(event) = input.next(program(Modes::default())) else {
                        break;
                    };
                    events.push(event);
                }
            }
            assert_eq!(events.pop(), Some(Typed::Leave), "{leave:?}");
            let typed: Vec<u8> = events
                .into_iter()
                .flat_map(|event| match event {
                    Typed::Bytes(bytes) => bytes,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(typed, b"ab");
            assert_eq!(all(&mut input, InputMode::Keys), [key('c'), key('d')]);
        }
    }
}

#[test]
fn keys_that_only_begin_to_lead_back_reach_the_program() {
    let mut input = input();
    input.feed(b"\x10");
    let typing = program(Modes::default());
    assert_eq!(input.next(typing), None);
    assert!(input.hold().unwrap() > ESCAPE);
    input.expire();
    assert_eq!(input.next(typing), Some(Typed::Bytes(b"\x10".to_vec())));
    // The program ends meanwhile: they are the dashboard's.
    input.feed(b"\x10");
    assert_eq!(input.next(typing), None);
    assert_eq!(
        input.next(InputMode::Keys),
        Some(Typed::Key(KeyEvent::new(
            KeyCode::Char('p'),
            KeyModifiers::CONTROL
        )))
    );
}

#[test]
fn pastes_are_whole_and_never_lead_back() {
    let bytes = "\x1b[200~one\rtwo\x11 é\x1b[201~x".as_bytes();
    let bracketed = Modes {
        bracketed_paste: true,
        ..Modes::default()
    };
    for size in 1..bytes.len() {
        assert_eq!(
            pieces(bytes, &[size], InputMode::Keys),
            [Typed::Paste("one\rtwo\x11 é".to_owned()), key('x')]
        );
        assert_eq!(
            pieces(bytes, &[size], program(bracketed)),
            [Typed::Bytes(bytes.to_vec())]
        );
        assert_eq!(
            pieces(bytes, &[size], program(Modes::default())),
            [Typed::Bytes("one\rtwo\x11 éx".as_bytes().to_vec())]
        );
    }
    // A program that ends in the middle of a paste: nobody gets the rest.
    let mut input = input();
    input.feed(b"\x1b[200~one");
    assert_eq!(
        input.next(program(Modes::default())),
        Some(Typed::Bytes(b"one".to_vec()))
    );
    input.feed(b"qqq\x1b[201~j");
    assert_eq!(all(&mut input, InputMode::Keys), [key('j')]);
}

#[test]
fn mouse_and_focus_go_to_whom_they_are_for() {
    let modes = Modes {
        mouse: Mouse::Drag,
        sgr_mouse: true,
        focus_events: true,
        ..Modes::default()
    };
    let bytes = b"a\x1b[<0;11;6M\x1b[<0;11;6m\x1b[I\x1b[<0;1;1M\x1b[<0;1;1mb";
    let events = pieces(bytes, &[4], program(modes));
    assert_eq!(
        events.first(),
        Some(&Typed::Bytes(b"a\x1b[<0;1;1M\x1b[<0;1;1m\x1b[I".to_vec()))
    );
    assert_eq!(events.get(1), Some(&Typed::Focus(true)));
    assert!(matches!(
        events.as_slice(),
        [_, _, Typed::Mouse(_), Typed::Mouse(_), Typed::Bytes(b)] if b == b"b"
    ));
    let events = pieces(b"\x1b[<0;11;6M\x1b[O", &[100], program(Modes::default()));
    assert!(matches!(
        events.as_slice(),
        [Typed::Mouse(_), Typed::Focus(false)]
    ));
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let unit = prop::sample::select(vec![
        "a",
        "J",
        "é",
        "漢",
        "🦀",
        "\r",
        "\x03",
        "\x1b[A",
        "\x1b[1;5C",
        "\x1bOP",
        "\x1bx",
        "\x1b[15~",
        "\x1b[97;5u",
        "\x1b[<0;12;7M",
        "\x1b[<35;1;1M",
        "\x1b[I",
        "\x1b[O",
        "\x1b[?62c",
        "\x1b]11;rgb:1/2/3\x07",
        "\x1b\x1b[A",
        "\x1b[200~pas\x1bte\x1b[201~",
        "\x10",
        "\x1b[[B",
        "\x1b",
        "\x1b[",
        "[",
        "O",
        ";",
        "\x1b[M",
        "~",
    ])
    .prop_map(|unit| unit.as_bytes().to_vec());
    let any = prop::collection::vec(0u8.., 0..3);
    prop::collection::vec(prop_oneof![12 => unit, 1 => any], 0..25).prop_map(|units| units.concat())
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn how_the_bytes_come_makes_no_difference(
        bytes in streams(),
        sizes in prop::collection::vec(1usize..9, 1..6),
        modes in prop::sample::select(vec![0, 1, 2]),
    ) {
        let mode = match modes {
            0 => InputMode::Keys,
            1 => program(Modes::default()),
            _ => program(Modes {
                bracketed_paste: true,
                mouse: Mouse::Motion,
                sgr_mouse: true,
                focus_events: true,
                ..Modes::default()
            }),
        };
        let whole = pieces(&bytes, &[usize::MAX], mode);
        prop_assert_eq!(&pieces(&bytes, &sizes, mode), &whole);
    }

    #[test]
    fn a_program_gets_every_byte_that_is_not_for_the_dashboard(bytes in streams()) {
        let own = |b: &[u8]| b.windows(3).any(|w| matches!(w, b"\x1b[<" | b"\x1b[I" | b"\x1b[O" | b"\x1b[2"));
        prop_assume!(!own(&bytes) && !bytes.iter().any(|b| matches!(b, 0x11 | 0x1c)));
        prop_assume!(!bytes.ends_with(b"\x1b"));
        let events = pieces(&bytes, &[3], program(Modes::default()));
        let expected = if bytes.is_empty() { vec![] } else { vec![Typed::Bytes(bytes)] };
        prop_assert_eq!(events, expected);
    }
}
