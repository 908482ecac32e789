//! Units become keys. The tables are terminput's; what it does not know, or gives up on, is brought
//! into a form that it knows.

use crate::dashboard::input::{cut::Unit, mouse::MouseReport};
use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

/// What a unit means; `None` for what is no input: answers, unknown sequences, noise.
pub fn decode(unit: Unit, bytes: &[u8]) -> Option<Event> {
    match unit {
        Unit::Key => key(bytes),
        Unit::Csi => csi(bytes),
        Unit::Ss3 => ss3(bytes),
        Unit::String | Unit::Junk => None,
    }
}

fn key(bytes: &[u8]) -> Option<Event> {
    let (alt, rest) = match bytes {
        [0x1b] | [] => (false, bytes),
        [0x1b, rest @ ..] => (true, rest),
        _ => (false, bytes),
    };
    // By their names, not as the digits that some terminals have on the same code.
    let named = match rest {
        [0x1c] => Some('\\'),
        [0x1d] => Some(']'),
        [0x1e] => Some('^'),
        [0x1f] => Some('_'),
        _ => None,
    };
    let event = match named {
        Some(c) => Event::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL)),
        None => parse(rest)?,
    };
    Some(if alt { with_alt(event) } else { event })
}

fn with_alt(event: Event) -> Event {
    match event {
        Event::Key(mut key) => {
            key.modifiers |= KeyModifiers::ALT;
            Event::Key(key)
        }
        other => other,
    }
}

fn csi(bytes: &[u8]) -> Option<Event> {
    match bytes {
        [0x1b, 0x1b, ..] => return csi(bytes.get(1..)?).map(with_alt),
        [0x1b, b'[', b'<', ..] => return MouseReport::parse(bytes)?.event().map(Event::Mouse),
        // X10's form is never asked for; a terminal that knows no other is not heard.
        [0x1b, b'[', b'M', ..] => return None,
        [0x1b, b'[', b'I'] => return Some(Event::FocusGained),
        [0x1b, b'[', b'O'] => return Some(Event::FocusLost),
        _ => {}
    }
    let (last, body) = bytes.strip_prefix(b"\x1b[")?.split_last()?;
    // Parameters alone: answers have a mark before them or between them and the end.
    if !matches!(last, b'A'..=b'H' | b'P'..=b'S' | b'Z' | b'u' | b'~')
        || !body
            .iter()
            .all(|b| matches!(b, b'0'..=b'9' | b';' | b':' | b'['))
    {
        return None;
    }
    let body = std::str::from_utf8(body).ok()?;
    let parameters: Vec<&str> = body.split(';').collect();
    match (last, parameters.as_slice()) {
        // xterm's modifyOtherKeys: as kitty would say it.
        (b'~', ["27", modifiers, code]) => parse(format!("\x1b[{code};{modifiers}u").as_bytes()),
        // Which of a key's two letters is meant is not said twice.
        (b'u', [code, modifiers, _text]) => parse(format!("\x1b[{code};{modifiers}u").as_bytes()),
        // The keypad's five.
        (b'E', _) => Some(Event::Key(KeyEvent::from(KeyCode::KeypadBegin))),
        // An answer to where the cursor is.
        (b'R', [row, column]) if *row != "1" || column.parse::<u16>().is_ok_and(|c| c > 16) => None,
        _ => parse(bytes),
    }
}

fn ss3(bytes: &[u8]) -> Option<Event> {
    match bytes {
        [0x1b, 0x1b, ..] => ss3(bytes.get(1..)?).map(with_alt),
        // Modifiers in an old form.
        [0x1b, b'O', digit @ b'0'..=b'9', last] => {
            parse(format!("\x1b[1;{}{}", char::from(*digit), char::from(*last)).as_bytes())
        }
        // The keypad in application mode (DECKPAM).
        [0x1b, b'O', b'M'] => Some(Event::Key(KeyEvent::from(KeyCode::Enter))),
        [0x1b, b'O', b'X'] => Some(Event::Key(KeyEvent::from(KeyCode::Char('=')))),
        [0x1b, b'O', c @ b'j'..=b'y'] => {
            let c = char::from(c - b'j' + b'*');
            Some(Event::Key(KeyEvent::from(KeyCode::Char(c))))
        }
        _ => parse(bytes),
    }
}

