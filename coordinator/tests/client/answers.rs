//! The client against a server that answers wrongly: cut off, nonsense, the wrong status, nothing at
//! all, or more than it may.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::server::{Answer, Server, json};
use coordinator::{
    client::{Client, ClientError, Deadlines},
    wire::{ErrorKind, EventBody, LogsQuery},
};
use futures_util::StreamExt;
use std::time::Duration;

const VERSION: &str = r#"{"version":"1.2.3","api":1}"#;

fn kind(error: &ClientError) -> Option<ErrorKind> {
    match error {
        ClientError::Api(error) => Some(error.kind),
        _ => None,
    }
}

fn impatient(client: &Client) -> Client {
    let deadlines = Deadlines {
        ordinary: Duration::from_millis(50),
        ..Deadlines::default()
    };
    client.clone().with_deadlines(deadlines)
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_coordinator_that_went_away() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 20",
        b"HTTP/1.1 200 OK\r\ncontent-le",
        b"HTTP/1.1 200 OK\r\ncontent-length: 28\r\n\r\n{\"version\":\"1.2.3\",\"api\":1",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1b\r\n{\"version\":\"1.2.3\",\"api\":1}\r\n",
    ] {
        let server = Server::new([Answer::close(bytes)]);
        let error = server.client.version().await.unwrap_err();
        assert!(
            matches!(error, ClientError::Unreachable { .. }),
            "{error:?} to {}",
            String::from_utf8_lossy(bytes)
        );
        assert!(error.is_transient() && error.exit_code() == 1);
    }
}

#[tokio::test]
async fn an_answer_that_is_not_understood_is_said_with_its_call() {
    for (body, what) in [
        ("<html>hello</html>", "a page"),
        ("[]", "another shape"),
        (r#"{"version":1,"api":1}"#, "another type"),
        (r#"{"version":"1.2.3"}"#, "a field less"),
        ("", "nothing"),
        (
            r#"{"version":"1.2.3","api":1} trailing"#,
            "something behind it",
        ),
    ] {
        let server = Server::new([Answer::keep(json("200 OK", body))]);
        let error = server.client.version().await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Protocol { what, .. } if what == "GET /v1/version"),
            "{what}: {error:?}"
        );
        assert!(!error.is_transient(), "trying again gives the same");
    }
    // More than it asked for is no fault: a newer coordinator says more.
    let more = r#"{"version":"1.2.3","api":1,"of_the_future":[]}"#;
    let server = Server::new([Answer::keep(json("200 OK", more))]);
    assert_eq!(server.client.version().await.unwrap().version, "1.2.3");
}

#[tokio::test]
async fn what_does_not_speak_http_ends_the_call() {
    let header = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "x".repeat(2 << 20));
    let headers = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd",
        header.as_bytes(),
        headers.as_bytes(),
    ] {
        let server = Server::new([Answer::hold(bytes)]);
        let error = server.client.version().await.unwrap_err();
        assert_eq!(error.exit_code(), 1, "{error:?}");
    }
}

#[tokio::test]
async fn an_error_without_an_error_in_it_goes_by_its_status() {
    for (status, expected) in [
        ("400 Bad Request", ErrorKind::Invalid),
        ("401 Unauthorized", ErrorKind::Unauthorized),
        ("403 Forbidden", ErrorKind::Refused),
        ("404 Not Found", ErrorKind::NotFound),
        ("405 Method Not Allowed", ErrorKind::Invalid),
        ("409 Conflict", ErrorKind::Conflict),
        ("413 Content Too Large", ErrorKind::TooLarge),
        (
            "431 Request Header Fields Too Large",
            ErrorKind::HeadersTooLarge,
        ),
        ("500 Internal Server Error", ErrorKind::Internal),
        ("504 Gateway Timeout", ErrorKind::Timeout),
    ] {
        for body in ["", "\"text\"", r#"{"kind":"of_the_future","message":"m"}"#] {
            let server = Server::new([Answer::keep(json(status, body))]);
            let error = server.client.version().await.unwrap_err();
            assert_eq!(kind(&error), Some(expected), "{status} {body}");
            assert!(error.to_string().contains(&status[..3]), "{error}");
        }
    }
    // It is shown on a terminal, and may be anything.
    let page = format!("\u{1b}[2J\u{7}{}", "long ".repeat(10_000));
    let server = Server::new([Answer::keep(json("500 Oh", &page))]);
    let shown = server.client.version().await.unwrap_err().to_string();
    assert!(!shown.contains(char::is_control), "{shown:?}");
    assert!(shown.len() < 400, "{}", shown.len());
}

#[tokio::test]
async fn an_error_keeps_its_kind_message_and_hint_whatever_the_status_is() {
    let body = r#"{"kind":"conflict","message":"no such luck","hint":"try harder","more":1}"#;
    let server = Server::new([Answer::keep(json("418 Teapot", body))]);
    let error = server.client.version().await.unwrap_err();
    assert_eq!(kind(&error), Some(ErrorKind::Conflict));
    assert_eq!(error.to_string(), "no such luck");
    assert_eq!(error.hint().as_deref(), Some("try harder"));
}

