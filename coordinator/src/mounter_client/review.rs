//! Reviews and removals. Owns a connection for each, closed when it is given up: the mounter then drops
//! it from its queue, or ends it. Never keeps the text of an answer, which passes through in parts.

use super::{
    client::{MounterClient, unexpected},
    slots::MAX_REVIEWS,
};
use crate::{
    model::HostPath,
    wire::{
        ApplyRequest, ApplyResult, ChangeCount, ChangeSummary, Changes, DiscardRequest, FileDiff,
    },
};
use podbay_mounter::{
    MounterError, MounterErrorKind, MounterRequest, MounterResponse, ReviewClaim, Usage,
    UsageRequest,
    error::{busy, system, unreachable},
    rpc::{Head, RequestFrame, ResponseFrame},
};
use podbay_protocol::{FrameDecoder, encode};
use serde::de::DeserializeOwned;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};

/// The mounter keeps the deadline, and says so; it is waited for a little longer.
const GRACE: Duration = Duration::from_secs(5);
/// The most text of an answer that is understood here, in bytes.
const MAX_TEXT: usize = 256 << 20;

/// One request's connection.
#[derive(Debug)]
struct Line {
    stream: UnixStream,
    decoder: FrameDecoder,
    deadline: Instant,
    limit: Duration,
    _slot: OwnedSemaphorePermit,
}

impl Line {
    async fn send(&mut self, body: MounterRequest) -> Result<(), MounterError> {
        let frame = encode(&RequestFrame { id: 1, body })
            .map_err(|e| system("asking the mounter; name a folder instead of its files", e))?;
        match timeout_at(self.deadline, self.stream.write_all(&frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(broken()),
            Err(_) => Err(self.late()),
        }
    }

    async fn next(&mut self) -> Result<ResponseFrame, MounterError> {
        let mut buffer = vec![0; 64 << 10];
        loop {
            if let Some(frame) = self
                .decoder
                .next_frame::<ResponseFrame>()
                .map_err(|e| system("asking the mounter", e))?
            {
                return Ok(frame);
            }
            let n = match timeout_at(self.deadline, self.stream.read(&mut buffer)).await {
                Ok(Ok(n)) if n > 0 => n,
                Ok(_) => return Err(broken()),
                Err(_) => return Err(self.late()),
            };
            self.decoder.push(buffer.get(..n).unwrap_or_default());
        }
    }

    fn late(&self) -> MounterError {
        unreachable(format!(
            "the mounter did not answer within {:?}",
            self.limit
        ))
    }
}

fn broken() -> MounterError {
    unreachable("the connection to the mounter broke".to_owned())
}

/// The answer to a review: JSON text that comes in parts.
#[derive(Debug)]
pub struct ReviewAnswer {
    head: Head,
    line: Option<Line>,
}

impl ReviewAnswer {
    /// Whether the text does not hold everything.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.head.truncated
    }

    /// Whether the project's folder is gone or is another one.
    #[must_use]
    pub fn project_missing(&self) -> bool {
        self.head.project_missing
    }

    /// Changes that are listed, or left.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.head.left
    }

    /// Changes that were not applied as asked.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.head.refused
    }

    /// The next part of the text; `None` at its end, and after an error.
    pub async fn next(&mut self) -> Option<Result<String, MounterError>> {
        let line = self.line.as_mut()?;
        let part = match line.next().await {
            Ok(ResponseFrame {
                part: Some(part),
                more: true,
                ..
            }) => return Some(Ok(part)),
            Ok(ResponseFrame {
                part: Some(part), ..
            }) => (!part.is_empty()).then_some(Ok(part)),
            Ok(ResponseFrame {
                body: Some(body), ..
            }) => Some(Err(not_text(*body))),
            Ok(_) => Some(Err(system("asking the mounter", "an empty answer"))),
            Err(e) => Some(Err(e)),
        };
        self.line = None;
        part
    }

    /// The whole, understood.
    ///
    /// # Errors
    /// The review failed on its way, or its answer is over 256 MiB.
    pub async fn value<T: DeserializeOwned>(mut self) -> Result<T, MounterError> {
        let mut text = String::new();
        while let Some(part) = self.next().await {
            text.push_str(&part?);
            if text.len() > MAX_TEXT {
                return Err(system("asking the mounter", "the answer is too long"));
            }
        }
        serde_json::from_str(&text).map_err(|e| system("understanding the mounter", e))
    }
}

