//! Known secrets taken out of what is kept of a session.
//!
//! Owns: finding values in a stream that comes in pieces. A piece's end that may be the beginning of
//! a value waits for the next piece, so that no value passes because it was cut.

use memchr::memmem;
use podbay_protocol::{SHORTEST_REDACTED, StartSession};
use std::sync::Arc;

/// What stands in a value's place.
pub const REDACTED: &str = "[secret]";

/// The values of one session, longest first. Cheap to clone.
#[derive(Clone, Default)]
pub struct Values(Arc<[Vec<u8>]>);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Values {
    /// The values to look for, also as a terminal writes their lines' ends.
    #[must_use]
    pub fn of(start: &StartSession) -> Self {
        let mut values: Vec<Vec<u8>> = Vec::new();
        for secret in start.secrets.values() {
            let text = secret.value.reveal().trim_end_matches(['\n', '\r']);
            if text.len() < SHORTEST_REDACTED {
                continue;
            }
            values.push(text.as_bytes().to_vec());
            if text.contains('\n') {
                values.push(text.replace('\n', "\r\n").into_bytes());
            }
        }
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values.into())
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A text without the values.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in self.0.iter().filter_map(|v| std::str::from_utf8(v).ok()) {
            if text.contains(value) {
                text = text.replace(value, REDACTED);
            }
        }
        text
    }

    /// The first value in `bytes`: where it is and how long; of several at one place the longest.
    fn first(&self, bytes: &[u8]) -> Option<(usize, usize)> {
        let found = self
            .0
            .iter()
            .filter_map(|value| Some((memmem::find(bytes, value)?, value.len())));
        found.min_by_key(|(at, len)| (*at, std::cmp::Reverse(*len)))
    }

    /// Whether `bytes` may be the beginning of a value longer than `len`.
    fn may_grow(&self, bytes: &[u8], len: usize) -> bool {
        let longer = self.0.iter().filter(|value| value.len() > len);
        longer.into_iter().any(|value| value.starts_with(bytes))
    }

    /// Where the end of `bytes` begins that may be a value's beginning.
    fn open_end(&self, bytes: &[u8]) -> usize {
        let longest = self.0.first().map_or(0, Vec::len);
        let from = bytes.len().saturating_sub(longest.saturating_sub(1));
        (from..bytes.len())
            .find(|at| {
                let tail = bytes.get(*at..).unwrap_or_default();
                self.0.iter().any(|value| value.starts_with(tail))
            })
            .unwrap_or(bytes.len())
    }
}

/// One stream with the values taken out. Holds back less than the longest value.
#[derive(Debug, Default)]
pub struct Redactor {
    values: Values,
    held: Vec<u8>,
}

impl Redactor {
    /// A stream's redactor.
    #[must_use]
    pub fn new(values: Values) -> Self {
        Self {
            values,
            held: Vec::new(),
        }
    }

    /// Takes a piece and gives what can be kept of it.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        self.pass(false)
    }

    /// What was held back; at the stream's end.
    pub fn finish(&mut self) -> Vec<u8> {
        self.pass(true)
    }

    fn pass(&mut self, last: bool) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let mut rest = held.as_slice();
        let mut out = Vec::with_capacity(rest.len());
        while let Some((at, len)) = self.values.first(rest) {
            let found = rest.get(at..).unwrap_or_default();
            out.extend_from_slice(rest.get(..at).unwrap_or_default());
            if !last && self.values.may_grow(found, len) {
                // A longer value begins with this one.
                self.held = found.to_vec();
                return out;
            }
            out.extend_from_slice(REDACTED.as_bytes());
            rest = found.get(len..).unwrap_or_default();
        }
        let open = if last {
            rest.len()
        } else {
            self.values.open_end(rest)
        };
        let (done, open) = rest.split_at(open);
        out.extend_from_slice(done);
        self.held = open.to_vec();
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values(of: &[&str]) -> Values {
        let mut all: Vec<Vec<u8>> = of.iter().map(|v| v.as_bytes().to_vec()).collect();
        all.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Values(all.into())
    }

    fn through(values: &Values, pieces: &[&[u8]]) -> String {
        let mut redactor = Redactor::new(values.clone());
        let mut out: Vec<u8> = pieces.iter().flat_map(|p| redactor.push(p)).collect();
        out.extend(redactor.finish());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_is_found_however_it_is_cut() {
        let known = values(&["hunter2-hunter2", "hunter2-hunter2-long"]);
        let text = b"a hunter2-hunter2-long b hunter2-hunter2 c hunter2-hun";
        for cut in 0..text.len() {
            let (a, b) = text.split_at(cut);
            assert_eq!(
                through(&known, &[a, b]),
                "a [secret] b [secret] c hunter2-hun",
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn without_values_nothing_waits() {
        let mut redactor = Redactor::default();
        assert_eq!(redactor.push(b"abc"), b"abc");
        assert!(redactor.finish().is_empty());
    }

    proptest! {
        #[test]
        fn no_value_passes_and_all_else_does(
            pieces in proptest::collection::vec("[ab]{0,7}", 0..12),
        ) {
            let known = values(&["abababab", "aabbaabb"]);
            let whole = pieces.concat();
            let cut: Vec<&[u8]> = pieces.iter().map(|p| p.as_bytes()).collect();
            let out = through(&known, &cut);
            prop_assert!(!out.contains("abababab") && !out.contains("aabbaabb"));
            if !whole.contains("abababab") && !whole.contains("aabbaabb") {
                prop_assert_eq!(out, whole);
            }
        }
    }
}
