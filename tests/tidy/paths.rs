//! The paths that a Rust file names, and the modules that it declares.
//!
//! Built on tokens, not on a syntax tree: a `use` gives one path for each name that it binds, and
//! code gives one for each `a::b`. What a path means is for whoever reads it.

use super::lex::{Kind, Token, tokens};

/// A path as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named<'a> {
    /// The inline modules that it stands in, outermost first.
    pub inside: Vec<&'a str>,
    /// Its words; `*` is the last one of a glob.
    pub words: Vec<&'a str>,
    /// The name that a `use` binds; `None` in code.
    pub binds: Option<&'a str>,
    /// Where.
    pub line: usize,
    /// Whether it is only compiled for tests.
    pub test: bool,
}

impl<'a> Named<'a> {
    /// The path from the crate's root, written in a file that is module `own`; `None` where the first
    /// word is a name, which may be anything.
    pub fn absolute(&self, own: &[&'a str]) -> Option<Vec<&'a str>> {
        let mut from: Vec<&str> = [own, &self.inside].concat();
        let mut words = self.words.as_slice();
        match words.split_first()? {
            (&"crate", rest) => (from, words) = (Vec::new(), rest),
            (&"self", rest) => words = rest,
            (&"super", _) => {}
            _ => return None,
        }
        while let Some((&"super", rest)) = words.split_first() {
            from.pop();
            words = rest;
        }
        Some([&from, words].concat())
    }
}

/// A `mod`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module<'a> {
    /// Its name below the file's own module, inline modules included.
    pub path: Vec<&'a str>,
    /// Whether its body is here.
    pub inline: bool,
    /// Whether it is only compiled for tests.
    pub test: bool,
}

/// What a file names.
#[derive(Debug, Default)]
pub struct Source<'a> {
    /// In the order of the text.
    pub paths: Vec<Named<'a>>,
    /// In the order of the text.
    pub modules: Vec<Module<'a>>,
}

/// Reads a file.
pub fn read(text: &str) -> Source<'_> {
    let mut reader = Reader {
        tokens: tokens(text),
        found: Source::default(),
        inside: Vec::new(),
        nesting: 0,
        test_until: 0,
    };
    let mut at = 0;
    while at < reader.tokens.len() {
        at = reader.step(at);
    }
    reader.found
}

struct Reader<'a> {
    tokens: Vec<Token<'a>>,
    found: Source<'a>,
    /// Inline modules that are open, and the nesting of their braces.
    inside: Vec<(&'a str, usize)>,
    nesting: usize,
    /// Tokens before this one are of an item that only tests have.
    test_until: usize,
}

