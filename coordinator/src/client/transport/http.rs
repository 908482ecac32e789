//! HTTP/1.1 calls: one idle connection is kept, every call has a deadline.

use super::{connection::Notes, exec::chain, target::Target};
use crate::{
    client::ClientError,
    wire::{ApiError, ErrorKind},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::{
    future::Future,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

/// Longest answer that is collected whole.
const MAX_ANSWER: usize = 256 << 20;
/// How long a kept connection may take to be ready; a new one takes as long.
const READY: Duration = Duration::from_millis(50);

/// An open connection that no call is using.
pub(in crate::client) struct Link {
    sender: SendRequest<Full<Bytes>>,
    notes: Notes,
    /// Whether the connection was opened with [`Call::behind`].
    pub(in crate::client) said_behind: bool,
}

/// Makes calls on a target.
pub(in crate::client) struct Http {
    pub(in crate::client) target: Target,
    idle: Mutex<Option<Link>>,
}

/// A request before it is sent; it may have to be sent again on a new connection.
#[derive(Clone)]
pub(in crate::client) struct Call {
    pub(in crate::client) method: Method,
    pub(in crate::client) path: String,
    pub(in crate::client) body: Bytes,
    pub(in crate::client) headers: Vec<(header::HeaderName, String)>,
    /// What is sent with an Upgrade without waiting for its answer, on a new connection.
    pub(in crate::client) behind: Bytes,
}

impl Call {
    pub(in crate::client) fn new(method: Method, path: impl Into<String>) -> Self {
        Self {
            method,
            path: path.into(),
            body: Bytes::new(),
            headers: Vec::new(),
            behind: Bytes::new(),
        }
    }

    pub(in crate::client) fn body(mut self, kind: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.headers.push((header::CONTENT_TYPE, kind.to_owned()));
        self
    }

    /// For messages: `GET /v1/status`.
    pub(in crate::client) fn what(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    fn request(&self, target: &Target) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(&self.path)
            .header(
                header::HOST,
                match target {
                    Target::Tls(tls) => tls.authority.as_str(),
                    Target::Socket(_) | Target::Exec { .. } => "podbay",
                },
            );
        if let Target::Tls(tls) = target {
            request = request.header(header::AUTHORIZATION, tls.bearer());
        }
        if let Some(me) = said() {
            request = request.header("podbay-client", me);
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(self.body.clone()));
        request.map_err(|error| ClientError::Protocol {
            what: self.what(),
            reason: error.to_string(),
        })
    }
}

impl Http {
    pub(in crate::client) fn new(target: Target) -> Self {
        Self {
            target,
            idle: Mutex::new(None),
        }
    }

    async fn open(&self, behind: Bytes) -> Result<Link, ClientError> {
        let said_behind = !behind.is_empty();
        let stream = self.target.connect().await?.say_behind(behind);
        let notes = stream.notes.clone();
        let (sender, connection) = http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.target.unreachable(chain(&error)))?;
        tokio::spawn(connection.with_upgrades());
        Ok(Link {
            sender,
            notes,
            said_behind,
        })
    }

    /// The kept connection, when the call may use it. A connection that was closed meanwhile may be
    /// noticed only after the request was written; what must not be sent twice risks that only where
    /// another connection is dear.
    async fn take_idle(&self, call: &Call) -> Option<Link> {
        let fresh = call.method != Method::GET || !call.behind.is_empty();
        if fresh && matches!(self.target, Target::Socket(_)) {
            return None;
        }
        let mut link = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        // The connection's own task may still have to see that the last answer ended.
        let ready = tokio::time::timeout(READY, link.sender.ready()).await;
        matches!(ready, Ok(Ok(()))).then_some(link)
    }

    /// Gives a connection back once its answer was read to the end.
    fn keep(&self, link: Link) {
        if !link.sender.is_closed() {
            *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(link);
        }
    }

    /// Sends a call and waits for the answer's head. A kept connection that turns out to be closed
    /// is replaced, when the request cannot have been carried out.
    pub(in crate::client) async fn send(
        &self,
        call: &Call,
    ) -> Result<(Response<Incoming>, Link), ClientError> {
        if let Some(mut link) = self.take_idle(call).await {
            match link
                .sender
                .try_send_request(call.request(&self.target)?)
                .await
            {
                Ok(answer) => return Ok((answer, link)),
                Err(mut error) => {
                    let unsent = error.take_message().is_some();
                    if !unsent && call.method != Method::GET {
                        return Err(self.failed(error.error(), &link.notes));
                    }
                }
            }
        }
        let mut link = self.open(call.behind.clone()).await?;
        match link.sender.send_request(call.request(&self.target)?).await {
            Ok(answer) => Ok((answer, link)),
            Err(error) => Err(self.failed(&error, &link.notes)),
        }
    }

    fn failed(&self, error: &hyper::Error, notes: &Notes) -> ClientError {
        self.target
            .unreachable(notes.text().unwrap_or_else(|| chain(error)))
    }

    /// Sends a call and collects the answer within the deadline.
    pub(in crate::client) async fn collect(
        &self,
        call: &Call,
        deadline: Duration,
    ) -> Result<Bytes, ClientError> {
        self.collect_with_headers(call, deadline)
            .await
            .map(|(_, body)| body)
    }

    async fn collect_with_headers(
        &self,
        call: &Call,
        deadline: Duration,
    ) -> Result<(HeaderMap, Bytes), ClientError> {
        within(deadline, &call.what(), async {
            let (mut answer, link) = self.send(call).await?;
            let status = answer.status();
            let headers = std::mem::take(answer.headers_mut());
            let body = self.read(answer, call, &link.notes).await?;
            self.keep(link);
            if status.is_success() {
                Ok((headers, body))
            } else {
                Err(api_error(status, &body))
            }
        })
        .await
    }

    /// The same with the answer understood.
    pub(in crate::client) async fn json<T: DeserializeOwned>(
        &self,
        call: &Call,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let (_, value) = self.json_with_headers(call, deadline).await?;
        Ok(value)
    }

    /// The same with the answer's headers.
    pub(in crate::client) async fn json_with_headers<T: DeserializeOwned>(
        &self,
        call: &Call,
        deadline: Duration,
    ) -> Result<(HeaderMap, T), ClientError> {
        let (headers, body) = self.collect_with_headers(call, deadline).await?;
        let value = serde_json::from_slice(&body).map_err(|error| ClientError::Protocol {
            what: call.what(),
            reason: error.to_string(),
        })?;
        Ok((headers, value))
    }

    /// Sends a call whose answer is a stream; only its head has a deadline.
    pub(in crate::client) async fn stream(
        &self,
        call: &Call,
        expected: StatusCode,
        deadline: Duration,
    ) -> Result<(Response<Incoming>, Link), ClientError> {
        within(deadline, &call.what(), async {
            let (answer, link) = self.send(call).await?;
            let status = answer.status();
            if status == expected {
                return Ok((answer, link));
            }
            let body = self.read(answer, call, &link.notes).await?;
            if status.is_success() {
                let reason = format!("status {status} instead of {expected}");
                return Err(ClientError::Protocol {
                    what: call.what(),
                    reason,
                });
            }
            Err(api_error(status, &body))
        })
        .await
    }

    async fn read(
        &self,
        answer: Response<Incoming>,
        call: &Call,
        notes: &Notes,
    ) -> Result<Bytes, ClientError> {
        match Limited::new(answer.into_body(), MAX_ANSWER).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(ClientError::Protocol {
                    what: call.what(),
                    reason: format!("the answer is longer than {MAX_ANSWER} bytes"),
                })
            }
            Err(error) => Err(self
                .target
                .unreachable(notes.text().unwrap_or_else(|| chain(&*error)))),
        }
    }
}

