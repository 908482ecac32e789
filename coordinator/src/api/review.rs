//! Review of copy-on-write changes.

use super::{
    projects::path_of,
    reply::{Answer, Body},
    routes::App,
};
use crate::wire::{ApiError, ApplyRequest, ApplyResult, Changes, DiscardRequest, FileDiff};
use axum::{
    Json,
    extract::{Path, RawQuery, State},
};

pub(super) async fn changes(State(daemon): App, Path(name): Path<String>) -> Answer<Changes> {
    let (_, target) = daemon.review_target(&name)?;
    let changes = daemon
        .reviewer()
        .changes(target)
        .await
        .map_err(ApiError::from)?;
    Ok(Json(changes))
}

pub(super) async fn diff(
    State(daemon): App,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer<Vec<FileDiff>> {
    let (_, target) = daemon.review_target(&name)?;
    let path = query.as_deref().and_then(path_of);
    let diffs = daemon
        .reviewer()
        .diff(target, path)
        .await
        .map_err(ApiError::from)?;
    Ok(Json(diffs))
}

pub(super) async fn apply(
    State(daemon): App,
    Path(name): Path<String>,
    Body(request): Body<ApplyRequest>,
) -> Answer<ApplyResult> {
    let (id, target) = daemon.apply_target(&name).await?;
    let result = daemon
        .reviewer()
        .apply(target, request)
        .await
        .map_err(ApiError::from)?;
    worker_agent::failpoint!("review.applied");
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
    worker_agent::failpoint!("review.discarded");
    daemon.reviewed(&id, !left.entries.is_empty()).await;
    Ok(Json(left))
}
