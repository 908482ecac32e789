//! What handlers take and give: the daemon, a JSON body; JSON, or an [`ApiError`] with its status.

use crate::{
    daemon::Daemon,
    wire::{ApiError, ErrorKind},
};
use axum::{
    Json, body,
    extract::{FromRequest, Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The daemon, as each handler gets it.
pub(super) type App = State<Arc<Daemon>>;

/// Bytes of a plain refusal's reason that are passed on; a longer one is left out.
const MAX_REASON: usize = 4 << 10;

/// An error on its way to the client.
#[derive(Debug)]
pub(super) struct Failure(pub ApiError);

pub(super) type Answer<T> = Result<Json<T>, Failure>;

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.kind.http_status())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let kind = self.0.kind;
        let mut response = (status, Json(self.0)).into_response();
        // For the audit log, which sees the answer alone.
        response.extensions_mut().insert(kind);
        response
    }
}

/// What the router refuses by itself (a query, a path, a method, an upgrade) has a reason in plain text
/// at most: it becomes an [`ApiError`] with the same status and headers.
pub(super) async fn as_error(response: Response) -> Response {
    let status = response.status();
    let refused = status.is_client_error() || status.is_server_error();
    if !refused || response.extensions().get::<ErrorKind>().is_some() {
        return response;
    }
    let (mut parts, text) = response.into_parts();
    let text = body::to_bytes(text, MAX_REASON).await.unwrap_or_default();
    let reason = String::from_utf8_lossy(&text);
    let reason = match reason.trim() {
        "" => status.canonical_reason().unwrap_or("refused").to_owned(),
        said => said.to_owned(),
    };
    let kind = match status {
        StatusCode::NOT_FOUND => ErrorKind::NotFound,
        StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
        _ if status.is_client_error() => ErrorKind::Invalid,
        _ => ErrorKind::Internal,
    };
    let error = ApiError::new(kind, reason).hint("wire/API.md lists the routes and what they take");
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.extensions.insert(kind);
    let mut worded = (status, Json(error)).into_response();
    worded.headers_mut().extend(parts.headers);
    worded.extensions_mut().extend(parts.extensions);
    worded
}

/// A JSON body; what does not parse is an [`ErrorKind::Invalid`] that says where.
#[derive(Debug)]
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        // By way of a value: structs would also be read from arrays, position by position.
        match Json::<serde_json::Value>::from_request(request, state).await {
            Ok(Json(value @ serde_json::Value::Object(_))) => serde_json::from_value(value)
                .map(Self)
                .map_err(|error| Failure(invalid(error.to_string()))),
            Ok(_) => Err(Failure(invalid("the body is no JSON object".to_owned()))),
            Err(rejection) => Err(Failure(invalid(rejection.body_text()))),
        }
    }
}

fn invalid(why: String) -> ApiError {
    ApiError::new(ErrorKind::Invalid, why)
        .hint("send a JSON body with content-type application/json; wire/API.md lists the types")
}
