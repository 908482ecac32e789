//! A key with its modifiers, and sequences of them. Owns how they are written in configuration and for
//! people. Never reads a terminal.

use std::fmt;

/// Longest sequence: a prefix and a key.
pub const LONGEST: usize = 2;

/// A key without its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// A character; Shift is part of it.
    Char(char),
    /// Enter.
    Enter,
    /// Escape.
    Esc,
    /// Tab.
    Tab,
    /// Backspace.
    Backspace,
    /// Delete.
    Delete,
    /// Insert.
    Insert,
    /// Arrow up.
    Up,
    /// Arrow down.
    Down,
    /// Arrow left.
    Left,
    /// Arrow right.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// A function key, from 1 to 24.
    F(u8),
}

/// A key with its modifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Chord {
    /// The key.
    pub code: Code,
    /// With Ctrl.
    pub ctrl: bool,
    /// With Alt.
    pub alt: bool,
    /// With Shift; never for a character.
    pub shift: bool,
}

/// Keys pressed one after the other: one, or a prefix and one.
pub type Sequence = Vec<Chord>;

/// Why a key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wrong}")]
pub struct ChordError {
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

/// Words for keys: as configuration writes them (the first one of a key is the usual one).
const WORDS: [(&str, Code); 23] = [
    ("enter", Code::Enter),
    ("return", Code::Enter),
    ("esc", Code::Esc),
    ("escape", Code::Esc),
    ("tab", Code::Tab),
    ("space", Code::Char(' ')),
    ("backspace", Code::Backspace),
    ("delete", Code::Delete),
    ("del", Code::Delete),
    ("insert", Code::Insert),
    ("up", Code::Up),
    ("down", Code::Down),
    ("left", Code::Left),
    ("right", Code::Right),
    ("home", Code::Home),
    ("end", Code::End),
    ("pgup", Code::PageUp),
    ("pageup", Code::PageUp),
    ("pgdn", Code::PageDown),
    ("pgdown", Code::PageDown),
    ("pagedown", Code::PageDown),
    ("comma", Code::Char(',')),
    ("plus", Code::Char('+')),
];

impl Chord {
    /// A key with modifiers, in the one form that is compared: Shift is part of a character, and
    /// Ctrl with a letter knows no case.
    #[must_use]
    pub fn new(code: Code, ctrl: bool, alt: bool, shift: bool) -> Self {
        let code = match code {
            Code::Char(c) if ctrl => Code::Char(control_name(c.to_ascii_lowercase())),
            Code::Char(c) if shift => Code::Char(c.to_ascii_uppercase()),
            other => other,
        };
        let shift = shift && !matches!(code, Code::Char(_));
        Self {
            code,
            ctrl,
            alt,
            shift,
        }
    }

    /// Parses `x`, `D`, `space`, `ctrl-k`, `alt-1`, `f1`, `shift-tab`.
    ///
    /// # Errors
    /// Says what is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, ChordError> {
        let (mut rest, mut ctrl, mut alt, mut shift) = (text, false, false, false);
        loop {
            let lower = rest.to_ascii_lowercase();
            let (flag, word) = match () {
                () if lower.starts_with("ctrl-") => (&mut ctrl, 5),
                () if lower.starts_with("alt-") => (&mut alt, 4),
                () if lower.starts_with("shift-") => (&mut shift, 6),
                () => break,
            };
            let Some(after) = rest.get(word..).filter(|after| !after.is_empty()) else {
                break;
            };
            if std::mem::replace(flag, true) {
                return Err(not_a_key(text));
            }
            rest = after;
        }
        let code = code(rest).ok_or_else(|| not_a_key(text))?;
        if ctrl && let Some(same) = same_as_ctrl(code) {
            return Err(ChordError {
                wrong: format!("{text:?} cannot be told from {same} by a terminal"),
                right: format!("use {same:?}, or another key"),
            });
        }
        if ctrl
            && matches!(code, Code::Char(c) if !(c.is_ascii_alphabetic() || " @/\\]^_4567".contains(c)))
        {
            return Err(ChordError {
                wrong: format!("no terminal sends {text:?}"),
                right: "use ctrl- with a letter, space, \\, ], ^ or _".to_owned(),
            });
        }
        if shift && matches!(code, Code::Char(c) if !c.is_ascii_alphabetic()) {
            return Err(ChordError {
                wrong: format!("{text:?} depends on the keyboard"),
                right: "write the character that comes of it, such as \"!\"".to_owned(),
            });
        }
        Ok(Self::new(code, ctrl, alt, shift))
    }

    /// For people: `Ctrl-K`, `Shift-Tab`, `PgDn`, `x`.
    #[must_use]
    pub fn label(self) -> String {
        let mut out = String::new();
        for (on, word) in [
            (self.ctrl, "Ctrl-"),
            (self.alt, "Alt-"),
            (self.shift, "Shift-"),
        ] {
            if on {
                out.push_str(word);
            }
        }
        match self.code {
            Code::Char(' ') => out.push_str("Space"),
            Code::Char(c) if self.ctrl => out.push(c.to_ascii_uppercase()),
            Code::Char(c) => out.push(c),
            Code::F(n) => out.push_str(&format!("F{n}")),
            Code::PageUp => out.push_str("PgUp"),
            Code::PageDown => out.push_str("PgDn"),
            other => {
                let word = word(other);
                let mut chars = word.chars();
                out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
                out.push_str(chars.as_str());
            }
        }
        out
    }
}

