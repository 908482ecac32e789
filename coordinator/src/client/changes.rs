//! The calls of the API that are about a copy-on-write worker's changes.

use super::{Client, ClientError, api::worker_path, query::Query, transport::Call};
use crate::{
    model::HostPath,
    wire::{
        AnyChanges, ApplyRequest, ApplyResult, ChangeSummary, Changes, DiscardRequest, FileDiff,
        PROJECT_MISSING, TRUNCATED,
    },
};
use hyper::Method;
use std::os::unix::ffi::OsStrExt;

/// The differences of changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diffs {
    /// One of each changed path.
    pub diffs: Vec<FileDiff>,
    /// There are more than the coordinator sends at a time.
    pub truncated: bool,
    /// The project's folder is gone or is another one: all that was changed is shown as added.
    pub project_missing: bool,
}

fn changes_call(name: &str, rest: &str, path: Option<&HostPath>) -> Call {
    let query = match path {
        Some(path) => Query::default()
            .pair("path", path.as_path().as_os_str().as_bytes())
            .done(),
        None => String::new(),
    };
    Call::new(Method::GET, worker_path(name, &format!("{rest}{query}")))
}

impl Client {
    /// What a copy-on-write worker changed, in everything or at and below one path relative to the
    /// project.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn changes(
        &self,
        name: &str,
        path: Option<&HostPath>,
    ) -> Result<Changes, ClientError> {
        let call = changes_call(name, "/changes", path);
        self.http().json(&call, self.deadlines().changes).await
    }

    /// The same counted by folder, however many changes there are.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn change_summary(
        &self,
        name: &str,
        path: Option<&HostPath>,
    ) -> Result<ChangeSummary, ClientError> {
        let call = changes_call(name, "/changes/summary", path);
        self.http().json(&call, self.deadlines().changes).await
    }

    /// Whether a copy-on-write worker changed anything.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn any_changes(&self, name: &str) -> Result<bool, ClientError> {
        let call = changes_call(name, "/changes/any", None);
        let found: AnyChanges = self.http().json(&call, self.deadlines().changes).await?;
        Ok(found.any)
    }

    /// The differences of everything, or at and below one path relative to the project.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn diff(&self, name: &str, path: Option<&HostPath>) -> Result<Diffs, ClientError> {
        let call = changes_call(name, "/changes/diff", path);
        let (headers, diffs) = self
            .http()
            .json_with_headers(&call, self.deadlines().changes)
            .await?;
        Ok(Diffs {
            diffs,
            truncated: headers.contains_key(TRUNCATED),
            project_missing: headers.contains_key(PROJECT_MISSING),
        })
    }

    /// Carries changes over into the project.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn apply(
        &self,
        name: &str,
        request: &ApplyRequest,
    ) -> Result<ApplyResult, ClientError> {
        self.post(
            worker_path(name, "/changes/apply"),
            request,
            self.deadlines().apply,
        )
        .await
    }

    /// Throws changes away; what is left.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn discard(
        &self,
        name: &str,
        request: &DiscardRequest,
    ) -> Result<Changes, ClientError> {
        self.post(
            worker_path(name, "/changes/discard"),
            request,
            self.deadlines().apply,
        )
        .await
    }
}
