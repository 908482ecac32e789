//! What of a recording may be printed on a terminal.

/// Keeps text, line ends, tabs and colours of a recording and drops every other control, so that
/// printing it cannot move the cursor, speak for the user or reach the clipboard; characters that
/// turn the reading direction or break lines are written as `\u{202e}`. Works on any chunking.
#[derive(Debug, Default)]
pub(super) struct LogFilter {
    state: State,
    held: Vec<u8>,
    alternate: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// Intermediates after ESC, such as a character set's.
    Intermediate,
    /// After `ESC [`.
    Csi,
    /// In OSC, DCS, SOS, PM or APC, until BEL or ST.
    Text8,
    /// After ESC in one of those.
    TextEscape,
    /// After 0xC2, which begins the C1 controls in UTF-8.
    C2,
    /// After the first byte, or two, of what may turn the reading direction.
    Turn([u8; 2], usize),
}

/// Longest colour sequence that is kept.
const MAX_SGR: usize = 64;

impl LogFilter {
    /// Whether the program shows the terminal's alternate screen.
    pub(super) fn in_alternate_screen(&self) -> bool {
        self.alternate
    }

    /// The safe part of `bytes`, appended to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.state = self.step(byte, out);
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) -> State {
        match (self.state, byte) {
            (State::Text8, 0x07) | (State::TextEscape, b'\\' | 0x07) => State::Text,
            (State::Text8 | State::TextEscape, 0x1b) => State::TextEscape,
            (State::Text8 | State::TextEscape, _) => State::Text8,
            (State::C2, 0x80..=0x9f) => State::Text,
            (State::C2, _) => {
                out.push(0xc2);
                self.state = State::Text;
                self.step(byte, out)
            }
            (State::Turn(begun, length), _) => self.turn(begun, length, byte, out),
            (_, 0x1b) => State::Escape,
            (State::Text, 0xd8 | 0xe2) => State::Turn([byte, 0], 1),
            (State::Text, 0xc2) => State::C2,
            (State::Text, b'\n' | b'\t' | b'\r' | 0x20..=0x7e | 0xa0..) => {
                out.push(byte);
                State::Text
            }
            // Continuation bytes of UTF-8 are 0x80 to 0xbf; terminals in UTF-8 take none as C1.
            (State::Text, 0x80..=0x9f) => {
                out.push(byte);
                State::Text
            }
            (State::Text, _) => State::Text,
            (State::Escape, b'[') => {
                self.held.clear();
                State::Csi
            }
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Text8,
            (State::Escape | State::Intermediate, 0x20..=0x2f) => State::Intermediate,
            (State::Escape | State::Intermediate, _) => State::Text,
            (State::Csi, 0x20..=0x3f) => {
                self.held.push(byte);
                State::Csi
            }
            (State::Csi, b'm') => {
                let plain = |b: &u8| b.is_ascii_digit() || matches!(b, b';' | b':');
                if self.held.len() <= MAX_SGR && self.held.iter().all(plain) {
                    out.extend_from_slice(b"\x1b[");
                    out.append(&mut self.held);
                    out.push(b'm');
                }
                State::Text
            }
            (State::Csi, 0x40..=0x7e) => {
                if matches!(&self.held[..], b"?47" | b"?1047" | b"?1049") {
                    match byte {
                        b'h' => self.alternate = true,
                        b'l' => self.alternate = false,
                        _ => {}
                    }
                }
                State::Text
            }
            (State::Csi, _) => State::Csi,
        }
    }

    /// The rest of a character whose first bytes were held.
    fn turn(&mut self, begun: [u8; 2], length: usize, byte: u8, out: &mut Vec<u8>) -> State {
        let [first, second] = begun;
        match (first, second, length, byte) {
            (0xe2, _, 1, 0x80 | 0x81) => return State::Turn([first, byte], 2),
            (0xd8, _, 1, 0x9c) => out.extend_from_slice(b"\\u{61c}"),
            (0xe2, 0x80, 2, 0x8e | 0x8f | 0xa8..=0xae) | (0xe2, 0x81, 2, 0xa6..=0xa9) => {
                let code = 0x2000 + (u32::from(second & 0x3f) << 6) + u32::from(byte & 0x3f);
                out.extend_from_slice(format!("\\u{{{code:x}}}").as_bytes());
            }
            _ => {
                out.extend(begun.iter().take(length));
                self.state = State::Text;
                return self.step(byte, out);
            }
        }
        State::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn filter(bytes: &[u8], chunk: usize) -> Vec<u8> {
        let (mut filter, mut out) = (LogFilter::default(), Vec::new());
        for piece in bytes.chunks(chunk.max(1)) {
            filter.push(piece, &mut out);
        }
        out
    }

    #[test]
    fn what_turns_the_reading_direction_is_shown() {
        let all = "\u{61c}\u{200e}\u{200f}\u{2028}\u{202a}\u{202e}\u{2066}\u{2069}";
        for chunk in 1..5 {
            let out = String::from_utf8(filter(all.as_bytes(), chunk)).unwrap();
            assert_eq!(
                out,
                all.chars()
                    .map(|c| c.escape_unicode().to_string())
                    .collect::<String>()
            );
            let text = "“quoted” – naïve ؟ § \u{2029}|";
            let shown = String::from_utf8(filter(text.as_bytes(), chunk)).unwrap();
            assert_eq!(shown, "“quoted” – naïve ؟ § \\u{2029}|");
        }
        assert_eq!(filter(b"\xe2\x80\x1b[2Jx\xd8\n", 2), b"\xe2\x80x\xd8\n");
    }

    #[test]
    fn colours_and_text_stay_and_nothing_else_does() {
        let input = "a\x1b[1;31mred\x1b[m\x1b[2J\x1b]0;title\x07\x1b]52;c;AA\x1b\\é\u{9b}5n\x1bP$q\x1b\\\x1b(B\x07\x1b[>4;1mz\r\n";
        assert_eq!(
            String::from_utf8(filter(input.as_bytes(), 3)).unwrap(),
            "a\x1b[1;31mred\x1b[mé5nz\r\n"
        );
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn what_comes_out_is_only_text_and_colours(bytes in prop::collection::vec(any::<u8>(), 0..300), chunk in 1usize..40) {
            let out = filter(&bytes, chunk);
            prop_assert_eq!(&out, &filter(&bytes, 1));
            let mut rest = &out[..];
            while let Some((&first, tail)) = rest.split_first() {
                rest = tail;
                if first == 0x1b {
                    let end = rest.iter().position(|&b| b == b'm').unwrap();
                    prop_assert!(rest.starts_with(b"["));
                    prop_assert!(rest[1..end].iter().all(|b| b.is_ascii_digit() || b";:".contains(b)));
                    rest = &rest[end + 1..];
                } else {
                    prop_assert!(first >= 0x20 || b"\r\n\t".contains(&first), "{first:#x}");
                    prop_assert!(first != 0x7f);
                }
            }
        }

        #[test]
        fn plain_text_of_any_language_is_kept(text in "[\\PC\n\t]{0,60}") {
            prop_assume!(!text.chars().any(|c| c.is_control() && !"\n\t".contains(c) || "\u{2028}\u{2029}".contains(c)));
            prop_assert_eq!(filter(text.as_bytes(), 2), text.as_bytes());
        }
    }
}
