//! Which words of a changed line changed, and how alike two lines are.

use similar::{Algorithm, DiffOp, capture_diff_slices};
use std::ops::Range;

/// Longest line that is compared by words, in bytes, and most words.
const MAX_LINE: usize = 2_000;
const MAX_WORDS: usize = 500;
/// Lines with less than this in common, in hundredths, changed as a whole.
const ALIKE: usize = 30;

/// Ranges of bytes: of the old line, and of the new one.
pub type Changed = (Vec<Range<usize>>, Vec<Range<usize>>);

/// The ranges that differ between an old and a new line; `None` when they have too little in
/// common for that to say anything, or are too long.
pub fn changed(old: &str, new: &str) -> Option<Changed> {
    if old.len() > MAX_LINE || new.len() > MAX_LINE {
        return None;
    }
    let (a, b) = (words(old), words(new));
    if a.len() > MAX_WORDS || b.len() > MAX_WORDS {
        return None;
    }
    let (mut from, mut to) = (Vec::new(), Vec::new());
    let mut same = 0;
    let (mut i, mut j) = (0, 0);
    for op in capture_diff_slices(Algorithm::Myers, &a, &b) {
        let (old_len, new_len, equal) = match op {
            DiffOp::Equal { len, .. } => (len, len, true),
            DiffOp::Delete { old_len, .. } => (old_len, 0, false),
            DiffOp::Insert { new_len, .. } => (0, new_len, false),
            DiffOp::Replace {
                old_len, new_len, ..
            } => (old_len, new_len, false),
        };
        let left: usize = a
            .iter()
            .skip(op.old_range().start)
            .take(old_len)
            .map(|w| w.len())
            .sum();
        let right: usize = b
            .iter()
            .skip(op.new_range().start)
            .take(new_len)
            .map(|w| w.len())
            .sum();
        if equal {
            let kept = a.iter().skip(op.old_range().start).take(old_len);
            same += kept
                .filter(|w| !w.trim().is_empty())
                .map(|w| w.len())
                .sum::<usize>();
        } else {
            push(&mut from, i..i + left);
            push(&mut to, j..j + right);
        }
        i += left;
        j += right;
    }
    let longest = solid(&a).max(solid(&b)).max(1);
    (same * 100 / longest >= ALIKE).then_some((from, to))
}

/// Bytes that are not blank.
fn solid(words: &[&str]) -> usize {
    let solid = words.iter().filter(|w| !w.trim().is_empty());
    solid.map(|w| w.len()).sum()
}

fn push(ranges: &mut Vec<Range<usize>>, range: Range<usize>) {
    if !range.is_empty() {
        ranges.push(range);
    }
}

/// A line as words, runs of blanks, and single other characters.
fn words(line: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        c if c.is_alphanumeric() || c == '_' => 1,
        c if c.is_whitespace() => 2,
        _ => 0,
    };
    let mut words = Vec::new();
    let mut start = 0;
    let mut last: Option<char> = None;
    for (at, c) in line.char_indices() {
        if let Some(last) = last
            && (kind(c) == 0 || kind(c) != kind(last))
        {
            words.extend(line.get(start..at));
            start = at;
        }
        last = Some(c);
    }
    words.extend(line.get(start..).filter(|rest| !rest.is_empty()));
    words
}

/// How alike two lines are, in hundredths: what they begin and end with in common. Cheap, for
/// finding which line became which.
pub fn alike(old: &str, new: &str) -> usize {
    let (old, new) = (old.trim().as_bytes(), new.trim().as_bytes());
    let longest = old.len().max(new.len());
    let shortest = old.len().min(new.len());
    if longest == 0 {
        return 100;
    }
    let begin = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let end = old
        .iter()
        .rev()
        .zip(new.iter().rev())
        .take_while(|(a, b)| a == b)
        .count()
        .min(shortest - begin);
    (begin + end) * 100 / longest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(old: &str, new: &str) -> Option<(Vec<String>, Vec<String>)> {
        let (from, to) = changed(old, new)?;
        let pick = |line: &str, ranges: Vec<Range<usize>>| {
            ranges.into_iter().map(|r| line[r].to_owned()).collect()
        };
        Some((pick(old, from), pick(new, to)))
    }

    #[test]
    fn only_the_words_that_changed() {
        let (from, to) = shown("let total = price * 2;", "let total = price * count;").unwrap();
        assert_eq!((from, to), (vec!["2".into()], vec!["count".into()]));
        let (from, to) = shown("call(a)", "call(a, b)").unwrap();
        assert_eq!((from, to), (vec![], vec![", b".into()]));
    }

    #[test]
    fn lines_with_nothing_in_common_changed_as_a_whole() {
        assert_eq!(shown("return None", "x = 12 + fetch()"), None);
        assert_eq!(shown("", "anything"), None);
    }

    #[test]
    fn words_are_whole_in_any_language() {
        assert_eq!(words("größe=日本 x"), ["größe", "=", "日本", " ", "x"]);
    }

    #[test]
    fn what_begins_and_ends_alike_is_alike() {
        assert!(alike("    foo(a);", "  foo(b);") > 80);
        assert_eq!(alike("abc", "xyz"), 0);
        assert_eq!(alike("aaa", "aa"), 66);
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn what_is_left_without_the_changes_is_the_same(
            old in "[a-c =日]{0,30}", new in "[a-c =日]{0,30}"
        ) {
            if let Some((from, to)) = changed(&old, &new) {
                let rest = |line: &str, ranges: &[Range<usize>]| -> String {
                    line.char_indices()
                        .filter(|(i, _)| !ranges.iter().any(|r| r.contains(i)))
                        .map(|(_, c)| c)
                        .collect()
                };
                prop_assert_eq!(rest(&old, &from), rest(&new, &to));
            }
        }
    }
}
