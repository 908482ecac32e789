//! Reads a unified difference line by line and finds which removed line became which added one.
//! Never fails: what it does not understand is content or left out.

use crate::{
    dashboard::{
        pages::changes::{
            changed_words,
            diff::{DiffLine, DiffRow, FileText, Sign},
        },
        widgets::syntax::{
            highlight::{self, Inside},
            language::Language,
        },
    },
    wire::{ChangeKind, EntryType, FileDiff},
};

/// Blocks with more pairs than this are not searched for which line became which: line by line.
const MAX_PAIRS: usize = 144;
/// Lines less alike than this, in hundredths, did not become one another.
const ALIKE: usize = 40;

struct DiffParser {
    file: FileText,
    in_hunk: bool,
    /// Numbers of the next old and new line.
    next: (u32, u32),
    /// What their syntax begins in.
    inside: (Inside, Inside),
    old_mode: Option<String>,
    /// Where a run of removed and added lines began.
    block: Option<usize>,
}

impl FileText {
    /// Takes a difference apart.
    pub fn new(diff: &FileDiff) -> Self {
        let mut reader = DiffParser {
            file: Self {
                language: Language::of(diff.change.path.as_path()),
                bytes: diff.unified.len(),
                ..Self::default()
            },
            in_hunk: false,
            next: (0, 0),
            inside: (Inside::Code, Inside::Code),
            old_mode: None,
            block: None,
        };
        for line in diff.unified.split_terminator('\n') {
            reader.line(line);
        }
        reader.end_block();
        let mut file = reader.file;
        if file.rows.is_empty() {
            file.note(describe_empty(diff));
        }
        if diff.truncated {
            file.note("cut: the file is over 1 MiB".to_owned());
        }
        file.finish();
        file
    }
}

/// Why there is no text.
fn describe_empty(diff: &FileDiff) -> String {
    let change = &diff.change;
    let folder = change.after.or(change.before) == Some(EntryType::Directory);
    let special = change.after == Some(EntryType::Other);
    match (change.kind, folder) {
        _ if change.binary => "a binary file: its content is not shown".to_owned(),
        _ if special => "a FIFO, socket or device: it is listed, and never applied".to_owned(),
        (ChangeKind::Added, true) => "a new folder".to_owned(),
        (ChangeKind::Deleted, true) => "a folder that was deleted".to_owned(),
        (_, true) => "a folder: its content is listed by itself".to_owned(),
        (_, false) => "no line differs".to_owned(),
    }
}

impl DiffParser {
    pub(super) fn line(&mut self, line: &str) {
        if let Some((place, above, next)) = hunk(line) {
            self.end_block();
            self.in_hunk = true;
            self.next = next;
            self.inside = (Inside::Code, Inside::Code);
            self.file.rows.push(DiffRow::Hunk {
                place: place.to_owned(),
                above: above.to_owned(),
            });
        } else if self.in_hunk && !line.starts_with("diff --git ") {
            self.content(line);
        } else {
            self.end_block();
            self.in_hunk = false;
            self.header(line);
        }
    }

    fn header(&mut self, line: &str) {
        let kind = |mode: &str| match mode {
            "100644" => None,
            "100755" => Some("executable".to_owned()),
            "120000" => Some("a symbolic link; its text is its target".to_owned()),
            other => Some(format!("mode {other}")),
        };
        let note = if let Some(mode) = line.strip_prefix("old mode ") {
            self.old_mode = Some(mode.to_owned());
            None
        } else if let Some(mode) = line.strip_prefix("new mode ") {
            let old = self.old_mode.take().unwrap_or_default();
            Some(format!("mode {old} to {mode}"))
        } else if let Some(mode) = line.strip_prefix("new file mode ") {
            kind(mode).map(|kind| format!("new: {kind}"))
        } else if let Some(mode) = line.strip_prefix("deleted file mode ") {
            kind(mode).map(|kind| format!("deleted: {kind}"))
        } else if line.starts_with("Binary files ") {
            Some("a binary file: its content is not shown".to_owned())
        } else {
            None
        };
        if let Some(note) = note {
            self.file.note(note);
        }
    }

