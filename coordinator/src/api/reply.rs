//! What handlers take and give: the daemon, a JSON body; JSON, or an [`ApiError`] with its status.

use crate::{
    daemon::Daemon,
    wire::{ApiError, ErrorKind},
};
use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// The daemon, as each handler gets it.
pub(super) type App = State<Arc<Daemon>>;

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
