//! Recording of a session's output as asciicast v2.
//!
//! Owns: the files `SESSION.cast` (newest) and `SESSION.1.cast` … `SESSION.4.cast` under the log
//! folder. It never waits for room on the disk.

use super::redact::{Redactor, SecretMatcher};
use crate::log::log_line;
use base64::{Engine, engine::general_purpose::STANDARD};
use podbay_protocol::Size;
use std::{
    fs::{File, OpenOptions},
    io::{Seek, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// A file is rotated before it grows over this many bytes.
pub const ROTATE_AT: u64 = 16 << 20;
/// Rotated files that are kept.
pub const KEEP: u32 = 4;
/// Collected bytes from which on they are written out.
const FLUSH_AT: usize = 64 << 10;
/// Bytes of output in one event: escaped, they make a line of at most six times as many.
const MAX_EVENT: usize = 64 << 10;
/// How often a disk that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Which stream bytes came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordedStream {
    /// The terminal, or stdout.
    Output,
    /// stderr of a session on pipes.
    Error,
}

/// What is not recorded, since the disk is full or fails.
#[derive(Debug)]
struct Gap {
    since: Duration,
    why: String,
    missing: u64,
    retry: Duration,
}

/// Writes one session's recording.
///
/// Event codes: `o` output, `r` size, `m` marker (all asciicast v2), and three of our own that
/// players skip: `e` stderr of a session on pipes, and `b` / `d`, output / stderr that is not UTF-8,
/// as base64. The bytes of all `o` and `b` events in file order are exactly the output; likewise `e`
/// and `d` for stderr. Times are seconds since the session's start in every file.
///
/// On a full disk the session goes on without its recording, and once there is room again a marker
/// says how much is missing.
#[derive(Debug)]
pub struct Recorder {
    folder: PathBuf,
    name: String,
    start: Instant,
    started_unix: u64,
    size: Size,
    file: Option<File>,
    written: u64,
    buffer: Vec<u8>,
    /// Bytes of output that are in the buffer.
    collected: u64,
    /// Of each stream, a UTF-8 sequence that was cut at the end of the last output.
    partial: [Vec<u8>; 2],
    rotate_at: u64,
    gap: Option<Gap>,
    redactors: Option<[Redactor; 2]>,
}

/// The file name of a session's newest recording.
#[must_use]
pub fn file_name(session: &str) -> String {
    format!("{}.cast", path_component(session))
}

/// A session's id as a part of a path.
pub(crate) fn path_component(session: &str) -> String {
    session
        .chars()
        .enumerate()
        .take(200)
        .map(|(at, c)| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => c,
            '.' if at > 0 => c,
            _ => '_',
        })
        .collect()
}

impl Recorder {
    /// A recording of `session` in `folder`. The file is made at the first flush.
    #[must_use]
    pub fn new(
        folder: &Path,
        session: &str,
        size: Size,
        start: Instant,
        started_unix: u64,
    ) -> Self {
        Self {
            folder: folder.to_owned(),
            name: path_component(session),
            start,
            started_unix,
            size,
            file: None,
            written: 0,
            buffer: Vec::new(),
            collected: 0,
            partial: [Vec::new(), Vec::new()],
            rotate_at: ROTATE_AT,
            gap: None,
            redactors: None,
        }
    }

    /// The same with these values taken out of all output.
    #[must_use]
    pub fn without(mut self, secrets: &SecretMatcher) -> Self {
        let redactor = || Redactor::new(secrets.clone());
        self.redactors = (!secrets.is_empty()).then(|| [redactor(), redactor()]);
        self
    }

    /// Whether something waits for [`Self::flush`].
    #[must_use]
    pub fn dirty(&self) -> bool {
        self.gap.is_none() && (self.file.is_none() || !self.buffer.is_empty())
    }

    /// Records output; a UTF-8 sequence cut at the end waits for its rest, and so does what may be
    /// the beginning of a secret.
    pub fn output(&mut self, stream: RecordedStream, bytes: &[u8], at: Instant) {
        let safe = self.redactor(stream).map(|redactor| redactor.push(bytes));
        for part in safe.as_deref().unwrap_or(bytes).chunks(MAX_EVENT) {
            self.record(stream, part, at);
        }
    }

