//! Reading a session's recording back as the bytes it wrote.
//!
//! The folder belongs to the worker's root, who can put anything in a recording's place: what is no
//! regular file is not opened, of a file only the last [`MAX_FILE`] bytes are read, and no line over
//! [`MAX_LINE`] is kept. Each of these leaves a line in brackets in its place. All of it blocks.

use super::lines::{Line, Lines, Opened, Reached, open_regular};
use std::{
    collections::VecDeque,
    fs::File,
    io,
    ops::ControlFlow,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};
use worker_agent::playback;

/// Bytes of one file that are read; an agent rotates its recordings at half of it.
pub(crate) const MAX_FILE: u64 = 32 << 20;
/// Longest line that is read, in bytes. An agent's own are shorter.
pub(crate) const MAX_LINE: usize = 1 << 20;
/// Bytes of output that are given at once, about.
pub(crate) const PIECE: usize = 64 << 10;
/// Bytes of a file that are read for one piece, about.
const BUDGET: u64 = 4 << 20;
/// Bytes of a recording's head, which is its first line.
const MAX_HEAD: usize = 4096;

/// What of a recording is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct RecordingQuery {
    /// Only the last lines of the output.
    pub tail: Option<u64>,
    /// Only what was written since then, in Unix seconds.
    pub since: Option<f64>,
    /// Whether more is asked for once all that is there was given.
    pub follow: bool,
}

/// The next bytes of the output.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Empty when there is none yet.
    pub bytes: Vec<u8>,
    /// All that is there now was given.
    pub end: bool,
}

/// One file of a recording.
#[derive(Debug)]
struct Part {
    lines: Lines,
    inode: u64,
    /// Nothing behind it is given, unless the recording is followed.
    end: u64,
}

/// A session's recording, the oldest file first.
#[derive(Debug)]
pub struct Recording {
    folder: PathBuf,
    session: String,
    parts: VecDeque<Part>,
    /// Seconds from the recording's start before which nothing is given.
    from: Option<f64>,
    /// Bytes of the first output that are not given.
    skip: usize,
    follow: bool,
    /// What is said before the next output.
    notes: Vec<u8>,
    /// Inodes of what is no regular file, said once each.
    refused: Vec<u64>,
}

impl Recording {
    /// Opens a session's recording in a log folder, at the first output that is asked for.
    ///
    /// # Errors
    /// A file cannot be opened or read.
    pub fn open(folder: &Path, session: &str, query: RecordingQuery) -> io::Result<Self> {
        let mut recording = Self {
            folder: folder.to_owned(),
            session: session.to_owned(),
            parts: VecDeque::new(),
            from: None,
            skip: 0,
            follow: query.follow,
            notes: Vec::new(),
            refused: Vec::new(),
        };
        for rotation in (0..=playback::OLDEST).rev() {
            if let Some(part) = recording.part(rotation)? {
                recording.parts.push_back(part);
            }
        }
        if let Some(since) = query.since {
            let newest = recording.parts.back();
            let start = newest.and_then(|part| started(part.lines.file()));
            recording.from = Some(since - start.unwrap_or(since));
        }
        if let Some(lines) = query.tail {
            recording.go_to_last(lines)?;
        }
        Ok(recording)
    }

    /// Whether there is a recording of that session.
    #[must_use]
    pub fn exists(folder: &Path, session: &str) -> bool {
        playback::path(folder, session, 0)
            .symlink_metadata()
            .is_ok()
    }

