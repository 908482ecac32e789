//! What is noted of requests that change something or attach.

use super::{
    peer::{Peer, TokenId, short},
    reply::{App, Failure},
};
use crate::{
    daemon::Daemon,
    model::HostPath,
    store::AuditReader,
    wire::{
        ApiError, AuditEntry, AuditQuery, ErrorKind, SpawnRequest, SpawnResponse, Who, percent,
    },
};
use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Query, Request, State},
    http::{HeaderMap, Method, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

/// Longest name or path that is noted, in characters.
const LONGEST: usize = 1024;
/// What was recorded before a reader came is written by then, or missing.
const FLUSH_DEADLINE: Duration = Duration::from_secs(2);

/// One entry in the making; written when it is told how it went, or dropped.
#[derive(Debug, Clone)]
pub(super) struct AuditScope(Arc<Open>);

#[derive(Debug)]
struct Open {
    daemon: Arc<Daemon>,
    began: Instant,
    /// Taken when it is written.
    entry: Mutex<Option<AuditEntry>>,
    /// The answer's head says nothing yet.
    deferred: std::sync::atomic::AtomicBool,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.finish("cut_off");
    }
}

impl Open {
    fn finish(&self, result: &str) {
        let entry = self
            .entry
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut entry) = entry {
            result.clone_into(&mut entry.result);
            entry.duration_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.daemon.audit().record(entry);
        }
    }
}

impl AuditScope {
    fn new(daemon: Arc<Daemon>, who: Who, what: String) -> Self {
        let entry = AuditEntry {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            who,
            what,
            worker: None,
            profile: None,
            project: None,
            detail: None,
            result: String::new(),
            duration_ms: 0,
            lost: 0,
        };
        Self(Arc::new(Open {
            daemon,
            began: Instant::now(),
            entry: Mutex::new(Some(entry)),
            deferred: std::sync::atomic::AtomicBool::new(false),
        }))
    }

    fn note(&self, change: impl FnOnce(&mut AuditEntry)) {
        let mut entry = self.0.entry.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entry.as_mut() {
            change(entry);
        }
    }

    /// What is noted besides.
    pub(super) fn detail(&self, text: &str) {
        self.note(|entry| entry.detail = Some(short(text, LONGEST)));
    }

    /// The paths that a review's change is asked for; none for everything.
    pub(super) fn paths(&self, paths: &[HostPath]) {
        let mut text = String::new();
        for path in paths {
            if text.len() > LONGEST {
                break;
            }
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(&path.to_string());
        }
        self.detail(if text.is_empty() { "everything" } else { &text });
    }

    /// How many of the changes were not applied as asked.
    pub(super) fn applied(&self, refused: u64) {
        if refused > 0 {
            self.note(|entry| {
                let asked = entry.detail.take().unwrap_or_default();
                entry.detail = Some(format!("{refused} refused of {asked}"));
            });
            self.0.finish(ErrorKind::Conflict.word());
        }
    }

    /// A claim is asked for.
    pub(super) fn asked(&self, request: &SpawnRequest) {
        self.note(|entry| {
            entry.worker = request.name.as_deref().map(|name| short(name, LONGEST));
            entry.profile = request.profile.as_deref().map(|name| short(name, LONGEST));
            let project = request.project.as_ref();
            entry.project = project.map(|path| short(&path.to_string(), LONGEST));
            let names: Vec<&str> = request.secrets.keys().map(String::as_str).collect();
            if !names.is_empty() {
                entry.detail = Some(short(&format!("secrets {}", names.join(" ")), LONGEST));
            }
        });
    }

    /// What came of a claim.
    pub(super) fn spawned(&self, result: Result<&SpawnResponse, &ApiError>) {
        match result {
            Ok(response) => {
                self.note(|entry| {
                    entry.worker = Some(response.worker.name.clone());
                    entry.profile = Some(response.worker.profile.clone());
                });
                self.0.finish("ok");
            }
            Err(error) => self.0.finish(error.kind.word()),
        }
    }

    /// The answer's head does not say how it went; [`Self::spawned`] will.
    pub(super) fn defer(&self) {
        self.0
            .deferred
            .store(true, std::sync::atomic::Ordering::Relaxed);
    }

    fn answered(&self, response: &Response) {
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS
            && self.0.deferred.load(std::sync::atomic::Ordering::Relaxed)
        {
            return;
        }
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            self.0.finish("ok");
        } else {
            let kind = response.extensions().get::<ErrorKind>();
            self.0
                .finish(kind.map_or(status.as_str(), |kind| kind.word()));
        }
    }
}

/// Notes a refusal at the door.
pub(super) fn refused(daemon: &Arc<Daemon>, who: Who, what: &str, kind: ErrorKind, lost: u64) {
    let ticket = AuditScope::new(daemon.clone(), who, what.to_owned());
    if lost > 0 {
        ticket.detail(&format!("and {lost} more like it"));
    }
    ticket.0.finish(kind.word());
}

