//! Cuts a terminal's byte stream into text and whole control sequences.
//!
//! Owns: the bytes of the sequence (or multi-byte character) that has begun but not ended. It never
//! grows without bound.

use memchr::memchr;

/// Longest OSC, DCS or other string that is kept, in bytes.
pub(super) const MAX_STRING: usize = 64 * 1024;
/// Longest CSI or ESC sequence that is kept, in bytes.
pub(super) const MAX_SEQUENCE: usize = 256;

const ESC: u8 = 0x1b;

/// What a finished sequence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SequenceKind {
    /// `ESC` with optional intermediates and a final byte.
    Escape,
    /// `ESC [` … final byte.
    Csi,
    /// `ESC ]` … ended by BEL (included) or by the ESC of ST (not included).
    Osc,
}

/// Receives the pieces in stream order.
pub(super) trait FrameSink {
    /// Text without ESC: printable characters and C0 controls. Never ends
    /// inside a UTF-8 character unless the stream itself broke it off.
    fn text(&mut self, bytes: &[u8]);
    /// A C0 control found inside a sequence: it takes effect immediately.
    fn control(&mut self, byte: u8);
    /// One whole sequence, from its ESC on.
    fn sequence(&mut self, kind: SequenceKind, bytes: &[u8]);
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FrameState {
    #[default]
    Ground,
    Escape,
    Intermediate,
    Csi,
    Osc,
    Dcs,
    /// SOS, PM or APC.
    Other,
}

enum FrameStep {
    Collect(FrameState),
    Skip,
    Control,
    Cancel,
    Restart,
    Done(SequenceKind),
}

/// The cutter.
///
/// It holds the beginning of a sequence ([`Self::pending`]), so the readers of sequences never hold a
/// half-read one, and a restore can hand the unread part to the client. An overlong sequence is
/// replaced by an opener that every terminal ignores up to the terminator.
#[derive(Debug, Default)]
pub(super) struct Framer {
    state: FrameState,
    held: Vec<u8>,
}

impl Framer {
    /// Bytes that began a sequence or character and still wait for its end.
    pub(super) fn pending(&self) -> &[u8] {
        &self.held
    }

    /// Feeds the next bytes of the stream.
    pub(super) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl FrameSink) {
        while !bytes.is_empty() {
            bytes = match self.state {
                FrameState::Ground => self.ground(bytes, sink),
                _ => self.inside(bytes, sink),
            };
        }
    }

