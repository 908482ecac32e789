//! Recorded output as lines of text: of a progress bar one line is left. Never lets a colour or an
//! escape sequence into a line.

use crate::dashboard::{app::message::LogLines, pages::logs::page::Page};
use alacritty_terminal::vte::Parser;

/// Puts lines together from bytes.
#[derive(Default)]
pub struct Assembler {
    parser: Parser,
    page: Page,
    /// The beginning of a character whose rest has not come.
    held: Vec<u8>,
}

impl std::fmt::Debug for Assembler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Assembler").finish_non_exhaustive()
    }
}

impl Assembler {
    /// Reads the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        // The parser loses what follows a character that comes in two pieces.
        self.held.extend_from_slice(bytes);
        let rest = self.held.len() - unfinished(&self.held);
        let rest = self.held.split_off(rest);
        self.parser.advance(&mut self.page, &self.held);
        self.held = rest;
    }

    /// What changed since the last call; nothing when nothing did. With `fresh` all of it replaces
    /// whatever was known before.
    pub fn drain(&mut self, fresh: bool) -> LogLines {
        self.page.drain(fresh)
    }
}

/// How many bytes at the end begin a UTF-8 character and do not end it.
fn unfinished(bytes: &[u8]) -> usize {
    let mut last = bytes.iter().rev().take(3).enumerate();
    let lead = last.find(|(_, byte)| **byte & 0xc0 != 0x80);
    let length = |lead: u8| match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => 1,
    };
    match lead {
        Some((after, lead)) if length(*lead) > after + 1 => after + 1,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::pages::logs::page::COLUMNS;
    use proptest::prelude::*;

    pub(super) fn lines(bytes: &str) -> Vec<String> {
        let mut assembler = Assembler::default();
        assembler.push(bytes.as_bytes());
        assembler.drain(true).lines
    }

    #[test]
    fn plain_lines_with_and_without_an_end() {
        assert_eq!(lines("one\r\ntwo\nthree"), ["one", "two", "three"]);
        assert_eq!(lines("one\r\n\r\n"), ["one", ""]);
        assert_eq!(lines(""), [""; 0]);
        assert_eq!(lines("a\tb"), ["a       b"]);
    }

    #[test]
    fn of_a_progress_bar_the_last_state_is_left() {
        assert_eq!(lines("10%\r50%\r100% done\r\nnext"), ["100% done", "next"]);
        assert_eq!(lines("working...\r\x1b[Kok\n"), ["ok"]);
        assert_eq!(lines("12\x08\x08345\n"), ["345"]);
        assert_eq!(lines("ab\x1b[2Dxy\x1b[1Gz"), ["zy"]);
    }

    #[test]
    fn lines_that_are_drawn_anew_are_there_once() {
        let frames = "one 1%\r\ntwo 1%\r\n\x1b[2A\x1b[2Kone 9%\r\n\x1b[2Ktwo 9%\r\nend";
        assert_eq!(lines(frames), ["one 9%", "two 9%", "end"]);
        // As Ink draws: erase upwards, then write.
        let ink = "a\r\nb\r\nc\x1b[2K\x1b[1A\x1b[2K\x1b[1A\x1b[2K\x1b[Gx\r\ny";
        assert_eq!(lines(ink), ["x", "y"]);
        assert_eq!(lines("a\r\nb\r\nc\x1b[2A\x1b[0Jz"), ["az"]);
    }

    #[test]
    fn no_sequence_is_in_a_line() {
        let coloured =
            "\x1b[1;31mred\x1b[m \x1b]0;title\x07\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\";
        assert_eq!(lines(coloured), ["red link"]);
        assert_eq!(lines("\x1bPq data\x1b\\a\x1b(Bb\x1b=c\x1b[?25lc"), ["abcc"]);
        assert_eq!(lines("half \x1b[3"), ["half"]);
    }

    #[test]
    fn wide_and_combining_characters_keep_their_places() {
        assert_eq!(lines("日本\x1b[3Gx"), ["日x"]);
        assert_eq!(lines("日本\x1b[2Gx"), [" x本"]);
        assert_eq!(lines("e\u{301}f\re"), ["ef"]);
    }

    #[test]
    fn a_full_screen_program_gives_a_line_for_each_row_it_writes() {
        let screen = "before\r\n\x1b[?1049h\x1b[2J\x1b[1;1Htop\x1b[5;3Hmiddle\x1b[?1049lafter";
        assert_eq!(lines(screen), ["before", "top", "  middle", "after"]);
    }

    #[test]
    fn a_cleared_screen_is_output_all_the_same() {
        assert_eq!(lines("a\r\nb\x1b[H\x1b[2J\x1b[3Jc"), ["a", "b", "c"]);
    }

    #[test]
    fn a_part_of_a_line_is_replaced_by_the_whole() {
        let mut assembler = Assembler::default();
        let mut take = |bytes: &str| {
            assembler.push(bytes.as_bytes());
            let taken = assembler.drain(false);
            (taken.replace, taken.lines)
        };
        assert_eq!(take("on"), (0, vec!["on".into()]));
        assert_eq!(take("e\r\nt"), (1, vec!["one".into(), "t".into()]));
        assert_eq!(take(""), (0, vec![]));
        assert_eq!(take("wo\r\n"), (1, vec!["two".into()]));
        assert_eq!(take("\r\nx"), (0, vec!["".into(), "x".into()]));
        assert_eq!(take("\r\x1b[K"), (1, vec![]));
    }

    #[test]
    fn a_line_without_an_end_is_broken_somewhere() {
        let lines = lines(&"x".repeat(3 * COLUMNS + 1));
        assert_eq!(lines.len(), 4);
    }

    fn output() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => "[a-z世\u{301} ]{1,9}",
            3 => prop::sample::select(vec!["\r\n", "\n", "\r", "\t", "\x08"]).prop_map(str::to_owned),
            4 => (0u16..9, prop::sample::select("ABCDEFGJKXP@LMbsudfeH".chars().collect::<Vec<_>>()))
                .prop_map(|(n, action)| format!("\x1b[{n}{action}")),
            1 => prop::sample::select(vec!["\x1b7", "\x1b8", "\x1bM", "\x1bc", "\x1b[?1049h"])
                .prop_map(str::to_owned),
            1 => (1usize..300).prop_map(|n| "line\r\n".repeat(n)),
            1 => "\\PC{0,9}|.{0,9}",
        ]
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn what_is_given_bit_by_bit_comes_to_the_same(
            pieces in prop::collection::vec(output(), 0..40), cut in 1usize..7
        ) {
            let all = pieces.concat();
            let whole = lines(&all);
            let mut assembler = Assembler::default();
            let mut known: Vec<String> = Vec::new();
            for chunk in all.as_bytes().chunks(cut) {
                assembler.push(chunk);
                let taken = assembler.drain(false);
                prop_assert!(taken.replace <= known.len());
                known.truncate(known.len() - taken.replace);
                known.extend(taken.lines);
            }
            prop_assert_eq!(&known, &whole);
            prop_assert!(!known.iter().any(|l| l.chars().any(char::is_control)));
        }
    }
}
