//! A connection to the coordinator through engine exec.
//!
//! Two engine calls on one connection: create an exec of `podbay relay` without a TTY, then start
//! it with an upgrade. The hijacked stream is decoded here, by [`super::mux`]: the engine library's
//! decoder takes bytes above 2 for an unframed terminal, which cannot be risked with binary data.

use super::{
    connection::{Connection, Notes, unreachable},
    mux::{Channel, MuxDecoder},
};
use crate::client::{ClientError, Endpoint, EngineAddress};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// How much is read from the engine at once.
const READ: usize = 128 << 10;
/// Longest plain answer of the engine.
const MAX_ANSWER: usize = 1 << 20;

/// Opens `podbay relay` in the container.
pub(in crate::client) async fn open(
    target: &str,
    engine: &EngineAddress,
    container: &str,
) -> Result<Connection, ClientError> {
    open_command(target, engine, container, &["podbay", "relay"]).await
}

async fn open_command(
    target: &str,
    engine: &EngineAddress,
    container: &str,
    command: &[&str],
) -> Result<Connection, ClientError> {
    let mut sender = connect(engine).await?;
    let no_engine = |error: hyper::Error| ClientError::NoEngine {
        address: engine.to_string(),
        reason: chain(&error),
    };
    let create = serde_json::json!({
        "AttachStdin": true, "AttachStdout": true, "AttachStderr": true, "Tty": false, "Cmd": command,
    });
    let path = format!(
        "/containers/{}/exec",
        crate::wire::percent::encode(container.as_bytes())
    );
    let answer = sender
        .send_request(post(target, &path, &create)?)
        .await
        .map_err(no_engine)?;
    let status = answer.status();
    let body = text(answer)
        .await
        .map_err(|reason| unreachable(target, reason))?;
    let id = match status {
        StatusCode::CREATED | StatusCode::OK => {
            let id = serde_json::from_str::<serde_json::Value>(&body).ok();
            id.and_then(|value| value.get("Id")?.as_str().map(str::to_owned))
                .ok_or_else(|| unreachable(target, "the engine's answer to an exec has no id"))?
        }
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => {
            return Err(ClientError::NoParent {
                name: container.to_owned(),
                reason: engine_message(&body),
            });
        }
        _ => {
            return Err(unreachable(
                target,
                format!("{status}: {}", engine_message(&body)),
            ));
        }
    };
    let start = serde_json::json!({ "Detach": false, "Tty": false });
    let mut request = post(target, &format!("/exec/{id}/start"), &start)?;
    let headers = request.headers_mut();
    headers.insert(
        header::CONNECTION,
        header::HeaderValue::from_static("Upgrade"),
    );
    headers.insert(header::UPGRADE, header::HeaderValue::from_static("tcp"));
    // The connection's own task may still have to see that the last answer ended.
    sender.ready().await.map_err(no_engine)?;
    let answer = sender.send_request(request).await.map_err(no_engine)?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let status = answer.status();
        let body = text(answer).await.unwrap_or_default();
        return Err(unreachable(
            target,
            format!("exec: {status}: {}", engine_message(&body)),
        ));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(no_engine)?;
    let notes = Notes::default();
    let stream = ExecStream {
        inner: TokioIo::new(upgraded),
        decoder: MuxDecoder::default(),
        buffer: BytesMut::new(),
        piece: Bytes::new(),
        notes: notes.clone(),
        judged: false,
    };
    Ok(Connection::new(stream, notes))
}

async fn connect(engine: &EngineAddress) -> Result<SendRequest<Full<Bytes>>, ClientError> {
    let no_engine = |reason: String| ClientError::NoEngine {
        address: engine.to_string(),
        reason,
    };
    let stream = match &engine.endpoint {
        Endpoint::Unix(path) => UnixStream::connect(path)
            .await
            .map(|s| Connection::new(s, Notes::default())),
        Endpoint::Tcp(host) => TcpStream::connect(host).await.map(|s| {
            // Keystrokes are small; without this they would wait for each other.
            drop(s.set_nodelay(true));
            Connection::new(s, Notes::default())
        }),
    }
    .map_err(|error| no_engine(error.to_string()))?;
    let (sender, connection) = http1::Builder::new()
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| no_engine(chain(&error)))?;
    tokio::spawn(connection.with_upgrades());
    Ok(sender)
}

fn post(
    target: &str,
    path: &str,
    body: &serde_json::Value,
) -> Result<Request<Full<Bytes>>, ClientError> {
    Request::post(path)
        .header(header::HOST, "engine")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.to_string().into()))
        .map_err(|error| unreachable(target, error))
}

