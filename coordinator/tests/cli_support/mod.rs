//! A peer that speaks the API's protocol on a unix socket, for tests of the client and the command
//! line. It has no logic of the product's: workers are what a test says they are.

#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod attached;

use attached::{attach, spawn_attached};
use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, delete, get, post},
};
use coordinator::{
    model::{HostPath, Isolation, WorkerState},
    wire::{
        ApiError, ApiEvent, ErrorKind, EventBody, Folder, Folders, PoolView, RenameRequest,
        SpawnRequest, SpawnResponse, Status, StopRequest, Timings, Version, WorkerView,
    },
};
use futures_util::{StreamExt, stream};
use podbay_protocol::ExitStatus;
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::UnixListener;

pub struct Peer {
    pub socket: PathBuf,
    pub seen: Seen,
    _folder: tempfile::TempDir,
    runtime: Option<tokio::runtime::Runtime>,
}
impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
/// What arrived, in order.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);
impl Seen {
    pub fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
    pub fn has(&self, part: &str) -> bool {
        self.all().iter().any(|line| line.contains(part))
    }
    pub fn wait_for(&self, part: &str) {
        wait_until(part, || self.has(part));
    }
}

/// Polls a predicate, for 20 s at most.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    let (_keep, wait) = std::sync::mpsc::channel::<()>();
    while !done() {
        assert!(
            std::time::Instant::now() < give_up,
            "waited in vain for {what}"
        );
        wait.recv_timeout(Duration::from_millis(5)).unwrap_err();
    }
}

/// A worker as the API shows it.
pub fn worker(name: &str) -> WorkerView {
    WorkerView {
        id: format!("id-{name}"),
        name: name.into(),
        profile: "default".into(),
        state: WorkerState::Running,
        created_ms: 1,
        claimed_ms: Some(2),
        image: "i".into(),
        project: Some(HostPath::new("/srv/project")),
        isolation: Isolation::Bind,
        warm_start: true,
        argv: vec!["bash".into()],
        session: Some("s".into()),
        pid: Some(2),
        uid: Some(1000),
        remove: true,
        ..WorkerView::default()
    }
}

fn spawned(name: &str) -> SpawnResponse {
    SpawnResponse {
        worker: worker(name),
        warm: true,
        cold_reason: None,
        timings: Timings::default(),
        warnings: Vec::new(),
    }
}

impl Peer {
    /// Starts the peer on a runtime of its own.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let seen = Seen::default();
        let mut peer = Self {
            socket,
            seen,
            _folder: folder,
            runtime: None,
        };
        peer.restart();
        peer
    }

    /// Ends the peer at once and starts another on the same socket.
    pub fn restart(&mut self) {
        self.stop();
        let (socket, seen) = (self.socket.clone(), self.seen.clone());
        // On a thread of its own: a runtime cannot wait for another.
        let start = std::thread::spawn(|| {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            let runtime = builder.worker_threads(2).enable_all().build().unwrap();
            let listener = runtime.block_on(async { UnixListener::bind(socket).unwrap() });
            runtime.spawn(async move { axum::serve(listener, router(seen)).await.unwrap() });
            runtime
        });
        self.runtime = Some(start.join().unwrap());
    }

    /// Ends the peer at once: every connection breaks off.
    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            std::thread::spawn(|| runtime.shutdown_timeout(Duration::from_secs(5)))
                .join()
                .unwrap();
        }
        if self.socket.exists() {
            std::fs::remove_file(&self.socket).unwrap();
        }
    }
}