/// Who this is, for the audit log: it takes anyone's word.
fn said() -> Option<&'static str> {
    static SAID: OnceLock<Option<String>> = OnceLock::new();
    let said = SAID.get_or_init(|| {
        let user = std::env::var("USER")
            .or_else(|_| std::env::var("LOGNAME"))
            .ok()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@');
        let user: String = user.chars().filter(|c| plain(*c)).take(40).collect();
        Some(format!("{user} uid {}", nix::unistd::getuid()))
    });
    said.as_deref()
}

/// Runs a call under a deadline.
pub(in crate::client) async fn within<T>(
    deadline: Duration,
    what: &str,
    call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(deadline, call).await {
        Ok(result) => result,
        Err(_) => Err(ClientError::Deadline {
            what: what.to_owned(),
            after: deadline,
        }),
    }
}

/// The error in an answer; an answer without one gets a kind from its status.
fn api_error(status: StatusCode, body: &[u8]) -> ClientError {
    if let Ok(error) = serde_json::from_slice::<ApiError>(body) {
        return error.into();
    }
    let kind = match status.as_u16() {
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        401 => ErrorKind::Unauthorized,
        403 => ErrorKind::Refused,
        413 => ErrorKind::TooLarge,
        426 => ErrorKind::UpgradeUnsupported,
        431 => ErrorKind::HeadersTooLarge,
        504 => ErrorKind::Timeout,
        400..=499 => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    };
    let text = String::from_utf8_lossy(body);
    let text: String = text.chars().filter(|c| !c.is_control()).take(300).collect();
    ApiError::new(kind, format!("{status}: {text}")).into()
}
