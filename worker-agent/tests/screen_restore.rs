//! A restored screen equals the original, at every cut, and stays equal.

#[path = "../../tests/support/seeds.rs"]
mod seeds;
mod streams;

use proptest::prelude::*;
use streams::{RECORDINGS, Recording, SCROLLBACK, Size, screen_of, sequences};
use worker_agent::screen::{Screen, ScreenEvent, ScreenOptions};

/// Restores `original` into a fresh screen and compares everything.
fn restored(original: &mut Screen) -> Screen {
    restored_with(original, SCROLLBACK)
}

fn restored_with(original: &mut Screen, scrollback: usize) -> Screen {
    let before = original.text();
    let blob = original.restore();
    assert!(blob.starts_with(b"\x1bc"));
    let (cols, rows) = original.size();
    let mut fresh = Screen::new(cols, rows, ScreenOptions { scrollback });
    for event in fresh.process(&blob) {
        assert!(!matches!(event, ScreenEvent::Rebuilt(_)), "{event:?}");
    }
    assert_eq!(before, original.text(), "restoring changed the original");
    assert_same(original, &mut fresh, &blob);
    fresh
}

#[allow(clippy::panic)]
fn assert_same(original: &mut Screen, fresh: &mut Screen, blob: &[u8]) {
    let (expected, got) = (original.dump(), fresh.dump());
    if expected != got {
        let pairs = expected.lines().zip(got.lines()).filter(|(a, b)| a != b);
        let shown: Vec<String> = pairs
            .take(4)
            .map(|(a, b)| format!("- {a}\n+ {b}"))
            .collect();
        panic!(
            "{}\nblob {:?}",
            shown.join("\n"),
            String::from_utf8_lossy(blob)
        );
    }
}

fn cuts(recording: &Recording) -> Vec<usize> {
    let length = recording.bytes.len();
    // A step that is prime to most sequence lengths lands inside many of them.
    (0..=100).map(|number| number * length / 100).collect()
}

fn survives_every_cut(recording: &Recording) {
    for cut in cuts(recording) {
        let (head, tail) = recording.bytes.split_at(cut);
        let mut original = screen_of(recording.size);
        original.process(head);
        let mut fresh = restored(&mut original);
        original.process(tail);
        fresh.process(tail);
        assert_same(&mut original, &mut fresh, b"");
    }
}

#[test]
fn recordings_survive_a_cut_at_a_hundred_points() {
    for recording in RECORDINGS {
        survives_every_cut(recording);
    }
}

#[test]
fn recordings_survive_a_resize_and_a_cut() {
    for recording in RECORDINGS {
        for cut in cuts(recording).into_iter().step_by(10) {
            let (head, tail) = recording.bytes.split_at(cut);
            for size in [(33, 9), (2, 1), (140, 50)] {
                let mut original = screen_of(recording.size);
                original.process(head);
                original.resize(size.0, size.1);
                let mut fresh = restored(&mut original);
                original.process(tail);
                fresh.process(tail);
                assert_same(&mut original, &mut fresh, b"");
            }
        }
    }
}

#[test]
fn restoring_twice_writes_the_same() {
    for recording in RECORDINGS {
        let mut original = screen_of(recording.size);
        original.process(recording.bytes);
        let first = original.restore();
        assert_eq!(first, original.restore());
        assert_eq!(first, restored(&mut original).restore());
    }
}

#[test]
fn chunk_boundaries_do_not_matter() {
    for recording in RECORDINGS {
        let mut whole = screen_of(recording.size);
        whole.process(recording.bytes);
        let mut bytewise = screen_of(recording.size);
        for byte in recording.bytes {
            bytewise.process(std::slice::from_ref(byte));
        }
        assert_same(&mut whole, &mut bytewise, b"");
    }
}

#[test]
fn every_prefix_of_the_synthetic_stream_restores() {
    let stream = streams::SYNTHETIC;
    for cut in 0..=stream.len() {
        let (head, tail) = stream.as_bytes().split_at(cut);
        let mut original = screen_of((20, 6));
        original.process(head);
        let mut fresh = restored(&mut original);
        original.process(tail);
        fresh.process(tail);
        assert_same(&mut original, &mut fresh, b"");
    }
}

fn size() -> impl Strategy<Value = Size> {
    prop_oneof![3 => (1u16..12, 1u16..8), 1 => (1u16..300, 1u16..100)]
}

fn run(parts: &[(Vec<u8>, Option<Size>)], start: Size, scrollback: usize, rest: &[u8]) {
    let mut original = Screen::new(start.0, start.1, ScreenOptions { scrollback });
    for (bytes, resize) in parts {
        for event in original.process(bytes) {
            assert!(!matches!(event, ScreenEvent::Rebuilt(_)), "{event:?}");
        }
        if let Some((cols, rows)) = resize {
            original.resize(*cols, *rows);
        }
    }
    let mut fresh = restored_with(&mut original, scrollback);
    original.process(rest);
    fresh.process(rest);
    assert_same(&mut original, &mut fresh, b"");
}

proptest! {
    #![proptest_config(seeds::config())]

    // Without REP after the restore: what it repeats is lost if no cell is free.
    #[test]
    fn random_sequences_restore(
        parts in prop::collection::vec((sequences(true), prop::option::weighted(0.3, size())), 1..5),
        start in size(),
        scrollback in prop::sample::select(vec![0usize, 1, 7, 100]),
        rest in sequences(false),
    ) {
        run(&parts, start, scrollback, &rest);
    }

    #[test]
    fn random_bytes_restore(
        parts in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..300), prop::option::weighted(0.3, size())),
            1..4,
        ),
        start in size(),
        scrollback in prop::sample::select(vec![0usize, 1, 7, 100]),
        rest in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        run(&parts, start, scrollback, &rest);
    }
}

/// Links that a client would get, and their bytes.
fn links(screen: &mut Screen) -> (usize, usize) {
    let blob = screen.restore();
    let text = String::from_utf8_lossy(&blob).into_owned();
    let links: Vec<&str> = text
        .split("\x1b]8;")
        .skip(1)
        .filter_map(|link| link.split('\x1b').next())
        .filter(|link| link.len() > 10)
        .collect();
    (links.len(), links.iter().map(|link| link.len()).sum())
}

#[test]
fn links_are_kept_up_to_a_bound_and_again_once_old_ones_are_gone() {
    let options = ScreenOptions { scrollback: 5_000 };
    let mut screen = Screen::new(80, 24, options);
    screen.process(b"\x1b]8;;http://kept/\x1b\\x\x1b]8;;\x1b\\");
    assert_eq!(links(&mut screen).0, 1);
    let long = "l".repeat(3000);
    screen.process(format!("\x1b]8;;http://{long}/\x1b\\y\x1b]8;;\x1b\\").as_bytes());
    assert_eq!(links(&mut screen).0, 1, "longer than links are");
    for n in 0..30_000 {
        let link = format!("\x1b]8;;http://{n}/{}\x1b\\y", &long[..2000]);
        screen.process(link.as_bytes());
    }
    let (count, bytes) = links(&mut screen);
    assert!(
        count > 1000 && bytes < 10 << 20,
        "{count} links of {bytes} bytes"
    );
    // All that was goes out of the scrollback.
    screen.process(b"\x1b]8;;\x1b\\");
    screen.process(&b"line\r\n".repeat(6_000));
    for n in 0..4_000 {
        let link = format!("\x1b]8;;http://{n}/{}\x1b\\y\x1b]8;;\x1b\\", &long[..2000]);
        screen.process(link.as_bytes());
    }
    assert!(links(&mut screen).0 > 1000);
}
