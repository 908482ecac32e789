//! Light syntax colouring, one line at a time: comments, strings, numbers and keywords. Knows no
//! grammar and is never wrong about where a line ends; what it does not know stays plain.

use crate::dashboard::widgets::syntax::language::Language;
use std::ops::Range;

/// Longest line that is looked at, in bytes: what is longer was not written by hand.
const MAX_LINE: usize = 4096;

/// What a piece of a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// A comment.
    Comment,
    /// A string or character.
    Text,
    /// A number.
    Number,
    /// A word of the language.
    Keyword,
}

/// What a line begins in, from the line before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Inside {
    /// Nothing in particular.
    #[default]
    Code,
    /// A comment over several lines; how deep.
    Comment(u8),
    /// A string over several lines that ends with this quote, three times if `triple`.
    Text {
        /// The quote.
        quote: u8,
        /// Three of them end it.
        triple: bool,
    },
    /// A raw string of Rust; how many `#` end it.
    Raw(u8),
}

/// Reads a line that begins inside of something; hands its tokens over as ranges of bytes in
/// order, and says what the next line begins in.
pub fn line(
    language: Language,
    inside: Inside,
    text: &str,
    mut found: impl FnMut(Range<usize>, Token),
) -> Inside {
    if text.len() > MAX_LINE {
        return inside;
    }
    let mut reader = Tokenizer {
        language,
        bytes: text.as_bytes(),
        at: 0,
    };
    let mut inside = inside;
    while reader.at < reader.bytes.len() {
        let start = reader.at;
        let token = match inside {
            Inside::Comment(depth) => {
                inside = reader.comment(depth);
                Some(Token::Comment)
            }
            Inside::Text { quote, triple } => {
                inside = reader.text(quote, triple);
                Some(Token::Text)
            }
            Inside::Raw(hashes) => {
                inside = reader.raw(hashes);
                Some(Token::Text)
            }
            Inside::Code => {
                let (token, next) = reader.code();
                inside = next;
                token
            }
        };
        // Whatever happens, it goes on.
        reader.at = reader.at.max(start + 1).min(reader.bytes.len());
        if let Some(token) = token {
            found(start..reader.at, token);
        }
    }
    match inside {
        // Only these go over a line's end.
        Inside::Text {
            triple: false,
            quote,
        } if !(quote == b'`' && multi_line(language)) => Inside::Code,
        other => other,
    }
}

/// Whether a back quote's string goes over lines.
fn multi_line(language: Language) -> bool {
    matches!(language, Language::Script | Language::Go)
}

struct Tokenizer<'a> {
    language: Language,
    bytes: &'a [u8],
    at: usize,
}

impl Tokenizer<'_> {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn take_while(&mut self, good: impl Fn(u8) -> bool) -> &[u8] {
        let start = self.at;
        self.at += self.rest().iter().take_while(|b| good(**b)).count();
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// The rest of a comment that is `depth` deep.
    fn comment(&mut self, mut depth: u8) -> Inside {
        while self.at < self.bytes.len() {
            if self.rest().starts_with(b"*/") {
                self.at += 2;
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Inside::Code;
                }
            } else if self.language == Language::Rust && self.rest().starts_with(b"/*") {
                self.at += 2;
                depth = depth.saturating_add(1);
            } else {
                self.at += 1;
            }
        }
        Inside::Comment(depth)
    }

    /// The rest of a string.
    fn text(&mut self, quote: u8, triple: bool) -> Inside {
        while self.at < self.bytes.len() {
            let here = self.peek(0);
            if here == b'\\' {
                self.at += 2;
            } else if here == quote && (!triple || self.rest().starts_with(&[quote; 3])) {
                self.at += if triple { 3 } else { 1 };
                return Inside::Code;
            } else {
                self.at += 1;
            }
        }
        Inside::Text { quote, triple }
    }

    /// The rest of a raw string.
    fn raw(&mut self, hashes: u8) -> Inside {
        while self.at < self.bytes.len() {
            if self.peek(0) == b'"' {
                let wanted = usize::from(hashes);
                let after = self.rest().iter().skip(1).take(wanted);
                if after.filter(|b| **b == b'#').count() == wanted {
                    self.at += 1 + wanted;
                    return Inside::Code;
                }
            }
            self.at += 1;
        }
        Inside::Raw(hashes)
    }

    /// One piece of code.
    fn code(&mut self) -> (Option<Token>, Inside) {
        let comment = self.language.line_comment().as_bytes();
        if !comment.is_empty() && self.rest().starts_with(comment) && self.begins_comment() {
            self.at = self.bytes.len();
            return (Some(Token::Comment), Inside::Code);
        }
        if self.language.block_comments() && self.rest().starts_with(b"/*") {
            self.at += 2;
            return (Some(Token::Comment), self.comment(1));
        }
        let here = self.peek(0);
        match here {
            b'"' => self.string(here),
            b'\'' if self.language == Language::Rust => (self.character(), Inside::Code),
            b'\'' if self.language != Language::Json => self.string(here),
            b'`' if multi_line(self.language) => self.string(here),
            b'0'..=b'9' => {
                self.take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.'));
                (Some(Token::Number), Inside::Code)
            }
            b'r' if self.language == Language::Rust && self.raw_begins().is_some() => {
                let hashes = self.raw_begins().unwrap_or(0);
                self.at += 2 + usize::from(hashes);
                (Some(Token::Text), self.raw(hashes))
            }
            b if word(b) => {
                let language = self.language;
                let word = self.take_while(word);
                let known =
                    std::str::from_utf8(word).is_ok_and(|word| language.keywords().contains(&word));
                (known.then_some(Token::Keyword), Inside::Code)
            }
            _ => {
                self.at += 1;
                (None, Inside::Code)
            }
        }
    }

    /// In a shell a `#` inside of a word is none.
    fn begins_comment(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|i| self.bytes.get(i));
        match self.language {
            Language::Shell | Language::Settings => before.is_none_or(u8::is_ascii_whitespace),
            _ => true,
        }
    }

    fn string(&mut self, quote: u8) -> (Option<Token>, Inside) {
        let triple = self.rest().starts_with(&[quote; 3])
            && matches!(self.language, Language::Python | Language::Settings);
        self.at += if triple { 3 } else { 1 };
        (Some(Token::Text), self.text(quote, triple))
    }

    /// `'x'` is a character, `'x` a lifetime.
    fn character(&mut self) -> Option<Token> {
        let after = match self.peek(1) {
            b'\\' => {
                let end = self.rest().iter().skip(3).position(|b| *b == b'\'');
                end.map(|i| i + 4)
            }
            _ => {
                let rest = std::str::from_utf8(self.rest()).unwrap_or_default();
                let width = rest.chars().nth(1).map_or(1, char::len_utf8);
                (self.peek(1 + width) == b'\'').then_some(width + 2)
            }
        };
        self.at += after.unwrap_or(1);
        after.map(|_| Token::Text)
    }

    /// How many `#` a raw string here begins with.
    fn raw_begins(&self) -> Option<u8> {
        let hashes = self
            .rest()
            .iter()
            .skip(1)
            .take_while(|b| **b == b'#')
            .count();
        let quote = self.peek(1 + hashes) == b'"';
        u8::try_from(hashes).ok().filter(|_| quote)
    }
}

