//! Has reviews carried out by child processes (`changes/reviewer`), and passes their answers on. Owns
//! the children: one that nobody waits for any more is ended, unless it changes something. Never looks
//! into a worker's folders: what they cost is a child's, and its end is one request's.

use super::{
    open::Opened,
    turns::{NoTurn, Turns},
};
use crate::{
    changes::{Job, send},
    error::{busy, system},
    folders,
    host::{Host, Place},
    rpc::{Lane, MounterRequest, MounterResponse, RequestFrame, send_response},
    wire::MounterError,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use podbay_protocol::MAX_FRAME;
use std::{
    ffi::OsString,
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Reviews at a time; each may take the memory that `changes/reviewer` allows it.
const MAX_REVIEWS: usize = 2;
/// Reviews that wait.
const MAX_WAITING_REVIEWS: usize = 14;
/// Removals that wait, for the one that runs.
const MAX_WAITING_REMOVALS: usize = 14;

/// How the mounter's own program is started as one that carries out a review.
#[derive(Debug, Clone)]
pub struct ReviewProgram {
    /// Its arguments; it speaks on its stdin.
    pub args: Vec<OsString>,
}

/// The argument of `podbay mounter` that makes it a review.
pub const REVIEW: &str = "review";

impl Default for ReviewProgram {
    fn default() -> Self {
        Self {
            args: vec!["mounter".into(), REVIEW.into()],
        }
    }
}

/// What every connection needs for reviews and removals.
pub(super) struct Reviews {
    host: Arc<Host>,
    program: ReviewProgram,
    reviews: Turns,
    removals: Turns,
}

/// The coordinator's end of one review.
struct Client<'a> {
    id: u64,
    stream: &'a Mutex<UnixStream>,
    /// To be asked whether it is gone, without the lock.
    look: UnixStream,
}

impl Client<'_> {
    fn gone(&self) -> bool {
        let mut fds = [PollFd::new(self.look.as_fd(), PollFlags::empty())];
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        stream.write_all(bytes)
    }

    fn answer(&self, body: &MounterResponse) {
        if let Err(e) = send_response(self.id, body, |bytes| self.write(bytes)) {
            tracing::debug!(error = %e, "an answer was not delivered");
        }
    }
}

impl Reviews {
    pub(super) fn new(host: &Arc<Host>, program: ReviewProgram) -> Self {
        Self {
            host: Arc::clone(host),
            program,
            reviews: Turns::new(MAX_REVIEWS, MAX_WAITING_REVIEWS),
            removals: Turns::new(1, MAX_WAITING_REMOVALS),
        }
    }

    /// Carries out a review or a removal and answers it. The connection is for nothing else.
    pub(super) fn serve(&self, frame: RequestFrame, stream: &Mutex<UnixStream>) -> io::Result<()> {
        let look = {
            let stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
            stream.try_clone()?
        };
        let client = Client {
            id: frame.id,
            stream,
            look,
        };
        let until = Instant::now() + frame.body.deadline();
        let turns = match frame.body.lane() {
            Lane::Removal => &self.removals,
            _ => &self.reviews,
        };
        let turn = match turns.take(until, || client.gone()) {
            Ok(turn) => turn,
            Err(NoTurn::GivenUp) => return Ok(()),
            Err(why @ (NoTurn::Full | NoTurn::Late)) => {
                client.answer(&MounterResponse::Failed(too_much(why)));
                return Ok(());
            }
        };
        let done = match &frame.body {
            MounterRequest::RemoveWorker { worker } => {
                folders::remove(&self.host, worker).map(|()| client.answer(&MounterResponse::Done))
            }
            _ => self.review(frame, &client, until),
        };
        drop(turn);
        if let Err(error) = done {
            client.answer(&MounterResponse::Failed(error));
        }
        Ok(())
    }

    fn review(
        &self,
        frame: RequestFrame,
        client: &Client<'_>,
        until: Instant,
    ) -> Result<(), MounterError> {
        let failed = |e: io::Error| system("starting a review", e);
        let changing = frame.body.changes_something();
        let opened = self.open(&frame)?;
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        let child = Command::new("/proc/self/exe")
            .args(&self.program.args)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let mut child = Running(child);
        let job = Job {
            request: frame,
            owner: opened.owner,
            live: opened.live,
            project_missing: opened.project_missing,
            clock: opened.clock.clone(),
        };
        let sent = send(
            &ours,
            &job,
            [opened.changes.as_fd(), opened.project.as_fd()],
        );
        drop(opened);
        if let Err(e) = sent {
            return Err(child.end().map_or_else(
                |_| system("starting a review; name a folder instead of its files", e),
                ended,
            ));
        }
        match relay(&ours, client, until, changing)? {
            Relayed::GivenUp => Ok(()),
            Relayed::Late => Err(late()),
            Relayed::End => match child.0.wait() {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(ended(status)),
                Err(e) => Err(system("waiting for a review", e)),
            },
        }
    }

