//! Reads desktop notifications and progress reports out of OSC sequences.
//!
//! Owns: the dialects. Their text comes from the session: it is cleaned of control characters and cut
//! to [`MAX_TEXT`] bytes here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::screen::event::ScreenEvent;

/// Longest title or notification text kept, in bytes.
pub(super) const MAX_TEXT: usize = 1024;

/// The event an OSC sequence stands for, if it is a notification or progress.
///
/// Three dialects are known: OSC 9 (iTerm2 text, ConEmu `9;4` progress), OSC 777
/// (`notify;title;body`) and OSC 99 (kitty, optionally base64).
///
/// `sequence` runs from `ESC ]`; a final BEL may be present.
pub(crate) fn notification(sequence: &[u8]) -> Option<ScreenEvent> {
    let body = sequence.strip_prefix(b"\x1b]")?;
    let body = body.strip_suffix(b"\x07").unwrap_or(body);
    let (number, rest) = split(body);
    let rest = rest?;
    match number {
        b"9" => nine(rest),
        b"777" => {
            let (verb, rest) = split(rest);
            if verb != b"notify" {
                return None;
            }
            let (title, text) = split(rest?);
            text_event(&match text {
                Some(text) => [title, text].join(&b": "[..]),
                None => title.to_vec(),
            })
        }
        b"99" => ninety_nine(rest),
        _ => None,
    }
}

fn nine(rest: &[u8]) -> Option<ScreenEvent> {
    let (first, more) = split(rest);
    let number = std::str::from_utf8(first)
        .ok()
        .and_then(|text| text.parse::<u8>().ok());
    match (number, more) {
        (Some(4), Some(more)) => {
            let (state, _) = split(more);
            let state = std::str::from_utf8(state).ok()?.parse().ok()?;
            Some(ScreenEvent::Progress(state))
        }
        // ConEmu's other commands (1 to 12) are not messages.
        (Some(1..=12), Some(_)) => None,
        _ => text_event(rest),
    }
}

fn ninety_nine(rest: &[u8]) -> Option<ScreenEvent> {
    let (metadata, payload) = split(rest);
    let payload = payload?;
    let mut encoded = false;
    for pair in metadata.split(|&byte| byte == b':') {
        match pair {
            b"e=1" => encoded = true,
            b"p=title" | b"p=body" => {}
            _ if pair.starts_with(b"p=") => return None,
            _ => {}
        }
    }
    if encoded {
        text_event(&STANDARD.decode(payload).ok()?)
    } else {
        text_event(payload)
    }
}

fn split(bytes: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut parts = bytes.splitn(2, |&byte| byte == b';');
    (parts.next().unwrap_or_default(), parts.next())
}

fn text_event(bytes: &[u8]) -> Option<ScreenEvent> {
    let text = clean(&String::from_utf8_lossy(bytes));
    if text.is_empty() {
        None
    } else {
        Some(ScreenEvent::Notification(text))
    }
}

/// Removes control characters and cuts to [`MAX_TEXT`] bytes.
pub(super) fn clean(text: &str) -> String {
    let mut cleaned = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if cleaned.len() + c.len_utf8() > MAX_TEXT {
            break;
        }
        cleaned.push(c);
    }
    cleaned.trim().to_owned()
}