async fn text(answer: Response<Incoming>) -> Result<String, String> {
    let body = Limited::new(answer.into_body(), MAX_ANSWER).collect().await;
    let bytes = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The engine's own words out of `{"message": …}`.
fn engine_message(body: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(body).ok();
    let message = value.and_then(|value| value.get("message")?.as_str().map(str::to_owned));
    message.unwrap_or_else(|| body.trim().to_owned())
}

/// An error with its causes, which `hyper::Error` hides in its `Display`.
pub(in crate::client) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The exec's stdin and stdout as one stream; its stderr goes to the notes.
struct ExecStream<S> {
    inner: S,
    decoder: MuxDecoder,
    buffer: BytesMut,
    piece: Bytes,
    notes: Notes,
    /// Whether the first bytes were found to be an answer of the coordinator. The engine writes
    /// its own failure to start the program on the same stdout.
    judged: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for ExecStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.piece.is_empty() {
                let take = this.piece.len().min(buf.remaining());
                buf.put_slice(&this.piece.split_to(take));
                return Poll::Ready(Ok(()));
            }
            match this
                .decoder
                .decode(&mut this.buffer)
                .map_err(io::Error::other)?
            {
                Some((Channel::Stdout, piece)) => {
                    if !this.judged {
                        this.judged = true;
                        if !b"HTTP/".starts_with(piece.get(..5).unwrap_or(&piece)) {
                            this.notes.add(&piece);
                        }
                    }
                    this.piece = piece;
                }
                Some((Channel::Stderr, piece)) => this.notes.add(&piece),
                None => {
                    this.buffer.reserve(READ);
                    let read = tokio_util::io::poll_read_buf(
                        Pin::new(&mut this.inner),
                        cx,
                        &mut this.buffer,
                    );
                    if ready!(read)? == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ExecStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Target;
    use crate::client::{
        engine::Engine,
        engine_address::{self, SystemEnv},
    };
    use bollard::models::ContainerCreateBody;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const IMAGE: &str = "podbay/base:bookworm";
    const NAME: &str = "podbay-test-exec";

    async fn said(target: &str, engine: &EngineAddress, command: &[&str]) -> String {
        let mut stream = open_command(target, engine, NAME, command).await.unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        stream.notes.text().unwrap()
    }

    #[tokio::test]
    async fn any_bytes_pass_both_ways_and_failures_are_told() {
        let address = engine_address::find(&SystemEnv).unwrap();
        let engine = Engine::connect(address.clone()).await.unwrap();
        let target = Target::Exec {
            engine: address.clone(),
            container: NAME.into(),
        };
        let gone = open(&target.to_string(), &address, NAME)
            .await
            .err()
            .unwrap();
        assert!(matches!(gone, ClientError::NoParent { .. }), "{gone}");
        let body = ContainerCreateBody {
            image: Some(IMAGE.into()),
            cmd: Some(vec!["sleep".into(), "600".into()]),
            ..Default::default()
        };
        engine.create(NAME, body).await.unwrap();
        let stopped = open(&target.to_string(), &address, NAME)
            .await
            .err()
            .unwrap();
        assert!(matches!(stopped, ClientError::NoParent { .. }), "{stopped}");
        engine.start(NAME).await.unwrap();

        let sent: Vec<u8> = (0..10 << 20)
            .map(|i: u32| (i ^ (i >> 8) ^ (i >> 16)) as u8)
            .collect();
        let stream = open_command(&target.to_string(), &address, NAME, &["cat"])
            .await
            .unwrap();
        let (mut from, mut to) = tokio::io::split(stream);
        let write = async {
            for piece in sent.chunks(77_777) {
                to.write_all(piece).await.unwrap();
            }
            to.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), read) = tokio::join!(write, from.read_to_end(&mut got));
        read.unwrap();
        assert_eq!(got.len(), sent.len());
        assert!(got == sent);

        assert_eq!(
            said(
                &target.to_string(),
                &address,
                &["sh", "-c", "echo podbay: oops >&2"]
            )
            .await,
            "oops"
        );
        let missing = said(&target.to_string(), &address, &["no-such-program", "relay"]).await;
        assert!(missing.contains("no-such-program"), "{missing}");
        let client = crate::client::Client::new(target);
        let error = client.version().await.unwrap_err().to_string();
        assert!(
            error.contains("podbay") && error.contains("not found"),
            "{error}"
        );
        engine.remove(NAME, 0).await.unwrap();
    }
}
