//! Length-delimited JSON frames.

use crate::message::{FromAgent, ToAgent};
use serde::{Serialize, de::DeserializeOwned};

/// The largest frame either side accepts, in bytes of JSON.
pub const MAX_FRAME: usize = 1 << 20;

/// Why a frame was refused. The connection cannot be used afterwards.
#[derive(Debug)]
pub enum FrameError {
    /// The length prefix, in bytes, is over [`MAX_FRAME`].
    TooLong(usize),
    /// The body is not the JSON that was expected.
    Json(serde_json::Error),
}

impl std::fmt::Display for FrameError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooLong(n) => write!(f, "frame of {n} bytes is over the limit of {MAX_FRAME}"),
            Self::Json(e) => write!(f, "frame is not what was expected: {e}"),
        }
    }
}

impl std::error::Error for FrameError {}

/// One frame, ready to send.
///
/// # Errors
/// [`FrameError::TooLong`] when the JSON is over [`MAX_FRAME`] bytes.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut out = vec![0; 4];
    serde_json::to_writer(&mut out, message).map_err(FrameError::Json)?;
    let body = out.len().saturating_sub(4);
    match u32::try_from(body) {
        Ok(len) if body <= MAX_FRAME => {
            for (slot, byte) in out.iter_mut().zip(len.to_be_bytes()) {
                *slot = byte;
            }
            Ok(out)
        }
        _ => Err(FrameError::TooLong(body)),
    }
}

impl ToAgent {
    /// One frame, ready to send.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn to_frame(&self) -> Result<Vec<u8>, FrameError> {
        encode(self)
    }
}

impl FromAgent {
    /// One frame, ready to send.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn to_frame(&self) -> Result<Vec<u8>, FrameError> {
        encode(self)
    }

    /// What a frame's JSON says.
    ///
    /// # Errors
    /// It is of another version, or of another protocol.
    pub fn of_json(json: serde_json::Value) -> serde_json::Result<Self> {
        serde_json::from_value(json)
    }
}

/// Collects bytes and hands out whole frames. Holds at most one frame and what came with it.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: Vec<u8>,
}

impl FrameDecoder {
    /// An empty decoder.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes as they came off the socket.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether the next byte is the first one of a frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// How many bytes belong to the frame that is under way, as far as is known: who reads no more
    /// than that never reads into the next frame.
    #[must_use]
    pub fn wanted(&self) -> usize {
        let whole = self.buffer.first_chunk::<4>().map_or(4, |head| {
            (u32::from_be_bytes(*head) as usize)
                .min(MAX_FRAME)
                .saturating_add(4)
        });
        whole.saturating_sub(self.buffer.len())
    }

    /// The next whole frame, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`] when the peer does not speak this protocol.
    pub fn next_frame<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes(*head) as usize;
        if len > MAX_FRAME {
            return Err(FrameError::TooLong(len));
        }
        let Some(body) = rest.get(..len) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(body).map_err(FrameError::Json)?;
        self.buffer.drain(..4 + len);
        Ok(Some(message))
    }

    /// The next request to an agent.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub fn next_request(&mut self) -> Result<Option<ToAgent>, FrameError> {
        self.next_frame()
    }

    /// The next frame's JSON, whatever it says.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub fn next_json(&mut self) -> Result<Option<serde_json::Value>, FrameError> {
        self.next_frame()
    }

    /// What was received after the last frame: the first raw bytes of a stream connection.
    #[must_use]
    pub fn into_rest(self) -> Vec<u8> {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToAgentBody;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn frames_survive_any_chunking(ids in prop::collection::vec(any::<u64>(), 1..20), cut in 1usize..9) {
            let mut wire = Vec::new();
            for id in &ids {
                wire.extend(encode(&ToAgent { id: *id, body: ToAgentBody::Ping }).unwrap());
            }
            let mut decoder = FrameDecoder::new();
            let mut seen = Vec::new();
            for chunk in wire.chunks(cut) {
                decoder.push(chunk);
                while let Some(m) = decoder.next_frame::<ToAgent>().unwrap() {
                    seen.push(m.id);
                }
            }
            prop_assert_eq!(seen, ids);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = FrameDecoder::new();
            decoder.push(&bytes);
            while let Ok(Some(_)) = decoder.next_frame::<ToAgent>() {}
        }
    }

    #[test]
    fn an_oversize_length_is_refused_before_the_body_arrives() {
        let mut decoder = FrameDecoder::new();
        decoder.push(&u32::MAX.to_be_bytes());
        assert!(matches!(
            decoder.next_frame::<ToAgent>(),
            Err(FrameError::TooLong(_))
        ));
    }

    #[test]
    fn who_reads_what_is_wanted_reads_one_frame_at_a_time() {
        let ping = |id| {
            let body = ToAgentBody::Ping;
            encode(&ToAgent { id, body }).unwrap()
        };
        let wire = [ping(1), ping(1_000_000), ping(3)].concat();
        let (mut decoder, mut at, mut ids) = (FrameDecoder::new(), 0, Vec::new());
        while at < wire.len() {
            let end = at + decoder.wanted();
            assert!(end > at);
            // A read may give less than what was asked for.
            let end = at + (end - at).div_ceil(2);
            decoder.push(&wire[at..end]);
            at = end;
            if let Some(request) = decoder.next_request().unwrap() {
                assert!(decoder.is_empty());
                ids.push(request.id);
            }
        }
        assert_eq!(ids, [1, 1_000_000, 3]);
        // What no frame has is refused by its head alone.
        decoder.push(&u32::MAX.to_be_bytes());
        assert!(decoder.wanted() <= MAX_FRAME + 4);
    }

    #[test]
    fn bytes_after_the_frame_are_kept() {
        let mut wire = encode(&ToAgent {
            id: 1,
            body: ToAgentBody::Ping,
        })
        .unwrap();
        wire.extend_from_slice(b"raw");
        let mut decoder = FrameDecoder::new();
        decoder.push(&wire);
        assert!(decoder.next_frame::<ToAgent>().unwrap().is_some());
        assert_eq!(decoder.into_rest(), b"raw");
    }
}
