//! Opening a connection to a session.
//!
//! Owns: which protocol is asked for, and what a server answers to that. Never repeats a claim that may
//! have been served.

use super::{
    framed::{FrameSink, FrameSource, frames},
    outgoing::Queue,
    receiver::{Incoming, understand},
    stream::AttachStream,
    websocket::websocket,
};
use crate::{
    client::{
        Client, ClientError, Target,
        query::Query,
        transport::{Call, Connection, chain, within},
    },
    wire::{
        AttachQuery, ErrorKind, INPUT_WINDOW_PARAM, SESSION_HEADER, SESSION_PIPES, ServerMessage,
        SpawnRequest, SpawnResponse, percent::encode,
    },
};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode, header,
    upgrade::{Parts, Upgraded},
};
use hyper_util::rt::TokioIo;
use podbay_protocol::{ATTACH_PROTOCOL, AttachMode, SessionIo, message_frame};
use std::{future::poll_fn, time::Duration};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

/// The call that claims a worker and attaches to it.
const SPAWN: &str = "/v1/spawn";
/// After a request that could not be sent whole, the coordinator's reason is there by then.
const ANSWER: Duration = Duration::from_secs(2);

fn mode_name(mode: AttachMode) -> Result<String, ClientError> {
    match serde_json::to_value(mode).map_err(ClientError::attach)? {
        serde_json::Value::String(name) => Ok(name),
        other => Err(ClientError::attach(format!("mode {other}"))),
    }
}

fn attach_query(query: &AttachQuery) -> Result<Query, ClientError> {
    Ok(Query::default()
        .pair("mode", mode_name(query.mode)?.as_bytes())
        .maybe("cols", query.cols)
        .maybe("rows", query.rows)
        .maybe("session", query.session.as_ref())
        // Left out where it is the default: a coordinator of before knows no such parameter.
        .maybe("silent", query.silent.then_some(true)))
}

/// Whether an answer to an Upgrade means that WebSocket is to be asked for. A coordinator that knows no
/// other protocol calls the request invalid.
fn asks_for_websocket(error: &ClientError) -> bool {
    let kind = match error {
        ClientError::Api(error) => error.kind,
        _ => return false,
    };
    matches!(kind, ErrorKind::UpgradeUnsupported | ErrorKind::Invalid)
}

impl Client {
    /// Attaches to a worker's session.
    ///
    /// # Errors
    /// [`ClientError::Api`] with `not_found` when there is no such worker; any other when there is
    /// no connection.
    pub async fn attach(
        &self,
        name: &str,
        query: &AttachQuery,
    ) -> Result<AttachStream, ClientError> {
        let path = format!("/v1/workers/{}/attach", encode(name.as_bytes()));
        let asked = attach_query(query)?;
        if self.may_be_handed() {
            let opened = self
                .open_frames(format!("{path}{}", asked.clone().done()), Bytes::new())
                .await;
            match opened {
                Err(error) if asks_for_websocket(&error) => {}
                Err(error) => return Err(error),
                Ok((headers, sink, source)) => {
                    let on = headers.get(SESSION_HEADER).map(|on| on.as_bytes());
                    let pipes = on == Some(SESSION_PIPES.as_bytes());
                    let target = self.target().clone();
                    return Ok(AttachStream::of_frames(target, sink, source, pipes));
                }
            }
        }
        let asked = asked.pair(INPUT_WINDOW_PARAM, b"true");
        self.open_websocket(format!("{path}{}", asked.done())).await
    }

    /// Claims a worker, starts a command in it and attaches to it, in one round trip.
    ///
    /// # Errors
    /// [`ClientError::Api`] says why there is no worker or why its command did not start.
    pub async fn spawn_attached(
        &self,
        request: &SpawnRequest,
    ) -> Result<(SpawnResponse, AttachStream), ClientError> {
        let pipes = request.io == SessionIo::Pipes;
        if self.may_be_handed() {
            let first = message_frame(request).map_err(ClientError::attach)?;
            match self.open_frames(SPAWN.to_owned(), first.into()).await {
                Err(error) if asks_for_websocket(&error) => {}
                Err(error) => return Err(error),
                Ok((_, sink, source)) => {
                    match self.spawn_framed(pipes, sink, source).await {
                        // Nothing was started.
                        Err(ClientError::Api(error))
                            if error.kind == ErrorKind::UpgradeUnsupported => {}
                        spawned => return spawned,
                    }
                }
            }
        }
        let text = serde_json::to_string(request).map_err(ClientError::attach)?;
        self.spawn_websocket(text, pipes).await
    }

    /// Whether the coordinator may hand the connection on.
    fn may_be_handed(&self) -> bool {
        match self.target() {
            Target::Socket(_) | Target::Exec { .. } => true,
            Target::Tls(_) => false,
        }
    }

    async fn spawn_framed(
        &self,
        pipes: bool,
        mut sink: FrameSink,
        mut source: FrameSource,
    ) -> Result<(SpawnResponse, AttachStream), ClientError> {
        // What the socket did not take at once.
        let sent = poll_fn(|cx| sink.poll_send(cx, &mut Queue::default())).await;
        let patience = match sent {
            Ok(()) => self.deadlines().spawn,
            // A coordinator that refuses a request closes before it has read all of it.
            Err(_) => ANSWER,
        };
        let said = within(patience, "GET /v1/spawn", async {
            source.coordinator_says().await.transpose()
        });
        let said = match (said.await, sent) {
            (Ok(Some(text)), _) => understand::<ServerMessage>(&text)?,
            (_, Err(error)) => return Err(self.target().unreachable(chain(&error))),
            (Err(error), Ok(())) => return Err(error),
            (Ok(None), Ok(())) => return Err(self.gone_while_claiming()),
        };
        match said {
            Some(ServerMessage::Spawned(response)) => {
                let target = self.target().clone();
                let stream = AttachStream::of_frames(target, sink, source, pipes);
                Ok((*response, stream))
            }
            Some(ServerMessage::Error(error)) => Err(error.into()),
            other => Err(ClientError::attach(format!("{other:?} before the worker"))),
        }
    }

