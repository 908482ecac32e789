//! No part of a value comes through, however it is cut, and nothing else changes.

use super::*;
use proptest::prelude::*;

fn known(values: &[&str]) -> SecretMatcher {
    SecretMatcher::from_texts(values.iter().copied())
}

fn through(known: &SecretMatcher, chunks: &[&[u8]]) -> Vec<u8> {
    let mut stream = Redactor::new(known.clone());
    let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| stream.push(chunk)).collect();
    out.extend(stream.finish());
    out
}

fn text(known: &SecretMatcher, chunks: &[&str]) -> String {
    let chunks: Vec<&[u8]> = chunks.iter().map(|c| c.as_bytes()).collect();
    String::from_utf8(through(known, &chunks)).unwrap()
}

#[test]
fn a_value_is_found_wherever_it_is_cut() {
    let value = "sk-sk-0123456789";
    let known = known(&[value]);
    for at in 0..=value.len() {
        let (one, two) = value.split_at(at);
        assert_eq!(
            text(&known, &["a ", one, two, " b sk-s"]),
            "a [secret] b sk-s",
            "cut at {at}"
        );
    }
    let bytes: Vec<String> = value.chars().map(String::from).collect();
    let bytes: Vec<&str> = bytes.iter().map(String::as_str).collect();
    assert_eq!(text(&known, &bytes), "[secret]");
    assert_eq!(text(&known, &["sk-sk-sk-0123456789"]), "sk-[secret]");
}

#[test]
fn a_longer_value_leaves_no_rest_of_itself_behind_a_shorter_one() {
    let known = known(&["abcdefgh", "abcdefghijkl", "efghijklmnop"]);
    assert_eq!(text(&known, &["abcdefgh", "ijkl."]), "[secret].");
    assert_eq!(text(&known, &["abcdefgh", "ijklmnop."]), "[secret].");
    assert_eq!(text(&known, &["abcdefgh", "x"]), "[secret]x");
}

#[test]
fn most_of_a_value_at_the_end_is_not_given_either() {
    let known = known(&["0123456789abcdef"]);
    assert_eq!(text(&known, &["x 0123456789"]), "x [secret]");
    assert_eq!(text(&known, &["x 0123456"]), "x 0123456");
    assert_eq!(known.redact("title 0123456789abc"), "title [secret]");
}

#[test]
fn other_forms_of_a_value_are_known() {
    let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nzzzzyyyyxxxxwwww\n-----END KEY-----\n";
    let known = known(&[pem, "correct \"horse\" battery"]);
    let terminal = pem.replace('\n', "\r\n");
    assert_eq!(text(&known, &[&terminal]), "[secret]\r\n");
    assert_eq!(
        text(
            &known,
            &["head: MIIEvQIBADANBgkqhkiG9w0\r\n-----BEGIN KEY----- x"]
        ),
        "head: [secret]\r\n-----BEGIN KEY----- x"
    );
    let json = serde_json::to_string("correct \"horse\" battery").unwrap();
    assert_eq!(text(&known, &[&json]), "\"[secret]\"");
    for around in ["", "u:", "us:", "use:"] {
        let encoded = STANDARD_NO_PAD.encode(format!("{around}correct \"horse\" battery\n"));
        let got = text(&known, &[&encoded]);
        assert!(got.contains("[secret]"), "{around:?}: {got}");
        assert!(got.len() <= "[secret]".len() + 8, "{around:?}: {got}");
    }
}

#[test]
fn short_values_are_left_alone_and_endless_overlaps_end() {
    assert!(known(&["1234567"]).is_empty());
    let known = known(&[&"a".repeat(16)]);
    let mut stream = Redactor::new(known.clone());
    let mut out = Vec::new();
    for _ in 0..1000 {
        out.extend(stream.push(&[b'a'; 100]));
        assert!(stream.held.len() <= MAX_HELD * known.0.as_ref().unwrap().longest + 100);
    }
    out.extend(stream.finish());
    assert!(!String::from_utf8(out).unwrap().contains(&"a".repeat(16)));
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn nothing_of_a_value_comes_through(
        value in "[ab]{8,12}",
        pieces in prop::collection::vec("[abc]{0,9}", 0..12),
        at in 0..12_usize,
    ) {
        let known = known(&[&value]);
        let mut pieces = pieces;
        pieces.insert(at.min(pieces.len()), value.clone());
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let out = text(&known, &pieces);
        prop_assert!(!out.contains(&value), "{out}");
        prop_assert!(out.contains("[secret]"));
        // However it is cut, and the same as all at once.
        prop_assert_eq!(out.replace("[secret]", ""), text(&known, &[&pieces.concat()]).replace("[secret]", ""));
    }

    #[test]
    fn what_has_no_value_in_it_is_not_changed(
        chunks in prop::collection::vec(prop::collection::vec(0_u8..200, 0..50), 0..9),
    ) {
        let known = known(&["\u{10ffff}\u{10ffff}\u{10ffff}"]);
        let borrowed: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(through(&known, &borrowed), chunks.concat());
    }
}

/// Where values are, found the simple way.
fn plainly(values: &[String], bytes: &[u8]) -> Vec<u8> {
    let mut hidden = vec![false; bytes.len() + 1];
    let mut joined = vec![false; bytes.len() + 1];
    for value in values {
        for at in 0..bytes.len() {
            if bytes[at..].starts_with(value.as_bytes()) {
                hidden[at..at + value.len()].fill(true);
                joined[at + 1..at + value.len()].fill(true);
            }
        }
    }
    let mut out = Vec::new();
    for (at, byte) in bytes.iter().enumerate() {
        match (hidden[at], joined[at]) {
            (false, _) => out.push(*byte),
            (true, false) => out.extend_from_slice(REDACTED.as_bytes()),
            (true, true) => {}
        }
    }
    out
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn many_values_that_overlap_are_found_as_by_looking_for_each(
        values in prop::collection::vec("[ab]{8,10}", 1..40),
        // Shorter than what is held at most, and not ending like a value.
        stream in "[ab]{0,28}",
        chunk in 1..9_usize,
    ) {
        let borrowed: Vec<&str> = values.iter().map(String::as_str).collect();
        let known = known(&borrowed);
        let stream = format!("{stream}.");
        let chunks: Vec<&[u8]> = stream.as_bytes().chunks(chunk).collect();
        let out = through(&known, &chunks);
        prop_assert_eq!(out, plainly(&values, stream.as_bytes()));
    }
}

#[test]
fn thousands_of_lines_cost_no_more_than_one() {
    // 64 KiB in lines of 16: 4,096 forms. Old code looked for each of them in each piece.
    let lines: String = (0..3855).map(|n| format!("{n:016x}\n")).collect();
    let known = known(&[&lines]);
    assert!(known.0.as_ref().unwrap().forms > 3000);
    let mut stream = Redactor::new(known.clone());
    let mut given = 0;
    for n in 0..20_000_u64 {
        // The beginning of a line in each piece.
        let piece = format!("{:010x}yes ", n % 4000);
        given += stream.push(piece.as_bytes()).len();
        assert!(stream.held.len() < 20);
    }
    given += stream.finish().len();
    assert_eq!(given, 20_000 * 14);
}

#[test]
fn without_values_nothing_waits() {
    let mut redactor = Redactor::default();
    assert_eq!(redactor.push(b"abc"), b"abc");
    assert!(redactor.finish().is_empty());
}
