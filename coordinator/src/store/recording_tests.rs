//! What comes back of recordings, and what a hostile one costs.

use super::*;
use std::{fs, io::Write, os::unix::fs::symlink, time::Instant};

const HEAD: &str = "{\"version\":2,\"timestamp\":1000}\n";

struct Log(tempfile::TempDir);

impl Log {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, rotation: u32) -> PathBuf {
        playback::path(self.0.path(), "s", rotation)
    }

    fn write(&self, rotation: u32, outputs: &[&str]) {
        let mut file = fs::File::create(self.path(rotation)).unwrap();
        file.write_all(HEAD.as_bytes()).unwrap();
        append(&mut file, outputs);
    }

    fn open(&self, query: RecordingQuery) -> Recording {
        Recording::open(self.0.path(), "s", query).unwrap()
    }

    fn read(&self, query: RecordingQuery) -> String {
        rest(&mut self.open(query))
    }
}

fn append(file: &mut fs::File, outputs: &[&str]) {
    for (at, text) in outputs.iter().enumerate() {
        let event = serde_json::to_string(&(at as f64, "o", text)).unwrap();
        writeln!(file, "{event}").unwrap();
    }
}

fn rest(recording: &mut Recording) -> String {
    let mut all = Vec::new();
    loop {
        let piece = recording.read().unwrap();
        assert!(piece.bytes.len() <= PIECE + MAX_LINE, "a bounded piece");
        all.extend(piece.bytes);
        if piece.end {
            return String::from_utf8(all).unwrap();
        }
    }
}

fn tail(lines: u64) -> RecordingQuery {
    RecordingQuery {
        tail: Some(lines),
        ..RecordingQuery::default()
    }
}

const FOLLOW: RecordingQuery = RecordingQuery {
    tail: None,
    since: None,
    follow: true,
};

#[test]
fn the_last_lines_are_those_of_the_output_over_all_files() {
    let log = Log::new();
    log.write(1, &["one\ntwo\nth", "ree\n"]);
    log.write(0, &["four\nfi", "ve\nsix"]);
    let all = "one\ntwo\nthree\nfour\nfive\nsix";
    assert_eq!(log.read(RecordingQuery::default()), all);
    for (lines, expected) in [
        (0, ""),
        (1, "six"),
        (2, "five\nsix"),
        (3, "four\nfive\nsix"),
        (4, "three\nfour\nfive\nsix"),
        (5, "two\nthree\nfour\nfive\nsix"),
        (6, all),
        (7, all),
        (u64::MAX, all),
    ] {
        assert_eq!(log.read(tail(lines)), expected, "{lines}");
    }
    log.write(0, &["four\n", "five\n"]);
    assert_eq!(log.read(tail(1)), "five\n");
    assert_eq!(log.read(tail(2)), "four\nfive\n");
    let since = RecordingQuery {
        since: Some(1001.0),
        ..RecordingQuery::default()
    };
    assert_eq!(log.read(since), "ree\nfive\n");
}

#[test]
fn what_is_followed_comes_once_through_rotations_and_cuts() {
    let log = Log::new();
    log.write(0, &["a"]);
    let mut recording = log.open(FOLLOW);
    assert_eq!(rest(&mut recording), "a");
    assert_eq!(
        recording.read().unwrap(),
        Piece {
            bytes: Vec::new(),
            end: true
        }
    );
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(log.path(0))
        .unwrap();
    append(&mut file, &["b"]);
    let whole = file.metadata().unwrap().len();
    file.write_all(b"[3.0,\"o\",\"torn").unwrap();
    assert_eq!(rest(&mut recording), "b");
    file.set_len(whole).unwrap();
    append(&mut file, &["c"]);
    assert_eq!(rest(&mut recording), "c");
    // Written before and after two rotations, none of them seen.
    append(&mut file, &["d"]);
    fs::rename(log.path(0), log.path(1)).unwrap();
    log.write(0, &["e"]);
    fs::rename(log.path(1), log.path(2)).unwrap();
    fs::rename(log.path(0), log.path(1)).unwrap();
    log.write(0, &["f"]);
    assert_eq!(rest(&mut recording), "def");
    assert_eq!(rest(&mut recording), "");
    let mut nothing_yet = Recording::open(log.0.path(), "t", FOLLOW).unwrap();
    assert_eq!(rest(&mut nothing_yet), "");
}

#[test]
fn from_the_end_on_only_what_comes_is_followed() {
    let log = Log::new();
    log.write(0, &["before\n"]);
    let mut recording = log.open(RecordingQuery {
        follow: true,
        ..tail(0)
    });
    assert_eq!(rest(&mut recording), "");
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(log.path(0))
        .unwrap();
    append(&mut file, &["after\n"]);
    assert_eq!(rest(&mut recording), "after\n");
}

#[test]
fn a_hostile_recording_costs_a_bounded_amount() {
    let log = Log::new();
    log.write(1, &["good\n"]);
    // Three gigabytes without a newline.
    let file = fs::File::create(log.path(0)).unwrap();
    file.set_len(3 << 30).unwrap();
    let began = Instant::now();
    for query in [RecordingQuery::default(), FOLLOW, tail(10)] {
        let found = log.read(query);
        assert!(found.contains("good\n"), "{found}");
        assert!(found.contains("bytes are left out"), "{found}");
        assert!(found.len() < 1000);
    }
    // Many files' worth of lines over the bound.
    let long = format!("[1.0,\"o\",\"{}\"]\n", "x".repeat(MAX_LINE));
    fs::write(log.path(0), long.repeat(20)).unwrap();
    let found = log.read(RecordingQuery::default());
    assert_eq!(found.matches("is left out").count(), 20, "{found}");
    // Reading a sparse file of this size whole would take minutes here.
    file.set_len(1 << 43).unwrap();
    fs::rename(log.path(0), log.path(2)).unwrap();
    assert!(began.elapsed().as_secs() < 60);
}

#[test]
fn what_is_no_file_is_said_and_not_read() {
    let log = Log::new();
    log.write(2, &["good\n"]);
    symlink("/etc/passwd", log.path(0)).unwrap();
    nix::unistd::mkfifo(&log.path(1), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for query in [RecordingQuery::default(), FOLLOW] {
        let mut recording = log.open(query);
        let found = rest(&mut recording);
        assert_eq!(rest(&mut recording), "", "said once");
        assert!(found.contains("s.cast is not a regular file"), "{found}");
        assert!(found.contains("s.1.cast is not a regular file"), "{found}");
        assert!(
            found.ends_with("good\n") && !found.contains("root"),
            "{found}"
        );
    }
}
