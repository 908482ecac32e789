//! Answers: JSON, or an [`ApiError`] with its status.

use crate::wire::{ApiError, ErrorKind};
use axum::{
    Json,
    extract::{FromRequest, Request, rejection::JsonRejection},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;

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
        (status, Json(self.0)).into_response()
    }
}

/// A JSON body; what does not parse is an [`ErrorKind::Invalid`] that says where.
#[derive(Debug)]
pub(super) struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(Failure(refusal(&rejection))),
        }
    }
}

fn refusal(rejection: &JsonRejection) -> ApiError {
    ApiError::new(ErrorKind::Invalid, rejection.body_text())
        .hint("send a JSON body with content-type application/json; wire/API.md lists the types")
}
