//! A peer of the protocol: events, attaches and actions, as a test asks for.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{
        Path, Query, State,
        ws::{Message, WebSocketUpgrade},
    },
    response::Response,
    routing::{delete, get, post},
};
use coordinator::{
    model::{HostPath, Isolation, WorkerState},
    wire::*,
};
use podbay_protocol::{Activity, ActivityState, AttachMode, Readings, Size};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

struct Inner {
    workers: Mutex<Vec<WorkerView>>,
    events: broadcast::Sender<EventBody>,
    output: broadcast::Sender<(String, String)>,
    typed: Mutex<String>,
    /// What each worker has written, by its name: a client that comes later sees it too.
    written: Mutex<BTreeMap<String, String>>,
    /// Every attach: the worker's name, the mode and the size.
    attaches: Mutex<Vec<String>>,
    /// Names of workers that write all the time.
    flooding: Mutex<BTreeSet<String>>,
}

/// The scripted coordinator.
pub struct Script {
    pub socket: PathBuf,
    _folder: Option<tempfile::TempDir>,
    inner: Arc<Inner>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// The beginning of a minute, so that the dashboard's clock does not move within a test.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs() / 60 * 60_000
}

impl Script {
    pub fn start(workers: Vec<WorkerView>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut script = Self::at(folder.path().join("podbay.sock"), workers);
        script._folder = Some(folder);
        script
    }

    pub fn at(socket: PathBuf, workers: Vec<WorkerView>) -> Self {
        let mut script = Self {
            socket,
            _folder: None,
            inner: Arc::new(Inner {
                workers: Mutex::new(workers),
                events: broadcast::channel(1024).0,
                output: broadcast::channel(1024).0,
                typed: Mutex::default(),
                written: Mutex::default(),
                attaches: Mutex::default(),
                flooding: Mutex::default(),
            }),
            runtime: None,
        };
        script.start_again();
        script
    }

    pub fn start_again(&mut self) {
        drop(std::fs::remove_file(&self.socket));
        let runtime = super::runtime();
        let _in_runtime = runtime.enter();
        let listener = tokio::net::UnixListener::bind(&self.socket).unwrap();
        let routes = Router::new()
            .route("/v1/version", get(|| async { Json(status().version) }))
            .route("/v1/events", get(events))
            .route("/v1/workers", post(spawn))
            .route("/v1/workers/{w}", delete(remove))
            .route("/v1/workers/{w}/stop", post(stop))
            .route("/v1/workers/{w}/attach", get(attach))
            .merge(super::review::routes())
            .with_state(self.inner.clone());
        runtime.spawn(async move { axum::serve(listener, routes).await.unwrap() });
        self.runtime = Some(runtime);
    }

    pub fn stop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
        drop(std::fs::remove_file(&self.socket));
    }

    /// A worker's program writes. Who attaches later sees it too.
    pub fn output(&self, worker: &str, text: &str) {
        let mut written = self.inner.written.lock().unwrap();
        written.entry(worker.to_owned()).or_default().push_str(text);
        // Nobody may be attached.
        drop(self.inner.output.send((worker.to_owned(), text.to_owned())));
    }

    /// A worker's program writes as fast as it is read, until it no longer does.
    pub fn flood(&self, worker: &str, on: bool) {
        let mut flooding = self.inner.flooding.lock().unwrap();
        match on {
            true => flooding.insert(worker.to_owned()),
            false => flooding.remove(worker),
        };
        drop(flooding);
        // This wakes who serves it.
        self.output(worker, if on { "" } else { "\x1bcthe flood is over" });
    }

    /// Every attach so far.
    pub fn attaches(&self) -> Vec<String> {
        self.inner.attaches.lock().unwrap().clone()
    }

    /// All that was typed.
    pub fn typed(&self) -> String {
        self.inner.typed.lock().unwrap().clone()
    }

    /// Waits until this was typed.
    pub fn until_typed(&self, wanted: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.inner.typed.lock().unwrap().contains(wanted) {
            assert!(
                Instant::now() < end,
                "typed: {:?} attaches: {:?}",
                self.inner.typed.lock().unwrap(),
                self.attaches()
            );
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
}

type Shared = State<Arc<Inner>>;

async fn events(State(inner): Shared) -> Response {
    let mut bodies = inner.events.subscribe();
    let workers = inner.workers.lock().unwrap().clone();
    let hello = EventBody::Hello {
        status: Box::new(status()),
        workers,
    };
    let (to, from) = tokio::sync::mpsc::channel::<Bytes>(16);
    tokio::spawn(async move {
        let mut next = Ok(hello);
        for seq in 0.. {
            let Ok(body) = next else { return };
            let event = ApiEvent {
                seq,
                at_ms: now_ms(),
                body,
            };
            let line = format!("data: {}\n\n", serde_json::to_string(&event).unwrap());
            if to.send(line.into()).await.is_err() {
                return;
            }
            next = bodies.recv().await;
        }
    });
    let stream = futures_util::stream::unfold(from, |mut from| async {
        from.recv()
            .await
            .map(|bytes| (Ok::<_, std::io::Error>(bytes), from))
    });
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Body::from_stream(stream))
        .unwrap()
}

