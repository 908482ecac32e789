//! Differences as text, the way git shows them. Owns the bounds: files by [`LARGE`], the search for a
//! small difference by a deadline, after which a larger but right one is shown. Never looks into a tree
//! but to read a side.

use crate::tree::{Meta, Tree};
use podbay_model::wire::EntryType;
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline, group_diff_ops};
use std::{
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::Path,
    time::Instant,
};

/// Files over this many bytes are flagged and not compared by line.
pub(super) const LARGE: u64 = 1 << 20;
/// A NUL in this many first bytes makes a file binary, as git judges.
const BINARY_LOOK: usize = 8_000;
/// Lines of context.
const CONTEXT: usize = 3;

/// One side of a difference: a file or a symbolic link.
#[derive(Debug, Default)]
pub(super) struct Side {
    /// `100644`, `100755` or `120000`.
    mode: &'static str,
    /// Permission bits.
    bits: u32,
    /// The whole content, or its beginning when `large`.
    bytes: Vec<u8>,
    large: bool,
    binary: bool,
}

impl Side {
    /// Reads a side; `None` for what has no content.
    pub(super) fn read(
        tree: &Tree,
        path: &Path,
        kind: Option<EntryType>,
        meta: Option<&Meta>,
    ) -> io::Result<Option<Self>> {
        let Some(meta) = meta else {
            return Ok(None);
        };
        match kind {
            Some(EntryType::File) => {
                let large = meta.size > LARGE;
                let limit = if large { BINARY_LOOK as u64 } else { LARGE };
                let mut bytes = Vec::new();
                tree.file(path)?.take(limit).read_to_end(&mut bytes)?;
                let mode = if meta.mode & 0o100 == 0 {
                    "100644"
                } else {
                    "100755"
                };
                Ok(Some(Self::new(mode, meta.mode & 0o777, bytes, large)))
            }
            Some(EntryType::Symlink) => {
                let target = tree.link(path)?.as_os_str().as_bytes().to_vec();
                Ok(Some(Self::new("120000", 0o777, target, false)))
            }
            _ => Ok(None),
        }
    }

    fn new(mode: &'static str, bits: u32, bytes: Vec<u8>, large: bool) -> Self {
        let binary = bytes.iter().take(BINARY_LOOK).any(|b| *b == 0);
        Self {
            mode,
            bits,
            bytes,
            large,
            binary,
        }
    }

    fn is_link(&self) -> bool {
        self.mode == "120000"
    }
}

/// What [`compare`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub unified: String,
    pub added: Option<u64>,
    pub removed: Option<u64>,
    pub binary: bool,
    pub truncated: bool,
}

/// Compares two sides of a path. Without `text` only the counts are made.
pub(super) fn compare(
    path: &Path,
    before: Option<&Side>,
    after: Option<&Side>,
    deadline: Instant,
    text: bool,
) -> Difference {
    let mut out = Vec::new();
    let mut result = Difference::default();
    let both = before.is_some_and(Side::is_link) == after.is_some_and(Side::is_link);
    if both || before.is_none() || after.is_none() {
        block(&mut out, path, before, after, deadline, &mut result);
    } else {
        // git shows a change of type as one file going and another one coming.
        block(&mut out, path, before, None, deadline, &mut result);
        block(&mut out, path, None, after, deadline, &mut result);
    }
    if text {
        result.unified = String::from_utf8_lossy(&out).into_owned();
    }
    result
}

fn block(
    out: &mut Vec<u8>,
    path: &Path,
    before: Option<&Side>,
    after: Option<&Side>,
    deadline: Instant,
    result: &mut Difference,
) {
    if before.is_none() && after.is_none() {
        return;
    }
    let (a, b) = (quoted("a/", path), quoted("b/", path));
    out.extend(format!("diff --git {a} {b}\n").into_bytes());
    match (before, after) {
        (None, Some(new)) => out.extend(format!("new file mode {}\n", new.mode).into_bytes()),
        (Some(old), None) => out.extend(format!("deleted file mode {}\n", old.mode).into_bytes()),
        (Some(old), Some(new)) if old.bits != new.bits => {
            // git knows one permission bit; when that is the same the real bits are shown.
            let (old, new) = if old.mode == new.mode {
                (
                    format!("100{:03o}", old.bits),
                    format!("100{:03o}", new.bits),
                )
            } else {
                (old.mode.to_owned(), new.mode.to_owned())
            };
            out.extend(format!("old mode {old}\nnew mode {new}\n").into_bytes());
        }
        _ => {}
    }
    let empty = Side::default();
    let (old, new) = (before.unwrap_or(&empty), after.unwrap_or(&empty));
    let a = if before.is_some() {
        a
    } else {
        "/dev/null".into()
    };
    let b = if after.is_some() {
        b
    } else {
        "/dev/null".into()
    };
    result.truncated |= old.large || new.large;
    if old.binary || new.binary {
        result.binary = true;
        if old.bytes != new.bytes || result.truncated {
            out.extend(format!("Binary files {a} and {b} differ\n").into_bytes());
        }
        return;
    }
    if old.large || new.large {
        return;
    }
    hunks(out, (&a, &old.bytes), (&b, &new.bytes), deadline, result);
}

