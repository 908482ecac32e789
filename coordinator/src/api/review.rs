//! Review of copy-on-write changes: the mounter's text passes through as it comes.

use super::{
    audit::AuditScope,
    projects::path_of,
    reply::{Answer, App, Body, Failure},
};
use crate::{
    mounter_client::ReviewAnswer,
    wire::{AnyChanges, ApiError, ApplyRequest, DiscardRequest, PROJECT_MISSING, TRUNCATED},
};
use axum::{
    Extension, Json,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::header,
    response::{IntoResponse, Response},
};

type Text = Result<Response, Failure>;

/// The answer's text as a body. One that breaks on the way ends the connection, so that nobody takes
/// it for a whole one.
fn pass(answer: ReviewAnswer) -> Response {
    let marks = [
        (TRUNCATED, answer.truncated()),
        (PROJECT_MISSING, answer.project_missing()),
    ];
    let parts = futures_util::stream::unfold(answer, |mut answer| async move {
        let part = answer.next().await?;
        Some((part.map(Bytes::from), answer))
    });
    let body = axum::body::Body::from_stream(parts);
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    for (mark, _) in marks.iter().filter(|(_, set)| *set) {
        let yes = header::HeaderValue::from_static("true");
        response.headers_mut().insert(*mark, yes);
    }
    response
}

pub(super) async fn changes(
    State(daemon): App,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Text {
    let (_, target) = daemon.review_target(&name)?;
    let path = query.as_deref().and_then(path_of);
    let answer = daemon.reviewer().list(target, path).await;
    Ok(pass(answer.map_err(ApiError::from)?))
}

pub(super) async fn any(State(daemon): App, Path(name): Path<String>) -> Answer<AnyChanges> {
    let (_, target) = daemon.review_target(&name)?;
    let any = daemon.reviewer().any_changes(target).await;
    Ok(Json(AnyChanges {
        any: any.map_err(ApiError::from)?,
    }))
}

pub(super) async fn summary(
    State(daemon): App,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Text {
    let (_, target) = daemon.review_target(&name)?;
    let path = query.as_deref().and_then(path_of);
    let answer = daemon.reviewer().summary(target, path).await;
    Ok(pass(answer.map_err(ApiError::from)?))
}

pub(super) async fn diff(
    State(daemon): App,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Text {
    let (_, target) = daemon.review_target(&name)?;
    let path = query.as_deref().and_then(path_of);
    let answer = daemon.reviewer().show(target, path).await;
    Ok(pass(answer.map_err(ApiError::from)?))
}

pub(super) async fn apply(
    State(daemon): App,
    Path(name): Path<String>,
    Extension(ticket): Extension<AuditScope>,
    Body(request): Body<ApplyRequest>,
) -> Text {
    ticket.paths(&request.paths);
    let (id, target) = daemon.apply_target(&name).await?;
    let answer = daemon.reviewer().carry_over(target, request).await;
    let answer = answer.map_err(ApiError::from)?;
    podbay_failpoints::failpoint!("review.applied");
    ticket.applied(answer.refused());
    daemon.reviewed(&id, answer.left() > 0).await;
    Ok(pass(answer))
}

pub(super) async fn discard(
    State(daemon): App,
    Path(name): Path<String>,
    Extension(ticket): Extension<AuditScope>,
    Body(request): Body<DiscardRequest>,
) -> Text {
    ticket.paths(&request.paths);
    let (id, target) = daemon.review_target(&name)?;
    let answer = daemon.reviewer().throw_away(target, request).await;
    let answer = answer.map_err(ApiError::from)?;
    podbay_failpoints::failpoint!("review.discarded");
    daemon.reviewed(&id, answer.left() > 0).await;
    Ok(pass(answer))
}
