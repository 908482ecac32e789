//! The filter between a session's output and the user's terminal.
//!
//! It never depends on where the stream is cut into chunks, never holds more than a bounded number of
//! bytes, and never joins by a removal what was apart before it.

use memchr::memchr3;

const ESC: u8 = 0x1b;
const ENQ: u8 = 0x05;
/// First byte of U+0080–U+00BF in UTF-8; terminals take U+009B as `ESC [` and so on.
const C1_LEAD: u8 = 0xc2;

/// Largest clipboard write that is passed on, in bytes of the whole sequence.
const MAX_CLIPBOARD: usize = 100 * 1024;
/// Longest other sequence that is looked at; a longer one is dropped.
const MAX_SEQUENCE: usize = 256;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FilterState {
    #[default]
    Ground,
    /// After ESC.
    Escape,
    Csi,
    /// An OSC whose number is not complete yet.
    OscNumber,
    /// An OSC 1337 whose key is not complete yet.
    OscKey,
    /// A clipboard sequence, held until it ends.
    Clipboard,
    /// After the ESC of a clipboard write that may pass if `\\` follows.
    ClipboardEnd,
    /// The first bytes of a DCS, up to its final byte.
    DcsStart,
    /// A string that is passed on.
    PassString,
    /// A string (or `Csi`, below) that is removed.
    DropString,
    DropCsi,
    /// After the ESC that ended a removed string: a `\` belongs to it.
    DropTerminator,
}

/// Streaming filter for bytes on their way to the user's terminal.
///
/// A raw attach passes a session's bytes to the user's terminal. Most are harmless there; a few make
/// the terminal *type*: it would answer into the session with text the session chose, or hand over
/// the clipboard.
///
/// Removed: clipboard queries (OSC 52 with `?`) and OSC 5522; clipboard writes
/// unless allowed and at most 100 KB; the keys of OSC 1337 that copy, report a variable, ask for a
/// file, open an address or take the focus; OSC 50, which reports a font name the session chose;
/// remote control of the terminal (DCS `@`); title reports (CSI 20 t, CSI 21 t);
/// DECRQSS (DCS `$q`); ENQ. The 8-bit forms of the openers (U+0090 …) count
/// like the 7-bit ones. A sequence cut off by the next one has no effect and is
/// left out, so that what follows a removed sequence never completes it; so is
/// a broken 0xC2. A sequence that has begun is held until it is known
/// to be harmless: at most 100 KB for a clipboard write, 256 bytes otherwise.
#[derive(Debug, Default)]
pub struct OutputFilter {
    allow_clipboard_write: bool,
    state: FilterState,
    held: Vec<u8>,
    /// The last byte was [`C1_LEAD`] and has not been dealt with.
    c1: bool,
    /// A string was passed whose end is the sequence now held.
    open: bool,
}

impl OutputFilter {
    /// A filter at the start of a stream.
    pub fn new(allow_clipboard_write: bool) -> Self {
        Self {
            allow_clipboard_write,
            ..Self::default()
        }
    }

