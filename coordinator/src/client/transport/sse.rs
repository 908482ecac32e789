//! Parser of server-sent events (WHATWG HTML, section 9.2.6), as far as the API uses them: the
//! `data` of each event. Comments, which the server sends to keep the connection alive, and other
//! fields are skipped.

use bytes::{Buf, BytesMut};

/// Longest event in bytes. The first event carries every worker; this is room for thousands.
pub const MAX_EVENT: usize = 64 << 20;

/// An event longer than [`MAX_EVENT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT} bytes")]
pub struct TooLong;

/// Incremental parser: bytes in, whole events' data out.
#[derive(Debug, Default)]
pub struct SseParser {
    buffer: BytesMut,
    scanned: usize,
    data: Option<Vec<u8>>,
    after_cr: bool,
}

impl SseParser {
    /// Takes what arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The data of the next whole event, lines joined by `\n`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`TooLong`]; the stream cannot be followed any further.
    pub fn next_event(&mut self) -> Result<Option<Vec<u8>>, TooLong> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                if let Some(data) = self.data.take() {
                    return Ok(Some(data));
                }
                continue;
            }
            let (field, value) = match line.iter().position(|&b| b == b':') {
                Some(at) => {
                    let (field, rest) = line.split_at(at);
                    let value = rest.get(1..).unwrap_or_default();
                    (field, value.strip_prefix(b" ").unwrap_or(value))
                }
                None => (&line[..], &b""[..]),
            };
            if field != b"data" {
                continue;
            }
            match &mut self.data {
                Some(data) => {
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
                None => self.data = Some(value.to_vec()),
            }
            if self
                .data
                .as_ref()
                .is_some_and(|data| data.len() > MAX_EVENT)
            {
                return Err(TooLong);
            }
        }
        if self.buffer.len() > MAX_EVENT {
            Err(TooLong)
        } else {
            Ok(None)
        }
    }

    /// One line without its end, which is `\n`, `\r` or `\r\n`.
    fn line(&mut self) -> Option<BytesMut> {
        if self.after_cr && !self.buffer.is_empty() {
            self.after_cr = false;
            if self.buffer.first() == Some(&b'\n') {
                self.buffer.advance(1);
            }
        }
        let rest = self.buffer.get(self.scanned..)?;
        let Some(at) = rest.iter().position(|&b| b == b'\n' || b == b'\r') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.scanned + at);
        self.scanned = 0;
        self.after_cr = self.buffer.first() == Some(&b'\r');
        self.buffer.advance(1);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(chunks: impl IntoIterator<Item = Vec<u8>>) -> Vec<String> {
        let (mut parser, mut events) = (SseParser::default(), Vec::new());
        for chunk in chunks {
            parser.push(&chunk);
            while let Some(event) = parser.next_event().unwrap() {
                events.push(String::from_utf8(event).unwrap());
            }
        }
        events
    }

    #[test]
    fn comments_fields_and_line_ends_as_the_standard_has_them() {
        let text =
            b": hi\r\n\r\ndata: a\r\ndata:b\r\n\r\nevent: x\nid: 1\ndata\n\ndata:  c\r\rdata: cut";
        assert_eq!(parse([text.to_vec()]), ["a\nb", "", " c"]);
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn any_events_in_any_chunking_come_out_the_same(
            events in prop::collection::vec("[^\r\n]{0,40}", 0..12),
            end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
            cuts in prop::collection::vec(1usize..17, 1..12),
        ) {
            let text: String = events.iter().map(|e| format!(": keep{end}data: {e}{end}{end}")).collect();
            let (mut chunks, mut rest, mut turn) = (Vec::new(), text.as_bytes(), 0);
            while !rest.is_empty() {
                let (chunk, tail) = rest.split_at(cuts[turn % cuts.len()].min(rest.len()));
                chunks.push(chunk.to_vec());
                (rest, turn) = (tail, turn + 1);
            }
            prop_assert_eq!(parse(chunks), events);
        }
    }
}
