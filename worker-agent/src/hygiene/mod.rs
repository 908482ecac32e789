//! What may reach the user's own terminal, and how to leave it behind.
//!
//! Owns: the list of what is removed ([`OutputFilter`]), what undoes a session's settings
//! ([`reset_sequence`]), and text that is safe to print ([`escape_for_log`]).

mod filter;

use std::borrow::Cow;
use std::fmt::Write;

pub use self::filter::OutputFilter;

/// What to write to the user's terminal when a session is detached.
///
/// Ends whatever sequence was cut off, then turns off what the session may
/// have turned on. The cursor stays where it is, or returns to where it was
/// before the alternate screen.
pub fn reset_sequence() -> &'static [u8] {
    concat!(
        "\x18\x1b\\",                                           // end an open sequence or string
        "\x1b[?2026l",                                          // show what is held back
        "\x1b[<99u\x1b[=0u\x1b[>4;0m",                          // this screen's keyboard flags
        "\x1b[?9l\x1b[?1000l\x1b[?1001l\x1b[?1002l\x1b[?1003l", // mouse
        "\x1b[?1005l\x1b[?1006l\x1b[?1015l\x1b[?1016l",         // mouse encodings
        "\x1b[?1004l\x1b[?2004l\x1b[?2031l\x1b[?2048l",         // focus, paste, reports
        "\x1b[?1l\x1b>\x1b[?66l",                               // cursor keys and keypad
        "\x1b[4l\x1b[20l\x1b[?7h\x1b[?5l", // insert, newline, autowrap, reverse
        "\x1b[?69l\x1b[?45l",              // margins, reverse wrap
        "\x0f\x1b(B\x1b)B",                // charsets
        "\x1b]8;;\x1b\\\x1b[0m",           // link and pen
        "\x1b7\x1b[r\x1b8",                // scroll region, without moving
        "\x1b[?1049l",                     // alternate screen
        "\x1b[<99u\x1b[=0u",               // the primary screen's keyboard flags
        "\x1b[0m\x1b[?25h\x1b[0 q",        // pen, cursor
    )
    .as_bytes()
}

/// Escapes control characters (all but newline and tab) and the characters
/// that reorder or break lines of text, as `\x1b` or `\u{202e}`.
pub fn escape_for_log(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_unsafe) else {
        return Cow::Borrowed(text);
    };
    let (safe, rest) = text.split_at(first);
    let mut escaped = String::with_capacity(text.len() + 16);
    escaped.push_str(safe);
    for c in rest.chars() {
        let code = u32::from(c);
        // Writing to a String cannot fail.
        match c {
            _ if !is_unsafe(c) => escaped.push(c),
            '\0'..='\u{ff}' => write!(escaped, "\\x{code:02x}").unwrap_or_default(),
            _ => write!(escaped, "\\u{{{code:x}}}").unwrap_or_default(),
        }
    }
    Cow::Owned(escaped)
}

fn is_unsafe(c: char) -> bool {
    match c {
        '\n' | '\t' => false,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            true
        }
        _ => c.is_control(),
    }
}
