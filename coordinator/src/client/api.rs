//! The calls of the API; `wire/API.md` has the routes.

use super::{
    ClientError, EventStream, Target,
    query::Query,
    transport::{Call, Http, SseParser, chain},
};
use crate::{
    model::HostPath,
    wire::{
        AuditQuery, ExecRequest, ExecResponse, Folders, LogsQuery, PoolView, RecentProjects,
        Refreshed, RenameRequest, ScaleRequest, ScreenView, SpawnRequest, SpawnResponse, Status,
        StopRequest, UpgradeRequest, UpgradeView, Version, WorkerView, percent::encode,
    },
};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use http_body_util::BodyDataStream;
use hyper::{Method, StatusCode, header};
use serde::{Serialize, de::DeserializeOwned};
use std::{os::unix::ffi::OsStrExt, sync::Arc, time::Duration};

/// How long calls may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Calls that only read or note something.
    pub ordinary: Duration,
    /// A spawn: a cold one creates a container, a queued one waits for the next warm worker.
    pub spawn: Duration,
    /// Stopping or removing workers, on top of the grace asked for.
    pub stop: Duration,
    /// Listing changes.
    pub changes: Duration,
    /// Applying or discarding them.
    pub apply: Duration,
    /// Stopping everything.
    pub down: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            ordinary: Duration::from_secs(10),
            spawn: Duration::from_secs(180),
            stop: Duration::from_secs(60),
            // The mounter's own, and a little longer: it says why.
            changes: Duration::from_secs(130),
            apply: Duration::from_secs(610),
            down: Duration::from_secs(180),
        }
    }
}

/// A client of one coordinator. Cheap to clone; clones share the idle connection.
#[derive(Clone)]
pub struct Client {
    http: Arc<Http>,
    deadlines: Deadlines,
}

pub(super) fn worker_path(name: &str, rest: &str) -> String {
    format!("/v1/workers/{}{rest}", encode(name.as_bytes()))
}

fn pool_path(profile: &str, rest: &str) -> String {
    format!("/v1/pools/{}{rest}", encode(profile.as_bytes()))
}