    /// Filters the next bytes, appending what may pass to `out`.
    pub fn filter(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if matches!(self.state, FilterState::Ground | FilterState::PassString) && !self.c1 {
                let plain = self.plain_length(rest);
                if plain > 0 {
                    let (text, more) = rest.split_at(plain);
                    out.extend_from_slice(text);
                    rest = more;
                    continue;
                }
            }
            self.byte(first, out);
            rest = after;
        }
    }

    /// How many bytes need no look at all.
    fn plain_length(&self, bytes: &[u8]) -> usize {
        if self.state == FilterState::Ground {
            return memchr3(ESC, ENQ, C1_LEAD, bytes).unwrap_or(bytes.len());
        }
        let special = |byte: &u8| matches!(*byte, ESC | ENQ | C1_LEAD | 0x07 | 0x18 | 0x1a);
        bytes.iter().position(special).unwrap_or(bytes.len())
    }

    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.c1) {
            match byte {
                0x90 | 0x98 | 0x9b | 0x9d | 0x9e | 0x9f => {
                    self.end_by_new_sequence(out);
                    self.held.extend_from_slice(&[C1_LEAD, byte]);
                    self.state = match byte {
                        0x90 => FilterState::DcsStart,
                        0x9b => FilterState::Csi,
                        0x9d => FilterState::OscNumber,
                        _ => {
                            self.release(out);
                            FilterState::PassString
                        }
                    };
                    return;
                }
                0x9c if self.in_string() => return self.terminated(&[C1_LEAD, byte], out),
                0x80..=0xbf => self.step(C1_LEAD, out),
                _ => {}
            }
        }
        match byte {
            C1_LEAD => self.c1 = true,
            ENQ => {}
            ESC => {
                if self.state == FilterState::Clipboard && self.may_write() {
                    self.state = FilterState::ClipboardEnd;
                    return;
                }
                let dropping =
                    matches!(self.state, FilterState::Clipboard | FilterState::DropString)
                        || (self.state == FilterState::OscKey && is_denied(&self.held));
                self.end_by_new_sequence(out);
                self.held.push(ESC);
                self.state = if dropping {
                    FilterState::DropTerminator
                } else {
                    FilterState::Escape
                };
            }
            0x18 | 0x1a => {
                // CAN and SUB end any sequence; what was held has no effect.
                self.held.clear();
                self.open = false;
                out.push(byte);
                self.state = FilterState::Ground;
            }
            _ => self.step(byte, out),
        }
    }

    fn step(&mut self, byte: u8, out: &mut Vec<u8>) {
        match self.state {
            FilterState::Ground => out.push(byte),
            FilterState::Escape => self.escape(byte, out),
            FilterState::DropTerminator if byte == b'\\' => {
                self.held.clear();
                self.state = FilterState::Ground;
            }
            FilterState::DropTerminator => self.escape(byte, out),
            FilterState::ClipboardEnd if byte == b'\\' => {
                self.held.extend_from_slice(b"\x1b\\");
                self.release(out);
                self.state = FilterState::Ground;
            }
            FilterState::ClipboardEnd => {
                self.remove(out);
                self.held.push(ESC);
                self.escape(byte, out);
            }
            FilterState::Csi => self.csi(byte, out),
            FilterState::DropCsi => match byte {
                0x40..=0x7e => self.state = FilterState::Ground,
                0x00..=0x1f => out.push(byte),
                _ => {}
            },
            FilterState::OscNumber => self.osc_number(byte, out),
            FilterState::Clipboard => {
                if byte == 0x07 {
                    return self.terminated(&[byte], out);
                }
                self.held.push(byte);
                if self.held.len() > MAX_CLIPBOARD {
                    self.drop_string(out);
                }
            }
            FilterState::OscKey => {
                if byte == 0x07 {
                    return self.terminated(&[byte], out);
                }
                self.held.push(byte);
                if matches!(byte, b'=' | b':' | b';') || self.held.len() >= MAX_SEQUENCE {
                    if self.held.len() >= MAX_SEQUENCE || is_denied(&self.held) {
                        self.drop_string(out);
                    } else {
                        self.release(out);
                        self.state = FilterState::PassString;
                    }
                }
            }
            FilterState::DcsStart => self.dcs(byte, out),
            FilterState::PassString => {
                out.push(byte);
                if byte == 0x07 {
                    self.state = FilterState::Ground;
                }
            }
            FilterState::DropString if byte == 0x07 => self.state = FilterState::Ground,
            FilterState::DropString => {}
        }
    }

    fn escape(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        self.state = match byte {
            b'[' => FilterState::Csi,
            b']' => FilterState::OscNumber,
            b'P' => FilterState::DcsStart,
            b'X' | b'^' | b'_' => {
                self.release(out);
                FilterState::PassString
            }
            // Controls act immediately; other bytes beyond ASCII are ignored there.
            0x00..=0x1f | 0x7f.. if self.held.len() < MAX_SEQUENCE => FilterState::Escape,
            _ => {
                self.release(out);
                FilterState::Ground
            }
        };
    }

    fn csi(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        if matches!(byte, 0x40..=0x7e) {
            if byte == b't' && reports_title(&self.held) {
                self.remove_but_controls(out);
            } else {
                self.release(out);
            }
            self.state = FilterState::Ground;
        } else if self.held.len() >= MAX_SEQUENCE {
            self.remove_but_controls(out);
            self.state = FilterState::DropCsi;
        }
    }

    fn osc_number(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == 0x07 {
            return self.terminated(&[byte], out);
        }
        self.held.push(byte);
        match byte {
            // Terminals skip controls inside the number.
            b'0'..=b'9' | 0x00..=0x1f | 0x7f.. if self.held.len() < MAX_SEQUENCE => {}
            b'0'..=b'9' | 0x00..=0x1f | 0x7f.. => self.drop_string(out),
            _ => match number(&self.held) {
                52 => self.state = FilterState::Clipboard,
                50 | 5522 => self.drop_string(out),
                1337 if byte == b';' => self.state = FilterState::OscKey,
                _ => {
                    self.release(out);
                    self.state = FilterState::PassString;
                }
            },
        }
    }

    fn dcs(&mut self, byte: u8, out: &mut Vec<u8>) {
        self.held.push(byte);
        if matches!(byte, 0x40..=0x7e) {
            if byte == b'@' || (byte == b'q' && self.held.contains(&b'$')) {
                self.drop_string(out);
            } else {
                self.release(out);
                self.state = FilterState::PassString;
            }
        } else if self.held.len() >= MAX_SEQUENCE {
            self.drop_string(out);
        }
    }

    /// Whether U+009C would end what is being read.
    fn in_string(&self) -> bool {
        !matches!(
            self.state,
            FilterState::Ground
                | FilterState::Escape
                | FilterState::Csi
                | FilterState::DropCsi
                | FilterState::DropTerminator
        )
    }

    /// A string ended by BEL or U+009C.
    fn terminated(&mut self, terminator: &[u8], out: &mut Vec<u8>) {
        let removed = match self.state {
            FilterState::Clipboard => !self.may_write(),
            FilterState::OscKey => is_denied(&self.held),
            state => matches!(state, FilterState::DropString | FilterState::ClipboardEnd),
        };
        if removed {
            self.remove(out);
        } else {
            self.release(out);
            out.extend_from_slice(terminator);
        }
        self.state = FilterState::Ground;
    }

    /// Another sequence begins: what is held ends here. A string that was
    /// passed on is ended by what begins, or by us if that is removed.
    fn end_by_new_sequence(&mut self, out: &mut Vec<u8>) {
        match self.state {
            FilterState::PassString => self.open = true,
            FilterState::OscKey if !is_denied(&self.held) => {
                self.release(out);
                self.open = true;
            }
            FilterState::OscKey => self.remove(out),
            FilterState::Clipboard | FilterState::ClipboardEnd => self.remove(out),
            _ => self.controls(out),
        }
    }

    fn drop_string(&mut self, out: &mut Vec<u8>) {
        self.remove(out);
        self.state = FilterState::DropString;
    }

    fn release(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.open = false;
    }

    fn remove(&mut self, out: &mut Vec<u8>) {
        self.held.clear();
        if std::mem::take(&mut self.open) {
            out.extend_from_slice(b"\x1b\\");
        }
    }

    /// Removes what is held; controls inside an ESC or CSI sequence still act.
    fn remove_but_controls(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.open) {
            out.extend_from_slice(b"\x1b\\");
        }
        self.controls(out);
    }

    fn controls(&mut self, out: &mut Vec<u8>) {
        let act = matches!(self.state, FilterState::Escape | FilterState::Csi);
        let control = |byte: &u8| act && *byte < 0x20 && *byte != ESC;
        let mut controls = self.held.drain(..).filter(control).peekable();
        if controls.peek().is_some() && std::mem::take(&mut self.open) {
            out.extend_from_slice(b"\x1b\\");
        }
        out.extend(controls);
    }

    /// Whether the held clipboard sequence is a write that may pass.
    fn may_write(&self) -> bool {
        let mut fields = self.held.splitn(3, |&byte| byte == b';').skip(2);
        let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
        self.allow_clipboard_write && fields.next().is_some_and(|data| data.iter().all(base64))
    }
}

