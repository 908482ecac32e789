//! The peer's sessions, over a WebSocket.

use super::{Seen, error, spawned};
use axum::{
    body::Bytes,
    extract::{
        Path, Query, State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    response::Response,
};
use coordinator::wire::{ApiError, AttachQuery, ErrorKind, ServerMessage, SpawnRequest};
use podbay_protocol::{ExitStatus, SessionIo};
use std::time::Duration;

pub(super) async fn attach(
    State(seen): State<Seen>,
    Path(name): Path<String>,
    Query(query): Query<AttachQuery>,
    upgrade: WebSocketUpgrade,
) -> Response {
    seen.add(format!("attach {name} {query:?}"));
    match name.as_str() {
        "gone" => return error(ErrorKind::NotFound, "no worker gone"),
        "ended" => return error(ErrorKind::Conflict, "the session ended"),
        "slow" => tokio::time::sleep(Duration::from_millis(500)).await,
        _ => {}
    }
    let pipes = name == "pipes";
    match name.as_str() {
        "deaf" => upgrade.on_upgrade(move |socket| unread(socket, seen, true)),
        "stuck" => upgrade.on_upgrade(move |socket| unread(socket, seen, false)),
        _ => upgrade.on_upgrade(move |socket| session(socket, seen, name, pipes)),
    }
}

/// A session that reads nothing of what is typed, and ends at `END`; without a window nothing at all.
async fn unread(mut socket: WebSocket, seen: Seen, window: bool) {
    if window {
        say(&mut socket, &ServerMessage::Window { bytes: 64 << 10 }).await;
    }
    let (writer, pipes) = (true, false);
    say(&mut socket, &ServerMessage::Attached { writer, pipes }).await;
    drop(
        socket
            .send(Message::Binary(Bytes::from_static(b"ready\r\n")))
            .await,
    );
    if !window {
        std::future::pending::<()>().await;
    }
    let mut total = 0;
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(bytes) => {
                total += bytes.len();
                assert!(total <= 64 << 10, "more than was granted");
                seen.add(format!("unread {total}"));
                if bytes.windows(3).any(|part| part == b"END") {
                    let status = ExitStatus::Code(7);
                    return say(&mut socket, &ServerMessage::Exited { status, oom: false }).await;
                }
            }
            Message::Text(text) => seen.add(text.to_string()),
            Message::Close(_) => {
                seen.add("closed");
                return;
            }
            _ => {}
        }
    }
    seen.add("broken off");
}

pub(super) async fn spawn_attached(
    State(seen): State<Seen>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade.on_upgrade(|mut socket| async move {
        let Some(Ok(Message::Text(text))) = socket.recv().await else {
            panic!("no request")
        };
        let request: SpawnRequest = serde_json::from_str(&text).unwrap();
        seen.add(text.to_string());
        if request.argv == ["no-such"] {
            let error = ApiError::new(ErrorKind::CommandNotFound, "no-such: not found");
            say(&mut socket, &ServerMessage::Error(error)).await;
            return;
        }
        let name = request.name.clone().unwrap_or_else(|| "made-up".into());
        say(
            &mut socket,
            &ServerMessage::Spawned(Box::new(spawned(&name))),
        )
        .await;
        session(socket, seen, name, request.io == SessionIo::Pipes).await;
    })
}

async fn say(socket: &mut WebSocket, message: &ServerMessage) {
    // The client may be gone.
    drop(
        socket
            .send(Message::text(serde_json::to_string(message).unwrap()))
            .await,
    );
}

/// Echoes. `flood` writes 64 MiB first; the byte `q` ends with 7, `Q` breaks off; on pipes, the end
/// of the input ends with the number of bytes read.
async fn session(mut socket: WebSocket, seen: Seen, name: String, pipes: bool) {
    say(
        &mut socket,
        &ServerMessage::Attached {
            writer: true,
            pipes,
        },
    )
    .await;
    if name == "flood" {
        let piece = Bytes::from(vec![b'x'; 256 << 10]);
        for _ in 0..256 {
            if socket.send(Message::Binary(piece.clone())).await.is_err() {
                return;
            }
        }
        say(
            &mut socket,
            &ServerMessage::Exited {
                status: ExitStatus::Code(0),
                oom: false,
            },
        )
        .await;
        return;
    }
    let ready = if pipes {
        Bytes::from_static(b"\x02ready\n")
    } else {
        Bytes::from_static(b"\x1b[?1049hready\r\n")
    };
    drop(socket.send(Message::Binary(ready)).await);
    let mut total = 0;
    while let Some(Ok(message)) = socket.recv().await {
        match message {
            Message::Binary(bytes) => {
                total += bytes.len();
                seen.add(format!("typed {bytes:?}"));
                if !pipes && bytes.ends_with(b"q") {
                    let status = ExitStatus::Code(7);
                    return say(&mut socket, &ServerMessage::Exited { status, oom: false }).await;
                }
                if !pipes && bytes.ends_with(b"Q") {
                    return;
                }
                let mut echo = Vec::new();
                if pipes {
                    echo.push(1);
                }
                echo.extend_from_slice(&bytes);
                drop(socket.send(Message::binary(echo)).await);
            }
            Message::Text(text) => {
                seen.add(text.to_string());
                if pipes && text.contains("eof") {
                    let status = ExitStatus::Code(i32::try_from(total % 100).unwrap());
                    return say(&mut socket, &ServerMessage::Exited { status, oom: false }).await;
                }
            }
            Message::Close(_) => {
                seen.add("closed");
                return;
            }
            _ => {}
        }
    }
    seen.add("broken off");
}
