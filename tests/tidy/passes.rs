//! Tests that could pass without having run.

use super::{
    lex::{Kind, Token, tokens},
    tree::{File, Finding, Tree},
};

/// What a test may ask before it returns early: `tests/support/needs.rs`, and what passes its answer
/// on. Where everything has to be tested these fail.
const ASKED: [&str; 3] = ["needs", "root", "possible"];

/// A test returns early only where `needs` was asked, so that it fails where it has to run; and
/// nothing else says that a test was skipped.
pub fn silent(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| file.path != "tests/support/needs.rs")
        .flat_map(|file| early(file).into_iter().chain(words(file)))
        .collect()
}

/// `return` in the body of a test, or of a macro of a file of tests.
fn early(file: &File) -> Vec<Finding> {
    let tokens = tokens(&file.text);
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some(body) = body_after(&tokens, at, file.is_test()) else {
            at += 1;
            continue;
        };
        for index in returns(&tokens, body.clone()) {
            if !asks(&tokens, body.start, index) {
                let line = tokens.get(index).map_or(1, |token| token.line);
                found.push(Finding::at(
                    file,
                    line,
                    "a test returns early without asking `needs` (tests/support/needs.rs): it would \
                     pass without having run",
                ));
            }
        }
        at = body.end.max(at + 1);
    }
    found
}