    /// In a thread of its own: this one must stay in the mounter's own mount namespace, where its
    /// children begin.
    fn open(&self, frame: &RequestFrame) -> Result<Opened, MounterError> {
        if let MounterRequest::Usage(request) = &frame.body {
            return Opened::measured(&self.host, &request.worker);
        }
        let target = frame.body.claim();
        let target = target.ok_or_else(|| system("reviewing", "the request is no review"))?;
        let change = frame.body.changes_something();
        let open = || {
            let mut place = Place::new(Arc::clone(&self.host))
                .map_err(|e| system("preparing a thread for a review", e))?;
            Opened::new(&mut place, target, change, frame.body.needs_no_project())
        };
        std::thread::scope(|scope| match scope.spawn(open).join() {
            Ok(opened) => opened,
            Err(_) => Err(system("opening what is reviewed", "it panicked")),
        })
    }
}

fn too_much(why: NoTurn) -> MounterError {
    let why = match why {
        NoTurn::Full => "too many reviews and removals are waiting already",
        _ => "other reviews took too long for this one to begin",
    };
    busy(format!("{why}; nothing was done, try again in a moment"))
}

fn late() -> MounterError {
    system(
        "reviewing",
        "it took too long and was ended; name a folder or a file instead of everything",
    )
}

fn ended(status: ExitStatus) -> MounterError {
    let how = match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, code) => format!("status {}", code.unwrap_or_default()),
    };
    system(
        "reviewing",
        format!(
            "its process ended ({how}), perhaps for want of memory; name a folder or a file instead \
             of everything"
        ),
    )
}

/// A child that does not outlive its request.
struct Running(Child);

impl Running {
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.0.kill()?;
        self.0.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(e) = self.end() {
            tracing::warn!(error = %e, "a review's process cannot be ended");
        }
    }
}

enum Relayed {
    End,
    GivenUp,
    Late,
}

/// Passes whole frames on, until the child closes its end.
fn relay(
    mut from: &UnixStream,
    client: &Client<'_>,
    until: Instant,
    changing: bool,
) -> Result<Relayed, MounterError> {
    let failed = |e: io::Error| system("passing a review's answer on", e);
    let mut waited_for = true;
    let mut frames = Frames::default();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Relayed::Late);
        }
        let wait = PollTimeout::try_from(left.max(Duration::from_millis(1)))
            .unwrap_or(PollTimeout::from(1_000u16));
        let mut fds = vec![PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        if waited_for {
            fds.push(PollFd::new(client.look.as_fd(), PollFlags::empty()));
        }
        match poll(&mut fds, wait) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(failed(e.into())),
        }
        let ready = |n: usize| fds.get(n).is_some_and(|fd| fd.any().unwrap_or_default());
        if ready(1) {
            if !changing {
                return Ok(Relayed::GivenUp);
            }
            waited_for = false;
        }
        if !ready(0) {
            continue;
        }
        let n = from.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Ok(Relayed::End);
        }
        frames.push(buffer.get(..n).unwrap_or_default());
        while let Some(frame) = frames.next().map_err(failed)? {
            if waited_for && client.write(&frame).is_err() {
                if !changing {
                    return Ok(Relayed::GivenUp);
                }
                waited_for = false;
            }
        }
    }
}

/// Cuts bytes into whole frames, and looks at nothing but their length.
#[derive(Default)]
struct Frames(Vec<u8>);

impl Frames {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(head) = self.0.first_chunk::<4>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length > MAX_FRAME {
            return Err(io::Error::other("a frame is too long"));
        }
        if self.0.len() < 4 + length {
            return Ok(None);
        }
        let rest = self.0.split_off(4 + length);
        Ok(Some(std::mem::replace(&mut self.0, rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_passed_on_whole_at_any_chunking() {
        let mut wire = Vec::new();
        for n in [0usize, 1, 5, 300] {
            wire.extend(u32::try_from(n).unwrap().to_be_bytes());
            wire.extend(vec![b'x'; n]);
        }
        for size in [1, 3, 7, wire.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for chunk in wire.chunks(size) {
                frames.push(chunk);
                while let Some(frame) = frames.next().unwrap() {
                    seen.push(frame.len() - 4);
                }
            }
            assert_eq!(seen, [0, 1, 5, 300]);
        }
        let mut frames = Frames::default();
        frames.push(&u32::MAX.to_be_bytes());
        frames.next().unwrap_err();
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod relay_tests;
