//! Stand-in for the screen model: keeps the last output and gives it back.
//!
//! Owns: the latest bytes, the title, and finding OSC and bell. To be replaced by the real model.

/// How much a screen keeps.
#[derive(Debug, Clone, Copy)]
pub struct ScreenOptions {
    /// Lines of scrollback.
    pub scrollback: usize,
}

/// What the model saw in the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScreenEvent {
    /// A new title.
    Title(String),
    /// The bell.
    Bell,
    /// A notification's text.
    Notification(String),
    /// State of OSC 9;4.
    Progress(u8),
    /// Answer to a query, for the program.
    Reply(Vec<u8>),
    /// The model failed and was rebuilt.
    Rebuilt(String),
}

/// The model.
#[derive(Debug)]
pub struct Screen {
    raw: Vec<u8>,
    title: String,
    osc: Option<Vec<u8>>,
    escape: bool,
    csi: Option<Vec<u8>>,
}

const MOST: usize = 256 * 1024;

impl Screen {
    /// An empty screen.
    #[must_use]
    pub fn new(_cols: u16, _rows: u16, _options: ScreenOptions) -> Self {
        Self {
            raw: Vec::new(),
            title: String::new(),
            osc: None,
            escape: false,
            csi: None,
        }
    }

    /// Takes output.
    pub fn process(&mut self, bytes: &[u8]) -> Vec<ScreenEvent> {
        self.raw.extend_from_slice(bytes);
        if self.raw.len() > MOST {
            self.raw.drain(..self.raw.len() - MOST / 2);
        }
        let mut events = Vec::new();
        for byte in bytes {
            if let Some(osc) = &mut self.osc {
                match byte {
                    7 | b'\\' => {
                        let text = String::from_utf8_lossy(osc).into_owned();
                        self.osc = None;
                        let text = text.trim_end_matches('\x1b');
                        if let Some(title) = text.strip_prefix("0;").or(text.strip_prefix("2;")) {
                            self.title = title.to_owned();
                            events.push(ScreenEvent::Title(title.to_owned()));
                        } else if let Some(state) = text.strip_prefix("9;4;") {
                            events.push(ScreenEvent::Progress(
                                state.bytes().next().unwrap_or(b'0') - b'0',
                            ));
                        } else if let Some(note) = text.strip_prefix("9;") {
                            events.push(ScreenEvent::Notification(note.to_owned()));
                        }
                    }
                    _ => osc.push(*byte),
                }
            } else if let Some(csi) = &mut self.csi {
                csi.push(*byte);
                if byte.is_ascii_alphabetic() {
                    if csi.as_slice() == b"c" {
                        events.push(ScreenEvent::Reply(b"\x1b[?6c".to_vec()));
                    }
                    self.csi = None;
                }
            } else if self.escape && *byte == b']' {
                self.osc = Some(Vec::new());
            } else if self.escape && *byte == b'[' {
                self.csi = Some(Vec::new());
            } else if *byte == 7 {
                events.push(ScreenEvent::Bell);
            }
            self.escape = *byte == 0x1b;
        }
        events
    }

    /// Changes the size.
    pub fn resize(&mut self, _cols: u16, _rows: u16) {}

    /// The latest output.
    pub fn restore(&mut self) -> Vec<u8> {
        self.raw.clone()
    }

    /// The latest lines.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.raw);
        let lines: Vec<_> = text.lines().map(|l| l.trim_end().to_owned()).collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(24))
            .cloned()
            .collect()
    }

    /// The title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }
}
