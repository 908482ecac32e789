//! Streams the screen tests feed: recordings of real programs and made-up ones.
#![allow(dead_code)]

use proptest::prelude::*;
use worker_agent::screen::{Screen, ScreenOptions};

/// Columns and rows.
pub type Size = (u16, u16);

/// What a program wrote, and the size it wrote it for.
pub struct Recording {
    pub name: &'static str,
    pub size: Size,
    pub bytes: &'static [u8],
}

macro_rules! recordings {
    ($($name:literal $cols:literal $rows:literal),* $(,)?) => {
        &[$(Recording {
            name: $name,
            size: ($cols, $rows),
            bytes: include_bytes!(concat!("../data/", $name, ".bin")),
        }),*]
    };
}

pub const RECORDINGS: &[Recording] = recordings![
    "vim_80x24" 80 24,
    "vim_120x40" 120 40,
    "less_60x15" 60 15,
    "man_80x24" 80 24,
    "gitlog_70x20" 70 20,
    "top_80x24" 80 24,
    "htop_100x30" 100 30,
    "bash_50x12" 50 12,
    "claude_100x30" 100 30,
    "codex_100x30" 100 30,
    "unicode_40x10" 40 10,
    "modes_30x8" 30 8,
];

/// Touches most of what a restore must carry over.
pub const SYNTHETIC: &str = concat!(
    "\x1b]2;first\x07\x1b[22;2t\x1b]0;titre é\x1b\\plain \x1b[1;3;4:3;58:2::1:2:3;38;5;200mfancy\x1b[0m\r\n",
    "a long line that wraps over the edge 漢字漢字漢字漢字 e\u{301}\u{302} 👩\u{200d}👧\r\n",
    "\x1b[48;2;9;8;7mbg\x1b[K\x1b[0m\r\n\x1b[?1h\x1b=\x1b[?2004h\x1b[?1002;1006h\x1b[?1004h",
    "\x1b)0\x0elqqk\x0f\r\n\x1b[3g\x1b[5G\x1bH\x1b[11G\x1bH\r\tT\tU\r\n\x1b7\x1b[31;7mX\x1b[5@",
    "\x1b]8;id=a;http://example.com/x\x1b\\link\x1b]8;;\x1b\\ \x1b[5 q\x1b[>1u\x1b[>5u\x1b[=9;1u",
    "\x1b[2;4r\x1b[?6h\x1b[2;2Hin\x1b[4hS\x1b[4l\x1b[?7l0123456789012345678901234\x1b[?7h\x1b[?6l\x1b[r",
    "\x1b[6;1H01234567890123456789\x1b[?1049h\x1b[>3u\x1b[44m\x1b[2Jalt\x1b[3;19H漢\x1b7\x1b[H\x1b[?25l",
    "\x1b[10b\x1b]4;1;rgb:10/20/30\x1b\\\x1b]11;#123456\x07\x1b[?2026hheld?\x1b[?2026l\x1bP$qm\x1b\\",
    "\x1b[?1049l\x1b[?25hZ\x1b[3b\x1b[2;1H\x1bM\x1bM\x1b[L\x1b[2P\x1b[1;1H\x1b[0J\u{1b}[9mé\x1b[1X\x1b(0\x1b7q",
);

/// Little, so that its edge is reached.
pub const SCROLLBACK: usize = 100;

/// A screen with [`SCROLLBACK`] lines of history.
pub fn screen_of((cols, rows): Size) -> Screen {
    Screen::new(
        cols,
        rows,
        ScreenOptions {
            scrollback: SCROLLBACK,
        },
    )
}

/// Random streams made of text and whole sequences, with or without REP.
pub fn sequences(repeats: bool) -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![4 => 0u16..15, 1 => Just(65535u16), 1 => 0u16..120];
    let finals = b"@ABCDEFGHIJKLMPSTXZ`adefghlmrsu"
        .iter()
        .copied()
        .chain(repeats.then_some(b'b'));
    let csi = (
        prop::collection::vec(number, 0..3),
        prop::sample::select(finals.collect::<Vec<u8>>()),
    )
        .prop_map(|(numbers, last)| {
            let numbers: Vec<String> = numbers.iter().map(u16::to_string).collect();
            // A repeat of 65,535 is right but slow in a debug build.
            let numbers = if last == b'b' {
                "3".to_owned()
            } else {
                numbers.join(";")
            };
            format!("\x1b[{numbers}{}", char::from(last))
        });
    let mode = (
        prop::sample::select(vec![
            1u16, 3, 5, 6, 7, 12, 25, 47, 1000, 1002, 1003, 1004, 1005, 1006, 1007, 1042, 1048,
            1049, 2004, 2026, 2031,
        ]),
        any::<bool>(),
    )
        .prop_map(|(mode, on)| format!("\x1b[?{mode}{}", if on { 'h' } else { 'l' }));
    let sgr = prop::sample::select(vec![
        "0",
        "1",
        "2",
        "3",
        "4",
        "4:2",
        "4:3",
        "4:4",
        "4:5",
        "5",
        "7",
        "8",
        "9",
        "21",
        "22",
        "23",
        "24",
        "25",
        "27",
        "28",
        "29",
        "31",
        "42",
        "95",
        "106",
        "38;5;99",
        "48;2;1;2;3",
        "58:5:3",
        "58;2;4;5;6",
        "59",
        "39",
        "49",
        "38;5;1",
    ])
    .prop_map(|code| format!("\x1b[{code}m"));
    let text = prop::sample::select(vec![
        "a",
        "hello",
        "漢",
        "字漢字",
        "e\u{301}",
        "\u{302}",
        "🦀",
        "👩\u{200d}👧",
        "\t",
        "\r",
        "\n",
        "\r\n",
        "\x08",
        "\x0e",
        "\x0f",
        "qx",
        "long text that wraps around",
        " ",
        "\u{a0}",
        "é",
    ])
    .prop_map(str::to_owned);
    let other = prop::sample::select(vec![
        "\x1b7",
        "\x1b8",
        "\x1bD",
        "\x1bE",
        "\x1bM",
        "\x1bH",
        "\x1bc",
        "\x1b#8",
        "\x1b(0",
        "\x1b(B",
        "\x1b)0",
        "\x1b=",
        "\x1b>",
        "\x1b[4h",
        "\x1b[4l",
        "\x1b[20h",
        "\x1b[3 q",
        "\x1b[0 q",
        "\x1b]2;ti\x07",
        "\x1b[22t",
        "\x1b[23t",
        "\x1b]8;;http://a/\x1b\\",
        "\x1b]8;id=q;x:y\x07",
        "\x1b]8;;\x07",
        "\x1b]4;3;rgb:1/2/3\x07",
        "\x1b]104\x07",
        "\x1b]10;#fff\x07",
        "\x1b]110\x07",
        "\x1b[>1u",
        "\x1b[>7u",
        "\x1b[<1u",
        "\x1b[=3;2u",
        "\x1b[>4;2m",
        "\x1b[?5W",
        "\x1bP1$qm\x1b\\",
        "\x1b_G1\x1b\\",
        "\x1b]50;CursorShape=1\x07",
        "\x1b[",
        "\x1b]2;half",
        "\x1b[3\n1m",
        "\u{ff}",
    ])
    .prop_map(str::to_owned);
    let item = prop_oneof![5 => text, 5 => csi, 2 => mode, 2 => sgr, 2 => other];
    prop::collection::vec(item, 0..40).prop_map(|items| items.concat().into_bytes())
}