fn router(seen: Seen) -> Router {
    let log = axum::middleware::from_fn_with_state(
        seen.clone(),
        |State(seen): State<Seen>,
         request: axum::extract::Request,
         next: axum::middleware::Next| async move {
            seen.add(format!("{} {}", request.method(), request.uri()));
            next.run(request).await
        },
    );
    Router::new()
        .route(
            "/v1/version",
            get(|| async {
                Json(Version {
                    version: env!("CARGO_PKG_VERSION").into(),
                    api: 1,
                })
            }),
        )
        .route("/v1/status", get(status))
        .route(
            "/v1/config",
            get(|| async { "[attach]\ndetach_keys = [\"ctrl-a,d\", \"ctrl-p,ctrl-q\"]\n" }),
        )
        .route("/v1/metrics", get(|| async { "# EOF\n" }))
        .route("/v1/pools", get(|| async { Json(vec![pool()]) }))
        .route("/v1/pools/{p}/{what}", post(|| async { Json(pool()) }))
        .route("/v1/workers", get(workers).post(spawn))
        .route("/v1/workers/{w}", get(one))
        .route("/v1/workers/{w}", delete(remove))
        .route("/v1/workers/{w}/stop", post(stop))
        .route("/v1/workers/{w}/restart", post(restart))
        .route("/v1/workers/{w}/rename", post(rename))
        .route("/v1/workers/{w}/refresh", post(refresh))
        .route(
            "/v1/workers/{w}/seen",
            post(|| async { StatusCode::NO_CONTENT }),
        )
        .route("/v1/folders", get(folders))
        .route(
            "/v1/projects/recent",
            get(|| async { Json(serde_json::json!({"recent": ["/home/me/p"]})) }),
        )
        .route("/v1/workers/{w}/input", post(input))
        .route("/v1/workers/{w}/logs", get(logs))
        .route("/v1/workers/{w}/changes", get(changes))
        .route("/v1/workers/{w}/changes/summary", get(change_summary))
        .route(
            "/v1/workers/{w}/exec",
            post(|| async { Json(serde_json::json!({"session": "e1"})) }),
        )
        .route("/v1/workers/{w}/attach", any(attach))
        .route("/v1/spawn", any(spawn_attached))
        .route("/v1/events", get(events))
        .route("/v1/down", post(|| async {}))
        .layer(log)
        .with_state(seen)
}

fn error(kind: ErrorKind, message: &str) -> Response {
    let status = StatusCode::from_u16(kind.http_status()).unwrap();
    (
        status,
        Json(ApiError::new(kind, message).hint("do it right")),
    )
        .into_response()
}

async fn refresh(Path(name): Path<String>) -> Json<serde_json::Value> {
    let note = (name == "bound").then_some("a bind is always live");
    Json(serde_json::json!({"worker": name, "note": note}))
}

async fn status() -> Json<Status> {
    Json(Status {
        version: Version {
            version: env!("CARGO_PKG_VERSION").into(),
            api: 1,
        },
        instance: "bay".into(),
        parent: None,
        binary: String::new(),
        uptime_ms: 61_000,
        engine: Default::default(),
        hot_mounts: Default::default(),
        guard: Default::default(),
        pools: vec![pool()],
        workers: BTreeMap::from([("running".into(), 1)]),
        warnings: Vec::new(),
    })
}

fn pool() -> PoolView {
    serde_json::from_value(serde_json::json!({
        "profile": "default", "image": "i", "min_warm": 2, "max_warm": 5, "target": 2, "warm": 2,
        "creating": 0, "claimed": 1, "queued": 0, "paused": false, "draining": false, "hits": 9, "misses": 1,
        "claim_p50_us": 700, "claim_p99_us": 2100, "last_failure": null
    }))
    .unwrap()
}

async fn workers(Query(query): Query<BTreeMap<String, String>>) -> Json<Vec<WorkerView>> {
    let mut all = vec![worker("two"), worker("one")];
    if query.contains_key("all") {
        let mut old = worker("old");
        old.state = WorkerState::Exited;
        old.exit = Some(ExitStatus::Code(3));
        all.push(old);
    }
    Json(all)
}

async fn one(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "gone" => error(ErrorKind::NotFound, "no worker gone"),
        "slow" => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            Json(worker("slow")).into_response()
        }
        "garbage" => "{".into_response(),
        "ended" => {
            let mut ended = worker("ended");
            ended.exit = Some(ExitStatus::Code(9));
            Json(ended).into_response()
        }
        name => {
            let mut view = worker(name);
            view.unapplied = name == "changed";
            Json(view).into_response()
        }
    }
}

