//! The output filter, the reset sequence and log escaping.

#[path = "../../tests/support/seeds.rs"]
mod seeds;

use std::borrow::Cow;

use proptest::prelude::*;
use worker_agent::hygiene::{OutputFilter, escape_for_log, reset_sequence};

fn filtered(bytes: &[u8], allow: bool) -> Vec<u8> {
    let mut out = Vec::new();
    OutputFilter::new(allow).filter(bytes, &mut out);
    out
}

#[track_caller]
fn becomes(input: &str, expected: &str) {
    let out = filtered(input.as_bytes(), false);
    assert_eq!(String::from_utf8_lossy(&out), expected, "from {input:?}");
}

#[track_caller]
fn passes(input: &str) {
    becomes(input, input);
}

#[test]
fn ordinary_output_passes_unchanged() {
    passes("plain 漢字 größe ° £ \r\n\x07\x08\t");
    passes("\x1b[1;31mred\x1b[0m\x1b[2J\x1b[10;20H\x1b[?1049h\x1b[>4;2m\x1b[22;0;0t\x1b[18t");
    passes("\x1b]0;title\x07\x1b]2;title\x1b\\\x1b]8;;http://example.com\x1b\\x\x1b]8;;\x07");
    passes("\x1b]11;?\x07\x1b[c\x1b[6n\x1bP+q544e\x1b\\\x1b_Gi=1;AAAA\x1b\\\x1b(0\x1b7\x1b8");
    passes("\x1b]520;x\x07\x1b]5;2\x07\x1bPq#0sixel\x1b\\\x1b[>21t");
}

#[test]
fn clipboard_queries_are_removed() {
    becomes("a\x1b]52;c;?\x07b", "ab");
    becomes("a\x1b]52;c;?\x1b\\b", "ab");
    becomes("a\x1b]052;;?\x1b\\b", "ab");
    becomes("a\x1b]5\x002;c;?\x07b", "ab");
    becomes("a\u{9d}52;c;?\u{9c}b", "ab");
    becomes("a\x1b]52;c;?\x1b[1mb", "a\x1b[1mb");
    becomes("a\x1b]5522;type=read\x1b\\b", "ab");
    assert_eq!(filtered(b"a\x1b]52;c;?\x07b", true), b"ab");
    assert_eq!(filtered(b"a\x1b]52;c;\x00?\x07b", true), b"ab");
}

#[test]
fn clipboard_writes_pass_only_when_allowed_and_small() {
    let write = b"a\x1b]52;c;aGVsbG8=\x1b\\b";
    assert_eq!(filtered(write, true), write);
    assert_eq!(filtered(write, false), b"ab");
    let huge = [
        b"a\x1b]52;c;".to_vec(),
        vec![b'A'; 200_000],
        b"\x07b".to_vec(),
    ]
    .concat();
    assert_eq!(filtered(&huge, true), b"ab");
}

#[test]
fn other_ways_to_the_clipboard_and_the_desktop_are_removed() {
    becomes("a\x1b]1337;Copy=:aGk=\x07b", "ab");
    becomes(
        "a\x1b]1337;CopyToClipboard=general\x1b\\b\x1b]1337;EndCopy\x07c",
        "abc",
    );
    becomes("a\x1b]1337;co\x00PY=:aGk=\x07b", "ab");
    becomes("a\u{9d}1337;ReportVariable=eA==\u{9c}b", "ab");
    becomes(
        "a\x1b]1337;StealFocus\x07b\x1b]1337;StealFocus\x1b\\c",
        "abc",
    );
    becomes("a\x1b]50;?\x07b", "ab");
    becomes("a\x1bP@kitty-cmd{}\x1b\\b", "ab");
    passes("a\x1b]1337;SetMark\x07b\x1b]1337;CurrentDir=/x\x1b\\c\x1b]1337;SetMark\x1b\\");
    passes("a\x1b]1337;File=inline=1:AAAA\x07b");
}

#[test]
fn reports_of_chosen_text_are_removed() {
    becomes("a\x1b[21tb", "ab");
    becomes("a\x1b[20tb", "ab");
    becomes("a\x1b[0021;0tb", "ab");
    becomes("a\x1b[2\n1tb", "a\nb");
    becomes("a\u{9b}21tb", "ab");
    becomes("a\x1bP$qm\x1b\\b", "ab");
    becomes("a\x1bP0$qm\x1b\\b", "ab");
    becomes("a\u{90}$qm\u{9c}b", "ab");
    becomes(
        "a\x05b\x1b[\x051mc\x1b]0;t\x05i\x07",
        "ab\x1b[1mc\x1b]0;ti\x07",
    );
}

