//! Fuzzy matching for the list's filter and the palette: the letters in their order, with the
//! beginnings of words and runs of letters counting more (as fzf does it).

use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{Atom, AtomKind, CaseMatching, Normalization},
};
use std::cell::RefCell;

/// Longest text looked at, in characters: a title of megabytes is not searched.
const MAX_CHARS: usize = 1024;

thread_local! {
    /// Holds the buffers of the search, which are worth keeping.
    static MATCHER: RefCell<Matcher> = RefCell::new(Matcher::new(Config::DEFAULT));
}

/// How well `needle` matches `text` (more is better), and which characters matched, ascending;
/// `None` when it does not. Words of the needle may be anywhere; all must match. Capitals in the
/// needle are meant so. An empty needle matches everything.
pub fn score(needle: &str, text: &str) -> Option<(i64, Vec<usize>)> {
    // By character and not by grapheme: the caller counts characters.
    let chars: Vec<char> = text.chars().take(MAX_CHARS).collect();
    let text = match text.as_bytes().get(..chars.len()) {
        Some(ascii) if ascii.is_ascii() => Utf32Str::Ascii(ascii),
        _ => Utf32Str::Unicode(&chars),
    };
    let (mut total, mut places) = (0_i64, Vec::new());
    MATCHER.with_borrow_mut(|matcher| {
        for word in needle.split_whitespace() {
            let kind = AtomKind::Fuzzy;
            let word = Atom::new(word, CaseMatching::Smart, Normalization::Smart, kind, false);
            total += i64::from(word.indices(text, matcher, &mut places)?);
        }
        Some(())
    })?;
    places.sort_unstable();
    places.dedup();
    let places = places
        .into_iter()
        .filter_map(|place| usize::try_from(place).ok());
    Some((total, places.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn better(needle: &str, good: &str, less: &str) {
        let (good, less) = (
            score(needle, good).unwrap().0,
            score(needle, less).unwrap().0,
        );
        assert!(good > less, "{needle}: {good} {less}");
    }

    #[test]
    fn letters_in_order_match_and_others_do_not() {
        assert_eq!(score("fl", "fix-login").unwrap().1, [0, 4]);
        assert_eq!(score("lf", "fix-login"), None);
        assert_eq!(
            score("login fix", "fix-login").unwrap().1,
            [0, 1, 2, 4, 5, 6, 7, 8]
        );
        assert_eq!(score("", "anything"), Some((0, vec![])));
        assert!(score("fix", "FIX").is_some());
        assert!(score("FIX", "fix").is_none());
    }

    #[test]
    fn beginnings_and_runs_are_better() {
        better("sto", "stop", "show terminal output");
        better("nw", "next_waiting", "winnow");
        better("tmux", "keymap: tmux", "the mouse, until x");
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn places_are_in_the_text(needle in ".{0,6}", text in ".{0,40}") {
            if let Some((_, places)) = score(&needle, &text) {
                let count = text.chars().count();
                prop_assert!(places.iter().all(|place| *place < count));
                prop_assert!(places.windows(2).all(|w| w[0] < w[1]));
            }
        }
    }
}
