//! Fuzzy matching.

/// How well `needle` matches `text`, and which characters matched; `None` when it does not.
pub fn score(needle: &str, text: &str) -> Option<(i64, Vec<usize>)> {
    let mut places = Vec::new();
    let mut chars = text.chars().enumerate();
    for wanted in needle.chars().flat_map(char::to_lowercase) {
        let (place, _) = chars.find(|(_, c)| c.to_lowercase().any(|l| l == wanted))?;
        places.push(place);
    }
    Some((0, places))
}
