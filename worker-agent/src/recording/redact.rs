//! Known secret values taken out of what is recorded and reported.
//!
//! Owns: which forms of a value are known, and finding them also where they are cut in two. It never
//! touches what an attached client gets.

use aho_corasick::{
    Anchored,
    automaton::{Automaton, StateID},
    nfa::contiguous::NFA,
};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use podbay_protocol::{SHORTEST_REDACTED, StartSession};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

/// What stands in a value's place.
pub const REDACTED: &str = "[secret]";
/// Shorter lines of a value, in bytes, are not looked for by themselves.
const MIN_LINE: usize = 16;
/// Matches that overlap without an end are cut off here, in multiples of the longest value.
const MAX_HELD: usize = 4;

/// The values of one session, in all their forms. Cheap to clone.
///
/// A value that a program draws piece by piece with cursor movements in between is not found: nothing
/// but the bytes as they come is looked at.
#[derive(Clone, Default)]
pub struct SecretMatcher(Option<Arc<Inner>>);

/// All forms in one automaton (Aho and Corasick), so that a byte costs the same whatever their number.
struct Inner {
    automaton: NFA,
    start: StateID,
    /// How many bytes of a form the states stand for.
    depths: HashMap<StateID, usize>,
    forms: usize,
    longest: usize,
}

impl std::fmt::Debug for SecretMatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let forms = self.0.as_ref().map_or(0, |inner| inner.forms);
        write!(f, "{forms} forms of secrets")
    }
}

impl Inner {
    fn new(forms: &BTreeSet<Vec<u8>>) -> Option<Self> {
        // Secrets are bounded far below what the automaton takes.
        let automaton = NFA::new(forms).ok()?;
        let start = automaton.start_state(Anchored::No).ok()?;
        let mut depths = HashMap::new();
        for form in forms {
            let mut state = start;
            for (at, byte) in form.iter().enumerate() {
                state = automaton.next_state(Anchored::No, state, *byte);
                depths.insert(state, at + 1);
            }
        }
        Some(Self {
            automaton,
            start,
            depths,
            forms: forms.len(),
            longest: forms.iter().map(Vec::len).max().unwrap_or(0),
        })
    }

    fn next(&self, state: StateID, byte: u8) -> StateID {
        self.automaton.next_state(Anchored::No, state, byte)
    }

    /// The length of the longest form that ends in this state.
    fn match_len(&self, state: StateID) -> Option<usize> {
        if !self.automaton.is_match(state) {
            return None;
        }
        // The first one is the longest: the others are ends of it.
        let form = self.automaton.match_pattern(state, 0);
        Some(self.automaton.pattern_len(form))
    }

    /// The state after these bytes, from the start.
    fn after(&self, bytes: &[u8]) -> StateID {
        let next = |state, byte: &u8| self.next(state, *byte);
        bytes.iter().fold(self.start, next)
    }

    /// How many of the last bytes are the beginning of a form.
    fn begun_len(&self, state: StateID) -> usize {
        self.depths.get(&state).copied().unwrap_or(0)
    }
}

impl SecretMatcher {
    /// The values to look for.
    #[must_use]
    pub fn for_session(start: &StartSession) -> Self {
        Self::from_texts(start.secrets.values().map(|secret| secret.value.reveal()))
    }

    fn from_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let forms: BTreeSet<Vec<u8>> = texts.into_iter().flat_map(forms_of).collect();
        if forms.is_empty() {
            return Self(None);
        }
        Self(Inner::new(&forms).map(Arc::new))
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
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
}

/// One stream with the values taken out. What may be the beginning of a value is held until more
/// comes; that is bounded by the longest value. Each byte is looked at once.
#[derive(Debug, Default)]
pub struct Redactor {
    matcher: SecretMatcher,
    held: Vec<u8>,
    /// Where values are in it, those that overlap as one.
    matches: VecDeque<(usize, usize)>,
    /// After what is held; `None` at the start.
    state: Option<StateID>,
}

impl Redactor {
    /// A stream's redactor.
    #[must_use]
    pub fn new(matcher: SecretMatcher) -> Self {
        Self {
            matcher,
            ..Self::default()
        }
    }

    /// Takes a piece and gives what can be kept of it.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(inner) = self.matcher.0.clone() else {
            return bytes.to_vec();
        };
        let mut state = self.state.unwrap_or(inner.start);
        for byte in bytes {
            self.held.push(*byte);
            state = inner.next(state, *byte);
            if let Some(length) = inner.match_len(state) {
                self.add_match(length);
            }
        }
        let mut keep = self.held.len().saturating_sub(inner.begun_len(state));
        // What overlaps the beginning of a value belongs to it, should it become one.
        for (start, end) in self.matches.iter().rev() {
            if *end > keep && *start < keep {
                keep = *start;
            }
        }
        if self.held.len() - keep > MAX_HELD * inner.longest {
            let end = self.matches.back().map_or(0, |(_, end)| *end);
            state = inner.after(self.held.get(end..).unwrap_or_default());
            keep = self.held.len().saturating_sub(inner.begun_len(state));
        }
        self.state = Some(state);
        self.release(keep)
    }

    /// A value of that length ends with what is held.
    fn add_match(&mut self, length: usize) {
        let end = self.held.len();
        let mut start = end.saturating_sub(length);
        while let Some((before, _)) = self.matches.back().filter(|(_, stop)| start < *stop) {
            start = start.min(*before);
            self.matches.pop_back();
        }
        self.matches.push_back((start, end));
    }

    /// What was held back; at the stream's end. Most of a value is not given either.
    pub fn finish(&mut self) -> Vec<u8> {
        let Some(inner) = self.matcher.0.clone() else {
            return Vec::new();
        };
        let after = self.matches.back().map_or(0, |(_, end)| *end);
        let rest = self.held.get(after..).unwrap_or_default();
        let begun = inner.begun_len(inner.after(rest));
        let cut = if begun >= SHORTEST_REDACTED { begun } else { 0 };
        let mut out = self.release(self.held.len() - cut);
        if !std::mem::take(&mut self.held).is_empty() {
            out.extend_from_slice(REDACTED.as_bytes());
        }
        self.matches.clear();
        self.state = None;
        out
    }

    /// Gives the first `end` bytes; no value lies across it.
    fn release(&mut self, end: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(end);
        let mut at = 0;
        while let Some((start, stop)) = self.matches.front().copied().filter(|(_, s)| *s <= end) {
            self.matches.pop_front();
            out.extend_from_slice(self.held.get(at..start).unwrap_or_default());
            out.extend_from_slice(REDACTED.as_bytes());
            at = stop;
        }
        out.extend_from_slice(self.held.get(at..end).unwrap_or_default());
        self.held.drain(..end);
        for (start, stop) in &mut self.matches {
            *start -= end;
            *stop -= end;
        }
        out
    }
}

/// A value as it may be printed: as given, with a terminal's line ends, each of its lines, as JSON
/// writes it, as base64.
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
        let telling = lines.filter(|l| l.len() >= MIN_LINE && !l.starts_with("-----"));
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
