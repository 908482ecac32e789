//! Server-sent events.

use super::routes::App;
use crate::{
    daemon::{BusMessage, Daemon},
    wire::{ApiEvent, EventBody},
};
use axum::{
    body::{Body, Bytes},
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// A comment line keeps the connection alive and lets a dead client be noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

pub(super) async fn events(State(daemon): App) -> Response {
    // Listen first, describe second: nothing can fall in between.
    let listener = daemon.bus().listen();
    let state = (daemon, listener, 0u64, true);
    let stream =
        futures_util::stream::unfold(state, |(daemon, mut listener, seq, hello)| async move {
            if hello {
                let line = line(seq, everything(&daemon));
                return Some((
                    Ok::<_, Infallible>(line),
                    (daemon, listener, seq + 1, false),
                ));
            }
            let next = tokio::select! {
                next = tokio::time::timeout(KEEP_ALIVE, listener.next()) => next,
                () = daemon.stopped() => return None,
            };
            match next {
                Ok(BusMessage::Event(body)) => {
                    let line = line(seq, *body);
                    Some((Ok(line), (daemon, listener, seq + 1, false)))
                }
                // A gap in seq tells the client; then everything again.
                Ok(BusMessage::Lagged) => {
                    let line = line(seq + 1, everything(&daemon));
                    Some((Ok(line), (daemon, listener, seq + 2, false)))
                }
                Ok(BusMessage::Closed) => None,
                Err(_) => Some((
                    Ok(Bytes::from_static(b": alive\n\n")),
                    (daemon, listener, seq, false),
                )),
            }
        });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

fn everything(daemon: &Arc<Daemon>) -> EventBody {
    EventBody::Hello {
        status: Box::new(daemon.status()),
        workers: daemon.workers(true),
    }
}

fn line(seq: u64, body: EventBody) -> Bytes {
    let at = worker_agent::faults::wall_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
    match serde_json::to_string(&ApiEvent { seq, at_ms, body }) {
        Ok(json) => Bytes::from(format!("data: {json}\n\n")),
        Err(error) => {
            tracing::error!(%error, "an event cannot be written");
            Bytes::from_static(b": an event could not be written\n\n")
        }
    }
}