    fn ground<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FrameSink) -> &'a [u8] {
        if !self.held.is_empty() {
            return self.broken_character(bytes, sink);
        }
        let end = memchr(ESC, bytes).unwrap_or(bytes.len());
        let (text, rest) = bytes.split_at(end);
        if rest.is_empty() {
            let whole = text.len() - incomplete_tail(text);
            let (text, tail) = text.split_at(whole);
            self.held.extend_from_slice(tail);
            sink.text(text);
        } else {
            sink.text(text);
            self.state = FrameState::Escape;
            return self.sequence_from(rest, 1, sink);
        }
        rest
    }

    /// Completes a character whose first bytes came in an earlier chunk.
    fn broken_character<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FrameSink) -> &'a [u8] {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first() {
            // Only a continuation byte can extend it; anything else ends it as broken.
            if byte & 0xc0 != 0x80 {
                break;
            }
            self.held.push(byte);
            rest = after;
            if incomplete_tail(&self.held) != self.held.len() {
                break;
            }
        }
        if !rest.is_empty() || incomplete_tail(&self.held) != self.held.len() {
            let held = std::mem::take(&mut self.held);
            sink.text(&held);
        }
        rest
    }

    fn inside<'a>(&mut self, bytes: &'a [u8], sink: &mut impl FrameSink) -> &'a [u8] {
        self.sequence_from(bytes, 0, sink)
    }

    /// Reads on in a sequence; the first `taken` bytes are already accounted for.
    fn sequence_from<'a>(
        &mut self,
        bytes: &'a [u8],
        taken: usize,
        sink: &mut impl FrameSink,
    ) -> &'a [u8] {
        let mut begin = 0;
        for (at, &byte) in bytes.iter().enumerate().skip(taken) {
            match step(self.state, byte) {
                FrameStep::Collect(next) => self.state = next,
                FrameStep::Skip | FrameStep::Control => {
                    self.hold(bytes.get(begin..at));
                    begin = at + 1;
                    if byte < 0x20 && !self.in_string() {
                        sink.control(byte);
                    }
                }
                FrameStep::Cancel => {
                    self.held.clear();
                    self.state = FrameState::Ground;
                    return bytes.get(at + 1..).unwrap_or_default();
                }
                FrameStep::Restart => {
                    if self.state == FrameState::Osc {
                        self.finish(SequenceKind::Osc, bytes.get(begin..at), sink);
                    }
                    self.held.clear();
                    begin = at;
                    self.state = FrameState::Escape;
                }
                FrameStep::Done(kind) => {
                    self.finish(kind, bytes.get(begin..=at), sink);
                    self.state = FrameState::Ground;
                    return bytes.get(at + 1..).unwrap_or_default();
                }
            }
        }
        self.hold(bytes.get(begin..));
        self.bound();
        &[]
    }

    fn in_string(&self) -> bool {
        matches!(
            self.state,
            FrameState::Osc | FrameState::Dcs | FrameState::Other
        )
    }

    fn hold(&mut self, bytes: Option<&[u8]>) {
        self.held.extend_from_slice(bytes.unwrap_or_default());
    }

    fn finish(&mut self, kind: SequenceKind, bytes: Option<&[u8]>, sink: &mut impl FrameSink) {
        let bytes = bytes.unwrap_or_default();
        let limit = if kind == SequenceKind::Osc {
            MAX_STRING
        } else {
            MAX_SEQUENCE
        };
        if self.held.len() + bytes.len() <= limit {
            if self.held.is_empty() {
                sink.sequence(kind, bytes);
            } else {
                self.held.extend_from_slice(bytes);
                sink.sequence(kind, &self.held);
            }
        }
        self.held.clear();
    }

    fn bound(&mut self) {
        let limit = if self.in_string() {
            MAX_STRING
        } else {
            MAX_SEQUENCE
        };
        if self.held.len() <= limit {
            return;
        }
        let opener: &[u8] = match self.state {
            FrameState::Ground | FrameState::Escape => b"",
            FrameState::Intermediate => b"\x1b   ",
            FrameState::Csi => b"\x1b[0?",
            FrameState::Osc => b"\x1b]9999;",
            FrameState::Dcs => b"\x1bP0?",
            FrameState::Other => b"\x1b_ ",
        };
        self.held.clear();
        self.held.extend_from_slice(opener);
    }
}

fn step(state: FrameState, byte: u8) -> FrameStep {
    match (state, byte) {
        (_, 0x18 | 0x1a) => FrameStep::Cancel,
        (_, ESC) => FrameStep::Restart,
        (FrameState::Osc, 0x07) => FrameStep::Done(SequenceKind::Osc),
        (FrameState::Osc | FrameState::Dcs | FrameState::Other, _) => FrameStep::Collect(state),
        (_, 0x00..=0x1f) => FrameStep::Control,
        (_, 0x7f..) => FrameStep::Skip,
        (FrameState::Csi, 0x40..=0x7e) => FrameStep::Done(SequenceKind::Csi),
        (FrameState::Csi, _) => FrameStep::Collect(FrameState::Csi),
        (_, 0x20..=0x2f) => FrameStep::Collect(FrameState::Intermediate),
        (FrameState::Intermediate, _) => FrameStep::Done(SequenceKind::Escape),
        (_, b'[') => FrameStep::Collect(FrameState::Csi),
        (_, b']') => FrameStep::Collect(FrameState::Osc),
        (_, b'P') => FrameStep::Collect(FrameState::Dcs),
        (_, b'X' | b'^' | b'_') => FrameStep::Collect(FrameState::Other),
        _ => FrameStep::Done(SequenceKind::Escape),
    }
}

/// How many bytes at the end are the beginning of a longer UTF-8 character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let tail = bytes.get(from..).unwrap_or_default();
    for (at, &byte) in tail.iter().enumerate().rev() {
        if byte & 0xc0 == 0x80 {
            continue;
        }
        let rest = tail.get(at..).unwrap_or_default();
        return match std::str::from_utf8(rest) {
            Err(error) if error.error_len().is_none() && error.valid_up_to() == 0 => rest.len(),
            _ => 0,
        };
    }
    0
}
