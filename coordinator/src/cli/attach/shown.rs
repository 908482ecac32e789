//! What an attach shows: the session's output, made safe, and Podbay's own lines.

use super::{
    brackets::{Brackets, ON},
    output::{Output, Stream},
};
use bytes::Bytes;
use std::sync::{Arc, atomic::AtomicBool};
use worker_agent::hygiene::OutputFilter;

/// What is shown, across connections.
pub(super) struct Shown {
    pub(super) output: Output,
    filter: OutputFilter,
    /// Whether the session may write the terminal's clipboard.
    clipboard: bool,
    pub(super) terminal: bool,
    /// Keeps brackets around pastes on, where there is a terminal that can have them.
    brackets: Option<Brackets>,
    /// Whether the session's program wants the brackets.
    pub(super) wanted: Arc<AtomicBool>,
    /// Where Podbay's own words go.
    pub(super) notices: Stream,
    pub(super) quiet: bool,
    /// Whether input was heard at the last attach.
    pub(super) writer: Option<bool>,
    /// Whether this is not the first connection.
    pub(super) again: bool,
    /// Whether the last row has Podbay's words on who types.
    part_shown: bool,
}

/// What an attached client is to its session, when that is not what its user expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing that is typed is heard.
    Watches,
    /// Who typed has left.
    Types,
}

impl Shown {
    pub(super) fn new(clipboard: bool, terminal: bool, notices: Stream) -> std::io::Result<Self> {
        let mut shown = Self {
            output: Output::start()?,
            filter: OutputFilter::new(clipboard),
            clipboard,
            terminal,
            brackets: None,
            wanted: Arc::default(),
            notices,
            quiet: false,
            writer: None,
            again: false,
            part_shown: false,
        };
        shown.fresh();
        Ok(shown)
    }

    /// Another stream of output begins.
    pub(super) fn fresh(&mut self) {
        self.filter = OutputFilter::new(self.clipboard);
        let has_brackets = self.terminal && crate::cli::output::term::stdout_is_tty();
        self.brackets = has_brackets.then(|| Brackets::new(self.wanted.clone()));
    }

    /// What switches brackets around pastes on, where there is a terminal that can have them: written
    /// at the start, and when the terminal was somebody else's.
    pub(super) fn brackets_on(&self) -> &'static [u8] {
        if self.brackets.is_some() { ON } else { b"" }
    }

    /// Switches brackets around pastes on.
    pub(super) async fn bracket(&self) -> std::io::Result<()> {
        let on = Bytes::from_static(self.brackets_on());
        self.output.write(Stream::Stdout, on).await
    }

    /// Without what could make the caller's terminal speak for the user.
    pub(super) fn safe(&mut self, bytes: &[u8]) -> Bytes {
        self.part_shown = false;
        let mut out = Vec::with_capacity(bytes.len());
        self.filter.filter(bytes, &mut out);
        let Some(brackets) = &mut self.brackets else {
            return out.into();
        };
        let mut kept = Vec::with_capacity(out.len());
        brackets.pass(&out, &mut kept);
        kept.into()
    }

    /// Says in the last row, and moves nothing by it, whether what is typed is heard.
    pub(super) async fn say_part(&mut self, part: Part) -> std::io::Result<()> {
        let text = match part {
            Part::Watches => "someone else types here: you are watching; --takeover changes that",
            Part::Types => "you type here now",
        };
        let line = format!("\x1b7\x1b[9999;1H\x1b[2m[podbay: {text}]\x1b[22m\x1b[K\x1b8");
        self.part_shown = true;
        self.output.write(self.notices, line.into()).await
    }

    /// Erases what [`Self::say_part`] wrote, where the session has written nothing since.
    pub(super) async fn erase_part(&mut self) -> std::io::Result<()> {
        if !std::mem::take(&mut self.part_shown) {
            return Ok(());
        }
        let line = Bytes::from_static(b"\x1b7\x1b[9999;1H\x1b[2K\x1b8");
        self.output.write(self.notices, line).await
    }

    /// A dim line of Podbay's own.
    pub(super) async fn notice(&self, text: &str) -> std::io::Result<()> {
        let (start, end) = if self.terminal {
            ("\r\n\x1b[2m", "\x1b[22m\r\n")
        } else {
            ("", "\n")
        };
        let line = Bytes::from(format!("{start}[podbay: {text}]{end}"));
        self.output.write(self.notices, line).await
    }
}
