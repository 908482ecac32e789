//! "Did you mean": what was probably meant by a mistyped word.
//! Pure; callers decide which words are known and how the suggestion is worded.

/// The one of `known` that was probably meant: at most a third of its letters are different.
#[must_use]
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if given.len() > 64 {
        return None;
    }
    let folded = given.to_ascii_lowercase().replace('-', "_");
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&folded, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_another_word_is_not() {
        let known = ["min_warm", "max_warm", "image", "idle_timeout"];
        for (given, meant) in [
            ("min_wram", Some("min_warm")),
            ("max-warm", Some("max_warm")),
            ("imgae", Some("image")),
            ("Image", Some("image")),
            ("idle_timout", Some("idle_timeout")),
            ("network", None),
            ("", None),
        ] {
            assert_eq!(did_you_mean(given, known), meant, "{given}");
        }
    }
}
