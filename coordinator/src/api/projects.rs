//! Projects a person may choose from, and paths in queries.

use super::reply::{Answer, App};
use crate::{
    model::HostPath,
    wire::{ApiError, ErrorKind, Folders, RecentProjects, percent},
};
use axum::{
    Json,
    extract::{RawQuery, State},
};
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

pub(super) async fn folders(State(daemon): App, RawQuery(query): RawQuery) -> Answer<Folders> {
    let prefix = query.as_deref().and_then(path_of).ok_or_else(|| {
        ApiError::new(ErrorKind::Invalid, "no path was given")
            .hint("ask for /v1/folders?path=/, an absolute path on the engine's host")
    })?;
    Ok(Json(daemon.folders(prefix).await?))
}

pub(super) async fn recent(State(daemon): App) -> Json<RecentProjects> {
    Json(daemon.recent_projects())
}

/// The value of `path=` in a query: percent-encoded bytes, which need not be UTF-8.
pub(super) fn path_of(query: &str) -> Option<HostPath> {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("path="))?;
    let bytes = percent::decode_value(value);
    (!bytes.is_empty()).then(|| HostPath::new(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn any_bytes_can_be_named() {
        let bytes =
            |query: &str| path_of(query).map(|p| p.as_path().as_os_str().as_bytes().to_vec());
        assert_eq!(bytes("path=a%20b%2Fc").as_deref(), Some(&b"a b/c"[..]));
        assert_eq!(bytes("x=1&path=%ff%0a").as_deref(), Some(&b"\xff\x0a"[..]));
        assert_eq!(bytes("path=100%"), Some(b"100%".to_vec()));
        assert_eq!(bytes("path="), None);
        assert_eq!(bytes("other=1"), None);
    }
}
