//! An engine that has whatever is created, and runs an agent of the test's for each worker.

use super::agent;
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Method, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::UnixListener, task::AbortHandle};

struct Container {
    name: String,
    labels: Value,
    agent: Option<AbortHandle>,
}

/// What runs in the workers.
#[derive(Debug, Clone)]
pub enum Agents {
    /// Scripted ones; so many of the first are of a version that takes no clients' sockets.
    Scripted { older: usize },
    /// The real one, as processes that end with the test.
    Real(Arc<Mutex<Vec<Child>>>),
}

struct Engine {
    state: PathBuf,
    agents: Agents,
    made: AtomicUsize,
    containers: Mutex<BTreeMap<String, Container>>,
}

pub async fn listen(socket: &Path, state: PathBuf, agents: Agents) {
    let listener = UnixListener::bind(socket).unwrap();
    let engine = Arc::new(Engine {
        state,
        agents,
        made: AtomicUsize::new(0),
        containers: Mutex::default(),
    });
    let router = Router::new().fallback(answer).with_state(engine);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
}

fn said(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let json = [("content-type", "application/json")];
    (status, json, body.to_string()).into_response()
}

async fn answer(
    State(engine): State<Arc<Engine>>,
    method: Method,
    uri: Uri,
    body: Bytes,
) -> Response {
    let mut parts: Vec<&str> = uri.path().split('/').skip(1).collect();
    if parts[0].starts_with("v1.") {
        parts.remove(0);
    }
    let all = &mut *engine.containers.lock().unwrap();
    match (method.as_str(), parts.as_slice()) {
        ("GET", ["version"]) => said(200, &json!({"Version": "27.0.0", "ApiVersion": "1.46"})),
        ("GET", ["info"]) => said(200, &json!({})),
        ("GET", ["events"]) => {
            Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>())
                .into_response()
        }
        ("GET", ["images", ..]) => said(200, &json!({"Id": "sha256:image"})),
        ("GET", ["containers", "json"]) => {
            let listed: Vec<Value> = all
                .iter()
                .map(|(id, c)| {
                    json!({"Id": id, "Names": [format!("/{}", c.name)], "Image": "i",
                        "State": "running", "Created": 1, "Labels": c.labels})
                })
                .collect();
            said(200, &json!(listed))
        }
        ("POST", ["containers", "create"]) => {
            let body: Value = serde_json::from_slice(&body).unwrap();
            if body["Labels"]["dev.podbay.role"] != "worker" {
                return said(500, &json!({"message": "only workers"}));
            }
            let name = uri.query().and_then(|q| q.split("name=").nth(1));
            let id = format!("{:064x}", engine.made.fetch_add(1, Ordering::Relaxed) + 1);
            let container = Container {
                name: name.unwrap_or_default().to_owned(),
                labels: body["Labels"].clone(),
                agent: None,
            };
            all.insert(id.clone(), container);
            said(201, &json!({"Id": id, "Warnings": []}))
        }
        ("POST", ["containers", id, "start"]) => {
            let container = all.get_mut(*id).unwrap();
            let worker = container.labels["dev.podbay.worker"].as_str().unwrap();
            let number = usize::from_str_radix(id, 16).unwrap();
            match &engine.agents {
                Agents::Scripted { older } => {
                    let (state, takes) = (engine.state.clone(), number > *older);
                    let agent = tokio::spawn(agent::run(state, worker.to_owned(), takes));
                    container.agent = Some(agent.abort_handle());
                }
                Agents::Real(running) => {
                    let agent = crate::real::start(&engine.state, worker);
                    running.lock().unwrap().push(agent);
                }
            }
            said(204, &Value::Null)
        }
        ("GET", ["containers", id, "json"]) => match all.get(*id) {
            Some(container) => said(
                200,
                &json!({"Id": id, "Name": container.name, "State": {"Running": true, "Pid": 4_000_000}}),
            ),
            // Whatever it takes for its own.
            None => said(
                200,
                &json!({"Id": "f".repeat(64), "Name": "/bay", "Image": "sha256:own",
                    "State": {"Pid": 4_000_001},
                    "Mounts": [{"Destination": engine.state, "Source": engine.state}]}),
            ),
        },
        ("DELETE", ["containers", id]) => match all.remove(*id) {
            Some(container) => {
                container.agent.inspect(AbortHandle::abort);
                said(204, &Value::Null)
            }
            None => said(404, &json!({"message": "no such container"})),
        },
        ("POST", ["containers", _, "rename"]) => said(204, &Value::Null),
        ("POST", ["containers", _, "update"]) => said(200, &json!({"Warnings": []})),
        _ => said(404, &json!({"message": format!("{method} {uri}")})),
    }
}
