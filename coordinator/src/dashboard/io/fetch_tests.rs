//! Fetches against a coordinator that says what a test wants.

use super::*;
use crate::{client::Target, wire::Folders};
use axum::{Json, Router, body::Body, extract::RawQuery, response::Response, routing::get};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A fetcher of a coordinator with these routes, and what it sends.
fn against(routes: Router) -> (Fetcher, mpsc::Receiver<Msg>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("podbay.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let (to, messages) = mpsc::channel(64);
    let client = Client::new(Target::Socket(socket));
    (Fetcher::new(client, to), messages, folder)
}

async fn next(messages: &mut mpsc::Receiver<Msg>) -> Fetched {
    let msg = timeout(Duration::from_secs(20), messages.recv()).await;
    match msg.unwrap().unwrap() {
        Msg::Fetched(fetched) => *fetched,
        other => panic!("{other:?}"),
    }
}

/// Pieces of a stream, each of which leaves when the test allows it.
fn pieces(
    gate: Arc<tokio::sync::Semaphore>,
    pieces: Vec<Result<&'static str, &'static str>>,
) -> Response {
    let pieces = pieces
        .into_iter()
        .map(|piece| piece.map(Bytes::from).map_err(std::io::Error::other));
    let gated = futures_util::stream::iter(pieces).then(move |piece| {
        let gate = gate.clone();
        async move {
            gate.acquire().await.unwrap().forget();
            piece
        }
    });
    Response::new(Body::from_stream(gated))
}

#[tokio::test]
async fn a_broken_stream_of_output_is_opened_again_and_ends_with_the_session() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let gate = Arc::new(tokio::sync::Semaphore::new(1));
    let opened = gate.clone();
    let logs = move |RawQuery(query): RawQuery| async move {
        assert_eq!(query.as_deref(), Some("follow=true&tail=5000"));
        let said = match counted.fetch_add(1, Ordering::SeqCst) {
            0 => vec![Ok("one\r\ntw"), Err("gone")],
            _ => vec![Ok("one\r\ntw"), Ok("o\r\n\x1b[1mthree\x1b[m")],
        };
        pieces(opened, said)
    };
    let (mut fetcher, mut messages, _folder) =
        against(Router::new().route("/v1/workers/{w}/logs", get(logs)));
    let worker = Some("abc".to_owned());
    fetcher.fetch(Fetch::Logs { worker });
    let mut known: Vec<String> = Vec::new();
    let (mut broken, mut ended) = (0, false);
    while !ended {
        let Fetched::Logs { worker, lines } = next(&mut messages).await else {
            panic!()
        };
        assert_eq!(worker, "abc");
        // What came is taken in by itself; now the next piece.
        gate.add_permits(1);
        match lines {
            Ok(lines) => {
                known.truncate(known.len().saturating_sub(lines.replace));
                known.extend(lines.lines);
                ended = lines.ended;
            }
            Err(failure) => {
                broken += 1;
                assert!(failure.message.contains("cannot reach"), "{failure:?}");
            }
        }
    }
    assert_eq!(
        (known.as_slice(), broken),
        (&["one".into(), "two".into(), "three".into()][..], 1)
    );
    assert_eq!(calls.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_refusal_is_said_once_and_not_tried_again() {
    let (mut fetcher, mut messages, _folder) = against(Router::new());
    let worker = Some("abc".to_owned());
    fetcher.fetch(Fetch::Logs { worker });
    let fetched = next(&mut messages).await;
    assert!(
        matches!(fetched, Fetched::Logs { lines: Err(_), .. }),
        "{fetched:?}"
    );
    let more = timeout(RETRY.0 * 2, messages.recv()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn the_newest_question_for_folders_is_answered_in_paths_that_can_be_typed() {
    let folders = |RawQuery(query): RawQuery| async move {
        if query.is_some_and(|query| query.replace("%2F", "/") == "path=/s") {
            std::future::pending::<()>().await;
        }
        let named = |path: &str| crate::wire::Folder {
            path: HostPath::new(path),
            is_git: false,
        };
        Json(Folders {
            folders: vec![named("/srv"), named("/sr\nx")],
            truncated: false,
        })
    };
    let (mut fetcher, mut messages, _folder) =
        against(Router::new().route("/v1/folders", get(folders)));
    for path in ["/s", "/sr"] {
        let path = path.to_owned();
        fetcher.fetch(Fetch::Folders { path });
    }
    let Fetched::Folders { path, folders } = next(&mut messages).await else {
        panic!()
    };
    assert_eq!(
        (path.as_str(), folders.unwrap()),
        ("/sr", vec!["/srv".to_owned()])
    );
}
