//! What wrong requests to the real API are answered with: one test for each kind of wrong.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use crate::support::{Answer, Bay, MAX_BODY};
use coordinator::wire::{ApiEvent, ErrorKind, EventBody, PoolView, SpawnResponse};
use std::io::{Read, Write};

const EXEC: &str = r#"{"argv":["x"],"env":{},"io":{"kind":"pipes"}}"#;

/// An answer's error, whose kind has the status that it came with.
#[track_caller]
fn refused(answer: &Answer, kind: ErrorKind) -> String {
    let error = answer.error();
    assert_eq!(error.kind, kind, "{}: {}", answer.status, error.message);
    assert_eq!(answer.status, kind.http_status(), "{}", error.message);
    error.message
}

#[test]
fn every_refusal_is_an_error_with_a_kind_and_its_status() {
    use ErrorKind::{Invalid, NotFound};
    let bay = Bay::start();
    for (path, kind) in [
        ("/", NotFound),
        ("/v1", NotFound),
        ("/v2/status", NotFound),
        ("/v1/workers/", NotFound),
        ("/v1/workers/none", NotFound),
        ("/v1/workers/none/screen", NotFound),
        ("/v1/workers/none/logs", NotFound),
        ("/v1/workers/none/changes", NotFound),
        ("/v1/workers/none/changes/any", NotFound),
        ("/v1/workers/none/nothing", NotFound),
        // Queries and names that are not what they have to be.
        ("/v1/workers?all=maybe", Invalid),
        ("/v1/workers/none/logs?tail=all", Invalid),
        ("/v1/workers/none/logs?follow=", Invalid),
        ("/v1/audit?tail=-1", Invalid),
        ("/v1/workers/%ff", Invalid),
        // What has to be a WebSocket, and is none.
        ("/v1/workers/none/attach?mode=own", Invalid),
        ("/v1/workers/none/attach", Invalid),
        ("/v1/spawn", Invalid),
    ] {
        let message = refused(&bay.get(path), kind);
        assert!(!message.is_empty(), "{path}");
    }
    for (path, body, kind) in [
        ("/v1/workers/none/stop", "{}", NotFound),
        ("/v1/workers/none/restart", "{}", NotFound),
        ("/v1/workers/none/rename", r#"{"name":"other"}"#, NotFound),
        ("/v1/workers/none/refresh", "", NotFound),
        ("/v1/workers/none/seen", "", NotFound),
        ("/v1/workers/none/exec", EXEC, NotFound),
        (
            "/v1/workers/none/changes/apply",
            r#"{"paths":[]}"#,
            NotFound,
        ),
        (
            "/v1/pools/none/scale",
            r#"{"min_warm":1,"max_warm":1}"#,
            NotFound,
        ),
        ("/v1/pools/none/pause", "", NotFound),
        ("/v1/pools/default/dance", "", NotFound),
        ("/v1/workers", r#"{"profile":"none"}"#, NotFound),
    ] {
        refused(&bay.post(path, body), kind);
    }
    refused(&bay.ask("DELETE", "/v1/workers/none", "", b""), NotFound);
    let force = bay.ask("DELETE", "/v1/workers/none?force=perhaps", "", b"");
    refused(&force, Invalid);
    // The method is wrong: the status says so, and the rest is as ever.
    for (method, path) in [
        ("PUT", "/v1/workers"),
        ("POST", "/v1/status"),
        ("DELETE", "/v1/pools"),
    ] {
        let answer = bay.ask(method, path, "", b"");
        assert_eq!(answer.status, 405);
        assert_eq!(answer.error().kind, Invalid);
        assert!(answer.head.contains("\r\nallow: "), "{}", answer.head);
    }
}

#[test]
fn a_body_is_a_json_object_of_the_right_shape_and_says_where_it_is_not() {
    let bay = Bay::start();
    for (body, part) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("[]", "no JSON object"),
        ("null", "no JSON object"),
        (r#"{"argv":"x"}"#, "expected a sequence"),
        (r#"{"argv":["x"],"name":7}"#, "expected a string"),
        (r#"{"argv":["x"]} {}"#, "trailing"),
    ] {
        let answer = bay.post("/v1/workers", body);
        let message = refused(&answer, ErrorKind::Invalid);
        assert!(message.contains(part), "{body}: {message}");
        assert!(
            answer
                .error()
                .hint
                .is_some_and(|hint| hint.contains("API.md"))
        );
    }
    let text = bay.ask("POST", "/v1/workers", "content-type: text/plain\r\n", b"{}");
    assert!(refused(&text, ErrorKind::Invalid).contains("application/json"));
    let untyped = bay.ask("POST", "/v1/workers", "", b"{}");
    refused(&untyped, ErrorKind::Invalid);
    // A name is judged before anything is claimed.
    for name in ["", "-x", "a/b", "a b", &"x".repeat(500)] {
        let body = format!(r#"{{"argv":["hold"],"name":"{name}"}}"#);
        refused(&bay.post("/v1/workers", &body), ErrorKind::Invalid);
    }
    let pools: Vec<PoolView> = serde_json::from_slice(&bay.get("/v1/pools").body).unwrap();
    assert_eq!(
        (pools[0].claimed, pools[0].hits, pools[0].misses),
        (0, 0, 0)
    );
}

#[test]
fn bodies_and_heads_are_taken_up_to_their_bounds() {
    let bay = Bay::start();
    let of = |length: usize| {
        let mut body = r#"{"name":"other"}"#.to_owned();
        body.push_str(&" ".repeat(length - body.len()));
        body
    };
    let path = "/v1/workers/none/rename";
    refused(&bay.post(path, &of(MAX_BODY)), ErrorKind::NotFound);
    for length in [MAX_BODY + 1, 40 * MAX_BODY] {
        let answer = bay.post(path, &of(length));
        refused(&answer, ErrorKind::TooLarge);
        assert!(answer.error().hint.unwrap().contains("16384"));
    }
    // The same without a length.
    let chunked = |length: usize| {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: podbay\r\nconnection: close\r\n\
             content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{length:x}\r\n"
        );
        bay.raw(format!("{head}{}\r\n0\r\n\r\n", of(length)).as_bytes())
    };
    refused(&chunked(MAX_BODY), ErrorKind::NotFound);
    refused(&chunked(MAX_BODY + 1), ErrorKind::TooLarge);
    let typed = bay.ask(
        "POST",
        "/v1/workers/none/input",
        "",
        &vec![0xff; MAX_BODY + 1],
    );
    refused(&typed, ErrorKind::TooLarge);
    let headers = |length: usize| {
        bay.ask(
            "GET",
            "/v1/version",
            &format!("a: {}\r\n", "x".repeat(length)),
            b"",
        )
    };
    assert_eq!(headers(15 << 10).status, 200);
    refused(&headers(17 << 10), ErrorKind::HeadersTooLarge);
    refused(
        &bay.get(&format!("/v1/{}", "x".repeat(17 << 10))),
        ErrorKind::HeadersTooLarge,
    );
    let page = bay.ask(
        "GET",
        "/v1/version",
        "origin: https://page.example\r\n",
        b"",
    );
    refused(&page, ErrorKind::Refused);
}

#[test]
fn a_request_that_breaks_off_costs_nobody_else() {
    let bay = Bay::start();
    for half in [
        &b"GET /v1/sta"[..],
        b"POST /v1/workers HTTP/1.1\r\nhost: podbay\r\ncontent-type: application/json\r\n\
          content-length: 100\r\n\r\n{\"argv\":[\"hold\"]}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
    ] {
        let mut stream = bay.connect();
        stream.write_all(half).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    // What was cut off was not carried out.
    let listed = bay.get("/v1/workers?all=true");
    assert_eq!(listed.status, 200);
    let pools: Vec<PoolView> = serde_json::from_slice(&bay.get("/v1/pools").body).unwrap();
    assert_eq!(pools[0].claimed, 0);
    // Two requests in one write are answered in turn.
    let both = b"GET /v1/version HTTP/1.1\r\nhost: podbay\r\n\r\n\
                 GET /v1/none HTTP/1.1\r\nhost: podbay\r\nconnection: close\r\n\r\n";
    let both = bay.raw(both);
    assert_eq!(both.status, 200);
    assert!(String::from_utf8_lossy(&both.body).contains("HTTP/1.1 404"));
}

#[test]
fn a_claimed_worker_is_kept_from_what_would_end_it_and_found_by_name_and_id() {
    let bay = Bay::start();
    let made = bay.post(
        "/v1/workers",
        r#"{"argv":["hold"],"name":"one","isolation":"none"}"#,
    );
    assert_eq!(made.status, 200, "{}", String::from_utf8_lossy(&made.body));
    let made: SpawnResponse = serde_json::from_slice(&made.body).unwrap();
    assert!(made.warm);
    for named in ["one", &made.worker.id] {
        assert_eq!(bay.get(&format!("/v1/workers/{named}")).status, 200);
    }
    let again = bay.post(
        "/v1/workers",
        r#"{"argv":["hold"],"name":"one","isolation":"none"}"#,
    );
    let message = refused(&again, ErrorKind::Conflict);
    assert!(message.contains("one"), "{message}");
    let removed = bay.ask("DELETE", "/v1/workers/one", "", b"");
    refused(&removed, ErrorKind::Conflict);
    refused(
        &bay.post("/v1/workers/one/exec", &EXEC.replace(r#""x""#, "")),
        ErrorKind::Invalid,
    );
    refused(
        &bay.post("/v1/workers/one/rename", r#"{"name":"a b"}"#),
        ErrorKind::Invalid,
    );
    let absent = bay.post(
        "/v1/workers",
        r#"{"argv":["absent"],"name":"two","isolation":"none"}"#,
    );
    refused(&absent, ErrorKind::CommandNotFound);
    refused(&bay.get("/v1/workers/two"), ErrorKind::NotFound);
    assert_eq!(
        bay.get("/v1/workers/one").status,
        200,
        "all that while it is there"
    );
    let forced = bay.ask("DELETE", "/v1/workers/one?force=true", "", b"");
    assert_eq!(forced.status, 204);
    assert_eq!(forced.body, b"");
    refused(&bay.get("/v1/workers/one"), ErrorKind::NotFound);
}

#[test]
fn metrics_and_events_are_of_their_types() {
    let bay = Bay::start();
    let metrics = bay.get("/v1/metrics");
    assert!(
        metrics.head.contains("openmetrics-text"),
        "{}",
        metrics.head
    );
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let warm = r#"podbay_pool_workers{profile="default",kind="warm"}"#;
    assert!(text.lines().any(|line| line.starts_with(warm)), "{text}");
    let mut stream = bay.connect();
    stream
        .write_all(b"GET /v1/events HTTP/1.1\r\nhost: podbay\r\n\r\n")
        .unwrap();
    let mut all = Vec::new();
    // The first event is whole once an empty line follows it.
    let first = loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&all);
        if let Some(data) = text.split("data: ").nth(1)
            && let Some((event, _)) = data.split_once("\n\n")
        {
            break event.to_owned();
        }
    };
    let head = String::from_utf8_lossy(&all).to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    let event: ApiEvent = serde_json::from_str(&first).unwrap();
    assert_eq!(event.seq, 0);
    assert!(matches!(event.body, EventBody::Hello { .. }), "{first}");
}
