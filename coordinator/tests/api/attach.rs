//! The real API's WebSockets: what is sent in which order, how each way of ending is told, and what a
//! client may not do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use crate::support::{BOUND, Bay, MAX_BODY, agent::MUCH};
use coordinator::wire::{ApiError, ErrorKind, INPUT_WINDOW, ServerMessage};
use futures_util::{SinkExt, StreamExt};
use podbay_protocol::ExitStatus;
use tokio::{net::UnixStream, time::timeout};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, protocol::CloseFrame, protocol::frame::coding::CloseCode},
};

struct Client(WebSocketStream<UnixStream>);

/// What a client has heard at the end of its connection.
#[derive(Debug, Default)]
struct Heard {
    messages: Vec<ServerMessage>,
    /// Output by its channel; 0 on a terminal.
    output: [Vec<u8>; 3],
    /// Messages that came before the last output.
    before: usize,
    close: Option<CloseFrame>,
}

impl Heard {
    fn error(&self) -> &ApiError {
        match self.messages.last() {
            Some(ServerMessage::Error(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// At the end of its input the program says how many bytes that was, and may still be heard.
    fn nothing_was_typed(&self) -> bool {
        matches!(&self.output[0][..], b"" | b"0")
    }

    fn closed_well(&self) -> bool {
        self.close
            .as_ref()
            .is_some_and(|frame| frame.code == CloseCode::Normal)
    }
}

impl Client {
    async fn open(bay: &Bay, path: &str) -> Result<Self, Error> {
        let socket = UnixStream::connect(&bay.socket).await.unwrap();
        let opened = client_async(format!("ws://podbay{path}"), socket).await?;
        Ok(Self(opened.0))
    }

    /// A session of that program.
    async fn spawn(bay: &Bay, query: &str, program: &str, more: &str) -> Self {
        let mut client = Self::open(bay, &format!("/v1/spawn{query}")).await.unwrap();
        let request = format!(r#"{{"argv":["{program}"],"name":"one","isolation":"none"{more}}}"#);
        client.say(Message::text(request)).await;
        client
    }

    async fn say(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    async fn next(&mut self) -> Option<Result<Message, Error>> {
        timeout(BOUND, self.0.next())
            .await
            .expect("an answer in time")
    }

    async fn message(&mut self) -> ServerMessage {
        match self.next().await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn attached(&mut self) -> bool {
        match self.message().await {
            ServerMessage::Attached { writer, .. } => writer,
            other => panic!("{other:?}"),
        }
    }

    /// Reads until so much output has come.
    async fn output(&mut self, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length {
            match self.next().await {
                Some(Ok(Message::Binary(bytes))) => all.extend_from_slice(&bytes),
                Some(Ok(Message::Text(text))) if text.contains("taken") => {}
                other => panic!("{other:?} after {} bytes", all.len()),
            }
        }
        all
    }

    /// All that comes until the connection ends.
    async fn rest(&mut self, pipes: bool) -> Heard {
        let mut heard = Heard::default();
        while let Some(Ok(message)) = self.next().await {
            assert!(heard.close.is_none(), "{message:?} behind the close");
            match message {
                Message::Text(text) => heard.messages.push(serde_json::from_str(&text).unwrap()),
                Message::Binary(bytes) => {
                    let (channel, bytes) = match pipes {
                        true => (usize::from(bytes[0]), &bytes[1..]),
                        false => (0, &bytes[..]),
                    };
                    heard.output[channel].extend_from_slice(bytes);
                    heard.before = heard.messages.len();
                }
                Message::Close(frame) => heard.close = frame,
                _ => {}
            }
        }
        heard
    }
}

#[tokio::test]
async fn an_exit_that_is_known_first_is_told_behind_all_output() {
    for pipes in [false, true] {
        let bay = Bay::start();
        let more = if pipes {
            r#","io":{"kind":"pipes"}"#
        } else {
            ""
        };
        let mut client = Client::spawn(&bay, "", "ends-first", more).await;
        let heard = client.rest(pipes).await;
        let [spawned, attached, exited] = heard.messages.as_slice() else {
            panic!("{:?}", heard.messages)
        };
        assert!(matches!(spawned, ServerMessage::Spawned(s) if s.worker.name == "one"));
        assert!(
            matches!(attached, ServerMessage::Attached { writer: true, pipes: p } if *p == pipes),
            "{attached:?}"
        );
        let code = ExitStatus::Code(3);
        assert!(matches!(exited, ServerMessage::Exited { status, oom: false } if *status == code));
        assert_eq!(heard.before, 2, "no output behind the exit");
        let sizes = heard.output.each_ref().map(Vec::len);
        let expected = if pipes { [0, MUCH, MUCH] } else { [MUCH, 0, 0] };
        assert_eq!(sizes, expected);
        let all = |bytes: &[u8], byte| bytes.iter().all(|b| *b == byte);
        assert!(all(&heard.output[usize::from(pipes)], b'o') && all(&heard.output[2], b'e'));
        assert!(heard.closed_well());
    }
}

#[tokio::test]
async fn a_stream_that_breaks_is_no_exit_and_no_error() {
    let bay = Bay::start();
    let mut client = Client::spawn(&bay, "", "breaks", "").await;
    let heard = client.rest(false).await;
    assert_eq!(heard.messages.len(), 2, "{:?}", heard.messages);
    assert_eq!(heard.output[0], b"some");
    assert!(!heard.closed_well(), "the client attaches again");
    let mut again = Client::open(&bay, "/v1/workers/one/attach").await.unwrap();
    assert!(again.attached().await);
}

#[tokio::test]
async fn input_reaches_the_program_in_order_and_its_end_behind_it() {
    let bay = Bay::start();
    let more = r#","io":{"kind":"pipes"}"#;
    let mut client = Client::spawn(&bay, "", "hold", more).await;
    for part in ["one ", "two ", "three"] {
        client.say(Message::binary(part)).await;
    }
    // What is no message of ours is passed over.
    client.say(Message::text("hello")).await;
    client
        .say(Message::text(r#"{"type":"of_the_future"}"#))
        .await;
    client.say(Message::text(r#"{"type":"eof"}"#)).await;
    client.say(Message::binary("too late")).await;
    let heard = client.rest(true).await;
    assert_eq!(String::from_utf8_lossy(&heard.output[1]), "one two three13");
    // A program that ends says so while its client is there.
    let mut client = Client::open(&bay, "/v1/workers/one/attach").await.unwrap();
    assert!(client.attached().await);
    client.say(Message::binary("now q")).await;
    let heard = client.rest(true).await;
    assert_eq!(heard.output[1], b"now q");
    assert!(
        matches!(heard.messages.last(), Some(ServerMessage::Exited { status, .. }) if status.shell_code() == 7),
        "{:?}",
        heard.messages
    );
    assert!(heard.closed_well());
}

#[tokio::test]
async fn a_client_that_counts_may_send_its_window_and_not_a_byte_more() {
    let bay = Bay::start();
    let window = INPUT_WINDOW as usize;
    let mut client = Client::spawn(&bay, "?input_window=true", "hold", "").await;
    assert!(matches!(client.message().await, ServerMessage::Spawned(_)));
    let granted = client.message().await;
    assert!(matches!(granted, ServerMessage::Window { bytes } if bytes == INPUT_WINDOW));
    assert!(client.attached().await);
    client.say(Message::binary(vec![b'x'; window])).await;
    assert_eq!(client.output(window).await.len(), window);
    drop(client);
    let again = "/v1/workers/one/attach?input_window=true";
    let mut client = Client::open(&bay, again).await.unwrap();
    assert!(matches!(
        client.message().await,
        ServerMessage::Window { .. }
    ));
    assert!(client.attached().await);
    client.say(Message::binary(vec![b'x'; window + 1])).await;
    let heard = client.rest(false).await;
    assert!(heard.nothing_was_typed(), "{:?}", heard.output);
    assert!(!heard.closed_well());
}

#[tokio::test]
async fn who_only_watches_types_nothing_and_does_not_take_over() {
    let bay = Bay::start();
    let mut writer = Client::spawn(&bay, "", "hold", "").await;
    assert!(matches!(writer.message().await, ServerMessage::Spawned(_)));
    assert!(writer.attached().await);
    let path = "/v1/workers/one/attach?mode=read_only";
    let mut watching = Client::open(&bay, path).await.unwrap();
    watching.attached().await;
    watching.say(Message::binary("typed q")).await;
    watching.say(Message::text(r#"{"type":"eof"}"#)).await;
    watching.say(Message::text(r#"{"type":"takeover"}"#)).await;
    let heard = watching.rest(false).await;
    assert!(heard.nothing_was_typed(), "{:?}", heard.output);
    assert!(
        heard.messages.is_empty() && !heard.closed_well(),
        "{heard:?}"
    );
    writer.say(Message::binary("still here")).await;
    assert_eq!(writer.output(10).await, b"still here");
}

#[tokio::test]
async fn a_first_message_that_is_no_request_is_refused_and_claims_nothing() {
    let bay = Bay::start();
    let filled = |length: usize| {
        let mut text = r#"{"argv":["absent"],"isolation":"none"}"#.to_owned();
        text.push_str(&" ".repeat(length - text.len()));
        Message::text(text)
    };
    for (first, kind, part) in [
        (Message::binary("{}"), ErrorKind::Invalid, "as text"),
        (Message::text(""), ErrorKind::Invalid, "no spawn request"),
        (Message::text("[1]"), ErrorKind::Invalid, "no spawn request"),
        (
            Message::text(r#"{"argv":7}"#),
            ErrorKind::Invalid,
            "no spawn request",
        ),
        (
            Message::text(r#"{"argv":["x"],"name":"a b"}"#),
            ErrorKind::Invalid,
            "a b",
        ),
        (
            Message::text(r#"{"argv":["x"],"profile":"none"}"#),
            ErrorKind::NotFound,
            "none",
        ),
        // The largest request is read: its program is what is wrong with it.
        (filled(MAX_BODY), ErrorKind::CommandNotFound, "absent"),
        (filled(MAX_BODY + 1), ErrorKind::TooLarge, "too large"),
        (filled(64 * MAX_BODY), ErrorKind::TooLarge, "too large"),
    ] {
        let mut client = Client::open(&bay, "/v1/spawn").await.unwrap();
        let text = first.to_string();
        client.say(first).await;
        let heard = client.rest(false).await;
        assert_eq!(heard.messages.len(), 1, "{:?}", heard.messages);
        let error = heard.error();
        assert_eq!(error.kind, kind, "{}: {error}", &text[..text.len().min(60)]);
        assert!(error.message.contains(part), "{error}");
        assert!(heard.closed_well());
    }
    // One that goes without a word costs nothing either.
    drop(Client::open(&bay, "/v1/spawn").await.unwrap());
    let listed = bay.get("/v1/workers").body;
    let listed: Vec<serde_json::Value> = serde_json::from_slice(&listed).unwrap();
    let named: Vec<_> = listed
        .iter()
        .filter(|w| !w["claimed_ms"].is_null())
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

#[tokio::test]
async fn what_cannot_be_attached_to_is_an_answer_before_the_upgrade() {
    let bay = Bay::start();
    let mut client = Client::spawn(&bay, "", "hold", "").await;
    assert!(matches!(client.message().await, ServerMessage::Spawned(_)));
    for (path, kind) in [
        ("/v1/workers/none/attach", ErrorKind::NotFound),
        ("/v1/workers/one/attach?session=none", ErrorKind::NotFound),
        ("/v1/workers/one/attach?mode=own", ErrorKind::Invalid),
        ("/v1/workers/one/attach?cols=70000", ErrorKind::Invalid),
        (
            "/v1/workers/one/attach?input_window=perhaps",
            ErrorKind::Invalid,
        ),
        ("/v1/spawn?input_window=perhaps", ErrorKind::Invalid),
    ] {
        let Err(Error::Http(answer)) = Client::open(&bay, path).await else {
            panic!("{path} is a WebSocket")
        };
        assert_eq!(answer.status(), kind.http_status(), "{path}");
        let error: ApiError = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
        assert_eq!(error.kind, kind, "{path}: {error}");
    }
}
