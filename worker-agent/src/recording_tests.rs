//! What a recording must give back, and where it must stay.

use super::*;
use proptest::prelude::*;

fn recorder(folder: &Path) -> Recorder {
    Recorder::new(folder, "s/1", Size::default(), Instant::now(), 1)
}

/// The bytes that a recording's events give back.
fn replay(text: &str, codes: [&str; 2]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.lines().skip(1) {
        let (_, code, data): (f64, String, String) = serde_json::from_str(line).unwrap();
        if code == codes[0] {
            out.extend(data.bytes());
        } else if code == codes[1] {
            out.extend(STANDARD.decode(data).unwrap());
        }
    }
    out
}

proptest! {
    #[test]
    fn every_byte_comes_back(chunks in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40),
            "\\PC{0,9}".prop_map(String::into_bytes),
            "é😀".prop_map(|s| s.bytes().take(4).collect()),
        ], 0..20))
    {
        let dir = tempfile::tempdir().unwrap();
        let mut it = recorder(dir.path());
        for chunk in &chunks {
            it.output(Source::Output, chunk, Instant::now());
            it.output(Source::Error, chunk, Instant::now());
        }
        it.finish(Instant::now());
        let text = std::fs::read_to_string(dir.path().join("s_1.cast")).unwrap();
        prop_assert_eq!(replay(&text, ["o", "b"]), chunks.concat());
        prop_assert_eq!(replay(&text, ["e", "d"]), chunks.concat());
    }
}

#[test]
fn a_split_character_stays_text() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = recorder(dir.path());
    for byte in "é✳".as_bytes() {
        it.output(Source::Output, &[*byte], Instant::now());
    }
    it.resize(Size { cols: 90, rows: 30 }, Instant::now());
    it.finish(Instant::now());
    let text = std::fs::read_to_string(dir.path().join("s_1.cast")).unwrap();
    assert!(
        text.contains("\"o\",\"é\"") && text.contains("\"o\",\"✳\""),
        "{text}"
    );
    assert!(
        text.contains("\"r\",\"90x30\"") && !text.contains("\"b\""),
        "{text}"
    );
}

#[test]
fn rotation_keeps_four_and_every_file_has_a_header() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = recorder(dir.path());
    it.rotate_at = 1000;
    for _ in 0..60 {
        it.output(Source::Output, &[b'x'; 200], Instant::now());
        it.flush();
    }
    for name in [
        "s_1.cast",
        "s_1.1.cast",
        "s_1.2.cast",
        "s_1.3.cast",
        "s_1.4.cast",
    ] {
        let text = std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(text.starts_with("{") && text.len() <= 1000, "{name}");
    }
    assert!(!dir.path().join("s_1.5.cast").exists());
}

#[test]
fn a_failing_disk_stops_the_recording_only() {
    let mut it = recorder(Path::new("/dev/full/none"));
    it.output(Source::Output, b"x", Instant::now());
    it.flush();
    assert!(it.stopped() && !it.dirty());
    it.output(Source::Output, b"x", Instant::now());
    it.finish(Instant::now());
}

#[test]
fn names_cannot_leave_the_folder() {
    assert_eq!(file_name("../../x y"), "_._.._x_y.cast");
    assert_eq!(file_name("a.b-c_1"), "a.b-c_1.cast");
}