fn find(inner: &Inner, given: &str) -> Option<WorkerView> {
    let workers = inner.workers.lock().unwrap();
    workers
        .iter()
        .find(|w| w.id == given || w.name == given)
        .cloned()
}

fn drop_worker(inner: &Inner, given: &str) -> Option<WorkerView> {
    let worker = find(inner, given)?;
    inner.workers.lock().unwrap().retain(|w| w.id != worker.id);
    let (id, name) = (worker.id.clone(), worker.name.clone());
    drop(inner.events.send(EventBody::Removed { id, name }));
    Some(worker)
}

type Answer<T> = Result<Json<T>, (axum::http::StatusCode, Json<ApiError>)>;

fn missing(given: &str) -> (axum::http::StatusCode, Json<ApiError>) {
    let error =
        ApiError::new(ErrorKind::NotFound, format!("no worker {given:?}")).hint("podbay ls");
    (axum::http::StatusCode::NOT_FOUND, Json(error))
}

async fn stop(State(inner): Shared, Path(w): Path<String>) -> Answer<WorkerView> {
    drop_worker(&inner, &w).map(Json).ok_or_else(|| missing(&w))
}

async fn remove(State(inner): Shared, Path(w): Path<String>) -> Answer<()> {
    drop_worker(&inner, &w)
        .map(|_| Json(()))
        .ok_or_else(|| missing(&w))
}

async fn spawn(State(inner): Shared, Json(request): Json<SpawnRequest>) -> Answer<SpawnResponse> {
    if request
        .project
        .as_ref()
        .is_some_and(|p| p.as_path().starts_with("/etc"))
    {
        let error = ApiError::new(
            ErrorKind::Refused,
            "the path policy refuses /etc: system folder",
        )
        .hint("give a folder inside of workspace.roots");
        return Err((axum::http::StatusCode::FORBIDDEN, Json(error)));
    }
    let worker = worker(request.name.as_deref().unwrap_or("brave-otter"));
    inner.workers.lock().unwrap().push(worker.clone());
    drop(inner.events.send(EventBody::Worker {
        worker: Box::new(worker.clone()),
    }));
    Ok(Json(SpawnResponse {
        worker,
        warm: true,
        cold_reason: None,
        timings: Timings {
            total_us: 2_100,
            ..Timings::default()
        },
        warnings: vec![],
    }))
}

