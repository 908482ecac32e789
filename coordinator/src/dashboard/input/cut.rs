//! Cuts what a terminal sends into units: characters, keys with Alt, escape sequences. Looks at the
//! beginning of a buffer only and has no state, so it does not matter how the bytes came.

/// Longest escape sequence; what is longer is noise and dropped in pieces of this size.
const MAX_SEQUENCE: usize = 128;
/// Longest string (OSC, DCS, APC) that is waited for.
const MAX_STRING: usize = 4 << 10;

/// What a buffer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// A whole unit of so many bytes.
    Whole(Unit, usize),
    /// The beginning of one, or nothing.
    Begun,
}

/// A kind of unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A character or control byte, perhaps with Escape before it, which means Alt.
    Key,
    /// `ESC [ …`, perhaps with another Escape before it, which means Alt.
    Csi,
    /// `ESC O …`, likewise.
    Ss3,
    /// A string: an answer to a question that somebody else asked.
    String,
    /// Not UTF-8, or a sequence that was cut off by another.
    Junk,
}

/// What the buffer begins with.
pub fn cut(bytes: &[u8]) -> Cut {
    match bytes {
        [] | [0x1b] => Cut::Begun,
        // Alt with a key that has a sequence.
        [0x1b, 0x1b] => Cut::Begun,
        [0x1b, 0x1b, b'[' | b'O', ..] => match cut(bytes.get(1..).unwrap_or_default()) {
            Cut::Whole(unit @ (Unit::Csi | Unit::Ss3), n) => Cut::Whole(unit, n + 1),
            Cut::Whole(..) => Cut::Whole(Unit::Key, 1),
            Cut::Begun => Cut::Begun,
        },
        // Escape twice.
        [0x1b, 0x1b, ..] => Cut::Whole(Unit::Key, 1),
        [0x1b, b'['] | [0x1b, b'O'] => Cut::Begun,
        [0x1b, b'[', rest @ ..] => csi(rest),
        [0x1b, b'O', rest @ ..] => ss3(rest),
        [0x1b, b']' | b'P' | b'_' | b'^' | b'X', rest @ ..] => string(rest),
        [0x1b, rest @ ..] => match cut(rest) {
            Cut::Whole(unit, n) => Cut::Whole(unit, n + 1),
            Cut::Begun => Cut::Begun,
        },
        [0..0x80, ..] => Cut::Whole(Unit::Key, 1),
        _ => utf8(bytes),
    }
}

/// After `ESC [` (ECMA-48, 5.4).
fn csi(rest: &[u8]) -> Cut {
    // The Linux console's function keys, and the mouse in X10's form: three bytes of anything.
    let fixed = match rest {
        [b'[', ..] => Some(2),
        [b'M', ..] => Some(4),
        _ => None,
    };
    if let Some(length) = fixed {
        return match rest.len() >= length {
            true => Cut::Whole(Unit::Csi, length + 2),
            false => Cut::Begun,
        };
    }
    for (at, byte) in rest.iter().enumerate() {
        match byte {
            0x40..=0x7e => return Cut::Whole(Unit::Csi, at + 3),
            0x20..=0x3f if at + 3 < MAX_SEQUENCE => {}
            _ => return Cut::Whole(Unit::Junk, at + 2),
        }
    }
    Cut::Begun
}

/// After `ESC O`: one byte, perhaps with the modifiers before it.
fn ss3(rest: &[u8]) -> Cut {
    match rest {
        [b'0'..=b'9'] => Cut::Begun,
        [b'0'..=b'9', 0x40..=0x7e, ..] => Cut::Whole(Unit::Ss3, 4),
        [0x40..=0x7e, ..] => Cut::Whole(Unit::Ss3, 3),
        // Alt with a capital O.
        _ => Cut::Whole(Unit::Key, 2),
    }
}

/// After the beginning of a string. Whether there is one shows in the first byte: what follows a
/// key with Alt comes later, or is a key itself.
fn string(rest: &[u8]) -> Cut {
    if rest.is_empty() {
        return Cut::Begun;
    }
    let mut before = 0;
    for (at, &byte) in rest.iter().enumerate() {
        match byte {
            0x07 => return Cut::Whole(Unit::String, at + 3),
            b'\\' if before == 0x1b => return Cut::Whole(Unit::String, at + 3),
            // Cut off by another sequence.
            _ if before == 0x1b => return Cut::Whole(Unit::String, at + 1),
            0x18 | 0x1a => return Cut::Whole(Unit::String, at + 3),
            // No string has these: it was a key with Alt.
            0x01..=0x06 | 0x08..=0x17 | 0x7f => return Cut::Whole(Unit::Key, 2),
            _ if at > MAX_STRING => return Cut::Whole(Unit::Junk, at),
            _ => before = byte,
        }
    }
    Cut::Begun
}

fn utf8(bytes: &[u8]) -> Cut {
    let first = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let (valid, invalid) = match std::str::from_utf8(first) {
        Ok(text) => (text, None),
        Err(error) => {
            let (text, _) = first.split_at(error.valid_up_to());
            (
                std::str::from_utf8(text).unwrap_or_default(),
                Some(error.error_len()),
            )
        }
    };
    match (valid.chars().next(), invalid) {
        (Some(c), _) => Cut::Whole(Unit::Key, c.len_utf8()),
        (None, Some(Some(n))) => Cut::Whole(Unit::Junk, n),
        (None, _) => Cut::Begun,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_cut_where_they_end() {
        for (bytes, unit, length) in [
            (&b"ab"[..], Unit::Key, 1),
            (b"\x1bax", Unit::Key, 2),
            ("é!".as_bytes(), Unit::Key, 2),
            ("\x1bé!".as_bytes(), Unit::Key, 3),
            (b"\x1b[A!", Unit::Csi, 3),
            (b"\x1b[1;5A!", Unit::Csi, 6),
            (b"\x1b\x1b[A!", Unit::Csi, 4),
            (b"\x1b[[A!", Unit::Csi, 4),
            (b"\x1b[M abc", Unit::Csi, 6),
            (b"\x1b[?62;4c!", Unit::Csi, 8),
            (b"\x1b[?2026;2$y!", Unit::Csi, 11),
            (b"\x1bOP!", Unit::Ss3, 3),
            (b"\x1bO5A!", Unit::Ss3, 4),
            (b"\x1b]11;rgb:0/0/0\x07!", Unit::String, 15),
            (b"\x1bP1$r0m\x1b\\!", Unit::String, 9),
            (b"\x1b\x1bx", Unit::Key, 1),
            (b"\xffx", Unit::Junk, 1),
            (b"\xc3x", Unit::Junk, 1),
            (b"\x1b[1;\x1b[A", Unit::Junk, 4),
        ] {
            assert_eq!(cut(bytes), Cut::Whole(unit, length), "{bytes:?}");
            let shown = String::from_utf8_lossy(bytes).into_owned();
            for n in 0..length {
                if let Cut::Whole(_, m) = cut(&bytes[..n]) {
                    panic!("{n} bytes of {shown:?} are a unit of {m}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_waited_for_without_end() {
        let endless = [&b"\x1b["[..], &[b'1'; 300]].concat();
        assert!(matches!(cut(&endless), Cut::Whole(Unit::Junk, _)));
        let endless = [&b"\x1b]"[..], &[b'1'; 9000]].concat();
        assert!(matches!(cut(&endless), Cut::Whole(Unit::Junk, _)));
    }
}