impl Client {
    /// A client of the target. Connects at the first call.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self {
            http: Arc::new(Http::new(target)),
            deadlines: Deadlines::default(),
        }
    }

    /// The same with other deadlines.
    #[must_use]
    pub fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// How long calls may take.
    #[must_use]
    pub fn deadlines(&self) -> Deadlines {
        self.deadlines
    }

    /// Where the coordinator is.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.http.target
    }

    pub(super) fn http(&self) -> &Http {
        &self.http
    }

    async fn get<T: DeserializeOwned>(&self, path: impl Into<String>) -> Result<T, ClientError> {
        self.http
            .json(&Call::new(Method::GET, path), self.deadlines.ordinary)
            .await
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: impl Into<String>,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<T, ClientError> {
        let call = Call::new(Method::POST, path);
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Protocol {
            what: call.what(),
            reason: error.to_string(),
        })?;
        self.http
            .json(&call.body("application/json", body), deadline)
            .await
    }

    async fn post_empty<T: DeserializeOwned>(&self, path: String) -> Result<T, ClientError> {
        self.http
            .json(&Call::new(Method::POST, path), self.deadlines.ordinary)
            .await
    }

    async fn text(&self, path: &str) -> Result<String, ClientError> {
        let bytes = self
            .http
            .collect(&Call::new(Method::GET, path), self.deadlines.ordinary)
            .await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn stream(
        &self,
        call: Call,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + Unpin + use<>, ClientError>
    {
        let (answer, _link) = self
            .http
            .stream(&call, StatusCode::OK, self.deadlines.ordinary)
            .await?;
        let target = self.target().clone();
        let body = BodyDataStream::new(answer.into_body());
        Ok(body.map(move |piece| piece.map_err(|error| target.unreachable(chain(&error)))))
    }

    /// The audit log's entries, a line of JSON each, the oldest first.
    ///
    /// # Errors
    /// [`ClientError`], also in the midst of them.
    pub async fn audit(
        &self,
        query: AuditQuery,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Unpin + use<>, ClientError> {
        let params = Query::default()
            .maybe("since_s", query.since_s)
            .maybe("tail", query.tail)
            .done();
        self.stream(Call::new(Method::GET, format!("/v1/audit{params}")))
            .await
    }

    fn stop_deadline(&self, request: &StopRequest) -> Duration {
        let grace = Duration::from_millis(request.grace_ms.unwrap_or(0));
        self.deadlines.stop.saturating_add(grace)
    }

    /// The coordinator's version.
    ///
    /// # Errors
    /// Every call's errors are those of [`ClientError`]; this holds for all below.
    pub async fn version(&self) -> Result<Version, ClientError> {
        self.get("/v1/version").await
    }

    /// The coordinator, the engine, and the pools.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// Every worker; finished ones too with `all`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn workers(&self, all: bool) -> Result<Vec<WorkerView>, ClientError> {
        self.get(if all {
            "/v1/workers?all=true"
        } else {
            "/v1/workers"
        })
        .await
    }

    /// One worker, by name or id.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn worker(&self, name: &str) -> Result<WorkerView, ClientError> {
        self.get(worker_path(name, "")).await
    }

    /// Claims a worker and starts a command in it, detached.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn spawn(&self, request: &SpawnRequest) -> Result<SpawnResponse, ClientError> {
        self.post("/v1/workers", request, self.deadlines.spawn)
            .await
    }

    /// Stops a worker; answers once its container is gone.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stop(&self, name: &str, request: &StopRequest) -> Result<WorkerView, ClientError> {
        self.post(
            worker_path(name, "/stop"),
            request,
            self.stop_deadline(request),
        )
        .await
    }

    /// Starts a worker's command again: in the same worker when it runs, in a new one of the same
    /// name when it has ended.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn restart(
        &self,
        name: &str,
        request: &StopRequest,
    ) -> Result<WorkerView, ClientError> {
        let deadline = self.stop_deadline(request).max(self.deadlines.spawn);
        self.post(worker_path(name, "/restart"), request, deadline)
            .await
    }

    /// Puts the version of a parent image in force; the coordinator starts anew after the answer.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn upgrade(&self, image: &str) -> Result<UpgradeView, ClientError> {
        let request = UpgradeRequest {
            image: image.to_owned(),
        };
        self.post("/v1/upgrade".to_owned(), &request, self.deadlines.changes)
            .await
    }

    /// Gives a worker another name.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn rename(&self, name: &str, new_name: &str) -> Result<WorkerView, ClientError> {
        let request = RenameRequest {
            name: new_name.to_owned(),
        };
        self.post(
            worker_path(name, "/rename"),
            &request,
            self.deadlines.ordinary,
        )
        .await
    }

    /// Makes the host's later edits of the project visible in a copy-on-write worker.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn refresh(&self, name: &str) -> Result<Refreshed, ClientError> {
        self.post_empty(worker_path(name, "/refresh")).await
    }

    /// A person sees a worker's screen: an activity of `done` becomes `idle`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn seen(&self, name: &str) -> Result<(), ClientError> {
        let call = Call::new(Method::POST, worker_path(name, "/seen"));
        self.http
            .collect(&call, self.deadlines.ordinary)
            .await
            .map(drop)
    }

    /// What a path on the engine's host, absolute and perhaps half typed, may be completed to.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn folders(&self, path: &HostPath) -> Result<Folders, ClientError> {
        let query = Query::default()
            .pair("path", path.as_path().as_os_str().as_bytes())
            .done();
        self.get(format!("/v1/folders{query}")).await
    }

    /// The projects of the last claims, newest first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn recent_projects(&self) -> Result<RecentProjects, ClientError> {
        self.get("/v1/projects/recent").await
    }

    /// Stops every claimed worker; the names of those stopped.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn stop_all(&self, request: &StopRequest) -> Result<Vec<String>, ClientError> {
        let deadline = self.stop_deadline(request).max(self.deadlines.down);
        self.post("/v1/stop-all", request, deadline).await
    }

    /// Removes a worker that has ended, or any with `force`, and its record.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn remove(&self, name: &str, force: bool) -> Result<(), ClientError> {
        let query = Query::default()
            .pair("force", force.to_string().as_bytes())
            .done();
        let call = Call::new(Method::DELETE, worker_path(name, &query));
        self.http
            .collect(&call, self.deadlines.stop)
            .await
            .map(drop)
    }

    /// Prepares another command in a worker; it starts when its session is attached.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn exec(
        &self,
        name: &str,
        request: &ExecRequest,
    ) -> Result<ExecResponse, ClientError> {
        self.post(worker_path(name, "/exec"), request, self.deadlines.ordinary)
            .await
    }

    /// Types bytes into a worker's session.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn input(&self, name: &str, bytes: impl Into<Bytes>) -> Result<(), ClientError> {
        let call = Call::new(Method::POST, worker_path(name, "/input"));
        let call = call.body("application/octet-stream", bytes);
        self.http
            .collect(&call, self.deadlines.ordinary)
            .await
            .map(drop)
    }

    /// The visible screen of a worker's session.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn screen(&self, name: &str) -> Result<ScreenView, ClientError> {
        self.get(worker_path(name, "/screen")).await
    }

    /// Every pool.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pools(&self) -> Result<Vec<PoolView>, ClientError> {
        self.get("/v1/pools").await
    }

    /// Sets how many workers a pool keeps warm.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn scale(
        &self,
        profile: &str,
        request: &ScaleRequest,
    ) -> Result<PoolView, ClientError> {
        self.post(
            pool_path(profile, "/scale"),
            request,
            self.deadlines.ordinary,
        )
        .await
    }

    /// Empties a pool and keeps it empty.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn drain(&self, profile: &str) -> Result<PoolView, ClientError> {
        self.post_empty(pool_path(profile, "/drain")).await
    }

    /// Stops refilling a pool.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pause(&self, profile: &str) -> Result<PoolView, ClientError> {
        self.post_empty(pool_path(profile, "/pause")).await
    }

    /// Ends a pause or a drain.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn resume(&self, profile: &str) -> Result<PoolView, ClientError> {
        self.post_empty(pool_path(profile, "/resume")).await
    }

    /// Stops every worker and the mounter.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn down(&self) -> Result<(), ClientError> {
        self.http
            .collect(&Call::new(Method::POST, "/v1/down"), self.deadlines.down)
            .await
            .map(drop)
    }

    /// Metrics as OpenMetrics text.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        self.text("/v1/metrics").await
    }

    /// The configuration in force, as the coordinator writes it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn config(&self) -> Result<String, ClientError> {
        self.text("/v1/config").await
    }

    /// The recorded output of a worker's session, as raw bytes.
    ///
    /// # Errors
    /// See [`ClientError`]; an item is an error when the connection broke off.
    pub async fn logs(
        &self,
        name: &str,
        query: &LogsQuery,
    ) -> Result<impl Stream<Item = Result<Bytes, ClientError>> + Send + Unpin + use<>, ClientError>
    {
        let params = Query::default()
            .pair("follow", query.follow.to_string().as_bytes())
            .maybe("tail", query.tail)
            .maybe("since_s", query.since_s)
            .maybe("previous", query.previous.then_some(true))
            .done();
        let path = worker_path(name, &format!("/logs{params}"));
        self.stream(Call::new(Method::GET, path)).await
    }

    /// What happens, as it happens.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn events(&self) -> Result<EventStream, ClientError> {
        let mut call = Call::new(Method::GET, "/v1/events");
        call.headers
            .push((header::ACCEPT, "text/event-stream".into()));
        let (answer, _link) = self
            .http
            .stream(&call, StatusCode::OK, self.deadlines.ordinary)
            .await?;
        Ok(EventStream {
            body: answer.into_body(),
            parser: SseParser::default(),
            target: self.target().clone(),
            ended: false,
        })
    }
}