    fn redactor(&mut self, stream: RecordedStream) -> Option<&mut Redactor> {
        let [output, error] = self.redactors.as_mut()?;
        Some(if stream == RecordedStream::Output {
            output
        } else {
            error
        })
    }

    fn record(&mut self, stream: RecordedStream, bytes: &[u8], at: Instant) {
        let at = at.saturating_duration_since(self.start);
        self.try_again(at);
        if let Some(gap) = &mut self.gap {
            gap.missing += bytes.len() as u64;
        }
        let joined = self.take_partial(stream);
        let joined = if joined.is_empty() {
            None
        } else {
            Some([joined.as_slice(), bytes].concat())
        };
        let mut rest = joined.as_deref().unwrap_or(bytes);
        while !rest.is_empty() {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    self.text(stream, text, at);
                    rest = &[];
                }
                Err(error) => {
                    let (valid, bad) = rest.split_at(error.valid_up_to());
                    if let (false, Ok(text)) = (valid.is_empty(), std::str::from_utf8(valid)) {
                        self.text(stream, text, at);
                    }
                    if error.error_len().is_none() {
                        self.keep_partial(stream, bad);
                        rest = &[];
                    } else {
                        // Up to the line's end in one event: binary output has many bad bytes.
                        let end = bad
                            .iter()
                            .position(|b| *b == b'\n')
                            .map_or(bad.len(), |n| n + 1);
                        let (binary, next) = bad.split_at(end);
                        self.binary(stream, binary, at);
                        rest = next;
                    }
                }
            }
        }
        if self.buffer.len() >= FLUSH_AT {
            self.flush();
        }
    }

    /// Records a change of size.
    pub fn resize(&mut self, size: Size, at: Instant) {
        self.size = size;
        let at = at.saturating_duration_since(self.start);
        self.event("r", &format!("{}x{}", size.cols, size.rows), at);
    }

    /// Writes what was collected.
    pub fn flush(&mut self) {
        if !self.dirty() {
            return;
        }
        if let Err(error) = self.write_out() {
            self.pause(&error);
        }
    }

    /// Records a sequence that was never finished, and flushes.
    pub fn finish(&mut self, at: Instant) {
        if let Some(gap) = &mut self.gap {
            gap.retry = Duration::ZERO;
        }
        for stream in [RecordedStream::Output, RecordedStream::Error] {
            let held = self.redactor(stream).map(Redactor::finish);
            self.record(stream, &held.unwrap_or_default(), at);
        }
        let at = at.saturating_duration_since(self.start);
        for stream in [RecordedStream::Output, RecordedStream::Error] {
            let partial = self.take_partial(stream);
            if !partial.is_empty() {
                self.binary(stream, &partial, at);
            }
        }
        self.flush();
    }

    fn keep_partial(&mut self, stream: RecordedStream, bytes: &[u8]) {
        let [output, error] = &mut self.partial;
        let partial = if stream == RecordedStream::Output {
            output
        } else {
            error
        };
        partial.extend_from_slice(bytes);
    }

    fn take_partial(&mut self, stream: RecordedStream) -> Vec<u8> {
        let [output, error] = &mut self.partial;
        std::mem::take(if stream == RecordedStream::Output {
            output
        } else {
            error
        })
    }

    fn text(&mut self, stream: RecordedStream, text: &str, at: Duration) {
        self.output_event(
            if stream == RecordedStream::Output {
                "o"
            } else {
                "e"
            },
            text,
            text.len(),
            at,
        );
    }

    fn binary(&mut self, stream: RecordedStream, bytes: &[u8], at: Duration) {
        let code = if stream == RecordedStream::Output {
            "b"
        } else {
            "d"
        };
        self.output_event(code, &STANDARD.encode(bytes), bytes.len(), at);
    }

    fn output_event(&mut self, code: &str, data: &str, bytes: usize, at: Duration) {
        if self.gap.is_none() {
            self.collected += bytes as u64;
        }
        self.event(code, data, at);
    }

    fn event(&mut self, code: &str, data: &str, at: Duration) {
        if self.gap.is_none() {
            push_event(&mut self.buffer, code, data, at);
        }
    }

    fn path(&self, number: u32) -> PathBuf {
        match number {
            0 => self.folder.join(format!("{}.cast", self.name)),
            n => self.folder.join(format!("{}.{n}.cast", self.name)),
        }
    }

    fn open(&mut self) -> std::io::Result<()> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(self.path(0))?;
        self.file = Some(file);
        self.written = 0;
        self.head()
    }

    fn head(&mut self) -> std::io::Result<()> {
        let header = serde_json::json!({
            "version": 2, "width": self.size.cols, "height": self.size.rows,
            "timestamp": self.started_unix, "env": { "TERM": "xterm-256color" },
        });
        self.append(format!("{header}\n").as_bytes())
    }

    fn write_out(&mut self) -> std::io::Result<()> {
        if self.file.is_none() {
            self.open()?;
        } else if self.written + self.buffer.len() as u64 > self.rotate_at {
            self.file = None;
            for number in (0..KEEP).rev() {
                // A gap in the numbers is no reason to stop: only the newest file must move.
                let moved = std::fs::rename(self.path(number), self.path(number + 1));
                if number == 0 {
                    moved?;
                }
            }
            self.open()?;
        }
        let buffer = std::mem::take(&mut self.buffer);
        let result = self.append(&buffer);
        self.buffer = buffer;
        if result.is_ok() {
            // Else it is counted as missing.
            self.collected = 0;
            self.buffer.clear();
            self.buffer.shrink_to(2 * FLUSH_AT);
        }
        result
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
            self.written += bytes.len() as u64;
        }
        Ok(())
    }

    /// Cuts the file at its last whole write and says why nothing follows.
    fn pause(&mut self, error: &std::io::Error) {
        let now = self.start.elapsed();
        log_line(&format!("recording of {} stopped: {error}", self.name));
        let missing = std::mem::take(&mut self.collected);
        self.buffer = Vec::new();
        self.gap = Some(Gap {
            since: now,
            why: error.to_string(),
            missing,
            retry: now + RETRY,
        });
        self.cut();
        let text = format!("recording stopped: {error}");
        if self.mark(&text, now).is_err() {
            self.cut();
        }
    }

    /// After a while, whether the disk takes it again.
    fn try_again(&mut self, now: Duration) {
        let Some(gap) = self.gap.take_if(|gap| now >= gap.retry) else {
            return;
        };
        let text = format!(
            "recording goes on: {} bytes since {:.1} s are missing ({})",
            gap.missing,
            gap.since.as_secs_f64(),
            gap.why
        );
        match self.mark(&text, now) {
            Ok(()) => {
                log_line(&format!("recording of {} goes on", self.name));
                self.event("r", &format!("{}x{}", self.size.cols, self.size.rows), now);
            }
            Err(_) => {
                self.cut();
                self.gap = Some(Gap {
                    retry: now + RETRY,
                    ..gap
                });
            }
        }
    }

    fn mark(&mut self, text: &str, at: Duration) -> std::io::Result<()> {
        if self.file.is_none() {
            // What could not be moved away is kept.
            match OpenOptions::new().append(true).open(self.path(0)) {
                Ok(file) => {
                    self.written = file.metadata()?.len();
                    self.file = Some(file);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => self.open()?,
                Err(error) => return Err(error),
            }
        }
        if self.written == 0 {
            self.head()?;
        }
        let mut line = Vec::new();
        push_event(&mut line, "m", text, at);
        self.append(&line)
    }

    fn cut(&mut self) {
        if let Some(file) = &mut self.file {
            let cut = file.set_len(self.written);
            let at_end = cut.and_then(|()| file.seek(std::io::SeekFrom::End(0)));
            if let Err(error) = at_end {
                log_line(&format!("recording of {}: {error}", self.name));
            }
        }
    }
}

fn push_event(buffer: &mut Vec<u8>, code: &str, data: &str, at: Duration) {
    let micros = at.as_micros();
    let head = format!(
        "[{}.{:06},\"{code}\",",
        micros / 1_000_000,
        micros % 1_000_000
    );
    buffer.extend_from_slice(head.as_bytes());
    // Writing JSON into memory has no way to fail.
    drop(serde_json::to_writer(&mut *buffer, data));
    buffer.extend_from_slice(b"]\n");
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
