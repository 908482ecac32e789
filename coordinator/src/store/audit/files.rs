//! The audit log's files, and what a line of them may be.

use std::path::{Path, PathBuf};

/// Rotated files that are kept.
pub(super) const KEEP: u32 = 4;
/// Longest entry, in bytes; names and paths are bounded before they come here.
pub(super) const MAX_ENTRY: usize = 64 << 10;

/// The file of that number; the entries in it are the older the greater the number is.
pub(super) fn path(folder: &Path, number: u32) -> PathBuf {
    match number {
        0 => folder.join("audit.jsonl"),
        n => folder.join(format!("audit.{n}.jsonl")),
    }
}
