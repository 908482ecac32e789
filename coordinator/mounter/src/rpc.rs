//! Frames between the coordinator and the mounter: requests, answers, and how long each may take.
//! Owns the serialised names. An answer that does not fit a frame is sent as parts of its JSON text
//! under the same id; a review's text follows a [`Head`] and is never kept whole on the way.

use crate::wire::{
    CheckedProject, MountRequest, Mounted, MounterCaps, MounterError, OverlayRequest, Policy,
    PrepareRequest, ReviewClaim, ReviewTarget, Usage, UsageRequest,
};
use podbay_model::{
    model::HostPath,
    wire::{ApplyRequest, ChangeCount, DiscardRequest, Folders},
};
use podbay_protocol::{FrameError, encode};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Deadline of what is on a claim's path.
const QUICK: Duration = Duration::from_secs(5);
/// Deadline of a listing, a diff or a removal, from the request to the answer's end.
const SLOW: Duration = Duration::from_secs(120);
/// Deadline of an apply or a discard, which fsync every file.
const APPLY: Duration = Duration::from_secs(600);

/// What the mounter is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MounterRequest {
    /// What it can do; answered with `Caps`.
    Probe,
    /// Make a worker's folders ready; answered with `Done`.
    Prepare(PrepareRequest),
    /// Put a project into a worker; answered with `Mounted`.
    Mount(MountRequest),
    /// Make an overlay ahead of its claim; answered with `Done`.
    PrepareOverlay(OverlayRequest),
    /// Open a project as a mount would, and change nothing; answered with `Checked`.
    Check {
        /// The project's folder on the host.
        project: HostPath,
        /// Which folders may be projects.
        policy: Policy,
    },
    /// Take the mount at a worker's `/workspace` away; answered with `Done`.
    Unmount {
        /// The worker's id.
        worker: String,
        /// Process id of the worker's PID 1 as the host counts.
        pid: i32,
    },
    /// Have a worker's overlay look its names up again, so that the host's later edits of the project are
    /// visible; answered with `Done`.
    Refresh {
        /// The worker's id.
        worker: String,
        /// Process id of the worker's PID 1 as the host counts.
        pid: i32,
    },
    /// Whether an overlay has changes; answered with `Any`.
    Any(ReviewClaim),
    /// List an overlay's changes; answered with the text of `Changes`.
    Changes {
        /// Whose.
        target: ReviewClaim,
        /// Only this path and what is below; `None` for everything.
        path: Option<HostPath>,
    },
    /// Count them by folder; answered with the text of `ChangeSummary`.
    Summary {
        /// Whose.
        target: ReviewClaim,
        /// Only this path and what is below; `None` for everything.
        path: Option<HostPath>,
    },
    /// Count them; answered with `Counted`.
    Count {
        /// Whose.
        target: ReviewClaim,
        /// The most entries worth the work.
        most: u64,
    },
    /// How much of the state volume a worker uses; answered with `Used`.
    Usage(UsageRequest),
    /// List folders that a path may be completed to; answered with `Folders`.
    Folders {
        /// Absolute, perhaps half typed.
        prefix: HostPath,
        /// What is left out.
        policy: Policy,
    },
    /// Show an overlay's changes; answered with the text of `[FileDiff]`.
    Diff {
        /// Whose.
        target: ReviewClaim,
        /// Only this path and what is below; `None` for everything.
        path: Option<HostPath>,
    },
    /// Carry them over to the project; answered with the text of `ApplyResult`.
    Apply {
        /// Whose.
        target: ReviewClaim,
        /// Which.
        request: ApplyRequest,
    },
    /// Throw them away; answered with the text of `Changes`: what is left.
    Discard {
        /// Whose.
        target: ReviewClaim,
        /// Which.
        request: DiscardRequest,
    },
    /// Put the engine's socket, made anew, where the parent had the old one; answered with `Done`.
    EngineSocket {
        /// Process id of the parent's PID 1 as the host counts.
        pid: i32,
        /// The socket on the engine's host.
        source: HostPath,
        /// Where it is in the parent.
        target: HostPath,
    },
    /// Remove a worker's folders; answered with `Done`.
    RemoveWorker {
        /// The worker's id.
        worker: String,
    },
}

/// Where a request waits, so that none of one kind waits for another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Claims: mounts and folders of workers.
    Claim,
    /// Overlays that are made ahead of their claims.
    Ahead,
    /// Paths that are completed while somebody types.
    Browse,
    /// What reads or changes an overlay's changes, in a process of its own.
    Review,
    /// Folders of workers that go.
    Removal,
}

impl MounterRequest {
    pub(crate) fn lane(&self) -> Lane {
        match self {
            Self::Probe
            | Self::Prepare(_)
            | Self::Mount(_)
            | Self::Check { .. }
            | Self::Unmount { .. }
            | Self::Refresh { .. }
            | Self::EngineSocket { .. } => Lane::Claim,
            Self::PrepareOverlay(_) => Lane::Ahead,
            Self::Folders { .. } => Lane::Browse,
            Self::RemoveWorker { .. } => Lane::Removal,
            Self::Any(_)
            | Self::Changes { .. }
            | Self::Summary { .. }
            | Self::Count { .. }
            | Self::Diff { .. }
            | Self::Usage(_)
            | Self::Apply { .. }
            | Self::Discard { .. } => Lane::Review,
        }
    }

    /// Whose changes it is about, when it is a review.
    pub(crate) fn review(&self) -> Option<&ReviewTarget> {
        self.claim().map(|claim| &claim.target)
    }

