//! A recording as plain text: what a person would copy from it.

use super::log_filter::LogFilter;

/// Longest line that is held back until it is whole, in bytes.
const MAX_LINE: usize = 1 << 20;

/// Lines without colours. Of a line that was written over, as progress bars do, what was there last; of
/// programs that use the alternate screen, nothing. Works on any chunking, in memory that is bounded.
#[derive(Debug, Default)]
pub(super) struct PlainLog {
    filter: LogFilter,
    safe: Vec<u8>,
    line: Vec<u8>,
    /// A carriage return came: the next character begins the line again.
    returned: bool,
    in_colour: bool,
}

impl PlainLog {
    /// The plain text of `bytes`, as far as its lines are whole, appended to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            self.safe.clear();
            self.filter.push(&[byte], &mut self.safe);
            if self.filter.in_alternate_screen() {
                continue;
            }
            for at in 0..self.safe.len() {
                if let Some(&byte) = self.safe.get(at) {
                    self.take(byte, out);
                }
            }
        }
    }

    /// The last line, where it has no end.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        if !self.line.is_empty() {
            out.append(&mut self.line);
            out.push(b'\n');
        }
    }

    fn take(&mut self, byte: u8, out: &mut Vec<u8>) {
        match byte {
            // Of the controls only colours come through the filter.
            0x1b => self.in_colour = true,
            _ if self.in_colour => self.in_colour = byte != b'm',
            b'\r' => self.returned = true,
            b'\n' => {
                self.returned = false;
                out.append(&mut self.line);
                out.push(b'\n');
            }
            _ => {
                if std::mem::take(&mut self.returned) {
                    self.line.clear();
                }
                self.line.push(byte);
                if self.line.len() >= MAX_LINE {
                    out.append(&mut self.line);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        let chunked = |size: usize| {
            let (mut log, mut out) = (PlainLog::default(), Vec::new());
            for piece in text.as_bytes().chunks(size) {
                log.push(piece, &mut out);
            }
            log.finish(&mut out);
            String::from_utf8(out).unwrap()
        };
        let whole = chunked(text.len().max(1));
        assert_eq!(chunked(1), whole);
        whole
    }

    #[test]
    fn a_progress_bar_is_its_last_state_and_colours_and_full_screens_are_gone() {
        let bar: String = (0..=20_000).map(|at| format!("\r{at} of 20000")).collect();
        assert_eq!(plain(&format!("a\n{bar}\nb")), "a\n20000 of 20000\nb\n");
        assert_eq!(plain("one\r\ntwo\r\n"), "one\ntwo\n");
        assert_eq!(plain("\x1b[1;31mred\x1b[m grün\n"), "red grün\n");
        assert_eq!(
            plain("before\n\x1b[?1049h\x1b[2J~\r\n~\x1b[?1049lafter\n"),
            "before\nafter\n"
        );
        assert_eq!(plain("\x1b]0;title\x07text"), "text\n");
        assert_eq!(plain(""), "");
    }

    #[test]
    fn a_line_without_end_is_printed_in_pieces() {
        let (mut log, mut out) = (PlainLog::default(), Vec::new());
        log.push(&vec![b'x'; 3 * MAX_LINE], &mut out);
        assert!(out.len() >= 2 * MAX_LINE && log.line.len() <= MAX_LINE);
    }
}
