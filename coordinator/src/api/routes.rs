//! The routes of `wire/API.md`.

use super::{
    attach,
    audit::{self, AuditScope},
    events, metrics, projects,
    reply::{Answer, App, Body, Failure, as_error},
    review, security,
};
use crate::{
    daemon::Daemon,
    wire::{
        ApiError, ErrorKind, ExecRequest, ExecResponse, LogsQuery, PoolView, Refreshed,
        RenameRequest, ScaleRequest, ScreenView, SpawnRequest, SpawnResponse, Status, StopRequest,
        UpgradeRequest, UpgradeView, Version, WorkerView,
    },
};
use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use std::sync::Arc;

pub(super) fn router(daemon: Arc<Daemon>) -> Router {
    let known = middleware::from_fn_with_state(daemon.clone(), once_known);
    Router::new()
        .route("/v1/workers", get(workers).post(spawn))
        .route("/v1/spawn", get(attach::spawn))
        .route("/v1/workers/{w}", get(worker).delete(remove))
        .route("/v1/workers/{w}/stop", post(stop))
        .route("/v1/workers/{w}/restart", post(restart))
        .route("/v1/workers/{w}/rename", post(rename))
        .route("/v1/workers/{w}/refresh", post(refresh))
        .route("/v1/workers/{w}/seen", post(seen))
        .route("/v1/stop-all", post(stop_all))
        .route("/v1/workers/{w}/attach", get(attach::attach))
        .route("/v1/workers/{w}/exec", post(exec))
        .route("/v1/workers/{w}/input", post(input))
        .route("/v1/workers/{w}/logs", get(logs))
        .route("/v1/workers/{w}/screen", get(screen))
        .route("/v1/workers/{w}/changes", get(review::changes))
        .route("/v1/workers/{w}/changes/any", get(review::any))
        .route("/v1/workers/{w}/changes/summary", get(review::summary))
        .route("/v1/workers/{w}/changes/diff", get(review::diff))
        .route("/v1/workers/{w}/changes/apply", post(review::apply))
        .route("/v1/workers/{w}/changes/discard", post(review::discard))
        .route("/v1/folders", get(projects::folders))
        .route("/v1/projects/recent", get(projects::recent))
        .route("/v1/pools", get(pools))
        .route("/v1/pools/{p}/scale", post(scale))
        .route("/v1/pools/{p}/{action}", post(pool_action))
        .route("/v1/audit", get(audit::read))
        .route("/v1/events", get(events::events))
        .route("/v1/down", post(down))
        // Only what is above waits.
        .route_layer(known)
        .route("/v1/version", get(version))
        .route("/v1/status", get(status))
        .route("/v1/upgrade", post(upgrade))
        .route("/v1/metrics", get(metrics::metrics))
        .route("/v1/config", get(config))
        .fallback(no_route)
        .layer(middleware::map_response(as_error))
        .layer(middleware::from_fn_with_state(
            daemon.clone(),
            audit::audited,
        ))
        .layer(middleware::from_fn_with_state(
            daemon.clone(),
            security::guard,
        ))
        .layer(DefaultBodyLimit::disable())
        .with_state(daemon)
}

/// Requests about workers wait until a coordinator that just started knows which there are.
async fn once_known(State(daemon): App, request: Request, next: Next) -> Response {
    daemon.up().await;
    next.run(request).await
}

async fn no_route() -> Failure {
    Failure(
        ApiError::new(ErrorKind::NotFound, "no such route")
            .hint("this coordinator serves version 1 of the API, under /v1"),
    )
}

async fn version() -> Json<Version> {
    Json(crate::daemon::version())
}

async fn status(State(daemon): App) -> Json<Status> {
    Json(daemon.status())
}

#[derive(Deserialize)]
struct ListQuery {
    #[serde(default)]
    all: bool,
}

async fn workers(State(daemon): App, Query(query): Query<ListQuery>) -> Json<Vec<WorkerView>> {
    Json(daemon.workers(query.all))
}