    fn content(&mut self, line: &str) {
        let mut chars = line.chars();
        let sign = match chars.next() {
            Some('+') => Sign::Added,
            Some('-') => Sign::Removed,
            Some('\\') => {
                // Belongs to the line before; a run of changes goes on.
                self.file.note("no newline at the end".to_owned());
                return;
            }
            _ => Sign::Same,
        };
        let text = chars.as_str().to_owned();
        if sign == Sign::Same {
            self.end_block();
        } else if self.block.is_none() {
            self.block = Some(self.file.rows.len());
        }
        let (old, new) = self.next;
        let (has_old, has_new) = (sign != Sign::Added, sign != Sign::Removed);
        self.next = (
            old.saturating_add(u32::from(has_old)),
            new.saturating_add(u32::from(has_new)),
        );
        let inside = if has_new {
            self.inside.1
        } else {
            self.inside.0
        };
        if let Some(language) = self.file.language {
            if has_old {
                self.inside.0 = highlight::line(language, self.inside.0, &text, |_, _| {});
            }
            if has_new {
                self.inside.1 = highlight::line(language, self.inside.1, &text, |_, _| {});
            }
        }
        self.file.rows.push(DiffRow::Line(DiffLine {
            sign,
            old: has_old.then_some(old),
            new: has_new.then_some(new),
            text,
            pair: None,
            inside,
        }));
    }

    /// Finds which lines of a run of changes became which.
    pub(super) fn end_block(&mut self) {
        let Some(start) = self.block.take() else {
            return;
        };
        let rows = &mut self.file.rows;
        let of = |wanted: Sign| -> Vec<usize> {
            let block = rows.iter().enumerate().skip(start);
            block
                .filter(|(_, row)| matches!(row, DiffRow::Line(line) if line.sign == wanted))
                .map(|(i, _)| i)
                .collect()
        };
        let (removed, added) = (of(Sign::Removed), of(Sign::Added));
        let text = |i: usize| match rows.get(i) {
            Some(DiffRow::Line(line)) => line.text.as_str(),
            _ => "",
        };
        let pairs = pair(&removed, &added, |a, b| {
            changed_words::alike(text(a), text(b))
        });
        for (a, b) in pairs {
            let mut ends = [false; 2];
            for ((i, other), end) in [(a, b), (b, a)].into_iter().zip(&mut ends) {
                if let Some(DiffRow::Line(line)) = rows.get_mut(i) {
                    line.pair = Some(other);
                    *end = line.text.ends_with('\r');
                }
            }
            // The same kind of line end on both sides is nothing to show.
            if ends == [true, true] {
                for i in [a, b] {
                    strip_return(rows.get_mut(i));
                }
            }
        }
        for i in removed.into_iter().chain(added) {
            if matches!(rows.get(i), Some(DiffRow::Line(line)) if line.pair.is_none()) {
                strip_return(rows.get_mut(i));
            }
        }
    }
}

fn strip_return(row: Option<&mut DiffRow>) {
    if let Some(DiffRow::Line(line)) = row
        && line.text.ends_with('\r')
    {
        line.text.pop();
    }
}

/// Which removed line became which added one: in order, each at most once.
pub fn pair(
    removed: &[usize],
    added: &[usize],
    alike: impl Fn(usize, usize) -> usize,
) -> Vec<(usize, usize)> {
    if removed.len() == added.len() || removed.len().saturating_mul(added.len()) > MAX_PAIRS {
        return removed.iter().copied().zip(added.iter().copied()).collect();
    }
    let mut pairs = Vec::new();
    let mut from = 0;
    for old in removed {
        let candidates = added.iter().enumerate().skip(from);
        let best = candidates
            .map(|(i, new)| (alike(*old, *new), i, *new))
            .filter(|(alike, ..)| *alike >= ALIKE)
            // Of equals, the first.
            .max_by_key(|(alike, i, _)| (*alike, std::cmp::Reverse(*i)));
        if let Some((_, i, new)) = best {
            pairs.push((*old, new));
            from = i + 1;
        }
    }
    pairs
}

/// `@@ -12,3 +14,4 @@ above`: the place, the rest, and the first numbers.
fn hunk(line: &str) -> Option<(&str, &str, (u32, u32))> {
    let inner = line.strip_prefix("@@ -")?;
    let end = inner.find(" @@")?;
    let numbers = inner.get(..end)?;
    let (old, new) = numbers.split_once(" +")?;
    let first = |side: &str| side.split(',').next()?.parse::<u32>().ok();
    let place = line.get(..end + 7)?;
    let above = line.get(end + 7..)?.trim();
    Some((place, above, (first(old)?, first(new)?)))
}