fn parse(bytes: &[u8]) -> Option<Event> {
    let event = terminput::Event::parse_from(bytes).ok()??;
    match terminput_crossterm::to_crossterm(event).ok()? {
        event @ Event::Key(_) => Some(event),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::input::cut::{Cut, cut};
    use crossterm::event::KeyEventKind;

    fn one(bytes: &[u8]) -> Option<KeyEvent> {
        let Cut::Whole(unit, n) = cut(bytes) else {
            panic!("{bytes:?} is not whole");
        };
        assert_eq!(n, bytes.len(), "{bytes:?}");
        match decode(unit, bytes)? {
            Event::Key(key) => Some(key),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn keys_are_known_in_all_their_forms() {
        use KeyCode::{
            BackTab, Backspace, Char, Delete, Down, End, Enter, Esc, F, Home, Insert, Left,
            PageDown, PageUp, Tab, Up,
        };
        const NONE: KeyModifiers = KeyModifiers::NONE;
        const SHIFT: KeyModifiers = KeyModifiers::SHIFT;
        const CTRL: KeyModifiers = KeyModifiers::CONTROL;
        const ALT: KeyModifiers = KeyModifiers::ALT;
        for (bytes, code, modifiers) in [
            ("a", Char('a'), NONE),
            ("A", Char('A'), SHIFT),
            ("é", Char('é'), NONE),
            ("漢", Char('漢'), NONE),
            ("\x1bé", Char('é'), ALT),
            ("\x1bx", Char('x'), ALT),
            ("\x1b\x01", Char('a'), CTRL | ALT),
            ("\r", Enter, NONE),
            ("\n", Char('j'), CTRL),
            ("\t", Tab, NONE),
            ("\x7f", Backspace, NONE),
            ("\x1b\x7f", Backspace, ALT),
            ("\0", Char(' '), CTRL),
            ("\x03", Char('c'), CTRL),
            ("\x1c", Char('\\'), CTRL),
            ("\x1d", Char(']'), CTRL),
            ("\x1f", Char('_'), CTRL),
            ("\x1b[A", Up, NONE),
            ("\x1bOB", Down, NONE),
            ("\x1b[1;2D", Left, SHIFT),
            ("\x1b[1;5A", Up, CTRL),
            ("\x1b[1;3A", Up, ALT),
            ("\x1b\x1b[A", Up, ALT),
            ("\x1bO5A", Up, CTRL),
            ("\x1b[Z", BackTab, SHIFT),
            ("\x1b[H", Home, NONE),
            ("\x1b[1~", Home, NONE),
            ("\x1b[4~", End, NONE),
            ("\x1bOF", End, NONE),
            ("\x1b[2~", Insert, NONE),
            ("\x1b[3;5~", Delete, CTRL),
            ("\x1b[5~", PageUp, NONE),
            ("\x1b[6;2~", PageDown, SHIFT),
            ("\x1bOP", F(1), NONE),
            ("\x1b[[A", F(1), NONE),
            ("\x1b[1;2R", F(3), SHIFT),
            ("\x1b[15~", F(5), NONE),
            ("\x1b[24;5~", F(12), CTRL),
            ("\x1bOM", Enter, NONE),
            ("\x1bOp", Char('0'), NONE),
            ("\x1b[27u", Esc, NONE),
            ("\x1b[113;5u", Char('q'), CTRL),
            ("\x1b[113;69u", Char('q'), CTRL),
            ("\x1b[27;5;113~", Char('q'), CTRL),
            ("\x1b[13;2u", Enter, SHIFT),
            ("\x1b[97:65;2u", Char('A'), SHIFT),
            ("\x1b[97;;97u", Char('a'), NONE),
            ("\x1b[9;2u", BackTab, SHIFT),
        ] {
            let key = one(bytes.as_bytes()).unwrap_or_else(|| panic!("{bytes:?} is unknown"));
            // A shifted letter needs no word for it; forms differ in whether they say it.
            let shifted = matches!(code, Char(c) if c.is_uppercase());
            let said = if shifted {
                key.modifiers | SHIFT
            } else {
                key.modifiers
            };
            assert_eq!((key.code, said), (code, modifiers), "{bytes:?}");
            assert_eq!(key.kind, KeyEventKind::Press, "{bytes:?}");
        }
        assert_eq!(one(b"\x1b[113;5:3u").unwrap().kind, KeyEventKind::Release);
    }

    #[test]
    fn answers_and_unknown_sequences_are_no_keys() {
        for bytes in [
            &b"\x1b[?62;4c"[..],
            b"\x1b[?2026;2$y",
            b"\x1b[24;80R",
            b"\x1b[>1;10;0c",
            b"\x1b[0n",
            b"\x1b[8;24;80t",
            b"\x1b[999~",
            b"\x1b[99999999999u",
            b"\x1b[1;5;5X",
            b"\x1b]11;rgb:0/0/0\x1b\\",
            b"\x1bP1$r0m\x1b\\",
            b"\x1bOz",
            b"\x1b[M\x00\x00\x00",
        ] {
            assert_eq!(one(bytes), None, "{bytes:?}");
        }
    }
}
