//! The attach loop: keys up, output down, signals, and attaching again when the coordinator comes
//! back.

use super::{
    drain::thrown_away,
    guard::{TermGuard, raw_terminal},
    input::Input,
    input_buffer::{How, InputBuffer, uplink},
    keyboard::Keyboard,
    keys::Matcher,
    outcome::{Disconnect, SessionOutcome},
    output::Stream,
    shown::{Part, Shown},
    signals::Signals,
};
use crate::{
    cli::{Failure, output::term},
    client::{AttachReceiver, AttachSender, AttachStream, Client, ClientError, Incoming},
    wire::{AttachQuery, ErrorKind, ServerMessage},
};
use bytes::Bytes;
use podbay_protocol::AttachMode;
use std::time::Duration;
use tokio::{
    sync::{Notify, mpsc::Receiver},
    time::{Instant, timeout},
};

/// How long a coordinator that went away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries.
const RETRY: Duration = Duration::from_millis(200);
/// How long the first message of a connection may take.
const GREETING: Duration = Duration::from_secs(10);
/// How long the last output waits for a terminal when the user, or a signal, ends the attach.
const LAST_OUTPUT: Duration = Duration::from_secs(1);
/// How long what was typed meanwhile waits for the first output of a new connection.
const PROOF: Duration = Duration::from_millis(500);
/// Words on who types are shown once nothing has come for so long, or at last after so long.
const SETTLED: (Duration, Duration) = (Duration::from_millis(60), Duration::from_secs(1));
/// How long the other side may take to close after the keys that detach.
const LAST_WORD: Duration = Duration::from_millis(250);

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
    /// Whether the end of an input that is no terminal detaches from a session that is on one.
    pub(crate) detach_at_end: bool,
    /// Whether stdin is somebody else's: it is not read, and the session's input is at its end.
    pub(crate) no_stdin: bool,
}

/// The first connection.
pub(crate) struct Opened {
    pub(crate) stream: AttachStream,
    /// Whether the user was told already what is being attached to.
    pub(crate) announced: bool,
}

/// A terminal that belongs to somebody else, who reads it, has made it raw, looks after signals,
/// and gets it back.
pub(crate) struct BorrowedTerminal {
    /// What is typed.
    pub(crate) pieces: Receiver<Bytes>,
    /// Before: what was typed ahead of the attach. After: a single key that was typed after the
    /// keys that ended it.
    pub(crate) typeahead: Vec<u8>,
    /// After: how many other bytes were typed or pasted ahead, and thrown away.
    pub(crate) lost: usize,
    /// After: whether input was heard.
    pub(crate) writer: bool,
}

impl Session {
    /// Carries the session until it ends, the user detaches, or a signal comes.
    pub(crate) async fn run(self, opened: Opened) -> Result<SessionOutcome, Failure> {
        self.carry(opened, None).await
    }

    /// The same on a terminal that is lent; signals do not end it.
    pub(crate) async fn run_on(
        self,
        opened: Opened,
        lent: &mut BorrowedTerminal,
    ) -> Result<SessionOutcome, Failure> {
        self.carry(opened, Some(lent)).await
    }