async fn attach(
    State(inner): Shared,
    Path(w): Path<String>,
    Query(query): Query<AttachQuery>,
    ws: WebSocketUpgrade,
) -> Response {
    ws.write_buffer_size(0).on_upgrade(async move |mut socket| {
        let Some(worker) = find(&inner, &w) else {
            return;
        };
        let name = worker.name;
        let size = query.cols.zip(query.rows);
        let size = size.map_or("-".to_owned(), |(cols, rows)| format!("{cols}x{rows}"));
        let writer = query.mode != AttachMode::ReadOnly;
        inner
            .attaches
            .lock()
            .unwrap()
            .push(format!("{name} {:?} {size}", query.mode));
        let attached = serde_json::json!({"type": "attached", "writer": writer, "pipes": false});
        drop(socket.send(Message::text(attached.to_string())).await);
        let (mut output, before) = {
            let written = inner.written.lock().unwrap();
            let before = written.get(&name).cloned().unwrap_or_default();
            (inner.output.subscribe(), before)
        };
        let blob = format!("\x1b[H\x1b[2J\x1b[32mhello from {name}\x1b[m{before}");
        drop(socket.send(Message::binary(blob.into_bytes())).await);
        let block = "all work and no play makes a long line\r\n".repeat(800);
        loop {
            let floods = inner.flooding.lock().unwrap().contains(&name);
            tokio::select! {
                () = std::future::ready(()), if floods => {
                    let block = block.clone().into_bytes();
                    if socket.send(Message::binary(block)).await.is_err() {
                        return;
                    }
                }
                Ok((of, text)) = output.recv() => {
                    if of == name
                        && socket.send(Message::binary(text.into_bytes())).await.is_err()
                    {
                        return;
                    }
                }
                message = socket.recv() => match message {
                    Some(Ok(Message::Binary(bytes))) => {
                        let text = String::from_utf8_lossy(&bytes);
                        inner.typed.lock().unwrap().push_str(&text);
                    }
                    Some(Ok(Message::Text(text))) => {
                        inner.attaches.lock().unwrap().push(format!("{name} {text}"));
                    }
                    Some(Ok(_)) => {}
                    _ => return,
                },
            }
        }
    })
}

fn status() -> Status {
    Status {
        version: Version {
            version: "0.1.0".into(),
            api: 1,
        },
        instance: "podbay-parent".into(),
        parent: None,
        binary: String::new(),
        uptime_ms: 1,
        engine: EngineView {
            name: "Docker".into(),
            version: "20.10.24".into(),
            reachable: true,
            ..EngineView::default()
        },
        guard: GuardView::default(),
        hot_mounts: HotMounts {
            available: true,
            idmapped: true,
            reason: None,
        },
        pools: vec![PoolView {
            profile: "claude".into(),
            image: "podbay/worker:claude".into(),
            min_warm: 2,
            max_warm: 5,
            target: 3,
            warm: 2,
            creating: 1,
            claimed: 4,
            queued: 0,
            paused: false,
            draining: false,
            hits: 57,
            misses: 3,
            claim_p50_us: Some(1_930),
            claim_p99_us: Some(4_100),
            recent_claims_us: Vec::new(),
            last_failure: None,
        }],
        workers: [].into(),
        warnings: vec![],
    }
}

/// A running worker; its id comes from its name.
pub fn worker(name: &str) -> WorkerView {
    let now = now_ms();
    WorkerView {
        id: name
            .bytes()
            .fold(String::new(), |id, b| format!("{id}{b:02x}"))
            .chars()
            .take(12)
            .collect(),
        name: name.into(),
        profile: "claude".into(),
        state: WorkerState::Running,
        created_ms: now,
        claimed_ms: Some(now),
        image: "podbay/worker:claude".into(),
        project: Some(HostPath::new("/home/me/shop")),
        isolation: Isolation::Overlay,
        warm_start: true,
        argv: vec!["claude".into()],
        session: Some("s".into()),
        pid: Some(9),
        uid: Some(20_001),
        activity: Some(Activity {
            state: ActivityState::Working,
            why: "hook PreToolUse: Bash".into(),
            seq: 1,
            since_ms: now,
        }),
        size: Some(Size { cols: 80, rows: 24 }),
        readings: Readings {
            memory_bytes: Some(117 << 20),
            ..Readings::default()
        },
        unapplied: true,
        remove: true,
        egress: "open".into(),
        ..WorkerView::default()
    }
}