/// Keys of OSC 1337 (iTerm2) that reach the clipboard, answer with text of the session's choice, or
/// act on the user's desktop.
const DENIED_KEYS: [&[u8]; 7] = [
    b"copy",
    b"copytoclipboard",
    b"endcopy",
    b"openurl",
    b"reportvariable",
    b"requestupload",
    b"stealfocus",
];

/// Whether the held OSC 1337 has such a key; controls and capitals inside it make no other one.
fn is_denied(held: &[u8]) -> bool {
    let after = held.iter().skip_while(|byte| **byte != b';').skip(1);
    let key: Vec<u8> = after
        .take_while(|byte| !matches!(**byte, b'=' | b':' | b';'))
        .filter(|byte| byte.is_ascii_graphic())
        .map(u8::to_ascii_lowercase)
        .collect();
    DENIED_KEYS.contains(&key.as_slice())
}

/// The first number in a sequence, as terminals read it: other bytes skipped.
fn number(bytes: &[u8]) -> u32 {
    let digits = bytes.iter().filter(|byte| byte.is_ascii_digit());
    digits.fold(0, |value: u32, digit| {
        value
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    })
}

/// Whether a `CSI … t` asks for the title or icon name.
fn reports_title(held: &[u8]) -> bool {
    let private = held
        .iter()
        .any(|byte| matches!(byte, b'<'..=b'?' | b' '..=b'/'));
    let first = held
        .split(|byte| matches!(byte, b';' | b':'))
        .next()
        .unwrap_or_default();
    !private && matches!(number(first), 20 | 21)
}
