//! Known secret values taken out of what is written down or told.
//!
//! Owns: which forms of a value are known (as given, each of its lines, with a terminal's line ends,
//! as base64, as JSON writes it), and finding them also where they are cut in two. A value that a
//! program draws piece by piece with cursor movements in between is not found: nothing but the
//! bytes as they come is looked at. It never touches what an attached client gets.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use memchr::memmem::Finder;
use podbay_protocol::{SHORTEST_REDACTED, StartSession};
use std::{collections::BTreeSet, sync::Arc};

/// What stands in a value's place.
pub const REDACTED: &str = "[secret]";
/// Shorter lines of a value, in bytes, are not looked for by themselves.
const SHORTEST_LINE: usize = 16;
/// Matches that overlap without an end are cut off here, in multiples of the longest value.
const MOST_HELD: usize = 4;

/// One form of a value.
#[derive(Debug)]
struct Pattern {
    finder: Finder<'static>,
    /// For each of its beginnings, the longest shorter one that it ends with (Knuth, Morris, Pratt).
    shorter: Vec<usize>,
}

impl Pattern {
    fn new(bytes: &[u8]) -> Self {
        let mut shorter = vec![0; bytes.len()];
        let mut length = 0;
        for (at, byte) in bytes.iter().enumerate().skip(1) {
            length = advance(bytes, &shorter, length, *byte);
            if let Some(slot) = shorter.get_mut(at) {
                *slot = length;
            }
        }
        Self {
            finder: Finder::new(bytes).into_owned(),
            shorter,
        }
    }

    fn len(&self) -> usize {
        self.finder.needle().len()
    }

    /// How many of the last bytes are a beginning of this one.
    fn begun(&self, bytes: &[u8]) -> usize {
        let from = bytes.len().saturating_sub(self.len().saturating_sub(1));
        bytes
            .get(from..)
            .unwrap_or_default()
            .iter()
            .fold(0, |length, byte| {
                advance(self.finder.needle(), &self.shorter, length, *byte)
            })
    }
}

/// The longest beginning of `pattern` that ends with `byte`, after one of `length` bytes.
fn advance(pattern: &[u8], shorter: &[usize], mut length: usize, byte: u8) -> usize {
    loop {
        if pattern.get(length) == Some(&byte) {
            return length + 1;
        }
        match length.checked_sub(1).and_then(|last| shorter.get(last)) {
            Some(next) => length = *next,
            None => return 0,
        }
    }
}

/// The values of one session, in all their forms. Cheap to clone.
#[derive(Clone, Default)]
pub struct Values(Arc<Known>);

#[derive(Default)]
struct Known {
    patterns: Vec<Pattern>,
    longest: usize,
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} forms of secrets", self.0.patterns.len())
    }
}

impl Values {
    /// The values to look for.
    #[must_use]
    pub fn of(start: &StartSession) -> Self {
        Self::from_texts(start.secrets.values().map(|secret| secret.value.reveal()))
    }

    fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let forms: BTreeSet<Vec<u8>> = texts.into_iter().flat_map(forms_of).collect();
        let patterns: Vec<Pattern> = forms.iter().map(|form| Pattern::new(form)).collect();
        let longest = patterns.iter().map(Pattern::len).max().unwrap_or(0);
        Self(Arc::new(Known { patterns, longest }))
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.patterns.is_empty()
    }

    /// A text without the values; nor does it end with most of one, where it was cut.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        if self.is_empty() {
            return text.to_owned();
        }
        let mut stream = Redactor::new(self.clone());
        let mut out = stream.push(text.as_bytes());
        out.extend(stream.finish());
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Where values are, those that overlap as one.
    fn matches(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut found: Vec<(usize, usize)> = Vec::new();
        for pattern in &self.0.patterns {
            let overlap = pattern.shorter.last().copied().unwrap_or(0);
            let mut from = 0;
            while let Some(at) = bytes.get(from..).and_then(|rest| pattern.finder.find(rest)) {
                let start = from + at;
                found.push((start, start + pattern.len()));
                // The next one may overlap this one.
                from = start + (pattern.len() - overlap).max(1);
            }
        }
        found.sort_unstable_by_key(|(start, end)| (*start, std::cmp::Reverse(*end)));
        found.dedup_by(|(start, end), before| {
            let joined = *start < before.1;
            if joined {
                before.1 = before.1.max(*end);
            }
            joined
        });
        found
    }

    /// How many of the last bytes may be the beginning of a value.
    fn begun(&self, bytes: &[u8]) -> usize {
        let all = self.0.patterns.iter().map(|pattern| pattern.begun(bytes));
        all.max().unwrap_or(0)
    }
}

