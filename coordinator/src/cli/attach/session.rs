//! The attach loop: keys up, output down, signals, and attaching again when the coordinator comes
//! back.

use super::{
    TermGuard,
    input::Input,
    keys::{Fed, Matcher},
    output::{Output, Stream},
    raw_terminal,
};
use crate::{
    cli::{Failure, hygiene::AlternateScreen, term},
    client::{AttachReceiver, AttachSender, AttachStream, Client, ClientError, Incoming},
    wire::{AttachQuery, ErrorKind, ServerMessage},
};
use bytes::Bytes;
use podbay_protocol::{AttachMode, ExitStatus};
use std::{process::ExitCode, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

/// How long a coordinator that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// Input kept while there is no connection.
const MAX_PENDING: usize = 64 << 10;

/// A session to be attached to.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) name: String,
    pub(crate) mode: AttachMode,
    /// Another session than the worker's main one.
    pub(crate) session: Option<String>,
    /// Whether it is known to be on pipes.
    pub(crate) pipes: bool,
    pub(crate) keys: Matcher,
}

/// The first connection.
pub(crate) struct Opened {
    pub(crate) stream: AttachStream,
    /// Whether the user was told already what is being attached to.
    pub(crate) announced: bool,
}

/// How an attach ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The session ended.
    Exited { status: ExitStatus, oom: bool },
    /// The user detached.
    Detached,
    /// A signal ended this process; the session goes on.
    Signal(i32),
}

impl End {
    /// Says on a terminal what a terminal does not show, and gives the exit code.
    pub(crate) fn report(self, name: &str) -> ExitCode {
        let name = crate::cli::text::escape(name);
        match self {
            Self::Exited { status, oom } => {
                if oom {
                    term::note(&format!(
                        "podbay: a process of {name} was killed: out of memory"
                    ));
                }
                code(status.shell_code())
            }
            Self::Detached => {
                term::note(&format!(
                    "[detached from {name}; `podbay attach {name}` returns]"
                ));
                ExitCode::SUCCESS
            }
            Self::Signal(number) => code(128 + number),
        }
    }
}

fn code(code: i32) -> ExitCode {
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Why a connection is over.
enum Over {
    End(End),
    /// The coordinator went away.
    Gone,
}

struct Signals {
    resize: Signal,
    resumed: Signal,
    ends: [(i32, Signal); 4],
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        let one = |kind: SignalKind| Ok::<_, std::io::Error>((kind.as_raw_value(), signal(kind)?));
        Ok(Self {
            resize: signal(SignalKind::window_change())?,
            resumed: signal(SignalKind::from_raw(
                nix::sys::signal::Signal::SIGCONT as i32,
            ))?,
            ends: [
                one(SignalKind::interrupt())?,
                one(SignalKind::terminate())?,
                one(SignalKind::hangup())?,
                one(SignalKind::quit())?,
            ],
        })
    }

    /// The next signal that asks for an end.
    async fn end(ends: &mut [(i32, Signal); 4]) -> i32 {
        let [(a, int), (b, term), (c, hup), (d, quit)] = ends;
        tokio::select! {
            _ = int.recv() => *a,
            _ = term.recv() => *b,
            _ = hup.recv() => *c,
            _ = quit.recv() => *d,
        }
    }
}

/// What is typed, across connections.
struct Typed {
    input: Input,
    keys: Matcher,
    /// Taken from the input and not sent yet.
    pending: Vec<u8>,
    ended: bool,
    terminal: bool,
}

impl Typed {
    /// Waits for more input; `true` when the user detached. Safe to drop.
    async fn more(&mut self) -> bool {
        loop {
            let hold = self.keys.hold();
            tokio::select! {
                piece = self.input.pieces.recv(), if !self.ended => match piece {
                    Some(piece) if self.terminal => {
                        return self.keys.feed(&piece, &mut self.pending) == Fed::Detach;
                    }
                    Some(piece) => {
                        self.pending.extend_from_slice(&piece);
                        return false;
                    }
                    None => {
                        self.ended = true;
                        return false;
                    }
                },
                () = tokio::time::sleep(hold.unwrap_or_default()), if hold.is_some() => {
                    self.keys.flush(&mut self.pending);
                    return false;
                }
                else => std::future::pending().await,
            }
        }
    }
}

