//! The size of a terminal that was not told it: `docker exec -it` tells it a moment after the start,
//! and gives up when the start takes long.

use crate::cli::{
    attach::output::write_terminal,
    output::term::{size_of, stdin_is_tty, stdout_is_tty},
};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;

/// Asks for the size of the text in rows and columns (xterm's control sequences, XTWINOPS).
const ASK: &[u8] = b"\x1b[18t";
/// How the answer begins: `CSI 8 ; rows ; columns t`. No key sends it.
const ANSWER: &[u8] = b"\x1b[8;";
/// The longest answer.
const LONGEST: usize = ANSWER.len() + "65535;65535t".len();

/// What is left to hear from the terminal.
#[derive(Debug, Default)]
pub(in crate::cli::attach) struct Answer {
    /// The beginning of one, at the end of what was read last.
    held: Vec<u8>,
    came: bool,
}

/// What the bytes from an answer's beginning on are.
enum Found {
    Whole { rows: u16, cols: u16, length: usize },
    Cut,
    Other,
}

impl Answer {
    /// Asks the terminal on stdin and stdout, unless it has a size; `None` when there is nothing to
    /// hear.
    pub(in crate::cli::attach) fn asked() -> io::Result<Option<Self>> {
        if sized() || !stdout_is_tty() {
            return Ok(None);
        }
        write_terminal(ASK)?;
        Ok(Some(Self::default()))
    }

    /// Whether it was heard.
    pub(in crate::cli::attach) fn came(&self) -> bool {
        self.came
    }

    /// Takes the answer out of what was read, and gives the terminal its size unless it was told one
    /// meanwhile.
    pub(in crate::cli::attach) fn without(&mut self, read: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(read);
        let mut from = 0;
        while let Some(at) = find(&bytes, from) {
            match parse(bytes.get(at..).unwrap_or_default()) {
                Found::Whole { rows, cols, length } => {
                    bytes.drain(at..at + length);
                    self.came = true;
                    tell(rows, cols);
                    break;
                }
                Found::Cut => {
                    self.held = bytes.split_off(at);
                    break;
                }
                Found::Other => from = at + 1,
            }
        }
        bytes
    }
}

fn find(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest.windows(ANSWER.len()).position(|part| part == ANSWER)?;
    Some(from + at)
}

/// Reads what begins as an answer does.
fn parse(bytes: &[u8]) -> Found {
    let after = bytes.get(ANSWER.len()..).unwrap_or_default();
    let digits = |byte: &u8| byte.is_ascii_digit() || *byte == b';';
    let Some(end) = after.iter().position(|byte| !digits(byte)) else {
        return if bytes.len() < LONGEST {
            Found::Cut
        } else {
            Found::Other
        };
    };
    let (numbers, rest) = after.split_at(end);
    let size = std::str::from_utf8(numbers).ok().and_then(|numbers| {
        let (rows, cols) = numbers.split_once(';')?;
        Some((rows.parse().ok()?, cols.parse().ok()?))
    });
    match size {
        Some((rows @ 1.., cols @ 1..)) if rest.first() == Some(&b't') => Found::Whole {
            rows,
            cols,
            length: ANSWER.len() + end + 1,
        },
        _ => Found::Other,
    }
}

/// Whether the terminal on stdin has a size, or there is none to have one.
fn sized() -> bool {
    !stdin_is_tty() || size_of(io::stdin()).is_some()
}

fn tell(rows: u16, cols: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: cols,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // A terminal that is gone shows at the next read.
    if !sized() {
        tcsetwinsize(io::stdin(), size).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is passed on, piece by piece, and whether the answer came.
    fn passed(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
        let mut answer = Answer::default();
        let passed = pieces.iter().map(|piece| answer.without(piece)).collect();
        (passed, answer.came())
    }

    #[test]
    fn the_answer_is_taken_out_wherever_it_is_cut() {
        let answer = b"ab\x1b[8;24;80tcd";
        assert_eq!(passed(&[answer]), (vec![b"abcd".to_vec()], true));
        // A piece that ends in what a key may send as well is not held up.
        for at in 2 + ANSWER.len()..answer.len() {
            let (before, after) = answer.split_at(at);
            let (passed, came) = passed(&[before, after]);
            assert_eq!((passed.concat(), came), (b"abcd".to_vec(), true), "{at}");
        }
    }

    #[test]
    fn what_is_no_answer_goes_on() {
        for keys in [
            &b"\x1b[8~"[..],
            b"\x1b[8;5~",
            b"\x1b[8;0;0t",
            b"\x1b[8;1;2;3t",
            b"\x1b[8;24;80u",
            b"\x1b[8;70000;80t",
            b"\x1b[8;111111111111111111111111",
            b"\x1b",
        ] {
            assert_eq!(passed(&[keys]), (vec![keys.to_vec()], false));
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn no_byte_is_lost_and_none_is_made(
            pieces in prop::collection::vec(prop::collection::vec(
                prop::sample::select(b"\x1b[8;1tx".to_vec()), 0..9), 0..9),
        ) {
            let mut answer = Answer::default();
            let mut passed = Vec::new();
            for piece in &pieces {
                passed.extend(answer.without(piece));
                prop_assume!(!answer.came());
            }
            passed.extend(std::mem::take(&mut answer.held));
            prop_assert_eq!(passed, pieces.concat());
        }
    }
}