/// One stream with the values taken out. What may be the beginning of a value is held until more
/// comes; that is bounded by the longest value.
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
        let found = self.values.matches(&self.held);
        let mut keep = self.held.len() - self.values.begun(&self.held);
        // What overlaps the beginning of a value belongs to it, should it become one.
        for (start, end) in found.iter().rev() {
            if *end > keep && *start < keep {
                keep = *start;
            }
        }
        if self.held.len() - keep > MOST_HELD * self.values.0.longest {
            let end = found.last().map_or(0, |(_, end)| *end);
            let rest = self.held.get(end..).unwrap_or_default();
            keep = self.held.len() - self.values.begun(rest);
        }
        self.give(&found, keep)
    }

    /// What was held back; at the stream's end. Most of a value is not given either.
    pub fn finish(&mut self) -> Vec<u8> {
        let found = self.values.matches(&self.held);
        let after = found.last().map_or(0, |(_, end)| *end);
        let begun = self
            .values
            .begun(self.held.get(after..).unwrap_or_default());
        let cut = if begun >= SHORTEST_REDACTED { begun } else { 0 };
        let mut out = self.give(&found, self.held.len() - cut);
        if !std::mem::take(&mut self.held).is_empty() {
            out.extend_from_slice(REDACTED.as_bytes());
        }
        out
    }

    /// Gives the first `end` bytes.
    fn give(&mut self, found: &[(usize, usize)], end: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(end);
        let mut at = 0;
        for (start, stop) in found.iter().filter(|(_, stop)| *stop <= end) {
            out.extend_from_slice(self.held.get(at..*start).unwrap_or_default());
            out.extend_from_slice(REDACTED.as_bytes());
            at = *stop;
        }
        out.extend_from_slice(self.held.get(at..end).unwrap_or_default());
        self.held.drain(..end);
        out
    }
}

/// A value as it may be printed.
fn forms_of(value: &str) -> Vec<Vec<u8>> {
    let value = value.trim_end_matches(['\r', '\n']);
    if value.len() < SHORTEST_REDACTED {
        return Vec::new();
    }
    let mut forms = vec![value.as_bytes().to_vec()];
    if value.contains('\n') {
        let plain = value.replace("\r\n", "\n");
        forms.push(plain.replace('\n', "\r\n").into_bytes());
        let lines = plain.lines().map(str::trim);
        // The frame of a key is the same in all keys.
        let telling = lines.filter(|l| l.len() >= SHORTEST_LINE && !l.starts_with("-----"));
        forms.extend(telling.map(|line| line.as_bytes().to_vec()));
    }
    if let Some(json) = serde_json::to_string(value).ok().as_deref() {
        let inner = json.trim_matches('"');
        if inner != value && inner.len() >= SHORTEST_REDACTED {
            forms.push(inner.as_bytes().to_vec());
        }
    }
    // Inside of something longer that is encoded, a value begins at one of three places; of its
    // first and last digits some are shared with what is around it.
    for skipped in 0..3_usize {
        let padded = [vec![0; skipped], value.as_bytes().to_vec()].concat();
        let range = (skipped * 8).div_ceil(6)..padded.len() * 8 / 6;
        for encoded in [
            STANDARD_NO_PAD.encode(&padded),
            URL_SAFE_NO_PAD.encode(&padded),
        ] {
            let own = encoded.get(range.clone()).unwrap_or_default();
            if own.len() >= SHORTEST_REDACTED {
                forms.push(own.as_bytes().to_vec());
            }
        }
    }
    forms
}

#[cfg(test)]
#[path = "redact_tests.rs"]
mod tests;
