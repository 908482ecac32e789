//! Lines of a file that somebody else writes, in pieces of bounded size, forwards and backwards.
//!
//! Owns: opening such a file without following a link, waiting for a pipe, or touching a device. All
//! of it blocks: run it off the executor. It never keeps more than one longest line and one block.

use memchr::{memchr_iter, memrchr};
use std::{
    fs::{File, OpenOptions},
    io,
    ops::ControlFlow,
    os::unix::{
        fs::{FileExt, OpenOptionsExt},
        io::AsRawFd,
    },
    path::Path,
};

/// Bytes that are read at once.
const BLOCK: usize = 64 << 10;

/// What is at a path.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A regular file.
    Regular(File),
    /// Nothing.
    Missing,
    /// A link, a pipe, a device, a folder: it is not read.
    Other,
}

/// Opens a regular file for reading. The last part of the path is never followed if it is a link,
/// and nothing but a regular file is opened at all: opening a pipe or a device can wait or act.
///
/// # Errors
/// The system's, except that nothing is there.
pub(crate) fn open_regular(path: &Path) -> io::Result<Opened> {
    let place = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_PATH | nix::libc::O_NOFOLLOW)
        .open(path);
    let place = match place {
        Ok(place) => place,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Missing),
        Err(error) => return Err(error),
    };
    if !place.metadata()?.is_file() {
        return Ok(Opened::Other);
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NONBLOCK)
        .open(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
    Ok(Opened::Regular(file))
}

/// One line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    /// With its newline.
    Whole(&'a [u8]),
    /// Longer than the bound, and so not read: its bytes, the newline included.
    TooLong(u64),
}

/// Where [`Lines::forward`] stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reached {
    /// The end; what stands behind the last newline waits for its rest.
    End,
    /// There may be more.
    More,
}

/// The lines of a file from a position on.
#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
    at: u64,
    max_line: usize,
    /// Bytes of a line over the bound that were passed over so far.
    skipped: u64,
}

impl Lines {
    /// The lines from `at`, which is the beginning of a line; `max_line` bytes at most in each.
    pub(crate) fn new(file: File, at: u64, max_line: usize) -> Self {
        Self {
            file,
            at,
            max_line,
            skipped: 0,
        }
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The position up to which lines were given.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Goes on from there, which is the beginning of a line.
    pub(crate) fn seek(&mut self, at: u64) {
        self.at = at;
        self.skipped = 0;
    }

    /// Passes over what is left of the line that `at` is in.
    pub(crate) fn seek_within_line(&mut self, at: u64) {
        self.at = at;
        self.skipped = 1;
    }

    /// Gives whole lines that end before `end`, until `take` breaks or about `budget` bytes are
    /// read. A line over the bound is told once, when its end is seen.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn forward(
        &mut self,
        end: u64,
        budget: u64,
        mut take: impl FnMut(Line<'_>) -> ControlFlow<()>,
    ) -> io::Result<Reached> {
        let stop = self.at.saturating_add(budget.max(1)).min(end);
        let mut held: Vec<u8> = Vec::new();
        loop {
            // `held` are the bytes from `at` on, without a newline.
            let from = self.at + held.len() as u64;
            if from >= end {
                return Ok(Reached::End);
            }
            if from >= stop && (held.is_empty() || self.skipped > 0) {
                return Ok(Reached::More);
            }
            let read = read_block(&self.file, from, end, &mut held)?;
            if read == 0 {
                return Ok(Reached::End);
            }
            let mut used = 0;
            let fresh = held.len() - read;
            let unseen = held.get(fresh..).unwrap_or_default();
            for newline in memchr_iter(b'\n', unseen).map(|at| fresh + at) {
                let line = held.get(used..=newline).unwrap_or_default();
                let length = line.len() as u64;
                used = newline + 1;
                self.at += length;
                let skipped = std::mem::take(&mut self.skipped);
                let told = if skipped > 0 {
                    take(Line::TooLong(skipped + length))
                } else if line.len() > self.max_line {
                    take(Line::TooLong(length))
                } else {
                    take(Line::Whole(line))
                };
                if told.is_break() {
                    return Ok(Reached::More);
                }
            }
            held.drain(..used);
            if self.skipped > 0 || held.len() > self.max_line {
                self.at += held.len() as u64;
                self.skipped += held.len() as u64;
                held.clear();
            }
        }
    }

    /// Gives whole lines that end at or before `from`, the last one first, each with its position,
    /// down to the one that begins at or after `to`, until `take` breaks. What stands behind the last
    /// newline before `from` is left out; so is a line that begins before `to`, except at 0.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn backward(
        &self,
        from: u64,
        to: u64,
        mut take: impl FnMut(u64, Line<'_>) -> ControlFlow<()>,
    ) -> io::Result<()> {
        // Bytes from `at` on that were read and belong to no line that was given.
        let mut held: Vec<u8> = Vec::new();
        let mut at = from;
        // Bytes behind those that belong to the same line and were let go.
        let mut dropped = 0u64;
        // Whether the end of a line was seen: `held` ends with its newline, or it was let go.
        let mut ended = false;
        loop {
            let body = held.len() - usize::from(ended && dropped == 0 && !held.is_empty());
            let before = held.get(..body).and_then(|body| memrchr(b'\n', body));
            let begins = match before {
                Some(newline) => Some(newline + 1),
                None if at == 0 => Some(0),
                None => None,
            };
            if let Some(start) = begins {
                let line = held.get(start..).unwrap_or_default();
                let length = line.len() as u64 + dropped;
                if ended && length > 0 {
                    let line = if length > self.max_line as u64 {
                        Line::TooLong(length)
                    } else {
                        Line::Whole(line)
                    };
                    if take(at + start as u64, line).is_break() {
                        return Ok(());
                    }
                }
                held.truncate(start);
                (dropped, ended) = (0, true);
                if start == 0 {
                    return Ok(());
                }
                continue;
            }
            if at <= to {
                return Ok(());
            }
            if held.len() > self.max_line || !ended {
                dropped += if ended { held.len() as u64 } else { 0 };
                held.clear();
            }
            let begin = at.saturating_sub(BLOCK as u64).max(to);
            let mut block = vec![0; usize::try_from(at - begin).unwrap_or(BLOCK)];
            self.file.read_exact_at(&mut block, begin)?;
            block.append(&mut held);
            held = block;
            at = begin;
        }
    }
}

/// Appends the next bytes; how many.
fn read_block(file: &File, from: u64, end: u64, held: &mut Vec<u8>) -> io::Result<usize> {
    let wanted = usize::try_from(end - from).unwrap_or(BLOCK).min(BLOCK);
    let before = held.len();
    held.resize(before + wanted, 0);
    let room = held.get_mut(before..).unwrap_or_default();
    let read = match file.read_at(room, from) {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            held.truncate(before);
            return read_block(file, from, end, held);
        }
        Err(error) => return Err(error),
    };
    held.truncate(before + read);
    Ok(read)
}

#[cfg(test)]
#[path = "lines_tests.rs"]
mod tests;