fn not_text(body: MounterResponse) -> MounterError {
    match body {
        MounterResponse::Failed(e) => e,
        other => unexpected(&other),
    }
}

impl MounterClient {
    /// Whether a copy-on-write worker changed anything.
    ///
    /// # Errors
    /// `BadTarget` when the worker has no folder, `NotAFolder` or `Refused` when the project is
    /// gone or another folder now, `Busy` when too many reviews wait, `System`, `Unreachable`.
    pub async fn any_changes(&self, target: ReviewClaim) -> Result<bool, MounterError> {
        match self.small(MounterRequest::Any(target)).await? {
            MounterResponse::Any(any) => Ok(any),
            other => Err(unexpected(&other)),
        }
    }

    /// How much a copy-on-write worker changed; `None` when that is over `most` entries.
    ///
    /// # Errors
    /// As [`Self::any_changes`].
    pub async fn count(
        &self,
        target: ReviewClaim,
        most: u64,
    ) -> Result<Option<ChangeCount>, MounterError> {
        match self.small(MounterRequest::Count { target, most }).await? {
            MounterResponse::Counted(count) => Ok(count),
            other => Err(unexpected(&other)),
        }
    }

    /// How much of the state volume a worker uses, as far as that can be told within the request's
    /// bounds.
    ///
    /// # Errors
    /// `BadTarget` when the worker has no folder, `Busy`, `System`, `Unreachable`.
    pub async fn usage(&self, request: UsageRequest) -> Result<Usage, MounterError> {
        match self.small(MounterRequest::Usage(request)).await? {
            MounterResponse::Used(usage) => Ok(usage),
            other => Err(unexpected(&other)),
        }
    }

    /// What a copy-on-write worker changed, at and below `path` or everything: the text of
    /// [`Changes`], within 120 s.
    ///
    /// # Errors
    /// As [`Self::any_changes`].
    pub async fn list(
        &self,
        target: ReviewClaim,
        path: Option<HostPath>,
    ) -> Result<ReviewAnswer, MounterError> {
        self.text(MounterRequest::Changes { target, path }).await
    }

    /// The same counted by folder: the text of [`ChangeSummary`].
    ///
    /// # Errors
    /// As [`Self::any_changes`].
    pub async fn summary(
        &self,
        target: ReviewClaim,
        path: Option<HostPath>,
    ) -> Result<ReviewAnswer, MounterError> {
        self.text(MounterRequest::Summary { target, path }).await
    }

    /// The changes as text, at and below `path` or everything: the text of a list of [`FileDiff`].
    ///
    /// # Errors
    /// As [`Self::any_changes`].
    pub async fn show(
        &self,
        target: ReviewClaim,
        path: Option<HostPath>,
    ) -> Result<ReviewAnswer, MounterError> {
        self.text(MounterRequest::Diff { target, path }).await
    }

    /// Carries changes over to the project: the text of [`ApplyResult`], within 600 s. What could
    /// not be written, and why, is in `conflicts` of it.
    ///
    /// # Errors
    /// As [`Self::any_changes`], and `TooMany` when there are more than fit into one request.
    pub async fn carry_over(
        &self,
        target: ReviewClaim,
        request: ApplyRequest,
    ) -> Result<ReviewAnswer, MounterError> {
        self.text(MounterRequest::Apply { target, request }).await
    }

    /// Throws changes away: the text of [`Changes`] that are left, within 600 s.
    ///
    /// # Errors
    /// As [`Self::carry_over`].
    pub async fn throw_away(
        &self,
        target: ReviewClaim,
        request: DiscardRequest,
    ) -> Result<ReviewAnswer, MounterError> {
        self.text(MounterRequest::Discard { target, request }).await
    }

    /// [`Self::list`] of everything, understood.
    ///
    /// # Errors
    /// As [`Self::any_changes`].
    pub async fn changes(&self, target: ReviewClaim) -> Result<Changes, MounterError> {
        self.list(target, None).await?.value().await
    }

