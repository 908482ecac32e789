//! Reading the audit log back, the oldest entry first, in pieces of bounded size. All of it blocks.

use super::files::{KEEP, MAX_ENTRY, path};
use crate::{
    store::lines::{Line, Lines, Opened, Reached, open_regular},
    wire::AuditEntry,
};
use std::{collections::VecDeque, io, ops::ControlFlow, path::Path, time::SystemTime};

/// Bytes of entries that are given at once, about.
const PIECE: usize = 64 << 10;
/// Bytes of a file that are read for one piece, about.
const BUDGET: u64 = 4 << 20;

/// Gives the entries that were there when it was made.
#[derive(Debug)]
pub struct AuditReader {
    /// Each with the position that is not read any more.
    parts: VecDeque<(Lines, u64)>,
    since: Option<SystemTime>,
}

impl AuditReader {
    pub(super) fn open(
        folder: &Path,
        since: Option<SystemTime>,
        tail: Option<u64>,
    ) -> io::Result<Self> {
        let mut parts = VecDeque::new();
        let mut wanted = tail;
        for number in 0..=KEEP {
            let Opened::Regular(file) = open_regular(&path(folder, number))? else {
                continue;
            };
            let metadata = file.metadata()?;
            // What was last written before then holds nothing younger.
            let old = since.is_some_and(|since| metadata.modified().is_ok_and(|at| at < since));
            if old || wanted == Some(0) {
                break;
            }
            let end = metadata.len();
            let mut lines = Lines::new(file, 0, MAX_ENTRY);
            if let Some(wanted) = &mut wanted {
                let mut begin = end;
                lines.backward(end, 0, |at, line| {
                    if wanted_entry(line, since) {
                        *wanted -= 1;
                        begin = at;
                    }
                    if *wanted == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })?;
                lines.seek(begin);
            }
            parts.push_front((lines, end));
        }
        Ok(Self { parts, since })
    }

    /// The next whole lines, about 64 KiB; `None` at the end. What is no entry (the rest of a line
    /// that was torn) is left out. A piece may be empty.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let since = self.since;
        let mut piece = Vec::new();
        while let Some((lines, end)) = self.parts.front_mut() {
            let reached = lines.forward(*end, BUDGET, |line| {
                if let Line::Whole(bytes) = line
                    && wanted_entry(line, since)
                {
                    piece.extend_from_slice(bytes);
                }
                if piece.len() < PIECE {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            if reached == Reached::More {
                return Ok(Some(piece));
            }
            self.parts.pop_front();
        }
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// Whether a line is an entry that is young enough.
fn wanted_entry(line: Line<'_>, since: Option<SystemTime>) -> bool {
    let Line::Whole(bytes) = line else {
        return false;
    };
    let Ok(entry) = serde_json::from_slice::<AuditEntry>(bytes) else {
        return false;
    };
    since.is_none_or(|since| humantime::parse_rfc3339(&entry.time).is_ok_and(|time| time >= since))
}
