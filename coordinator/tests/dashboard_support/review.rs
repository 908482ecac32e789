//! The script's answers for changes, output and folders.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    response::Response,
    routing::{get, post},
};
use coordinator::{model::HostPath, wire::*};
use futures_util::{StreamExt, stream};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

fn changes(applied: bool) -> Changes {
    let file = Some(EntryType::File);
    let one = |path: &str| Change {
        path: HostPath::new(path),
        kind: ChangeKind::Modified,
        before: file,
        after: file,
        mode: None,
        added: Some(1),
        removed: Some(1),
        binary: false,
        conflict: false,
    };
    Changes {
        project_missing: false,
        project: HostPath::new("/home/me/shop"),
        entries: match applied {
            true => vec![],
            false => vec![one("src/cart.rs"), one("src/total.rs")],
        },
        truncated: false,
    }
}

fn diff(query: Option<String>) -> Vec<FileDiff> {
    let query = query.unwrap_or_default().replace("%2F", "/");
    let path = query.strip_prefix("path=").unwrap_or_default();
    let entries = changes(false).entries;
    let change = entries.into_iter().find(|c| c.path.to_string() == path);
    change
        .map(|change| FileDiff {
            change,
            unified: format!("@@ -1 +1 @@\n-the old {path}\n+the new {path}\n"),
            truncated: false,
        })
        .into_iter()
        .collect()
}

/// One worker's changes and output, whichever is asked for.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let applied = Arc::new(AtomicBool::new(false));
    let (seen, done) = (applied.clone(), applied);
    let apply = move |Json(request): Json<ApplyRequest>| async move {
        assert!(request.paths.is_empty() && !request.force);
        done.store(true, Ordering::SeqCst);
        Json(ApplyResult {
            applied: changes(false).entries.into_iter().map(|c| c.path).collect(),
            ..ApplyResult::default()
        })
    };
    let logs = || async {
        let first = Bytes::from("\x1b[1mstep 1\x1b[m\r\n10%\r50%\r100% done\r\n");
        let first = stream::iter([Ok::<_, std::io::Error>(first)]);
        Response::new(Body::from_stream(first.chain(stream::pending())))
    };
    let folders = || async {
        let path = HostPath::new("/home/me/shop-two");
        Json(Folders {
            folders: vec![Folder { path, is_git: true }],
            truncated: false,
        })
    };
    let list = move || async move { Json(changes(seen.load(Ordering::SeqCst))) };
    let one = |axum::extract::RawQuery(query)| async move { Json(diff(query)) };
    Router::new()
        .route("/v1/workers/{w}/changes", get(list))
        .route("/v1/workers/{w}/changes/diff", get(one))
        .route("/v1/workers/{w}/changes/apply", post(apply))
        .route("/v1/workers/{w}/logs", get(logs))
        .route("/v1/folders", get(folders))
}
