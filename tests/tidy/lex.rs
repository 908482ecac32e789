//! Rust source as identifiers and punctuation: comments and the insides of literals are gone.
//!
//! Not a parser. It knows just enough of the lexical rules that a word in a string or a comment is
//! never taken for code.

/// A piece of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind<'a> {
    /// An identifier or a keyword; raw ones without `r#`.
    Word(&'a str),
    /// One character of punctuation.
    Sign(char),
    /// `::`
    Path,
    /// A string, character or number.
    Literal,
}

/// A piece of code and the line it is on, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token<'a> {
    /// What.
    pub kind: Kind<'a>,
    /// Where.
    pub line: usize,
}

/// The tokens of a file. Malformed source gives some tokens, never an error: rustc has the say.
pub fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let (length, kind) = next(rest, first);
        let (eaten, left) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if let Some(kind) = kind {
            found.push(Token { kind, line });
        }
        line += eaten.matches('\n').count();
        rest = left;
    }
    found
}

/// Bytes of the first token of `rest`, and what it is; `None` for what is no code.
fn next(rest: &str, first: char) -> (usize, Option<Kind<'_>>) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment(rest), None);
    }
    if let Some(length) = string(rest) {
        return (length, Some(Kind::Literal));
    }
    if first == '\'' {
        return match character(rest) {
            Some(length) => (length, Some(Kind::Literal)),
            // A lifetime: the quote goes, its name comes as a word of no interest.
            None => (1, None),
        };
    }
    if let Some(raw) = rest.strip_prefix("r#")
        && raw.starts_with(is_word_start)
    {
        let word = leading(raw, is_word);
        return (word.len() + 2, Some(Kind::Word(word)));
    }
    if is_word_start(first) {
        let word = leading(rest, is_word);
        return (word.len(), Some(Kind::Word(word)));
    }
    if first.is_ascii_digit() {
        return (leading(rest, is_word).len(), Some(Kind::Literal));
    }
    if rest.starts_with("::") {
        return (2, Some(Kind::Path));
    }
    let kind = (!first.is_whitespace()).then_some(Kind::Sign(first));
    (first.len_utf8(), kind)
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn leading(text: &str, keep: fn(char) -> bool) -> &str {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.get(..end).unwrap_or("")
}

/// Bytes of the block comment at the start, nested ones included.
fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at..at + 2) {
            Some(b"/*") => {
                depth += 1;
                at += 2;
            }
            Some(b"*/") => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            Some(_) => at += 1,
            None => return rest.len(),
        }
    }
}

/// Bytes of the string literal of any sort at the start, if there is one.
fn string(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|body| {
            let body = if prefix.ends_with('r') {
                body.trim_start_matches('#')
            } else {
                body
            };
            body.starts_with('"')
        })
    })?;
    let body = rest.strip_prefix(prefix)?;
    if prefix.ends_with('r') {
        let hashes = leading(body, |c| c == '#');
        let inside = body.get(hashes.len() + 1..)?;
        let end = inside
            .find(&format!("\"{hashes}"))
            .map_or(inside.len(), |at| at + 1 + hashes.len());
        return Some(prefix.len() + hashes.len() + 1 + end);
    }
    let mut escaped = false;
    for (at, c) in body.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some(prefix.len() + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

/// Bytes of the character literal at the start; `None` when the quote begins a lifetime.
fn character(rest: &str) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    let (_, first) = chars.next()?;
    if first == '\\' {
        // Whatever is escaped is one character that is no closing quote, or \x.. or \u{..}.
        chars.next()?;
        return chars.find(|(_, c)| *c == '\'').map(|(at, _)| at + 1);
    }
    match chars.next()? {
        (at, '\'') => Some(at + 1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<(&str, usize)> {
        tokens(source)
            .into_iter()
            .filter_map(|token| match token.kind {
                Kind::Word(word) => Some((word, token.line)),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn comments_and_literals_hide_words() {
        let source =
            "a // x\n/* x /* x */ x */ b \"x \\\" x\" c r#\"x \" x\"# 'x' d\n'\\'' b\"x\" e";
        assert_eq!(
            words(source),
            [("a", 1), ("b", 2), ("c", 2), ("d", 2), ("e", 3)]
        );
    }

    #[test]
    fn lifetimes_do_not_hide_what_follows() {
        assert_eq!(
            words("fn f<'a>(x: &'a str) { unsafe {} }"),
            ["fn", "f", "a", "x", "a", "str", "unsafe"].map(|word| (word, 1))
        );
    }

    #[test]
    fn a_raw_identifier_is_a_word_and_paths_are_one_token() {
        let kinds: Vec<_> = tokens("crate::r#mod::x").iter().map(|t| t.kind).collect();
        assert_eq!(
            kinds,
            [
                Kind::Word("crate"),
                Kind::Path,
                Kind::Word("mod"),
                Kind::Path,
                Kind::Word("x")
            ]
        );
    }

    #[test]
    fn malformed_source_ends() {
        for source in [
            "\"abc",
            "/* abc",
            "r##\"abc\"#",
            "'",
            "'\\",
            "b",
            "r#",
            "é'é'",
        ] {
            tokens(source);
        }
    }
}