impl fmt::Display for Chord {
    /// As configuration writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (on, word) in [
            (self.ctrl, "ctrl-"),
            (self.alt, "alt-"),
            (self.shift, "shift-"),
        ] {
            if on {
                f.write_str(word)?;
            }
        }
        match self.code {
            Code::Char(' ') => f.write_str("space"),
            Code::Char(c) => write!(f, "{c}"),
            Code::F(n) => write!(f, "f{n}"),
            other => f.write_str(word(other)),
        }
    }
}

/// Parses one or two keys, separated by a blank: `x`, `ctrl-b c`.
///
/// # Errors
/// Says what is wrong and what would be right.
pub fn parse_sequence(text: &str) -> Result<Sequence, ChordError> {
    let keys = text
        .split_whitespace()
        .map(Chord::parse)
        .collect::<Result<Sequence, _>>()?;
    match keys.len() {
        0 => Err(ChordError {
            wrong: "an empty text is no key".to_owned(),
            right: "use \"space\" for the space bar, and [] for no key at all".to_owned(),
        }),
        1..=LONGEST => Ok(keys),
        _ => Err(ChordError {
            wrong: format!("{:?} are too many keys", short(text)),
            right: "give one key, or a prefix and a key, such as \"ctrl-b c\"".to_owned(),
        }),
    }
}

/// A sequence for people: `Ctrl-B c`.
#[must_use]
pub fn label(sequence: &[Chord]) -> String {
    let labels: Vec<String> = sequence.iter().map(|chord| chord.label()).collect();
    labels.join(" ")
}

fn word(code: Code) -> &'static str {
    WORDS
        .iter()
        .find(|(_, known)| *known == code)
        .map_or("?", |(word, _)| word)
}

fn code(text: &str) -> Option<Code> {
    let mut chars = text.chars();
    if let (Some(only), None) = (chars.next(), chars.next()) {
        return (!only.is_control() && !only.is_whitespace()).then_some(Code::Char(only));
    }
    let lower = text.to_ascii_lowercase();
    if let Some((_, code)) = WORDS.iter().find(|(word, _)| *word == lower) {
        return Some(*code);
    }
    let number = lower.strip_prefix('f')?.parse().ok()?;
    (1..=24).contains(&number).then_some(Code::F(number))
}

/// What a terminal sends for Ctrl and this key is another key's.
fn same_as_ctrl(code: Code) -> Option<&'static str> {
    match code {
        Code::Char('i' | 'I') | Code::Tab => Some("tab"),
        Code::Char('m' | 'M') | Code::Enter => Some("enter"),
        Code::Char('[') | Code::Esc => Some("esc"),
        _ => None,
    }
}

/// Terminals send the same for Ctrl-4 and Ctrl-\, and so on up to 7.
fn control_name(c: char) -> char {
    match c {
        '4' => '\\',
        '5' => ']',
        '6' => '^',
        '7' | '/' => '_',
        '@' => ' ',
        other => other,
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}

fn not_a_key(text: &str) -> ChordError {
    ChordError {
        wrong: format!("{:?} is not a key", short(text)),
        right: "give a character, or enter, esc, tab, space, backspace, delete, up, down, left, \
                right, home, end, pgup, pgdn, f1 to f12, with ctrl-, alt- or shift- before it"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_read_as_people_write_them() {
        for (text, label) in [
            ("x", "x"),
            ("D", "D"),
            ("space", "Space"),
            ("Enter", "Enter"),
            ("shift-tab", "Shift-Tab"),
            ("ctrl-k", "Ctrl-K"),
            ("Ctrl-K", "Ctrl-K"),
            ("alt-1", "Alt-1"),
            ("f12", "F12"),
            ("pgdn", "PgDn"),
            ("shift-up", "Shift-Up"),
            ("-", "-"),
            ("ctrl-\\", "Ctrl-\\"),
            ("ctrl-4", "Ctrl-\\"),
            ("shift-d", "D"),
            ("ctrl-alt-x", "Ctrl-Alt-X"),
            ("ctrl-b c", "Ctrl-B c"),
        ] {
            assert_eq!(
                super::label(&parse_sequence(text).unwrap()),
                label,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_what_would_be_right() {
        for (text, wrong) in [
            ("", "no key"),
            ("ctrl-", "is not a key"),
            ("ctrl-ctrl-x", "is not a key"),
            ("hyper-x", "is not a key"),
            ("f0", "is not a key"),
            ("f25", "is not a key"),
            ("ctrl-i", "cannot be told from tab"),
            ("ctrl-m", "cannot be told from enter"),
            ("ctrl-[", "cannot be told from esc"),
            ("ctrl-1", "no terminal sends"),
            ("shift-1", "depends on the keyboard"),
            ("a b c", "too many"),
        ] {
            let refused = parse_sequence(text).unwrap_err();
            assert!(refused.wrong.contains(wrong), "{text}: {refused}");
            assert!(!refused.right.is_empty());
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn what_is_written_is_read_again(text in "(ctrl-|alt-|shift-)?([a-zA-Z?,+*]|f[1-9]|pgup|space|left)") {
            if let Ok(chord) = Chord::parse(&text) {
                prop_assert_eq!(Chord::parse(&chord.to_string()), Ok(chord));
            }
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            if let Ok(sequence) = parse_sequence(&text) {
                prop_assert!((1..=LONGEST).contains(&sequence.len()));
            }
        }
    }
}