#[test]
fn a_removed_sequence_inside_another_is_removed_too() {
    becomes(
        "\x1bPtmux;\x1b\x1b]52;c;?\x07\x1b\\",
        "\x1bPtmux;\x1b\\\x1b\\",
    );
    becomes("\x1b]0;a\x1b[21tb", "\x1b]0;a\x1b\\b");
    becomes("\x1b\x1b[21t[21t", "[21t");
    becomes("a\x1b[2\n\x1b[21t1t", "a\n1t");
    assert_eq!(filtered(b"\xc2\x1b[21t\x9b21t", false), b"\x9b21t");
    assert_eq!(filtered(b"\xc2\x05\x9b21t", false), b"\x9b21t");
}

#[test]
fn overlong_sequences_do_not_pass() {
    let long = format!("a\x1b[{}21tb", "0".repeat(10_000));
    becomes(&long, "ab");
    let long = format!("a\x1b]{}52;c;?\x07b", "0".repeat(10_000));
    becomes(&long, "ab");
}

#[test]
fn the_reset_leaves_nothing_on() {
    use worker_agent::screen::{Modes, Screen, ScreenOptions};
    let mut screen = Screen::new(20, 5, ScreenOptions::default());
    let mut fresh = Screen::new(20, 5, ScreenOptions::default());
    screen.process(b"here\x1b[?1049h\x1b[?1h\x1b=\x1b[?1003;1006;1004;2004;5h\x1b[>1u\x1b[2;3r");
    screen.process(b"\x1b[?25l\x1b[4 q\x1b[31m\x1b[4h\x1b[?7l\x0e\x1b)0\x1b[>4;2m\x1b]0;cut");
    screen.process(reset_sequence());
    fresh.process(b"here");
    assert_eq!(screen.modes(), Modes::default());
    assert_eq!(screen.cursor(), Some((0, 4)));
    screen.process(b"!");
    fresh.process(b"!");
    assert_eq!(screen.text(), fresh.text());
    assert_eq!(reset_sequence(), filtered(reset_sequence(), false));
}

#[test]
fn logs_show_controls_instead_of_obeying_them() {
    assert!(matches!(
        escape_for_log("plain\ttext\n漢字"),
        Cow::Borrowed(_)
    ));
    assert_eq!(
        escape_for_log("a\x1b[2Jb\r\x07\u{7f}"),
        "a\\x1b[2Jb\\x0d\\x07\\x7f"
    );
    assert_eq!(
        escape_for_log("\u{9b}31m\u{202e}x\u{2066}"),
        "\\x9b31m\\u{202e}x\\u{2066}"
    );
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::sample::select(vec![
        "a",
        "é",
        "\u{c2}",
        "°",
        "\x1b",
        "[",
        "]",
        "P",
        "21t",
        "2",
        "1",
        "t",
        "52;",
        "c;",
        "?",
        "QUJD",
        "\x07",
        "\x1b\\",
        "\\",
        "\u{9b}",
        "\u{9c}",
        "\u{9d}",
        "\u{90}",
        "$q",
        "q",
        "\x05",
        "\x18",
        "\n",
        ";",
        "\x1b[21t",
        "\x1b]52;c;?\x07",
        "\x1b]52;c;QUI=\x1b\\",
        "\x1bP$qm\x1b\\",
        "\x1b]0;x\x07",
        "_",
        "5522;",
    ]);
    let piece = prop_oneof![
        9 => pieces.prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..3),
        1 => Just(vec![b'0'; 300]),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(seeds::config())]

    #[test]
    fn any_chunking_gives_the_same(
        bytes in streams(),
        allow in any::<bool>(),
        sizes in prop::collection::vec(1usize..7, 1..10),
    ) {
        let whole = filtered(&bytes, allow);
        let mut filter = OutputFilter::new(allow);
        let mut out = Vec::new();
        let mut rest = &bytes[..];
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, more) = rest.split_at(rest.len().min(*size));
            filter.filter(chunk, &mut out);
            rest = more;
        }
        prop_assert_eq!(&out, &whole);
        // What passed once passes again: removing never joins what was apart.
        let ended = [&whole[..], b"\x18"].concat();
        prop_assert_eq!(filtered(&ended, allow), ended);
    }
}