#[tokio::test]
async fn a_call_that_is_not_answered_ends_by_its_deadline_and_its_connection_with_it() {
    for bytes in [
        &b""[..],
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 27\r\n\r\n{\"version\"",
    ] {
        let server = Server::new([Answer::hold(bytes), Answer::keep(json("200 OK", VERSION))]);
        let error = impatient(&server.client).version().await.unwrap_err();
        assert!(
            matches!(&error, ClientError::Deadline { what, .. } if what == "GET /v1/version"),
            "{error:?}"
        );
        assert_eq!(error.exit_code(), 124);
        // The late answer is not taken for the next call's.
        assert_eq!(server.client.version().await.unwrap().version, "1.2.3");
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn a_read_is_repeated_once_on_a_new_connection_and_a_change_never() {
    let server = Server::new([
        Answer::keep(json("200 OK", VERSION)),
        // The kept connection is closed when it is used again.
        Answer::close(b""),
        Answer::keep(json("200 OK", VERSION)),
        Answer::close(b""),
        Answer::close(b""),
    ]);
    server.client.version().await.unwrap();
    assert_eq!(server.client.version().await.unwrap().version, "1.2.3");
    let seen = |what: &str| {
        server
            .requests()
            .iter()
            .filter(|r| r.starts_with(what))
            .count()
    };
    assert_eq!((seen("GET /v1/version"), server.connections()), (3, 2));
    // Once more, and the new connection fails as well: that is the end of it.
    let error = server.client.version().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    assert_eq!(seen("GET /v1/version"), 5);

    let server = Server::new([
        Answer::keep(json("200 OK", VERSION)),
        Answer::close(b""),
        Answer::keep(json("204 No Content", "")),
    ]);
    server.client.version().await.unwrap();
    let error = server.client.input("one", "rm -r x\r").await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    let typed = server.requests();
    let typed: Vec<_> = typed.iter().filter(|r| r.starts_with("POST")).collect();
    assert_eq!(typed.len(), 1, "typed once: {typed:?}");
}

#[tokio::test]
async fn a_stream_that_breaks_off_says_so_behind_what_came() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (end, whole) in [("0\r\n\r\n", true), ("", false), ("9\r\nworld", false)] {
        let server = Server::new([Answer::close(format!("{HEAD}{end}").as_bytes())]);
        let mut logs = server
            .client
            .logs("w", &LogsQuery::default())
            .await
            .unwrap();
        let (mut text, mut failed) = (Vec::new(), 0);
        while let Some(item) = logs.next().await {
            match item {
                Ok(bytes) => text.extend_from_slice(&bytes),
                Err(error) => {
                    assert!(
                        matches!(error, ClientError::Unreachable { .. }),
                        "{error:?}"
                    );
                    failed += 1;
                }
            }
        }
        assert!(text.starts_with(b"hello"));
        assert_eq!(failed, usize::from(!whole), "ended by {end:?}");
    }
}

#[tokio::test]
async fn a_stream_is_only_taken_with_the_status_it_has() {
    let error = r#"{"kind":"not_found","message":"no worker w","hint":null}"#;
    let server = Server::new([
        Answer::keep(json("404 Not Found", error)),
        Answer::keep(json("206 Partial Content", "half")),
    ]);
    let query = LogsQuery::default();
    let error = server.client.logs("w", &query).await.err().unwrap();
    assert_eq!(kind(&error), Some(ErrorKind::NotFound));
    let error = server.client.logs("w", &query).await.err().unwrap();
    assert!(
        matches!(&error, ClientError::Protocol { reason, .. } if reason.contains("206")),
        "{error:?}"
    );
}

const REMOVED: &str = r#"{"seq":1,"at_ms":5,"event":"removed","id":"i","name":"n"}"#;

/// What the event stream gives for a body, to its end.
async fn events(body: &str, framing: &str) -> Vec<Result<EventBody, ClientError>> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{framing}\r\n");
    let server = Server::new([Answer::close(format!("{head}{body}").as_bytes())]);
    let mut stream = server.client.events().await.unwrap();
    let mut all = Vec::new();
    while let Some(next) = stream.next().await {
        all.push(next.map(|event| event.body));
        assert!(all.len() < 10);
    }
    // What has ended stays so.
    assert!(stream.next().await.is_none());
    all
}

#[tokio::test]
async fn half_an_event_is_none_and_a_broken_one_ends_the_stream() {
    let removed = EventBody::Removed {
        id: "i".into(),
        name: "n".into(),
    };
    let found = events(&format!("data: {REMOVED}\n\ndata: {REMOVED}\n"), "").await;
    assert_eq!(found, [Ok(removed.clone())], "the second has no end");
    let cut = events(&format!("data: {REMOVED}\n\n"), "content-length: 9999\r\n").await;
    assert_eq!(cut[0], Ok(removed.clone()));
    assert!(
        matches!(cut[1], Err(ClientError::Unreachable { .. })),
        "{cut:?}"
    );
    let nonsense = format!("data: {{\"seq\":\n\ndata: {REMOVED}\n\n");
    let found = events(&nonsense, "").await;
    assert_eq!(found.len(), 1, "nothing is read behind it: {found:?}");
    assert!(
        matches!(&found[0], Err(ClientError::Protocol { what, .. }) if what == "GET /v1/events")
    );
    // What this version does not know is passed over, and what it is not given as well.
    let unknown = format!(
        "data: {{\"seq\":0,\"at_ms\":1,\"event\":\"new\",\"x\":[]}}\n\n: alive\n\ndata: {REMOVED}\n\n"
    );
    assert_eq!(events(&unknown, "").await, [Ok(removed)]);
}