fn hunks(
    out: &mut Vec<u8>,
    (a, old): (&str, &[u8]),
    (b, new): (&str, &[u8]),
    deadline: Instant,
    result: &mut Difference,
) {
    let old: Vec<&[u8]> = old.split_inclusive(|b| *b == b'\n').collect();
    let new: Vec<&[u8]> = new.split_inclusive(|b| *b == b'\n').collect();
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(deadline));
    let (mut added, mut removed) = (0, 0);
    for op in &ops {
        match *op {
            DiffOp::Equal { .. } => {}
            DiffOp::Delete { old_len, .. } => removed += old_len as u64,
            DiffOp::Insert { new_len, .. } => added += new_len as u64,
            DiffOp::Replace {
                old_len, new_len, ..
            } => {
                removed += old_len as u64;
                added += new_len as u64;
            }
        }
    }
    result.added = Some(result.added.unwrap_or(0) + added);
    result.removed = Some(result.removed.unwrap_or(0) + removed);
    if added == 0 && removed == 0 {
        return;
    }
    // A tab ends a name with a space in it, or patch(1) takes the rest for a date.
    let tab = |name: &str| if name.contains(' ') { "\t" } else { "" };
    out.extend(format!("--- {a}{}\n+++ {b}{}\n", tab(a), tab(b)).into_bytes());
    for group in group_diff_ops(placed(ops), CONTEXT) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else {
            continue;
        };
        let olds = first.old_range().start..last.old_range().end;
        let news = first.new_range().start..last.new_range().end;
        out.extend(format!("@@ -{} +{} @@\n", span(&olds), span(&news)).into_bytes());
        for op in &group {
            let minus = old.get(op.old_range()).unwrap_or_default();
            let plus = new.get(op.new_range()).unwrap_or_default();
            if matches!(op, DiffOp::Equal { .. }) {
                lines(out, b' ', minus);
            } else {
                lines(out, b'-', minus);
                lines(out, b'+', plus);
            }
        }
    }
}

/// The operations with the positions their lengths add up to: for an insertion or a deletion
/// `similar` may leave the other side's position where it was before it moved lines about.
fn placed(ops: Vec<DiffOp>) -> Vec<DiffOp> {
    let (mut old_index, mut new_index) = (0, 0);
    ops.into_iter()
        .map(|op| {
            let (old_len, new_len) = (op.old_range().len(), op.new_range().len());
            let op = match op {
                DiffOp::Equal { len, .. } => DiffOp::Equal {
                    old_index,
                    new_index,
                    len,
                },
                DiffOp::Delete { .. } => DiffOp::Delete {
                    old_index,
                    old_len,
                    new_index,
                },
                DiffOp::Insert { .. } => DiffOp::Insert {
                    old_index,
                    new_index,
                    new_len,
                },
                DiffOp::Replace { .. } => DiffOp::Replace {
                    old_index,
                    old_len,
                    new_index,
                    new_len,
                },
            };
            old_index += old_len;
            new_index += new_len;
            op
        })
        .collect()
}

fn span(range: &std::ops::Range<usize>) -> String {
    match range.len() {
        // An empty side names the line before.
        0 => format!("{},0", range.start),
        1 => format!("{}", range.start + 1),
        n => format!("{},{n}", range.start + 1),
    }
}

fn lines(out: &mut Vec<u8>, mark: u8, lines: &[&[u8]]) {
    for line in lines {
        out.push(mark);
        out.extend_from_slice(line);
        if !line.ends_with(b"\n") {
            out.extend_from_slice(b"\n\\ No newline at end of file\n");
        }
    }
}

/// A path as git writes it: in quotes with escapes when it has a control character, a quote, a
/// backslash or is not UTF-8.
fn quoted(prefix: &str, path: &Path) -> String {
    use std::fmt::Write;
    let bytes = path.as_os_str().as_bytes();
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text
            .chars()
            .any(|c| c.is_ascii_control() || c == '"' || c == '\\')
    {
        return format!("{prefix}{text}");
    }
    let mut out = format!("\"{prefix}");
    for byte in bytes {
        match byte {
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x20..=0x7e => out.push(char::from(*byte)),
            // Writing to a String cannot fail.
            _ => write!(out, "\\{byte:03o}").unwrap_or_default(),
        }
    }
    out.push('"');
    out
}

/// Whether two files hold the same; a file that cannot be read is different.
pub(super) fn same_content(mut a: impl Read, mut b: impl Read) -> bool {
    let (mut x, mut y) = (vec![0u8; 64 << 10], vec![0u8; 64 << 10]);
    loop {
        match (fill(&mut a, &mut x), fill(&mut b, &mut y)) {
            (Ok(n), Ok(m)) if n == m && x.get(..n) == y.get(..m) => {
                if n == 0 {
                    return true;
                }
            }
            _ => return false,
        }
    }
}

fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match from.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