    /// [`Self::summary`] of everything, understood.
    ///
    /// # Errors
    /// As [`Self::any_changes`].
    pub async fn sums(&self, target: ReviewClaim) -> Result<ChangeSummary, MounterError> {
        self.summary(target, None).await?.value().await
    }

    /// [`Self::show`], understood.
    ///
    /// # Errors
    /// As [`Self::any_changes`].
    pub async fn diff(
        &self,
        target: ReviewClaim,
        path: Option<HostPath>,
    ) -> Result<Vec<FileDiff>, MounterError> {
        self.show(target, path).await?.value().await
    }

    /// [`Self::carry_over`], understood.
    ///
    /// # Errors
    /// As there.
    pub async fn apply(
        &self,
        target: ReviewClaim,
        request: ApplyRequest,
    ) -> Result<ApplyResult, MounterError> {
        self.carry_over(target, request).await?.value().await
    }

    /// [`Self::throw_away`], understood.
    ///
    /// # Errors
    /// As there.
    pub async fn discard(
        &self,
        target: ReviewClaim,
        request: DiscardRequest,
    ) -> Result<Changes, MounterError> {
        self.throw_away(target, request).await?.value().await
    }

    /// Removes `workers/<id>` with all in it; nothing there is no error.
    ///
    /// # Errors
    /// `BadTarget` for what is no worker's id, `System` with what could not be removed,
    /// `Busy`, `Unreachable`.
    pub async fn remove_worker(&self, worker: &str) -> Result<(), MounterError> {
        let body = MounterRequest::RemoveWorker {
            worker: worker.to_owned(),
        };
        match self.small(body).await? {
            MounterResponse::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    async fn small(&self, body: MounterRequest) -> Result<MounterResponse, MounterError> {
        let mut line = self.line(body).await?;
        let frame = self.heard(line.next().await)?;
        match frame.body.map(|body| *body) {
            Some(MounterResponse::Failed(e)) => Err(e),
            Some(body) => Ok(body),
            None => Err(system("asking the mounter", "an empty answer")),
        }
    }

    async fn text(&self, body: MounterRequest) -> Result<ReviewAnswer, MounterError> {
        let mut line = self.line(body).await?;
        let frame = self.heard(line.next().await)?;
        match (frame.head, frame.body) {
            (Some(head), _) => Ok(ReviewAnswer {
                head,
                line: Some(line),
            }),
            (None, Some(body)) => Err(not_text(*body)),
            (None, None) => Err(system("asking the mounter", "an empty answer")),
        }
    }

    /// Connects and asks.
    async fn line(&self, body: MounterRequest) -> Result<Line, MounterError> {
        let limit = body.deadline() + GRACE;
        let deadline = Instant::now() + limit;
        let slot = if matches!(body, MounterRequest::RemoveWorker { .. }) {
            let slots = Arc::clone(&self.inner.slots.removals);
            timeout_at(deadline, slots.acquire_owned())
                .await
                .ok()
                .and_then(Result::ok)
        } else {
            let slots = Arc::clone(&self.inner.slots.reviews);
            slots.try_acquire_owned().ok()
        };
        let slot = slot.ok_or_else(|| {
            busy(format!(
                "{MAX_REVIEWS} reviews are running or waiting already; nothing was done, try again \
                 in a moment"
            ))
        })?;
        let stream = timeout_at(deadline, UnixStream::connect(&self.inner.socket)).await;
        let stream = match stream {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(e)) => Err(self.inner.not_reached(&e)),
            Err(_) => Err(broken()),
        };
        let mut line = Line {
            stream: self.heard(stream)?,
            decoder: FrameDecoder::new(),
            deadline,
            limit,
            _slot: slot,
        };
        let sent = line.send(body).await;
        self.heard(sent)?;
        Ok(line)
    }

    /// Reports that the mounter was not reached to the task that keeps it alive.
    fn heard<T>(&self, result: Result<T, MounterError>) -> Result<T, MounterError> {
        if let Err(error) = &result
            && error.kind == MounterErrorKind::Unreachable
        {
            self.inner.missed.notify_one();
        }
        result
    }
}
