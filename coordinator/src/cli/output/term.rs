//! The terminal as commands see it: whether there is one, its size, colours, and plain output.

use podbay_protocol::Size;
use std::{
    fmt,
    future::Future,
    io::{self, IsTerminal, Write},
    os::fd::AsFd,
    time::Duration,
};

/// Whether stdin is a terminal.
pub fn stdin_is_tty() -> bool {
    io::stdin().is_terminal()
}

/// Whether stdout is a terminal.
pub fn stdout_is_tty() -> bool {
    io::stdout().is_terminal()
}

/// Whether stderr is a terminal.
pub fn stderr_is_tty() -> bool {
    io::stderr().is_terminal()
}

/// The size of the terminal on stdout, else on stdin; `None` when neither has one.
pub fn size() -> Option<Size> {
    size_of(io::stdout()).or_else(|| size_of(io::stdin()))
}

/// The size of a terminal; `None` when it is none, or was told none.
pub fn size_of(fd: impl AsFd) -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(fd).ok()?;
    // A terminal that was never given a size says 0×0.
    (size.ws_col > 0 && size.ws_row > 0).then_some(Size {
        cols: size.ws_col,
        rows: size.ws_row,
    })
}

/// The terminal's width in columns; `None` when stdout is none.
pub fn width() -> Option<usize> {
    stdout_is_tty().then(|| size().map_or(80, |size| usize::from(size.cols)))
}

/// A line on stderr. A failure to write it has nowhere to be told.
pub fn note(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}

/// Text on stdout, whole lines.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Pretty JSON on stdout.
pub fn print_json(value: &impl serde::Serialize) -> io::Result<()> {
    print(&format!(
        "{}\n",
        serde_json::to_string_pretty(value).map_err(io::Error::other)?
    ))
}

/// What takes longer than this says so.
const SLOW: Duration = Duration::from_millis(500);

/// Runs something and says what is waited for when it takes more than half a second.
pub async fn slowly<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => return done,
        () = tokio::time::sleep(SLOW) => {}
    }
    let mut progress = Progress::default();
    progress.say(what);
    let done = work.await;
    progress.clear();
    done
}

/// A line on stderr that is replaced as things go on; lines of their own when stderr is no terminal.
#[derive(Debug, Default)]
pub struct Progress {
    last: String,
}

impl Progress {
    /// Shows the text, unless it is shown already.
    pub fn say(&mut self, text: &str) {
        if self.last == text {
            return;
        }
        text.clone_into(&mut self.last);
        if stderr_is_tty() {
            let mut err = io::stderr().lock();
            drop(write!(err, "\r\x1b[K{text}").and_then(|()| err.flush()));
        } else {
            note(text);
        }
    }

    /// Takes the line away.
    pub fn clear(&mut self) {
        if !self.last.is_empty() && stderr_is_tty() {
            drop(write!(io::stderr().lock(), "\r\x1b[K"));
        }
        self.last.clear();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether to colour stdout: on a terminal that can, unless `NO_COLOR` is set (no-color.org).
pub fn colours() -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
    stdout_is_tty()
        && unset("NO_COLOR")
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colours that say the same on light and dark backgrounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// The terminal's own colour.
    Plain,
    /// Bold.
    Bold,
    /// Dimmed.
    Dim,
    /// Red.
    Red,
    /// Green.
    Green,
    /// Yellow.
    Yellow,
    /// Cyan.
    Cyan,
}

impl Paint {
    /// The text in this colour, or plain when colours are off.
    pub fn on(self, colours: bool, text: impl fmt::Display) -> String {
        let code = match self {
            Self::Plain => return text.to_string(),
            _ if !colours => return text.to_string(),
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Red => 31,
            Self::Green => 32,
            Self::Yellow => 33,
            Self::Cyan => 36,
        };
        format!("\x1b[{code}m{text}\x1b[m")
    }
}