async fn spawn(
    State(daemon): App,
    Extension(ticket): Extension<AuditScope>,
    Body(request): Body<SpawnRequest>,
) -> Answer<SpawnResponse> {
    ticket.asked(&request);
    let spawned = daemon.spawn(request, None).await;
    ticket.spawned(spawned.as_ref().map(|placed| &placed.response));
    Ok(Json(spawned?.response))
}

async fn worker(State(daemon): App, Path(name): Path<String>) -> Answer<WorkerView> {
    Ok(Json(daemon.worker(&name)?))
}

#[derive(Deserialize)]
struct RemoveQuery {
    #[serde(default)]
    force: bool,
}

async fn remove(
    State(daemon): App,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, Failure> {
    daemon.remove_worker(&name, query.force).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stop(
    State(daemon): App,
    Path(name): Path<String>,
    Body(request): Body<StopRequest>,
) -> Answer<WorkerView> {
    Ok(Json(daemon.stop_worker(&name, request.grace_ms).await?))
}

async fn restart(
    State(daemon): App,
    Path(name): Path<String>,
    Body(request): Body<StopRequest>,
) -> Answer<WorkerView> {
    Ok(Json(daemon.restart_worker(&name, request.grace_ms).await?))
}

async fn rename(
    State(daemon): App,
    Path(name): Path<String>,
    Extension(ticket): Extension<AuditScope>,
    Body(request): Body<RenameRequest>,
) -> Answer<WorkerView> {
    ticket.detail(&format!("to {}", request.name));
    Ok(Json(daemon.rename_worker(&name, &request.name).await?))
}

async fn refresh(State(daemon): App, Path(name): Path<String>) -> Answer<Refreshed> {
    Ok(Json(daemon.refresh_worker(&name).await?))
}

async fn seen(State(daemon): App, Path(name): Path<String>) -> Result<StatusCode, Failure> {
    daemon.seen(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn stop_all(State(daemon): App, Body(request): Body<StopRequest>) -> Answer<Vec<String>> {
    Ok(Json(daemon.stop_all(request.grace_ms).await?))
}

async fn exec(
    State(daemon): App,
    Path(name): Path<String>,
    Extension(ticket): Extension<AuditScope>,
    Body(request): Body<ExecRequest>,
) -> Answer<ExecResponse> {
    // The program alone: its arguments may be private.
    ticket.detail(request.argv.first().map_or("", String::as_str));
    Ok(Json(daemon.exec(&name, request)?))
}

async fn input(
    State(daemon): App,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<StatusCode, Failure> {
    daemon.input(&name, body.to_vec()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn screen(State(daemon): App, Path(name): Path<String>) -> Answer<ScreenView> {
    Ok(Json(daemon.screen(&name).await?))
}

async fn logs(
    State(daemon): App,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Failure> {
    let reader = daemon.logs(&name, &query).await?;
    let stream = futures_util::stream::unfold(reader, |mut reader| async move {
        let next = reader.next().await?;
        Some((next.map(Bytes::from), reader))
    });
    Ok(axum::body::Body::from_stream(stream).into_response())
}

async fn pools(State(daemon): App) -> Json<Vec<PoolView>> {
    Json(daemon.pools())
}

async fn scale(
    State(daemon): App,
    Path(profile): Path<String>,
    Body(request): Body<ScaleRequest>,
) -> Answer<PoolView> {
    Ok(Json(daemon.scale(&profile, request)?))
}

async fn pool_action(
    State(daemon): App,
    Path((profile, action)): Path<(String, String)>,
) -> Answer<PoolView> {
    Ok(Json(daemon.steer_pool(&profile, &action)?))
}

async fn config(State(daemon): App) -> String {
    let text = crate::config::to_toml(&daemon.config());
    match daemon.not_in_effect() {
        Some(waits) => format!("# {waits}\n\n{text}"),
        None => text,
    }
}

async fn upgrade(State(daemon): App, Body(request): Body<UpgradeRequest>) -> Answer<UpgradeView> {
    Ok(Json(daemon.upgrade(&request.image).await?))
}

async fn down(State(daemon): App) -> Result<StatusCode, Failure> {
    daemon.down().await?;
    Ok(StatusCode::NO_CONTENT)
}