async fn remove(Path(name): Path<String>) -> Response {
    match name.as_str() {
        "gone" => error(ErrorKind::NotFound, "no worker gone"),
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn spawn(State(seen): State<Seen>, Json(request): Json<SpawnRequest>) -> Response {
    seen.add(serde_json::to_string(&request).unwrap());
    if request.project == Some(HostPath::new("/etc")) {
        return error(
            ErrorKind::Refused,
            "/etc is refused by the rule system-folder",
        );
    }
    Json(spawned(request.name.as_deref().unwrap_or("made-up"))).into_response()
}

async fn stop(
    State(seen): State<Seen>,
    Path(name): Path<String>,
    Json(request): Json<StopRequest>,
) -> Response {
    seen.add(format!("stop {name} {request:?}"));
    match name.as_str() {
        "gone" => error(ErrorKind::NotFound, "no worker gone"),
        name => Json(worker(name)).into_response(),
    }
}

async fn restart(
    State(seen): State<Seen>,
    Path(name): Path<String>,
    Json(request): Json<StopRequest>,
) -> Response {
    seen.add(format!("restart {name} {request:?}"));
    match name.as_str() {
        "warm" => error(ErrorKind::Conflict, "warm is warm"),
        name => {
            let mut view = worker(name);
            view.why = (name == "ended").then(|| "without its environment".to_owned());
            Json(view).into_response()
        }
    }
}

async fn rename(Path(name): Path<String>, Json(request): Json<RenameRequest>) -> Response {
    match (name.as_str(), request.name.as_str()) {
        (_, "taken") => error(ErrorKind::Conflict, "the name taken is in use"),
        (_, new) => Json(worker(new)).into_response(),
    }
}

async fn folders(Query(query): Query<BTreeMap<String, String>>) -> Json<Folders> {
    let typed = query.get("path").cloned().unwrap_or_default();
    let folder = |path: String| Folder {
        path: HostPath::new(path),
        is_git: true,
    };
    Json(Folders {
        folders: vec![folder(format!("{typed}oject"))],
        truncated: false,
    })
}

async fn input(State(seen): State<Seen>, body: Bytes) {
    seen.add(format!("input {body:?}"));
}

async fn logs() -> Body {
    let pieces = ["one\n", "\x1b[31mtwo\x1b[m\n", "\x1b]52;c;AAAA\x07three\n"];
    Body::from_stream(stream::iter(pieces).map(Ok::<_, std::io::Error>))
}

async fn changes(Query(query): Query<BTreeMap<String, String>>) -> Json<serde_json::Value> {
    let wanted = query.get("path").map_or("", String::as_str);
    let entry = |path: &str| {
        serde_json::json!({"path": path, "kind": "modified", "before": "file", "after": "file", "mode": null,
            "added": 2, "removed": 1, "binary": false, "conflict": false})
    };
    let all = ["a.txt", "src/b\u{1b}[31m.rs"].into_iter();
    let entries: Vec<_> = all.filter(|p| p.starts_with(wanted)).map(entry).collect();
    Json(serde_json::json!({"project": "/srv/project", "entries": entries}))
}

async fn change_summary() -> Json<serde_json::Value> {
    let project = "/srv/project";
    Json(
        serde_json::json!({"project": project, "changes": 2, "bytes": 8, "conflicts": 0, "folders": []}),
    )
}

async fn events() -> Response {
    let event = |seq, body| {
        serde_json::to_string(&ApiEvent {
            seq,
            at_ms: 0,
            body,
        })
        .unwrap()
    };
    let Json(status) = status().await;
    let hello = event(
        0,
        EventBody::Hello {
            status: Box::new(status),
            workers: vec![worker("one")],
        },
    );
    let new = event(
        1,
        EventBody::Worker {
            worker: Box::new(worker("two")),
        },
    );
    let text = format!(
        ": hi\n\ndata: {hello}\n\ndata: {{\"seq\":9,\"at_ms\":0,\"event\":\"from_the_future\"}}\n\ndata: {new}\n\n"
    );
    // Cut in odd places.
    let pieces: Vec<_> = text
        .as_bytes()
        .chunks(7)
        .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
        .collect();
    (
        [("content-type", "text/event-stream")],
        Body::from_stream(stream::iter(pieces)),
    )
        .into_response()
}
