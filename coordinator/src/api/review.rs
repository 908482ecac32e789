//! Review of copy-on-write changes.

use super::{
    reply::{Answer, Body},
    routes::App,
};
use crate::{
    model::HostPath,
    wire::{ApiError, ApplyRequest, ApplyResult, Changes, DiscardRequest, FileDiff},
};
use axum::{
    Json,
    extract::{Path, RawQuery, State},
};
use std::{ffi::OsString, os::unix::ffi::OsStringExt};

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

/// The value of `path=` in a query: percent-encoded bytes, which need not be UTF-8.
fn path_of(query: &str) -> Option<HostPath> {
    let value = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("path="))?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = tail.get(..2).filter(|_| first == b'%');
        let hex = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                rest = tail;
            }
        }
    }
    (!bytes.is_empty()).then(|| HostPath::new(OsString::from_vec(bytes)))
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
