//! Review of copy-on-write changes.

use super::{
    reply::{Answer, Body},
    routes::App,
};
use crate::{
    model::HostPath,
    wire::{ApiError, ApplyRequest, ApplyResult, Changes, DiscardRequest, ErrorKind, FileDiff},
};
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Deserialize;

pub(super) async fn changes(State(daemon): App, Path(name): Path<String>) -> Answer<Changes> {
    let (_, target) = daemon.review_target(&name)?;
    let changes = daemon
        .reviewer()
        .changes(target)
        .await
        .map_err(ApiError::from)?;
    Ok(Json(changes))
}

#[derive(Deserialize)]
pub(super) struct DiffQuery {
    /// A `HostPath` as JSON, so that any bytes can be named.
    path: Option<String>,
}

pub(super) async fn diff(
    State(daemon): App,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Answer<Vec<FileDiff>> {
    let (_, target) = daemon.review_target(&name)?;
    let path = match query.path {
        Some(text) => Some(parse_path(&text)?),
        None => None,
    };
    let diffs = daemon
        .reviewer()
        .diff(target, path)
        .await
        .map_err(ApiError::from)?;
    Ok(Json(diffs))
}

/// Plain text, or the JSON form of a [`HostPath`] that is not UTF-8.
fn parse_path(text: &str) -> Result<HostPath, ApiError> {
    if !text.starts_with(['{', '"']) {
        return Ok(HostPath::new(text));
    }
    serde_json::from_str(text)
        .map_err(|e| ApiError::new(ErrorKind::Invalid, format!("the path {text:?}: {e}")))
}

pub(super) async fn apply(
    State(daemon): App,
    Path(name): Path<String>,
    Body(request): Body<ApplyRequest>,
) -> Answer<ApplyResult> {
    let (id, target) = daemon.review_target(&name)?;
    let result = daemon
        .reviewer()
        .apply(target, request)
        .await
        .map_err(ApiError::from)?;
    daemon.reviewed(&id, result.left > 0).await;
    Ok(Json(result))
}

pub(super) async fn discard(
    State(daemon): App,
    Path(name): Path<String>,
    Body(request): Body<DiscardRequest>,
) -> Answer<Changes> {
    let (id, target) = daemon.review_target(&name)?;
    let left = daemon
        .reviewer()
        .discard(target, request)
        .await
        .map_err(ApiError::from)?;
    daemon.reviewed(&id, !left.entries.is_empty()).await;
    Ok(Json(left))
}