/// The body of the test or macro whose attribute or keyword is at `at`.
fn body_after(tokens: &[Token<'_>], at: usize, tests: bool) -> Option<std::ops::Range<usize>> {
    let kind = |index: usize| tokens.get(index).map(|token| token.kind);
    let is_macro = tests && kind(at) == Some(Kind::Word("macro_rules"));
    let is_test = kind(at) == Some(Kind::Sign('#'))
        && kind(at + 1) == Some(Kind::Sign('['))
        && (kind(at + 2) == Some(Kind::Word("test"))
            || (kind(at + 3) == Some(Kind::Path) && kind(at + 4) == Some(Kind::Word("test"))));
    if !is_macro && !is_test {
        return None;
    }
    // The attributes' arguments and the function's parameters hold no braces, but for patterns.
    let (mut start, mut depth) = (at, 0_usize);
    loop {
        match kind(start)? {
            Kind::Sign('(' | '[') => depth += 1,
            Kind::Sign(')' | ']') => depth = depth.saturating_sub(1),
            Kind::Sign('{') if depth == 0 => break,
            _ => {}
        }
        start += 1;
    }
    let (mut end, mut depth) = (start, 0_usize);
    loop {
        match kind(end)? {
            Kind::Sign('{') => depth += 1,
            Kind::Sign('}') => depth -= 1,
            _ => {}
        }
        end += 1;
        if depth == 0 {
            return Some(start..end);
        }
    }
}

/// The `return`s of a body itself: not of closures and blocks that are arguments of a call, nor of
/// functions and closures that are named.
fn returns(tokens: &[Token<'_>], body: std::ops::Range<usize>) -> Vec<usize> {
    let mut found = Vec::new();
    let mut parens = 0_usize;
    let mut braces = 0_usize;
    // Braces that a nested function or closure opened, by their depth.
    let mut nested: Vec<usize> = Vec::new();
    let mut opens_nested = false;
    let mut before = Kind::Literal;
    for index in body {
        let Some(token) = tokens.get(index) else {
            break;
        };
        match token.kind {
            Kind::Word("fn" | "async") => opens_nested = true,
            // The end of a closure's parameters: `|| {`, `|x| {`.
            Kind::Sign('{') => {
                braces += 1;
                if opens_nested || before == Kind::Sign('|') {
                    nested.push(braces);
                }
                opens_nested = false;
            }
            Kind::Sign('}') => {
                if nested.last() == Some(&braces) {
                    nested.pop();
                }
                braces = braces.saturating_sub(1);
            }
            Kind::Sign('(') => parens += 1,
            Kind::Sign(')') => parens = parens.saturating_sub(1),
            Kind::Sign(';') => opens_nested = false,
            Kind::Word("return") if parens == 0 && nested.is_empty() => found.push(index),
            _ => {}
        }
        before = token.kind;
    }
    found
}

/// Whether the condition before the block that a `return` is in asks for what the test needs.
fn asks(tokens: &[Token<'_>], start: usize, index: usize) -> bool {
    let before = tokens.get(start..index).unwrap_or_default();
    let mut opened = false;
    for token in before.iter().rev() {
        match token.kind {
            Kind::Word(word) if ASKED.contains(&word) => return true,
            Kind::Sign('{') if !opened => opened = true,
            Kind::Sign('{' | '}' | ';') if opened => return false,
            Kind::Sign('}') => return false,
            _ => {}
        }
    }
    false
}

/// Output that says that a test did not run.
fn words(file: &File) -> Vec<Finding> {
    let tests = |file: &File| file.is_test() || file.text.contains("#[test]");
    let mut found = Vec::new();
    if !tests(file) {
        return found;
    }
    for (number, line) in file.lines() {
        let printed = line
            .split_once("println!(")
            .map(|(_, rest)| rest.to_ascii_lowercase());
        let says = |text: &str| SAID.iter().any(|said| text.contains(said));
        if printed.as_deref().is_some_and(says) {
            found.push(Finding::at(
                file,
                number,
                "says that something was skipped; only tests/support/needs.rs does, and fails where \
                 all has to be tested",
            ));
        }
    }
    found
}

/// Properties print their seed and the command that repeats them (`tests/support/seeds.rs`).
pub fn seeded(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust() {
        let mut opened = None;
        for (number, line) in file.lines() {
            match opened {
                Some(at) if !line.trim().is_empty() => {
                    if !line.contains("seeds::") {
                        let message = "properties without `#![proptest_config(seeds::config())]`: \
                                       a failure could not be repeated";
                        found.push(Finding::at(file, at, message));
                    }
                    opened = None;
                }
                _ => {}
            }
            if line.trim_start().starts_with("proptest! {") {
                opened = Some(number);
            }
        }
    }
    found
}

const SAID: [&str; 5] = [
    "skipped",
    "skipping",
    "not tried",
    "not tested",
    "not compared",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn found(body: &str) -> usize {
        let text = format!("#[test]\nfn a() {{\n{body}\n}}\nfn helper() {{ return; }}\n");
        silent(&Tree::of(&[("coordinator/tests/a.rs", &text)])).len()
    }

    #[test]
    fn a_test_that_returns_early_is_found() {
        for body in [
            "if !is_root() { return; }",
            "let Some(x) = mounted() else { return; }; use_it(x);",
            "if missing { eprintln!(\"why\"); return; }",
            "if needs::root() {} if missing { return; }",
            "match stage() { Some(s) => s, None => return };",
        ] {
            assert_eq!(found(body), 1, "{body}");
        }
        let property = "proptest! {\n#[test]\nfn a(b in c(0..2)) { if no() { return Ok(()); } }\n}";
        let tree = Tree::of(&[("coordinator/tests/a.rs", property)]);
        assert_eq!(silent(&tree).len(), 1);
        let tokio = "#[tokio::test(flavor = \"x\")]\nasync fn a() { if no() { return; } }";
        assert_eq!(
            silent(&Tree::of(&[("coordinator/src/a.rs", tokio)])).len(),
            1
        );
        let hidden = "macro_rules! stage { () => { match s() { Some(s) => s, None => return } } }";
        assert_eq!(
            silent(&Tree::of(&[("coordinator/tests/a.rs", hidden)])).len(),
            1
        );
    }

    #[test]
    fn a_property_without_a_seed_is_found() {
        let bad = "proptest! {\n\n    #[test]\n    fn a(b in 0..2) {}\n}";
        let good = "proptest! {\n    #![proptest_config(crate::seeds::cases(9))]\n}";
        let tree = |text| Tree::of(&[("coordinator/src/a.rs", text)]);
        assert_eq!(seeded(&tree(bad)).len(), 1);
        assert!(seeded(&tree(good)).is_empty());
    }

    #[test]
    fn one_that_asks_and_returns_of_others_are_fine() {
        for body in [
            "if !needs::root() { return; }",
            "if !possible() || !needs::program(\"x\") { return; }",
            "thread::spawn(move || { if over { return; } });",
            "let read = |x| { if x { return 1; } 2 };",
            "fn inner() { return; }",
            "let x = async { return 1; };",
        ] {
            assert_eq!(found(body), 0, "{body}");
        }
    }

    #[test]
    fn saying_that_something_was_skipped_is_found() {
        for word in SAID {
            let body = format!("eprintln!(\"{word}: why\");");
            assert_eq!(found(&body), 1, "{word}");
        }
        let text = concat!("fn main() { print", "ln!(\"skipped\"); }");
        assert!(silent(&Tree::of(&[("coordinator/src/cli/a.rs", text)])).is_empty());
    }
}