fn word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn tokens(language: Language, inside: Inside, text: &str) -> (Vec<(&str, Token)>, Inside) {
        let mut found = Vec::new();
        let next = line(language, inside, text, |range, token| {
            found.push((&text[range], token));
        });
        (found, next)
    }

    #[test]
    fn a_line_of_rust() {
        use Token::*;
        let text = r#"let x: &'a str = "a // b"; // 'c' 1"#;
        let (found, next) = tokens(Language::Rust, Inside::Code, text);
        assert_eq!(
            found,
            [
                ("let", Keyword),
                ("\"a // b\"", Text),
                ("// 'c' 1", Comment)
            ]
        );
        assert_eq!(next, Inside::Code);
        let (found, _) = tokens(Language::Rust, Inside::Code, r"match '\n' { 'é' => 0x1f }");
        assert_eq!(
            found,
            [
                ("match", Keyword),
                (r"'\n'", Text),
                ("'é'", Text),
                ("0x1f", Number)
            ]
        );
    }

    #[test]
    fn comments_and_strings_go_over_lines_where_they_do() {
        let (_, next) = tokens(Language::Rust, Inside::Code, "a /* b /* c */");
        assert_eq!(next, Inside::Comment(1));
        let (found, next) = tokens(Language::Rust, next, "d */ fn");
        assert_eq!(found, [("d */", Token::Comment), ("fn", Token::Keyword)]);
        assert_eq!(next, Inside::Code);
        let (_, next) = tokens(Language::Rust, Inside::Code, "r##\"a\"#");
        assert_eq!(next, Inside::Raw(2));
        assert_eq!(tokens(Language::Rust, next, "x\"##;").1, Inside::Code);
        let (_, next) = tokens(Language::Python, Inside::Code, "def f(): \"\"\"doc");
        assert!(matches!(next, Inside::Text { triple: true, .. }));
        assert_eq!(tokens(Language::Python, next, "end\"\"\"").1, Inside::Code);
        let (_, next) = tokens(Language::Script, Inside::Code, "let a = `x ${y}");
        assert!(matches!(next, Inside::Text { quote: b'`', .. }));
        let (_, next) = tokens(Language::C, Inside::Code, "char *s = \"open");
        assert_eq!(next, Inside::Code);
    }

    #[test]
    fn names_decide() {
        let of = |name: &str| Language::of(Path::new(name));
        assert_eq!(of("src/main.rs"), Some(Language::Rust));
        assert_eq!(of("Dockerfile"), Some(Language::Shell));
        assert_eq!(of("a.TS"), Some(Language::Script));
        assert_eq!(of("LICENSE"), None);
        assert_eq!(of("no/rs"), None);
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn any_text_gives_ranges_in_order_and_on_characters(
            text in "[a-z'\"`/*#\\\\{}é世 r0-9]{0,60}",
            n in 0usize..10,
        ) {
            let all = [
                Language::Rust, Language::Python, Language::Script, Language::Go, Language::C,
                Language::Shell, Language::Settings, Language::Json, Language::Css, Language::Dashes,
            ];
            let mut end = 0;
            line(all[n], Inside::Code, &text, |range, _| {
                assert!(range.start >= end && range.start < range.end);
                assert!(range.end <= text.len());
                end = range.end;
            });
        }
    }
}
