//! What a session gets of its caller's environment without being asked.
//!
//! Owns which variables these are, and when each is sent. Both sides use it: the client gathers, the
//! coordinator refuses whatever else comes.

use std::collections::BTreeMap;

/// Variables that say what the caller's terminal shows and where its user is, each with whether it
/// means something to a session without a terminal as well.
const SENT: [(&str, bool); 4] = [
    ("COLORTERM", false),
    ("FORCE_COLOR", true),
    ("NO_COLOR", true),
    ("TZ", false),
];
/// Bytes of a value; a longer one says something else.
const MAX_VALUE: usize = 256;

/// What is sent of the caller's variables, given by `var`, to a session that has a terminal or not. An
/// empty value counts as none (<https://no-color.org>).
pub fn caller_env(
    terminal: bool,
    var: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    SENT.iter()
        .filter(|(_, always)| terminal || *always)
        .filter_map(|(name, _)| Some(((*name).to_owned(), var(name)?)))
        .filter(|(_, value)| !value.is_empty() && is_sound(value))
        .collect()
}

/// The first variable that no client sends, and what is wrong with it.
#[must_use]
pub fn caller_env_fault(sent: &BTreeMap<String, String>) -> Option<(&str, &'static str)> {
    sent.iter().find_map(|(name, value)| {
        if !SENT.iter().any(|(known, _)| known == name) {
            return Some((
                name.as_str(),
                "is none of COLORTERM, FORCE_COLOR, NO_COLOR, TZ",
            ));
        }
        let wrong = "has a value of more than 256 bytes, or with control characters";
        (!is_sound(value)).then_some((name.as_str(), wrong))
    })
}

fn is_sound(value: &str) -> bool {
    value.len() <= MAX_VALUE && !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(name: &str) -> Option<String> {
        match name {
            "COLORTERM" => Some("truecolor".to_owned()),
            "NO_COLOR" => Some("1".to_owned()),
            "FORCE_COLOR" => Some(String::new()),
            "TZ" => Some("Europe/Vienna".to_owned()),
            _ => Some("secret".to_owned()),
        }
    }

    #[test]
    fn a_terminal_gets_what_its_caller_has_and_a_pipe_what_is_about_any_output() {
        let names = |terminal| Vec::from_iter(caller_env(terminal, var).into_keys());
        assert_eq!(names(true), ["COLORTERM", "NO_COLOR", "TZ"]);
        assert_eq!(names(false), ["NO_COLOR"]);
        assert!(caller_env(true, |_| None).is_empty());
        assert!(caller_env(true, |_| Some("x".repeat(MAX_VALUE + 1))).is_empty());
    }

    #[test]
    fn what_is_gathered_is_taken_and_nothing_else() {
        assert_eq!(caller_env_fault(&caller_env(true, var)), None);
        for (name, value) in [
            ("PATH", "/x".to_owned()),
            ("TZ", "x".repeat(MAX_VALUE + 1)),
            ("TZ", "a\0b".to_owned()),
        ] {
            let sent = BTreeMap::from([(name.to_owned(), value)]);
            assert_eq!(caller_env_fault(&sent).map(|(name, _)| name), Some(name));
        }
    }
}