    async fn carry(
        mut self,
        opened: Opened,
        lent: Option<&mut BorrowedTerminal>,
    ) -> Result<SessionOutcome, Failure> {
        // The first message says whether there is a terminal on the other side; until then this one
        // stays as it is.
        let (sender, mut receiver) = opened.stream.split();
        let first = greeting(&mut receiver).await;
        if let Some(Ok(Incoming::Message(ServerMessage::Attached { pipes: true, .. }))) = &first {
            self.pipes = true;
        }
        let mut signals = Signals::new(lent.is_some())?;
        let guard = match &lent {
            None if !self.no_stdin => raw_terminal(self.pipes)?,
            _ => None,
        };
        let terminal = lent.is_some() || guard.is_some();
        // Who lends a terminal has its own use for stderr.
        let notices = match &lent {
            Some(_) => Stream::Stdout,
            None => Stream::Stderr,
        };
        let mut own = match &lent {
            Some(_) => None,
            None if self.no_stdin => Some(Input::none()),
            None => {
                let remote = self.client.target().is_inside_parent();
                Some(Input::start(guard.is_some(), remote)?)
            }
        };
        let (mut heard, mut typeahead, mut lost) = (true, Vec::new(), 0);
        let (pieces, typeahead, heard, lost) = match (lent, &mut own) {
            (Some(lent), _) => (
                &mut lent.pieces,
                &mut lent.typeahead,
                &mut lent.writer,
                &mut lent.lost,
            ),
            (None, Some(own)) => (&mut own.pieces, &mut typeahead, &mut heard, &mut lost),
            // One of them is there.
            (None, None) => return Err(Failure::new(1, "nothing to read from")),
        };
        let mut shown = Shown::new(self.clipboard, terminal, notices)?;
        shown.quiet = opened.announced;
        shown.bracket().await?;
        let mut input = InputBuffer::new(
            pieces,
            std::mem::take(typeahead),
            Keyboard::new(std::mem::take(&mut self.keys)),
            shown.wanted.clone(),
            How {
                terminal,
                pipes: self.pipes,
                ignored: self.mode == AttachMode::ReadOnly,
                detach_at_end: self.detach_at_end && !self.pipes,
                ends_alone: self.session.is_some(),
            },
        );
        let mut link = Link {
            sender,
            receiver,
            first,
        };
        let end = loop {
            match self
                .connection(link, &mut signals, &guard, &mut input, &mut shown)
                .await
            {
                Ok(Disconnect::Ended(end)) => break Ok(end),
                Ok(Disconnect::Gone) => {}
                Err(failure) => break Err(failure),
            }
            match self.again(&mut signals, &mut input, &shown).await {
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
            shown.again = true;
            shown.fresh();
        };
        *heard = shown.writer.unwrap_or(true);
        let exited = matches!(end, Ok(SessionOutcome::Exited { .. }));
        let end = tokio::select! {
            () = shown.output.drain() => end,
            // The output of a session that ended is waited for, a terminal that blocks is not.
            () = tokio::time::sleep(LAST_OUTPUT), if !exited => end,
            number = Signals::end(&mut signals.ends) => Ok(SessionOutcome::Signal(number)),
        };
        if terminal {
            shown.erase_part().await?;
            let key = matches!(end, Ok(SessionOutcome::Detached)).then(|| input.single_key());
            *lost = input.throw_away().await;
            if let Some(Some(key)) = key.filter(|_| *lost == 1) {
                (*typeahead, *lost) = (vec![key], 0);
            }
        }
        let said = thrown_away(*lost).filter(|_| guard.is_some());
        // Nothing reads the terminal any more when it goes back.
        drop(own);
        drop(guard);
        if let Some(said) = said {
            term::note(&format!("[podbay: {said}]"));
        }
        end
    }

    /// One connection, until it is over.
    async fn connection(
        &self,
        link: Link,
        signals: &mut Signals,
        guard: &Option<TermGuard>,
        input: &mut InputBuffer<'_>,
        shown: &mut Shown,
    ) -> Result<Disconnect, Failure> {
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
        // What was typed while there was no connection waits until this one has shown that it goes
        // all the way: it may be over before it began.
        let proven = Notify::new();
        let waits = shown.again;
        let on = shown.brackets_on();
        let up = async {
            if waits {
                drop(timeout(PROOF, proven.notified()).await);
            }
            let terminal = (guard, on);
            uplink(&mut sender, input, (resize, resumed), terminal, &mut said).await
        };
        let down = self.downlink(first, &mut receiver, shown, &proven);
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
        let over = tokio::select! {
            biased;
            over = down => over,
            over = up => Ok(over),
            number = end => Ok(Disconnect::Ended(SessionOutcome::Signal(number))),
        };
        if matches!(over, Ok(Disconnect::Ended(SessionOutcome::Detached))) && input.said_goodbye {
            // A connection that is closed with output unread could take along what was typed last.
            let rest = async { while receiver.next().await.is_some() {} };
            drop(timeout(LAST_WORD, rest).await);
        }
        over
    }

    async fn downlink(
        &self,
        first: Option<Result<Incoming, ClientError>>,
        receiver: &mut AttachReceiver,
        shown: &mut Shown,
        proven: &Notify,
    ) -> Result<Disconnect, Failure> {
        let mut next = first;
        let mut part = None;
        while let Some(incoming) = next {
            match incoming {
                Ok(Incoming::Output(bytes)) => {
                    let bytes = if shown.terminal {
                        shown.safe(&bytes)
                    } else {
                        bytes
                    };
                    shown.output.write(Stream::Stdout, bytes).await?;
                    proven.notify_one();
                }
                Ok(Incoming::Stderr(bytes)) => shown.output.write(Stream::Stderr, bytes).await?,
                Ok(Incoming::Message(ServerMessage::Exited { status, oom })) => {
                    return Ok(Disconnect::Ended(SessionOutcome::Exited { status, oom }));
                }
                Ok(Incoming::Message(ServerMessage::Error(error))) => return Err(error.into()),
                Ok(Incoming::Message(ServerMessage::Attached { writer, .. })) => {
                    let unasked = !writer && self.mode != AttachMode::ReadOnly;
                    // Whoever was the writer is told as well: another one may have been faster.
                    let news = !shown.quiet || shown.writer == Some(true);
                    if unasked && shown.terminal && news {
                        part = Some((Part::Watches, Instant::now()));
                    }
                    shown.writer = Some(writer);
                }
                Ok(Incoming::Message(ServerMessage::Writer { writer })) => {
                    if shown.terminal {
                        let now = if writer { Part::Types } else { Part::Watches };
                        part = Some((now, Instant::now()));
                    }
                    shown.writer = Some(writer);
                }
                // The connection's own.
                Ok(Incoming::Message(
                    ServerMessage::Spawned(_)
                    | ServerMessage::Window { .. }
                    | ServerMessage::Taken { .. }
                    | ServerMessage::Refused(_),
                )) => {}
                Err(error) if error.is_transient() => return Ok(Disconnect::Gone),
                Err(error) => return Err(error.into()),
            }
            // A screen that is restored would wipe it off.
            if let Some((said, since)) = part {
                let soon = Instant::now() + SETTLED.0;
                let at = soon.min(since + SETTLED.1);
                match tokio::time::timeout_at(at, receiver.next()).await {
                    Ok(came) => next = came,
                    Err(_) => {
                        shown.say_part(said).await?;
                        part = None;
                        next = receiver.next().await;
                    }
                }
            } else {
                next = receiver.next().await;
            }
        }
        Ok(Disconnect::Gone)
    }

    /// Attaches again, for as long as patience lasts. An end means that there is nothing to attach
    /// to any more.
    async fn again(
        &self,
        signals: &mut Signals,
        input: &mut InputBuffer<'_>,
        shown: &Shown,
    ) -> Result<Result<AttachStream, SessionOutcome>, Failure> {
        let give_up = Instant::now() + PATIENCE;
        let mut told = false;
        loop {
            let attempt = self.attempt();
            tokio::pin!(attempt);
            let result = loop {
                tokio::select! {
                    result = &mut attempt => break result,
                    number = Signals::end(&mut signals.ends) => return Ok(Err(SessionOutcome::Signal(number))),
                    detached = input.more() => if detached {
                        return Ok(Err(SessionOutcome::Detached));
                    },
                }
            };
            match result {
                Ok(stream) => return Ok(Ok(stream.on_pipes(self.pipes))),
                // What went away may have been the worker alone: then the answer says why.
                Err(error) if error.is_transient() && Instant::now() < give_up => {
                    if !std::mem::replace(&mut told, true) {
                        shown.notice(&self.waiting()).await?;
                    }
                }
                Err(ClientError::Api(error))
                    if matches!(error.kind, ErrorKind::NotFound | ErrorKind::Conflict) =>
                {
                    // The session ended meanwhile; its record has the exit status.
                    if self.session.is_none()
                        && let Ok(worker) = self.client.worker(&self.name).await
                        && let Some(status) = worker.exit
                    {
                        return Ok(Err(SessionOutcome::Exited {
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

    fn waiting(&self) -> String {
        let meanwhile = match self.session {
            None => format!("`podbay logs {}` has what is printed meanwhile", self.name),
            Some(_) => "what is printed meanwhile is not recorded".to_owned(),
        };
        format!("the coordinator went away; waiting for it ({meanwhile})")
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
            silent: false,
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