/// What is noted of a route; `None` for what only reads.
fn operation(method: &Method, route: &str, path: &str) -> Option<String> {
    let last = route.rsplit('/').next().unwrap_or_default();
    let word = match (method, route) {
        (&Method::GET, "/v1/spawn") | (&Method::POST, "/v1/workers") => "spawn",
        (&Method::GET, "/v1/workers/{w}/attach") => "attach",
        (&Method::GET, _) | (_, "/v1/workers/{w}/seen") => return None,
        (&Method::DELETE, "/v1/workers/{w}") => "rm",
        (_, "/v1/pools/{p}/{action}") => {
            let action = path.rsplit('/').next().unwrap_or_default();
            return Some(format!("pool {}", short(action, 40)));
        }
        (_, "/v1/pools/{p}/scale") => "pool scale",
        _ => last,
    };
    Some(word.to_owned())
}

/// Writes an entry for each request that changes something or attaches.
pub(super) async fn audited(
    State(daemon): App,
    route: Option<MatchedPath>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    let what = route
        .as_ref()
        .and_then(|r| operation(request.method(), r.as_str(), path));
    let (Some(what), Some(route)) = (what, route) else {
        return next.run(request).await;
    };
    let ticket = AuditScope::new(daemon, who(&request), what);
    if let Some(named) = route
        .as_str()
        .split('/')
        .position(|part| part.starts_with('{'))
    {
        let given = path
            .split('/')
            .nth(named)
            .map(|part| short(&decoded(part), 80));
        ticket.note(|entry| match route.as_str().starts_with("/v1/pools/") {
            true => entry.profile = given,
            false => entry.worker = given,
        });
    }
    request.extensions_mut().insert(ticket.clone());
    let response = next.run(request).await;
    ticket.answered(&response);
    response
}

/// Who makes a request.
pub(super) fn who(request: &Request) -> Who {
    let token = request
        .extensions()
        .get::<TokenId>()
        .map(|id| id.0.as_str());
    who_of(
        request.extensions().get::<Arc<Peer>>(),
        request.headers(),
        token,
    )
}

fn who_of(peer: Option<&Arc<Peer>>, headers: &HeaderMap, token: Option<&str>) -> Who {
    peer.map_or(Who::Coordinator, |peer| peer.who(headers, token))
}

/// A path's part as it was meant.
fn decoded(part: &str) -> String {
    String::from_utf8_lossy(&percent::decode(part)).into_owned()
}

/// `GET /v1/audit`: the entries, a line of JSON each.
pub(super) async fn read(
    State(daemon): App,
    Query(query): Query<AuditQuery>,
) -> Result<Response, Failure> {
    let since = query
        .since_s
        .and_then(|seconds| SystemTime::now().checked_sub(Duration::from_secs(seconds)));
    let slot = daemon.audit_slot()?;
    let log = daemon.audit().clone();
    let open = move |(): &mut ()| {
        if !log.flush(FLUSH_DEADLINE) {
            tracing::warn!("the audit log lags behind");
        }
        log.reader(since, query.tail)
    };
    let ((), reader) = slot.read((), open).await.map_err(unreadable)?;
    let stream = futures_util::stream::try_unfold(Some((slot, reader)), async |state| {
        let Some((slot, reader)) = state else {
            return Ok::<_, io::Error>(None);
        };
        let (reader, piece) = slot.read(reader, AuditReader::read).await?;
        Ok(piece.map(|piece| (Bytes::from(piece), Some((slot, reader)))))
    });
    let kind = [("content-type", "application/x-ndjson")];
    Ok((kind, Body::from_stream(stream)).into_response())
}

fn unreadable(error: io::Error) -> ApiError {
    let message = format!("the audit log cannot be read: {error}");
    ApiError::new(ErrorKind::Internal, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_or_attaches_is_noted_and_what_reads_is_not() {
        for (method, route, path, expected) in [
            (Method::POST, "/v1/workers", "", Some("spawn")),
            (Method::GET, "/v1/spawn", "", Some("spawn")),
            (Method::GET, "/v1/workers/{w}/attach", "", Some("attach")),
            (Method::DELETE, "/v1/workers/{w}", "", Some("rm")),
            (Method::POST, "/v1/workers/{w}/stop", "", Some("stop")),
            (
                Method::POST,
                "/v1/workers/{w}/changes/apply",
                "",
                Some("apply"),
            ),
            (
                Method::POST,
                "/v1/pools/{p}/{action}",
                "/v1/pools/x/drain",
                Some("pool drain"),
            ),
            (Method::POST, "/v1/pools/{p}/scale", "", Some("pool scale")),
            (Method::POST, "/v1/down", "", Some("down")),
            (Method::GET, "/v1/workers", "", None),
            (Method::GET, "/v1/audit", "", None),
            (Method::POST, "/v1/workers/{w}/seen", "", None),
            (Method::POST, "/v1/workers/{w}/refresh", "", Some("refresh")),
        ] {
            assert_eq!(
                operation(&method, route, path).as_deref(),
                expected,
                "{method} {route}"
            );
        }
    }

    #[test]
    fn a_name_is_noted_as_it_was_meant() {
        assert_eq!(decoded("a%2Fb%C3%A9%zz%4"), "a/bé%zz%4");
    }
}
