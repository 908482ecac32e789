//! Plain search in texts, for filters and searches: without regard to case, unless the needle has
//! an upper-case letter.

/// What is searched for: without regard to case, unless it has an upper-case letter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Needle {
    text: String,
    exact: bool,
}

impl Needle {
    /// Of what the user typed.
    pub fn new(typed: &str) -> Self {
        let exact = typed.chars().any(char::is_uppercase);
        let text = match exact {
            true => typed.to_owned(),
            false => typed.to_lowercase(),
        };
        Self { text, exact }
    }

    /// Whether nothing is searched for.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether a text has it.
    pub fn is_in(&self, text: &str) -> bool {
        match (self.exact, text.is_ascii()) {
            _ if self.text.is_empty() => true,
            (true, _) => text.contains(&self.text),
            (false, true) => {
                let (text, needle) = (text.as_bytes(), self.text.as_bytes());
                text.windows(needle.len())
                    .any(|part| part.eq_ignore_ascii_case(needle))
            }
            (false, false) => text.to_lowercase().contains(&self.text),
        }
    }

    /// Where a text has it: ranges of bytes in order.
    pub fn places(&self, text: &str) -> Vec<std::ops::Range<usize>> {
        if self.text.is_empty() {
            return Vec::new();
        }
        if self.exact {
            return text
                .match_indices(&self.text)
                .map(|(at, found)| at..at + found.len())
                .collect();
        }
        // Folding may change a character's length: the places are those of the text itself.
        let mut folded = String::with_capacity(text.len());
        let mut from = Vec::with_capacity(text.len());
        for (at, c) in text.char_indices() {
            for lower in c.to_lowercase() {
                from.extend(std::iter::repeat_n(at, lower.len_utf8()));
                folded.push(lower);
            }
        }
        from.push(text.len());
        folded
            .match_indices(&self.text)
            .filter_map(|(at, found)| {
                let start = *from.get(at)?;
                let last = *from.get(at + found.len() - 1)?;
                let width = text.get(last..)?.chars().next()?.len_utf8();
                Some(start..last + width)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_heeds_case_only_when_it_has_an_upper_case_letter() {
        assert!(Needle::new("abc").is_in("xABCx"));
        assert!(!Needle::new("aBc").is_in("xABCx"));
        assert!(Needle::new("größe").is_in("GRÖSSE GRÖßE"));
        assert_eq!(Needle::new("b").places("aBcB"), [1..2, 3..4]);
        assert_eq!(Needle::new("i").places("İx I"), [0..2, 4..5]);
    }
}
