//! All lines come, in either direction, in pieces; nothing but a regular file is opened.

use super::*;
use proptest::prelude::*;
use std::{io::Write, os::unix::fs::symlink};

const MAX: usize = 40;

#[derive(Debug, Clone, PartialEq)]
enum Owned {
    Whole(Vec<u8>),
    TooLong(u64),
}

fn owned(line: Line<'_>) -> Owned {
    match line {
        Line::Whole(bytes) => Owned::Whole(bytes.to_vec()),
        Line::TooLong(bytes) => Owned::TooLong(bytes),
    }
}

fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn forwards(bytes: &[u8], budget: u64) -> Vec<Owned> {
    let mut lines = Lines::new(file_of(bytes), 0, MAX);
    let mut found = Vec::new();
    loop {
        let reached = lines
            .forward(bytes.len() as u64, budget, |line| {
                found.push(owned(line));
                ControlFlow::Continue(())
            })
            .unwrap();
        if reached == Reached::End {
            return found;
        }
    }
}

fn backwards(bytes: &[u8]) -> Vec<(u64, Owned)> {
    let mut found = Vec::new();
    Lines::new(file_of(bytes), 0, MAX)
        .backward(bytes.len() as u64, 0, |at, line| {
            found.push((at, owned(line)));
            ControlFlow::Continue(())
        })
        .unwrap();
    found
}

fn expected(bytes: &[u8]) -> Vec<(u64, Owned)> {
    let mut at = 0;
    let mut found = Vec::new();
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        if line.ends_with(b"\n") {
            let whole = if line.len() > MAX {
                Owned::TooLong(line.len() as u64)
            } else {
                Owned::Whole(line.to_vec())
            };
            found.push((at, whole));
        }
        at += line.len() as u64;
    }
    found
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn all_lines_come_in_both_directions(
        lengths in prop::collection::vec(prop_oneof![0usize..60, Just(BLOCK - 1), Just(BLOCK), 2 * BLOCK..2 * BLOCK + 3], 0..12),
        ends in any::<bool>(),
        budget in 1u64..200_000,
    ) {
        let mut bytes: Vec<u8> = lengths.iter().flat_map(|n| [vec![b'x'; *n], vec![b'\n']].concat()).collect();
        if !ends {
            bytes.pop();
        }
        let wanted = expected(&bytes);
        let lines: Vec<Owned> = wanted.iter().map(|(_, line)| line.clone()).collect();
        prop_assert_eq!(forwards(&bytes, budget), lines);
        let mut found = backwards(&bytes);
        found.reverse();
        prop_assert_eq!(found, wanted);
    }
}

#[test]
fn a_line_far_over_the_bound_is_passed_over_without_being_kept() {
    let file = file_of(b"[1]\n");
    file.set_len(64 << 20).unwrap();
    file.write_all_at(b"\n[2]\n", (64 << 20) - 5).unwrap();
    let end = file.metadata().unwrap().len();
    let mut lines = Lines::new(file, 0, MAX);
    let mut found = Vec::new();
    while lines
        .forward(end, 4 << 20, |line| {
            found.push(owned(line));
            ControlFlow::Continue(())
        })
        .unwrap()
        == Reached::More
    {}
    let whole = |text: &str| Owned::Whole(text.as_bytes().to_vec());
    assert_eq!(
        found,
        [
            whole("[1]\n"),
            Owned::TooLong((64 << 20) - 8),
            whole("[2]\n")
        ]
    );
    let mut found = Vec::new();
    lines
        .backward(end, 0, |_, line| {
            found.push(owned(line));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(found.first(), Some(&whole("[2]\n")));
    assert_eq!(found.last(), Some(&whole("[1]\n")));
}

#[test]
fn links_pipes_and_devices_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("file"), "x").unwrap();
    symlink("file", at("link")).unwrap();
    symlink("/dev/zero", at("device")).unwrap();
    nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    assert!(matches!(
        open_regular(&at("file")).unwrap(),
        Opened::Regular(_)
    ));
    assert!(matches!(
        open_regular(&at("none")).unwrap(),
        Opened::Missing
    ));
    for name in ["link", "device", "pipe", "folder"] {
        let opened = open_regular(&at(name)).unwrap();
        assert!(matches!(opened, Opened::Other), "{name}: {opened:?}");
    }
    assert!(matches!(
        open_regular(Path::new("/dev/null")).unwrap(),
        Opened::Other
    ));
}