impl<'a> Reader<'a> {
    fn kind(&self, at: usize) -> Option<Kind<'a>> {
        self.tokens.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, sign: char) -> bool {
        self.kind(at) == Some(Kind::Sign(sign))
    }

    /// Handles what begins at `at`; gives where to go on.
    fn step(&mut self, at: usize) -> usize {
        match self.kind(at) {
            Some(Kind::Sign('#')) if self.is(at + 1, '[') => return self.attribute(at),
            Some(Kind::Sign('{')) => self.nesting += 1,
            Some(Kind::Sign('}')) => {
                if self.inside.last().is_some_and(|(_, n)| *n == self.nesting) {
                    self.inside.pop();
                }
                self.nesting = self.nesting.saturating_sub(1);
            }
            Some(Kind::Word("mod")) => self.module(at),
            Some(Kind::Word("use")) => return self.tree(at + 1, &[]),
            // `pub(in a::b)` says who may use a thing, and uses nothing.
            Some(Kind::Word("in")) if at > 1 && self.kind(at - 2) == Some(Kind::Word("pub")) => {
                return at + 1 + self.words(at + 1).len() * 2;
            }
            Some(Kind::Word(_)) if self.kind(at + 1) == Some(Kind::Path) => {
                let begins = at == 0 || self.kind(at - 1) != Some(Kind::Path);
                let words = self.words(at);
                let next = at + words.len() * 2 - 1;
                if begins {
                    self.path(words, None, at);
                }
                return next;
            }
            _ => {}
        }
        at + 1
    }

    /// Words that `::` joins.
    fn words(&self, mut at: usize) -> Vec<&'a str> {
        let mut words = Vec::new();
        while let Some(Kind::Word(word)) = self.kind(at) {
            words.push(word);
            if self.kind(at + 1) != Some(Kind::Path) {
                break;
            }
            at += 2;
        }
        words
    }

    fn path(&mut self, words: Vec<&'a str>, binds: Option<&'a str>, at: usize) {
        let named = Named {
            inside: self.inside.iter().map(|(name, _)| *name).collect(),
            words,
            binds,
            line: self.tokens.get(at).map_or(0, |token| token.line),
            test: at < self.test_until,
        };
        self.found.paths.push(named);
    }

    fn module(&mut self, at: usize) {
        let Some(Kind::Word(name)) = self.kind(at + 1) else {
            return;
        };
        let inline = self.is(at + 2, '{');
        if !inline && !self.is(at + 2, ';') {
            return;
        }
        let mut path: Vec<&str> = self.inside.iter().map(|(name, _)| *name).collect();
        path.push(name);
        let test = at < self.test_until;
        self.found.modules.push(Module { path, inline, test });
        if inline {
            self.inside.push((name, self.nesting + 1));
        }
    }

    /// One tree of a `use`, behind what stands before it; gives where it ends.
    fn tree(&mut self, mut at: usize, before: &[&'a str]) -> usize {
        if self.kind(at) == Some(Kind::Path) {
            // `::name` is another crate, always.
            while at < self.tokens.len() && !self.is(at, ';') {
                at += 1;
            }
            return at;
        }
        let first = at;
        let mut words = before.to_vec();
        loop {
            match self.kind(at) {
                Some(Kind::Word("self")) if !words.is_empty() => {}
                Some(Kind::Word(word)) => words.push(word),
                Some(Kind::Sign('*')) => {
                    words.push("*");
                    self.path(words, Some("*"), first);
                    return at + 1;
                }
                Some(Kind::Sign('{')) => return self.group(at, &words),
                _ => return at,
            }
            at += 1;
            if self.kind(at) != Some(Kind::Path) {
                break;
            }
            at += 1;
        }
        let mut binds = words.last().copied();
        if self.kind(at) == Some(Kind::Word("as")) {
            if let Some(Kind::Word(name)) = self.kind(at + 1) {
                binds = Some(name);
            }
            at += 2;
        }
        self.path(words, binds, first);
        at
    }

    fn group(&mut self, at: usize, before: &[&'a str]) -> usize {
        let mut at = at + 1;
        while at < self.tokens.len() && !self.is(at, '}') {
            let next = self.tree(at, before);
            at = if next == at || self.is(next, ',') {
                next + 1
            } else {
                next
            };
        }
        at + 1
    }

    /// An attribute; one with `cfg(test)` says of what follows that only tests have it.
    fn attribute(&mut self, at: usize) -> usize {
        let end = self.closing(at + 1);
        let words: Vec<&str> = (at..end)
            .filter_map(|at| match self.kind(at)? {
                Kind::Word(word) => Some(word),
                _ => None,
            })
            .collect();
        let test = matches!(
            words.as_slice(),
            ["cfg", "test"] | ["cfg", "all", "test", ..]
        );
        if test {
            self.test_until = self.test_until.max(self.item_end(end + 1));
        }
        end + 1
    }

    /// Where the bracket that opens at `at` is closed.
    fn closing(&self, at: usize) -> usize {
        let mut depth = 0_usize;
        for (at, token) in self.tokens.iter().enumerate().skip(at) {
            match token.kind {
                Kind::Sign('(' | '[' | '{') => depth += 1,
                Kind::Sign(')' | ']' | '}') => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        self.tokens.len()
    }

    /// Behind the item, statement or field that begins at `at`.
    fn item_end(&self, mut at: usize) -> usize {
        while self.is(at, '#') {
            at = self.closing(at + 1) + 1;
        }
        let item = matches!(
            self.kind(at),
            Some(Kind::Word(
                "pub"
                    | "fn"
                    | "mod"
                    | "impl"
                    | "struct"
                    | "enum"
                    | "trait"
                    | "const"
                    | "static"
                    | "type"
                    | "use"
                    | "async"
                    | "unsafe"
            ))
        );
        while at < self.tokens.len() {
            match self.kind(at) {
                Some(Kind::Sign('{')) => return self.closing(at) + 1,
                Some(Kind::Sign('(' | '[')) => at = self.closing(at),
                Some(Kind::Sign(';')) => return at + 1,
                Some(Kind::Sign(',')) if !item => return at + 1,
                Some(Kind::Sign('}' | ')')) => return at,
                _ => {}
            }
            at += 1;
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let of = |named: &Named| {
            let test = if named.test { "test " } else { "" };
            let binds = named.binds.map(|name| format!(" as {name}"));
            format!(
                "{test}{}{}",
                named.words.join("::"),
                binds.unwrap_or_default()
            )
        };
        read(text).paths.iter().map(of).collect()
    }

    #[test]
    fn a_use_gives_a_path_for_each_name() {
        assert_eq!(
            paths("use crate::{\n a::{self, B as C},\n d::*, e,};\npub use super::f::G;"),
            [
                "crate::a as a",
                "crate::a::B as C",
                "crate::d::* as *",
                "crate::e as e",
                "super::f::G as G"
            ]
        );
        assert_eq!(paths("use ::a::{B, c::D}; use e::F;"), ["e::F as F"]);
        assert_eq!(read("use crate::{\na,\nb};").paths[1].line, 3);
    }

    #[test]
    fn code_gives_the_paths_in_it() {
        assert_eq!(
            paths("fn f(x: crate::a::B<c::D>) { e::<g::H>::i(); j.k(); Self::l() }"),
            ["crate::a::B", "c::D", "e", "g::H", "Self::l"]
        );
        assert_eq!(
            paths("pub(in crate::a) fn f() { for x in b::c() {} }"),
            ["b::c"]
        );
    }

    #[test]
    fn what_only_tests_have_is_marked() {
        let text = "#[cfg(test)] use a::B;\n#[cfg(test)]\n#[path = \"x\"]\nmod tests { use c::D; }\n\
                    fn f() { #[cfg(test)] if g::h() { i::j() } k::l() }\n\
                    struct M { #[cfg(test)] n: o::P<(u8, q::R)>, s: t::U }\n\
                    #[cfg(any(test, feature = \"x\"))] use v::W; #[cfg(not(test))] use x::Y;";
        assert_eq!(
            paths(text),
            [
                "test a::B as B",
                "test c::D as D",
                "test g::h",
                "test i::j",
                "k::l",
                "test o::P",
                "test q::R",
                "t::U",
                "v::W as W",
                "x::Y as Y"
            ]
        );
        assert_eq!(
            read("#[cfg(test)] mod a; mod b { mod c; } mod d;").modules,
            [
                (vec!["a"], false, true),
                (vec!["b"], true, false),
                (vec!["b", "c"], false, false),
                (vec!["d"], false, false),
            ]
            .map(|(path, inline, test)| Module { path, inline, test })
        );
    }

    #[test]
    fn a_path_is_made_absolute() {
        let text = "use crate::a; use self::b; use super::super::c; mod m { use super::d; } use e;";
        let source = read(text);
        let all: Vec<_> = source
            .paths
            .iter()
            .map(|named| named.absolute(&["x", "y"]).map(|path| path.join("::")))
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            all,
            [some("a"), some("x::y::b"), some("c"), some("x::y::d"), None]
        );
    }

    #[test]
    fn malformed_source_ends() {
        for text in [
            "use a::{b",
            "use",
            "mod",
            "#[cfg(test)]",
            "use {{{",
            "a::",
            "#[",
            "use a::{;}",
        ] {
            read(text);
        }
    }
}