    /// The same with what tells whether the project is still that of the claim.
    pub(crate) fn claim(&self) -> Option<&ReviewClaim> {
        match self {
            Self::Any(target)
            | Self::Changes { target, .. }
            | Self::Summary { target, .. }
            | Self::Count { target, .. }
            | Self::Diff { target, .. }
            | Self::Apply { target, .. }
            | Self::Discard { target, .. } => Some(target),
            _ => None,
        }
    }

    /// Whether it changes the project or the worker's changes: then it is carried out to its end
    /// although nobody waits any more.
    pub(crate) fn changes_something(&self) -> bool {
        matches!(self, Self::Apply { .. } | Self::Discard { .. })
    }

    /// Whether it is carried out although the project's folder is gone or is another one: what a worker
    /// changed is not lost with it, and can be thrown away as a whole.
    pub(crate) fn needs_no_project(&self) -> bool {
        match self {
            Self::Any(_) | Self::Changes { .. } | Self::Summary { .. } | Self::Diff { .. } => true,
            Self::Discard { request, .. } => request.paths.is_empty(),
            _ => false,
        }
    }

    /// How long it may take, from the request to the answer's end.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        match self.lane() {
            Lane::Claim | Lane::Ahead | Lane::Browse => QUICK,
            _ if self.changes_something() => APPLY,
            Lane::Review | Lane::Removal => SLOW,
        }
    }
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MounterResponse {
    /// To `Probe`.
    Caps(MounterCaps),
    /// Done; nothing to tell.
    Done,
    /// To `Mount`.
    Mounted(Mounted),
    /// To `Any`.
    Any(bool),
    /// To `Check`.
    Checked(CheckedProject),
    /// To `Count`; `None` when there are more than was asked for.
    Counted(Option<ChangeCount>),
    /// To `Usage`.
    Used(Usage),
    /// To `Folders`.
    Folders(Folders),
    /// To anything.
    Failed(MounterError),
}

/// A request with the id its answer will carry.
#[derive(Debug, Serialize, Deserialize)]
pub struct RequestFrame {
    /// Chosen by who asks.
    pub id: u64,
    /// What is asked for.
    pub body: MounterRequest,
}

/// What is known of a review's answer before its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The text does not hold everything.
    pub truncated: bool,
    /// Changes there are, or are left.
    pub left: u64,
    /// Changes that were not applied as asked.
    #[serde(default)]
    pub refused: u64,
    /// The project's folder is gone or is another one: all is shown as added.
    #[serde(default)]
    pub project_missing: bool,
}

/// An answer, or a part of its text: the last part has `more` unset.
#[derive(Debug, Deserialize)]
pub struct ResponseFrame {
    /// Of the request.
    pub id: u64,
    /// Whether further parts of the text follow.
    #[serde(default)]
    pub more: bool,
    /// Before a review's text.
    #[serde(default)]
    pub head: Option<Head>,
    /// A part of the text.
    #[serde(default)]
    pub part: Option<String>,
    /// The whole answer.
    #[serde(default)]
    pub body: Option<Box<MounterResponse>>,
}

#[derive(Default, Serialize)]
pub(crate) struct ResponseOut<'a> {
    pub id: u64,
    pub more: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<Head>,
    pub part: Option<&'a str>,
    pub body: Option<&'a MounterResponse>,
}

/// Bytes of text in one part: escaped again it may double, and must fit a frame then.
pub(crate) const MAX_PART: usize = 400 << 10;

/// Hands the frames of an answer to `send`, one or many.
///
/// # Errors
/// What `send` returns.
pub fn send_response(
    id: u64,
    body: &MounterResponse,
    mut send: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let whole = ResponseOut {
        id,
        body: Some(body),
        ..ResponseOut::default()
    };
    match encode(&whole) {
        Ok(frame) => return send(&frame),
        Err(FrameError::TooLong(_)) => {}
        Err(e) => return Err(std::io::Error::other(e.to_string())),
    }
    let text = serde_json::to_string(body)?;
    let mut rest = text.as_str();
    loop {
        let mut cut = MAX_PART.min(rest.len());
        while !rest.is_char_boundary(cut) {
            cut -= 1;
        }
        let (part, after) = rest.split_at(cut);
        rest = after;
        let out = ResponseOut {
            id,
            more: !rest.is_empty(),
            part: Some(part),
            ..ResponseOut::default()
        };
        let frame = encode(&out).map_err(|e| std::io::Error::other(e.to_string()))?;
        send(&frame)?;
        if rest.is_empty() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use podbay_protocol::FrameDecoder;

    #[test]
    fn a_large_answer_arrives_in_parts_and_whole() {
        let error = MounterError {
            kind: crate::wire::MounterErrorKind::System,
            message: "\"\\ü\n".repeat(500_000),
        };
        let body = MounterResponse::Failed(error);
        let mut decoder = FrameDecoder::new();
        let mut text = String::new();
        let mut parts = 0;
        send_response(7, &body, |frame| {
            decoder.push(frame);
            let frame: ResponseFrame = decoder.next_frame().unwrap().unwrap();
            assert_eq!(frame.id, 7);
            text.push_str(&frame.part.unwrap());
            parts += 1;
            Ok(())
        })
        .unwrap();
        assert!(parts > 2);
        assert_eq!(
            serde_json::from_str::<MounterResponse>(&text).unwrap(),
            body
        );
    }
}
