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
    #![proptest_config(crate::seeds::config())]

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
            it.output(RecordedStream::Output, chunk, Instant::now());
            it.output(RecordedStream::Error, chunk, Instant::now());
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
        it.output(RecordedStream::Output, &[*byte], Instant::now());
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
        it.output(RecordedStream::Output, &[b'x'; 200], Instant::now());
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
    it.output(RecordedStream::Output, b"x", Instant::now());
    it.flush();
    assert!(it.gap.is_some() && !it.dirty());
    it.output(RecordedStream::Output, b"x", Instant::now());
    it.finish(Instant::now());
}

#[test]
fn once_the_disk_takes_it_again_the_recording_goes_on_and_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("log");
    let mut it = recorder(&folder);
    let began = Instant::now();
    it.output(RecordedStream::Output, b"lost", began);
    it.flush();
    it.output(RecordedStream::Output, b"lost too, \xc3", began);
    std::fs::create_dir(&folder).unwrap();
    it.output(RecordedStream::Output, b"\xa9 not yet", began);
    let file = folder.join("s_1.cast");
    assert!(!file.exists(), "tried too early");
    it.output(RecordedStream::Output, b"heard", began + 2 * RETRY);
    // The same file goes on after another failure of an open one.
    it.pause(&std::io::Error::other("broken"));
    it.output(RecordedStream::Output, b"unheard", began + RETRY / 2);
    it.output(RecordedStream::Output, b"again", began + 4 * RETRY);
    it.finish(began + 4 * RETRY);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("{\"env\":"), "{text}");
    // What was collected when it failed is missing, too.
    let said = |bytes: u32| text.contains(&format!("goes on: {bytes} bytes"));
    assert!(said(4 + 11 + 9) && said(5 + 7), "{text}");
    assert!(text.contains("recording stopped: broken"), "{text}");
    assert_eq!(replay(&text, ["o", "b"]), b"again", "{text}");
}

#[test]
fn what_could_not_be_moved_for_a_new_file_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut it = recorder(dir.path());
    it.rotate_at = 300;
    let began = Instant::now();
    it.output(RecordedStream::Output, &[b'a'; 200], began);
    it.flush();
    // Folders that are not empty stand where the files have to go.
    for number in 1..=KEEP {
        std::fs::create_dir_all(dir.path().join(format!("s_1.{number}.cast/in"))).unwrap();
    }
    it.output(RecordedStream::Output, &[b'b'; 200], began);
    it.flush();
    it.output(RecordedStream::Output, b"c", began + RETRY + RETRY);
    it.finish(began + RETRY + RETRY);
    let text = std::fs::read_to_string(dir.path().join("s_1.cast")).unwrap();
    let kept = replay(&text, ["o", "b"]);
    assert!(kept.starts_with(&[b'a'; 200]), "{text}");
    assert!(text.contains("recording stopped"), "{text}");
}

#[test]
fn names_cannot_leave_the_folder() {
    assert_eq!(file_name("../../x y"), "_._.._x_y.cast");
    assert_eq!(file_name("a.b-c_1"), "a.b-c_1.cast");
}
