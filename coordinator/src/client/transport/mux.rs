//! The engine's multiplexed stream: an 8-byte header (channel, three zero bytes, big-endian
//! length) before each piece of output (Docker Engine API, "Attach to a container", stream format).
//!
//! Every frame has a header when the exec has no TTY, so nothing is guessed from the bytes.

use bytes::{Buf, Bytes, BytesMut};

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// The program's stdout.
    Stdout,
    /// The program's stderr, or an error of the engine's own.
    Stderr,
}

/// A stream that is not multiplexed output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a multiplexed stream: header {0:02x?}")]
pub struct MuxError([u8; 8]);

/// Decoder of the multiplexed stream. Hands pieces on as they come, without waiting for whole
/// frames, so that it holds no memory of its own.
#[derive(Debug, Default)]
pub struct MuxDecoder {
    current: Option<Channel>,
    left: usize,
}

impl MuxDecoder {
    /// The next piece in `buffer`, which is consumed; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`MuxError`] for a header that cannot be one.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<(Channel, Bytes)>, MuxError> {
        loop {
            if let Some(channel) = self.current.filter(|_| self.left > 0) {
                if buffer.is_empty() {
                    return Ok(None);
                }
                let piece = buffer.split_to(self.left.min(buffer.len())).freeze();
                self.left -= piece.len();
                return Ok(Some((channel, piece)));
            }
            let Some(&header) = buffer.first_chunk::<8>() else {
                return Ok(None);
            };
            let [kind, 0, 0, 0, a, b, c, d] = header else {
                return Err(MuxError(header));
            };
            self.current = Some(match kind {
                0 | 1 => Channel::Stdout,
                2 | 3 => Channel::Stderr,
                _ => return Err(MuxError(header)),
            });
            self.left = u32::from_be_bytes([a, b, c, d]) as usize;
            buffer.advance(8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, data: &[u8]) -> Vec<u8> {
        let mut out = vec![kind, 0, 0, 0];
        out.extend((data.len() as u32).to_be_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn a_stream_without_headers_is_refused() {
        let mut buffer = BytesMut::from(&b"OCI runtime exec failed"[..]);
        assert!(MuxDecoder::default().decode(&mut buffer).is_err());
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn any_frames_in_any_chunking_give_the_same_bytes(
            frames in prop::collection::vec((1u8..=2, prop::collection::vec(any::<u8>(), 0..200)), 0..20),
            cuts in prop::collection::vec(1usize..50, 1..20),
        ) {
            let (mut wire, mut expected) = (Vec::new(), [Vec::<u8>::new(), Vec::new()]);
            for (kind, data) in &frames {
                wire.extend(frame(*kind, data));
                expected[usize::from(*kind) - 1].extend(data);
            }
            let (mut decoder, mut buffer) = (MuxDecoder::default(), BytesMut::new());
            let mut got = [Vec::<u8>::new(), Vec::new()];
            let (mut at, mut turn) = (0, 0);
            while at < wire.len() {
                let end = (at + cuts[turn % cuts.len()]).min(wire.len());
                buffer.extend_from_slice(&wire[at..end]);
                (at, turn) = (end, turn + 1);
                while let Some((channel, piece)) = decoder.decode(&mut buffer).unwrap() {
                    got[usize::from(channel == Channel::Stderr)].extend(piece);
                }
            }
            prop_assert_eq!(got, expected);
            prop_assert!(buffer.is_empty());
        }
    }
}