    async fn spawn_websocket(
        &self,
        text: String,
        pipes: bool,
    ) -> Result<(SpawnResponse, AttachStream), ClientError> {
        let params = Query::default().pair(INPUT_WINDOW_PARAM, b"true").done();
        let stream = self.open_websocket(format!("{SPAWN}{params}")).await?;
        let mut stream = stream.on_pipes(pipes);
        stream.sender.queue_message(text);
        if let Err(error) = stream.sender.flush().await {
            // A coordinator that refuses a request closes before it has read all of it.
            return match within(ANSWER, "GET /v1/spawn", async {
                Ok(stream.receiver.next().await)
            })
            .await
            {
                Ok(Some(Ok(Incoming::Message(ServerMessage::Error(said))))) => Err(said.into()),
                _ => Err(error),
            };
        }
        let spawned = within(self.deadlines().spawn, "GET /v1/spawn", async {
            match stream.receiver.next().await {
                Some(Ok(Incoming::Message(ServerMessage::Spawned(response)))) => Ok(*response),
                Some(Ok(Incoming::Message(ServerMessage::Error(error)))) => Err(error.into()),
                Some(Ok(other)) => Err(ClientError::attach(format!("{other:?} before the worker"))),
                Some(Err(error)) => Err(error),
                None => Err(self.gone_while_claiming()),
            }
        })
        .await?;
        Ok((spawned, stream))
    }

    fn gone_while_claiming(&self) -> ClientError {
        self.target()
            .unreachable("it went away while the worker was claimed")
    }

    /// Asks for an Upgrade; gives the answer's headers, the connection, and whether `behind` was said
    /// on it.
    async fn switch(
        &self,
        path: String,
        headers: Vec<(header::HeaderName, String)>,
        behind: Bytes,
    ) -> Result<(HeaderMap, Upgraded, bool), ClientError> {
        let mut call = Call::new(Method::GET, path);
        call.headers = headers;
        call.behind = behind;
        call.headers.push((header::CONNECTION, "Upgrade".into()));
        let deadline = self.deadlines().ordinary;
        let expected = StatusCode::SWITCHING_PROTOCOLS;
        let (answer, link) = self.http().stream(&call, expected, deadline).await?;
        let headers = answer.headers().clone();
        let upgraded = within(deadline, "attach", async {
            hyper::upgrade::on(answer)
                .await
                .map_err(|error| self.target().unreachable(chain(&error)))
        });
        Ok((headers, upgraded.await?, link.said_behind))
    }

    /// A connection that the coordinator hands on to the session's worker; `first` is said on it, where
    /// possible without waiting for the coordinator's answer.
    async fn open_frames(
        &self,
        path: String,
        first: Bytes,
    ) -> Result<(HeaderMap, FrameSink, FrameSource), ClientError> {
        let asked = vec![(header::UPGRADE, ATTACH_PROTOCOL.to_owned())];
        let (headers, upgraded, said) = self.switch(path, asked, first.clone()).await?;
        let given = headers.get(header::UPGRADE).map(|given| given.as_bytes());
        if given.is_none_or(|given| !given.eq_ignore_ascii_case(ATTACH_PROTOCOL.as_bytes())) {
            return Err(ClientError::attach(format!(
                "the answer is of another protocol than {ATTACH_PROTOCOL}"
            )));
        }
        let parts = upgraded.downcast::<TokioIo<Connection>>();
        let Ok(Parts { io, read_buf, .. }) = parts else {
            return Err(ClientError::attach("the connection is another one"));
        };
        let mut connection = io.into_inner();
        let unsent = match said {
            true => connection.take_behind(),
            false => first,
        };
        let (sink, source) = frames(connection, &read_buf, &unsent);
        Ok((headers, sink, source))
    }

    async fn open_websocket(&self, path: String) -> Result<AttachStream, ClientError> {
        let key = generate_key();
        let asked = vec![
            (header::UPGRADE, "websocket".into()),
            (header::SEC_WEBSOCKET_VERSION, "13".into()),
            (header::SEC_WEBSOCKET_KEY, key.clone()),
        ];
        let (headers, upgraded, _) = self.switch(path, asked, Bytes::new()).await?;
        let given = headers.get(header::SEC_WEBSOCKET_ACCEPT);
        let right = derive_accept_key(key.as_bytes());
        if given.is_none_or(|given| given.as_bytes() != right.as_bytes()) {
            return Err(ClientError::attach(
                "not a WebSocket: the accept key is wrong",
            ));
        }
        let (sink, source) = websocket(upgraded).await;
        let target = self.target().clone();
        Ok(AttachStream::of_websocket(target, sink, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_answers_no_queries_says_so_and_others_say_nothing_of_it() {
        let mut query = AttachQuery {
            mode: AttachMode::Write,
            cols: Some(80),
            rows: Some(24),
            session: None,
            silent: false,
        };
        let asked = |query: &AttachQuery| attach_query(query).unwrap().done();
        assert_eq!(asked(&query), "?mode=write&cols=80&rows=24");
        query.silent = true;
        assert_eq!(asked(&query), "?mode=write&cols=80&rows=24&silent=true");
    }
}
