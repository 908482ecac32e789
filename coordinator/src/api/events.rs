//! Server-sent events.

use super::reply::App;
use crate::{
    daemon::{BusMessage, Daemon},
    wire::EventBody,
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
                let line = line(seq, &everything(&daemon));
                return Some((
                    Ok::<_, Infallible>(line),
                    (daemon, listener, seq + 1, false),
                ));
            }
            let next = tokio::select! {
                next = tokio::time::timeout(KEEP_ALIVE, daemon.bus().next(&mut listener)) => next,
                () = daemon.stopped() => return None,
            };
            match next {
                Ok(BusMessage::Event(body)) => {
                    let line = line(seq, &body);
                    Some((Ok(line), (daemon, listener, seq + 1, false)))
                }
                // A gap in seq tells the client; then everything again.
                Ok(BusMessage::Lagged) => {
                    let line = line(seq + 1, &everything(&daemon));
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

/// The first event, as the bus has the others.
fn everything(daemon: &Arc<Daemon>) -> Bytes {
    let body = EventBody::Hello {
        status: Box::new(daemon.status()),
        workers: daemon.workers(true),
    };
    serde_json::to_vec(&body).map_or_else(
        |error| {
            tracing::error!(%error, "an event cannot be written");
            Bytes::new()
        },
        Bytes::from,
    )
}

/// An [`ApiEvent`](crate::wire::ApiEvent), whose body is written already.
fn line(seq: u64, body: &[u8]) -> Bytes {
    let at = podbay_failpoints::wall_clock()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let Some(fields) = body.strip_prefix(b"{") else {
        return Bytes::from_static(b": an event could not be written\n\n");
    };
    let head = format!("data: {{\"seq\":{seq},\"at_ms\":{},", at.as_millis());
    [head.as_bytes(), fields, b"\n\n"].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ApiEvent;

    #[test]
    fn a_line_is_an_event_with_its_number() {
        let body = EventBody::Removed {
            id: "i".to_owned(),
            name: "n".to_owned(),
        };
        let line = line(7, &serde_json::to_vec(&body).unwrap());
        let json = line.strip_prefix(b"data: ").unwrap();
        let event: ApiEvent = serde_json::from_slice(json).unwrap();
        assert_eq!((event.seq, event.body), (7, body));
        assert!(event.at_ms > 0 && line.ends_with(b"\n\n"));
    }
}
