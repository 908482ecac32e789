//! The process that carries out one review: started by the mounter, which gives it two descriptors and
//! speaks with it on its stdin. Owns its limits: whatever a worker left in its folders costs that one
//! request. Never opens a path but beneath the two descriptors.

use super::{answer::Answer, apply, discard, review::Review, summary, usage};
use crate::{
    clock::Clock,
    error::system,
    rpc::{Head, MounterRequest, MounterResponse, RequestFrame, send_response},
    wire::MounterError,
};
use podbay_model::wire::Changes;
use podbay_protocol::{FrameDecoder, encode};
use rustix::{
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
    process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit},
};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
};

/// The most memory of one review, in bytes of its data. Two run at a time, beside the mounter, in a
/// container of 256 MiB.
const MAX_MEMORY: u64 = 88 << 20;
/// Descriptors of one review: three for each level of the deepest tree that is entered, twice.
const MAX_FILES: u64 = 2_048;

/// The lowest share of the processors among the mounter's processes.
const NICENESS: i32 = 19;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// With the id of the answer.
    pub request: RequestFrame,
    pub owner: (u32, u32),
    pub live: bool,
    /// The second descriptor is of an empty folder, since the project is gone.
    pub project_missing: bool,
    /// What is after the claim.
    pub clock: Clock,
}

/// Hands a job over, with the descriptors of the worker's `changes/` and of the project.
///
/// # Errors
/// The process is gone, or the request does not fit a frame.
pub(crate) fn send(to: &UnixStream, job: &Job, fds: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    let frame = encode(job).map_err(|e| io::Error::other(e.to_string()))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for two descriptors"));
    }
    sendmsg(to, &[IoSlice::new(b"d")], &mut control, SendFlags::NOSIGNAL)?;
    (&mut &*to).write_all(&frame)
}

fn receive(mut from: &UnixStream) -> io::Result<(Job, OwnedFd, OwnedFd)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        from,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => fds.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let (Some(changes), Some(project)) = (fds.next(), fds.next()) else {
        return Err(io::Error::other("no descriptors were sent"));
    };
    let mut decoder = FrameDecoder::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        if let Some(job) = decoder
            .next_frame::<Job>()
            .map_err(|e| io::Error::other(e.to_string()))?
        {
            return Ok((job, changes, project));
        }
        let n = from.read(&mut buffer)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        decoder.push(buffer.get(..n).unwrap_or_default());
    }
}

/// Carries out one review: what the mounter starts its own program for. Speaks on stdin.
///
/// # Errors
/// It was not started by a mounter, or that is gone.
pub fn review() -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // What is left of the machine is the mounter's: a shortage ends a review first.
    std::fs::write("/proc/self/oom_score_adj", "1000").unwrap_or_default();
    // And so are the processors: a claim comes first.
    rustix::process::nice(NICENESS)?;
    limit(Resource::Data, MAX_MEMORY)?;
    limit(Resource::Nofile, MAX_FILES)?;
    limit(Resource::Core, 0)?;
    // The groups of the process that started us must not open a project's files to a worker's owner.
    rustix::thread::set_thread_groups(&[])?;
    rustix::process::umask(rustix::fs::Mode::empty());
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    let mut stream = UnixStream::from(stdin);
    let (job, changes, project) = receive(&stream)?;
    #[cfg(feature = "faults")]
    if job.request.body.changes_something() {
        faults(&changes)?;
    }
    let mut send = |frame: &[u8]| stream.write_all(frame);
    let id = job.request.id;
    match execute(&job, changes, project, &mut send) {
        Ok(()) => Ok(()),
        Err(error) => send_response(id, &MounterResponse::Failed(error), send),
    }
}

/// Never more than it was before.
fn limit(resource: Resource, most: u64) -> io::Result<()> {
    let before = getrlimit(resource);
    let most = before.maximum.map_or(most, |before| before.min(most));
    setrlimit(
        resource,
        Rlimit {
            current: Some(most),
            maximum: Some(most),
        },
    )?;
    Ok(())
}

/// Takes orders from `changes/` of the worker.
#[cfg(feature = "faults")]
fn faults(changes: &OwnedFd) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    let folder = format!("/proc/self/fd/{}", changes.try_clone()?.into_raw_fd());
    podbay_failpoints::begin(std::path::Path::new(&folder));
    Ok(())
}

fn execute(
    job: &Job,
    changes: OwnedFd,
    project: OwnedFd,
    send: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), MounterError> {
    use MounterRequest as R;
    podbay_failpoints::failpoint!("reviewer.request");
    let id = job.request.id;
    let body = &job.request.body;
    if let R::Usage(request) = body {
        let used = usage::measure(&changes, &project, request)?;
        return send_response(id, &MounterResponse::Used(used), send)
            .map_err(|e| system("answering", e));
    }
    let Some(target) = body.review() else {
        return Err(system("reviewing", "the request is no review"));
    };
    let mut review = Review::new(
        target,
        changes,
        project,
        job.owner,
        job.live,
        job.clock.clone(),
    )?;
    review.project_missing = job.project_missing;
    let failed = |e: io::Error| system("answering", e);
    let small = |body: MounterResponse, send: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
        send_response(id, &body, send).map_err(failed)
    };
    let list = |changes: Changes, send: &mut dyn FnMut(&[u8]) -> io::Result<()>| {
        let mut answer = Answer::new(id, send);
        answer
            .head(Head {
                truncated: changes.truncated,
                left: changes.entries.len() as u64,
                project_missing: changes.project_missing,
                ..Head::default()
            })
            .and_then(|()| answer.value(&changes))
            .map_err(failed)
    };
    match body {
        R::Any(_) => small(MounterResponse::Any(review.any()?), send),
        R::Count { most, .. } => small(MounterResponse::Counted(review.count(*most)?), send),
        R::Changes { path, .. } => list(review.list(path.as_ref())?, send),
        R::Summary { path, .. } => {
            let summary = summary::summary(&review, path.as_ref())?;
            let mut answer = Answer::new(id, send);
            answer
                .head(Head {
                    truncated: summary.truncated,
                    left: summary.changes,
                    project_missing: review.project_missing,
                    ..Head::default()
                })
                .and_then(|()| answer.value(&summary))
                .map_err(failed)
        }
        R::Diff { path, .. } => review.diff(path.as_ref(), &mut Answer::new(id, send)),
        R::Apply { request, .. } => {
            let result = apply::apply(&mut review, request)?;
            let mut answer = Answer::new(id, send);
            answer
                .head(Head {
                    truncated: false,
                    left: result.left,
                    refused: result.conflicts.len() as u64,
                    ..Head::default()
                })
                .and_then(|()| answer.value(&result))
                .map_err(failed)
        }
        R::Discard { request, .. } => {
            discard::discard(&mut review, request)?;
            list(review.list(None)?, send)
        }
        _ => Err(system("reviewing", "the request is no review")),
    }
}