    /// The next bytes: at most about 64 KiB, or what one line holds.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&mut self) -> io::Result<Piece> {
        let mut bytes = std::mem::take(&mut self.notes);
        loop {
            // Looked at before the newest file is read to its end: what is read then is all of it.
            if self.follow && self.parts.len() <= 1 {
                self.find_newer()?;
                bytes.append(&mut self.notes);
            }
            let last = self.parts.len() == 1;
            let Some(part) = self.parts.front_mut() else {
                return Ok(Piece { bytes, end: true });
            };
            if self.follow {
                part.end = part.lines.file().metadata()?.len();
                if part.end < part.lines.at() {
                    // It was cut at its last whole line.
                    part.lines.seek(part.end);
                }
                part.bound(&mut bytes);
            }
            let (from, skip) = (self.from, &mut self.skip);
            let reached = part.lines.forward(part.end, BUDGET, |line| {
                output(line, from, skip, &mut bytes);
                if bytes.len() < PIECE {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            match reached {
                Reached::More => return Ok(Piece { bytes, end: false }),
                Reached::End if last => return Ok(Piece { bytes, end: true }),
                Reached::End => drop(self.parts.pop_front()),
            }
        }
    }

    fn part(&mut self, rotation: u32) -> io::Result<Option<Part>> {
        let path = playback::path(&self.folder, &self.session, rotation);
        let file = match open_regular(&path)? {
            Opened::Regular(file) => file,
            Opened::Missing => return Ok(None),
            Opened::Other => {
                let inode = path.symlink_metadata().map_or(0, |m| m.ino());
                if self.refused.contains(&inode) {
                    return Ok(None);
                }
                self.refused.truncate(playback::OLDEST as usize);
                self.refused.insert(0, inode);
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                note(
                    &mut self.notes,
                    &format!("{name} is not a regular file: it is not read"),
                );
                return Ok(None);
            }
        };
        let metadata = file.metadata()?;
        let mut part = Part {
            lines: Lines::new(file, 0, MAX_LINE),
            inode: metadata.ino(),
            end: metadata.len(),
        };
        part.bound(&mut self.notes);
        Ok(Some(part))
    }

    /// Appends the files that are newer than the one that is read.
    fn find_newer(&mut self) -> io::Result<()> {
        let known = self.parts.front().map(|part| part.inode);
        let inode = |rotation| {
            let path = playback::path(&self.folder, &self.session, rotation);
            path.symlink_metadata().ok().map(|m| m.ino())
        };
        let newest = inode(0);
        if newest.is_none() || newest == known {
            return Ok(());
        }
        let ours = (1..=playback::OLDEST).find(|rotation| inode(*rotation) == known);
        // A file that was put in another's place is the next one.
        let oldest = if known.is_some() {
            ours.unwrap_or(1)
        } else {
            1
        };
        for rotation in (0..oldest).rev() {
            if let Some(part) = self.part(rotation)? {
                self.parts.push_back(part);
            }
        }
        Ok(())
    }

    /// Leaves out all but the last lines of the output.
    fn go_to_last(&mut self, lines: u64) -> io::Result<()> {
        let mut seeker = Seeker::new(lines, self.from);
        let mut found = None;
        for (at, part) in self.parts.iter().enumerate().rev() {
            part.lines
                .backward(part.end, part.lines.at(), |begin, line| {
                    match seeker.look(line) {
                        Some(skip) => {
                            found = Some((at, begin, skip));
                            ControlFlow::Break(())
                        }
                        None => ControlFlow::Continue(()),
                    }
                })?;
            if found.is_some() {
                break;
            }
        }
        if lines == 0 {
            // Nothing of what is there, whatever it is.
            while self.parts.len() > 1 {
                self.parts.pop_front();
            }
            if let Some(part) = self.parts.front_mut() {
                part.lines.seek(part.whole_lines()?);
            }
            return Ok(());
        }
        if let Some((at, begin, skip)) = found {
            self.parts.drain(..at);
            if let Some(part) = self.parts.front_mut() {
                part.lines.seek(begin);
            }
            self.skip = skip;
        }
        Ok(())
    }
}

impl Part {
    /// Passes over all but the last bytes of a file that is too large to be an agent's.
    fn bound(&mut self, notes: &mut Vec<u8>) {
        let length = self.end.saturating_sub(self.lines.at());
        if length > MAX_FILE {
            note(
                notes,
                &format!(
                    "{} bytes are left out: a recording is never that large",
                    length - MAX_FILE
                ),
            );
            self.lines.seek_within_line(self.end - MAX_FILE);
        }
    }

    /// Where the last whole line ends.
    fn whole_lines(&self) -> io::Result<u64> {
        let mut end = self.lines.at();
        self.lines.backward(self.end, end, |begin, line| {
            end = begin
                + match line {
                    Line::Whole(bytes) => bytes.len() as u64,
                    Line::TooLong(bytes) => bytes,
                };
            ControlFlow::Break(())
        })?;
        Ok(end)
    }
}

/// Counts lines of the output backwards.
struct Seeker {
    /// Newlines that are still to be seen; the one at the very end is none.
    wanted: u64,
    from: Option<f64>,
    last: bool,
}

impl Seeker {
    fn new(lines: u64, from: Option<f64>) -> Self {
        Self {
            wanted: lines,
            from,
            last: true,
        }
    }

    /// Looks at the line before; once it holds the beginning of what is wanted, how many bytes of
    /// its output are not.
    fn look(&mut self, line: Line<'_>) -> Option<usize> {
        let mut bytes = Vec::new();
        output(line, self.from, &mut 0, &mut bytes);
        let mut body = bytes.as_slice();
        if self.last && !bytes.is_empty() {
            self.last = false;
            body = bytes.strip_suffix(b"\n").unwrap_or(body);
        }
        for newline in memchr::memrchr_iter(b'\n', body) {
            self.wanted = self.wanted.saturating_sub(1);
            if self.wanted == 0 {
                return Some(newline + 1);
            }
        }
        None
    }
}

/// Appends the output of a recorded line, without its first `skip` bytes.
fn output(line: Line<'_>, from: Option<f64>, skip: &mut usize, out: &mut Vec<u8>) {
    let at = out.len();
    match line {
        Line::Whole(line) => {
            if let Some((seconds, bytes)) = playback::parse_output(line)
                && from.is_none_or(|from| seconds >= from)
            {
                out.extend_from_slice(&bytes);
            }
        }
        Line::TooLong(bytes) => note(
            out,
            &format!("a line of {bytes} bytes is left out: an agent writes none over {MAX_LINE}"),
        ),
    }
    let skipped = (*skip).min(out.len() - at);
    out.drain(at..at + skipped);
    *skip -= skipped;
}

fn note(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(format!("\r\n[podbay: {text}]\r\n").as_bytes());
}

/// Unix seconds of the recording's start, from its head.
fn started(file: &File) -> Option<f64> {
    let mut head = vec![0; MAX_HEAD];
    let read = file.read_at(&mut head, 0).ok()?;
    let line = head.get(..read)?.split(|b| *b == b'\n').next()?;
    playback::parse_header(std::str::from_utf8(line).ok()?)
}

#[cfg(test)]
#[path = "recording_tests.rs"]
mod tests;
