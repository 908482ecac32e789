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
    cli::{Failure, term},
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
use worker_agent::hygiene::OutputFilter;

/// How long a coordinator that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// How long the first message of a connection may take.
const GREETING: Duration = Duration::from_secs(10);
/// How long the last output waits for a terminal when the user, or a signal, ends the attach.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
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
    /// Whether the session may write the caller's clipboard.
    pub(crate) clipboard: bool,
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
    /// Whether its end is passed on.
    pipes: bool,
    /// Whether nothing but the detach keys counts.
    ignored: bool,
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
        // The first message says whether there is a terminal on the other side; until then this one
        // stays as it is.
        let (sender, mut receiver) = opened.stream.split();
        let first = greeting(&mut receiver).await;
        if let Some(Ok(Incoming::Message(ServerMessage::Attached { pipes: true, .. }))) = &first {
            self.pipes = true;
        }
        let mut signals = Signals::new()?;
        let guard = raw_terminal(self.pipes)?;
        let mut typed = Typed {
            input: Input::start()?,
            keys: std::mem::take(&mut self.keys),
            pending: Vec::new(),
            ended: false,
            terminal: guard.is_some(),
            pipes: self.pipes,
            ignored: self.mode == AttachMode::ReadOnly,
        };
        let mut shown = Shown {
            output: Output::start()?,
            filter: OutputFilter::new(self.clipboard),
            terminal: guard.is_some(),
            quiet: opened.announced,
        };
        let mut link = Link {
            sender,
            receiver,
            first,
        };
        let end = loop {
            match self
                .connection(link, &mut signals, &guard, &mut typed, &mut shown)
                .await
            {
                Ok(Over::End(end)) => break Ok(end),
                Ok(Over::Gone) => {}
                Err(failure) => break Err(failure),
            }
            shown
                .notice("the coordinator went away; waiting for it")
                .await?;
            match self.again(&mut signals, &mut typed).await {
                Ok(Ok(stream)) => {
                    let (sender, mut receiver) = stream.split();
                    let first = greeting(&mut receiver).await;
                    link = Link {
                        sender,
                        receiver,
                        first,
                    };
                }
                Ok(Err(end)) => break Ok(end),
                Err(failure) => break Err(failure),
            }
            shown.quiet = true;
            shown.filter = OutputFilter::new(self.clipboard);
        };
        let exited = matches!(end, Ok(End::Exited { .. }));
        let end = tokio::select! {
            () = shown.output.drain() => end,
            // The output of a session that ended is waited for, a terminal that blocks is not.
            () = tokio::time::sleep(LAST_OUTPUT), if !exited => end,
            number = Signals::end(&mut signals.ends) => Ok(End::Signal(number)),
        };
        drop(guard);
        end
    }

    /// One connection, until it is over.
    async fn connection(
        &self,
        link: Link,
        signals: &mut Signals,
        guard: &Option<TermGuard>,
        typed: &mut Typed,
        shown: &mut Shown,
    ) -> Result<Over, Failure> {
        let Link {
            mut sender,
            mut receiver,
            first,
        } = link;
        let Signals {
            resize,
            resumed,
            ends,
        } = signals;
        let (say, mut said) = tokio::sync::mpsc::channel::<i32>(4);
        let up = uplink(&mut sender, typed, resize, resumed, guard, &mut said);
        let down = self.downlink(first, &mut receiver, shown);
        let end = async {
            let mut asked = 0;
            loop {
                let number = Signals::end(ends).await;
                asked += 1;
                // A session on pipes gets the signal, as with `docker run`; asked again and again,
                // this process goes.
                if !self.pipes || asked > 2 || say.try_send(number).is_err() {
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
        first: Option<Result<Incoming, ClientError>>,
        receiver: &mut AttachReceiver,
        shown: &mut Shown,
    ) -> Result<Over, Failure> {
        let mut next = first;
        let mut watching = false;
        while let Some(incoming) = next {
            match incoming {
                Ok(Incoming::Output(bytes)) => {
                    let bytes = if shown.terminal {
                        shown.safe(&bytes)
                    } else {
                        bytes
                    };
                    shown.output.write(Stream::Stdout, bytes).await?;
                    // After the first piece, which paints the screen anew.
                    if std::mem::take(&mut watching) {
                        shown.watching().await?;
                    }
                }
                Ok(Incoming::Stderr(bytes)) => shown.output.write(Stream::Stderr, bytes).await?,
                Ok(Incoming::Message(ServerMessage::Exited { status, oom })) => {
                    return Ok(Over::End(End::Exited { status, oom }));
                }
                Ok(Incoming::Message(ServerMessage::Error(error))) => return Err(error.into()),
                Ok(Incoming::Message(ServerMessage::Attached { writer, .. })) => {
                    let unasked = !writer && self.mode == AttachMode::Write;
                    watching = unasked && shown.terminal && !shown.quiet;
                }
                Ok(Incoming::Message(ServerMessage::Spawned(_))) => {}
                Err(error) if error.is_transient() => return Ok(Over::Gone),
                Err(error) => return Err(error.into()),
            }
            next = receiver.next().await;
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

/// A connection and the first thing it said.
struct Link {
    sender: AttachSender,
    receiver: AttachReceiver,
    first: Option<Result<Incoming, ClientError>>,
}

/// The first message; a coordinator that says nothing counts as gone.
async fn greeting(receiver: &mut AttachReceiver) -> Option<Result<Incoming, ClientError>> {
    tokio::time::timeout(GREETING, receiver.next())
        .await
        .unwrap_or(None)
}

/// What is shown, across connections.
struct Shown {
    output: Output,
    filter: OutputFilter,
    terminal: bool,
    quiet: bool,
}

impl Shown {
    /// Without what could make the caller's terminal speak for the user.
    fn safe(&mut self, bytes: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(bytes.len());
        self.filter.filter(bytes, &mut out);
        out.into()
    }

    /// Says in the last row, and moves nothing by it, why nothing that is typed is heard.
    async fn watching(&self) -> std::io::Result<()> {
        let text = "someone else types here: you are watching; --takeover changes that";
        let line = format!("\x1b7\x1b[9999;1H\x1b[2m[podbay: {text}]\x1b[22m\x1b8");
        self.output.write(Stream::Stderr, line.into()).await
    }

    /// A dim line of Podbay's own.
    async fn notice(&self, text: &str) -> std::io::Result<()> {
        let (start, end) = if self.terminal {
            ("\r\n\x1b[2m", "\x1b[22m\r\n")
        } else {
            ("", "\n")
        };
        let line = Bytes::from(format!("{start}[podbay: {text}]{end}"));
        self.output.write(Stream::Stderr, line).await
    }
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
        if typed.ignored {
            typed.pending.clear();
        }
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
            if typed.pipes {
                sender.eof().await
            } else {
                Ok(())
            }
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