impl Session {
    /// Carries the session until it ends, the user detaches, or a signal comes.
    pub(crate) async fn run(mut self, opened: Opened) -> Result<End, Failure> {
        let mut signals = Signals::new()?;
        let guard = raw_terminal(self.pipes)?;
        let output = Output::start()?;
        let mut typed = Typed {
            input: Input::start()?,
            keys: std::mem::take(&mut self.keys),
            pending: Vec::new(),
            ended: false,
            terminal: guard.is_some(),
        };
        let mut screen = AlternateScreen::default();
        let mut stream = opened.stream;
        let mut quiet = opened.announced;
        let end = loop {
            let over = self
                .connection(
                    stream,
                    &mut signals,
                    &guard,
                    &output,
                    &mut typed,
                    &mut screen,
                    quiet,
                )
                .await?;
            match over {
                Over::End(end) => break end,
                Over::Gone => {}
            }
            notice(
                &output,
                guard.is_some(),
                "the coordinator went away; waiting for it",
            )
            .await?;
            match self.again(&mut signals, &mut typed).await? {
                Ok(again) => stream = again,
                Err(end) => break end,
            }
            quiet = true;
        };
        output.drain().await;
        drop(guard);
        Ok(end)
    }

    /// One connection, until it is over.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is lent to one part of one select"
    )]
    async fn connection(
        &self,
        stream: AttachStream,
        signals: &mut Signals,
        guard: &Option<TermGuard>,
        output: &Output,
        typed: &mut Typed,
        screen: &mut AlternateScreen,
        quiet: bool,
    ) -> Result<Over, Failure> {
        let (mut sender, mut receiver) = stream.split();
        let Signals {
            resize,
            resumed,
            ends,
        } = signals;
        let (say, mut said) = tokio::sync::mpsc::channel::<i32>(4);
        let up = uplink(&mut sender, typed, resize, resumed, guard, &mut said);
        let down = self.downlink(&mut receiver, output, guard.is_some(), screen, quiet);
        let end = async {
            let mut asked = 0;
            loop {
                let number = Signals::end(ends).await;
                asked += 1;
                // A session on pipes gets the signal, as with `docker run`; asked again and again,
                // this process goes.
                if guard.is_some() || !self.pipes || asked > 2 || say.try_send(number).is_err() {
                    return number;
                }
            }
        };
        tokio::select! {
            biased;
            over = down => over,
            over = up => Ok(over),
            number = end => Ok(Over::End(End::Signal(number))),
        }
    }

    async fn downlink(
        &self,
        receiver: &mut AttachReceiver,
        output: &Output,
        terminal: bool,
        screen: &mut AlternateScreen,
        quiet: bool,
    ) -> Result<Over, Failure> {
        while let Some(incoming) = receiver.next().await {
            match incoming {
                Ok(Incoming::Output(bytes)) => {
                    if terminal {
                        TermGuard::alternate(screen.follow(&bytes));
                    }
                    output.write(Stream::Stdout, bytes).await?;
                }
                Ok(Incoming::Stderr(bytes)) => output.write(Stream::Stderr, bytes).await?,
                Ok(Incoming::Message(ServerMessage::Exited { status, oom })) => {
                    return Ok(Over::End(End::Exited { status, oom }));
                }
                Ok(Incoming::Message(ServerMessage::Error(error))) => return Err(error.into()),
                Ok(Incoming::Message(ServerMessage::Attached { writer, .. })) => {
                    if !writer && !quiet && terminal && self.mode == AttachMode::Write {
                        let text =
                            "someone else types here: you are watching; --takeover changes that";
                        notice(output, true, text).await?;
                    }
                }
                Ok(Incoming::Message(ServerMessage::Spawned(_))) => {}
                Err(error) if error.is_transient() => return Ok(Over::Gone),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Over::Gone)
    }

    /// Attaches again, for as long as patience lasts. An end means that there is nothing to attach
    /// to any more.
    async fn again(
        &self,
        signals: &mut Signals,
        typed: &mut Typed,
    ) -> Result<Result<AttachStream, End>, Failure> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let attempt = self.attempt();
            tokio::pin!(attempt);
            let result = loop {
                tokio::select! {
                    result = &mut attempt => break result,
                    number = Signals::end(&mut signals.ends) => return Ok(Err(End::Signal(number))),
                    detached = typed.more(), if typed.pending.len() < MAX_PENDING => if detached {
                        return Ok(Err(End::Detached));
                    },
                }
            };
            match result {
                Ok(stream) => return Ok(Ok(stream.on_pipes(self.pipes))),
                Err(error) if error.is_transient() && Instant::now() < give_up => {}
                Err(ClientError::Api(error))
                    if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) =>
                {
                    // The session ended meanwhile; its record has the exit status.
                    if self.session.is_none()
                        && let Ok(worker) = self.client.worker(&self.name).await
                        && let Some(status) = worker.exit
                    {
                        return Ok(Err(End::Exited {
                            status,
                            oom: worker.oom,
                        }));
                    }
                    return Err(error.into());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn attempt(&self) -> Result<AttachStream, ClientError> {
        tokio::time::sleep(RETRY).await;
        let size = term::size().filter(|_| !self.pipes && term::stdout_is_tty());
        // Whoever took over stays the one who types only if nobody else took over since.
        let mode = if self.mode == AttachMode::Takeover {
            AttachMode::Write
        } else {
            self.mode
        };
        let query = AttachQuery {
            mode,
            cols: size.map(|size| size.cols),
            rows: size.map(|size| size.rows),
            session: self.session.clone(),
        };
        self.client.attach(&self.name, &query).await
    }
}

/// A dim line of Podbay's own.
async fn notice(output: &Output, terminal: bool, text: &str) -> Result<(), Failure> {
    let (start, end) = if terminal {
        ("\r\n\x1b[2m", "\x1b[22m\r\n")
    } else {
        ("", "\n")
    };
    output
        .write(
            Stream::Stderr,
            Bytes::from(format!("{start}[podbay: {text}]{end}")),
        )
        .await?;
    Ok(())
}

async fn uplink(
    sender: &mut AttachSender,
    typed: &mut Typed,
    resize: &mut Signal,
    resumed: &mut Signal,
    guard: &Option<TermGuard>,
    said: &mut tokio::sync::mpsc::Receiver<i32>,
) -> Over {
    let mut eof_sent = false;
    loop {
        let sent = if !typed.pending.is_empty() {
            let result = sender.input(&typed.pending).await;
            if result.is_ok() {
                typed.pending.clear();
            }
            result
        } else if typed.ended && !eof_sent {
            eof_sent = true;
            if typed.terminal {
                // The terminal hung up.
                return Over::End(End::Signal(SignalKind::hangup().as_raw_value()));
            }
            sender.eof().await
        } else {
            tokio::select! {
                detached = typed.more() => {
                    if !detached {
                        Ok(())
                    } else {
                        // The keys before the detach sequence still count.
                        if sender.input(&typed.pending).await.is_ok() {
                            drop(sender.close().await);
                        }
                        return Over::End(End::Detached);
                    }
                }
                Some(()) = resize.recv() => announce_size(sender, guard).await,
                Some(()) = resumed.recv() => {
                    if let Some(guard) = guard {
                        // A terminal that is gone shows at the next read.
                        drop(guard.again());
                    }
                    announce_size(sender, guard).await
                }
                Some(number) = said.recv() => sender.signal(number).await,
            }
        };
        if sent.is_err() {
            // What is left to read, perhaps how the session ended, decides: the other direction
            // sees the end too.
            std::future::pending::<()>().await;
        }
    }
}

async fn announce_size(
    sender: &mut AttachSender,
    guard: &Option<TermGuard>,
) -> Result<(), ClientError> {
    match term::size() {
        Some(size) if guard.is_some() => sender.resize(size).await,
        _ => Ok(()),
    }
}
