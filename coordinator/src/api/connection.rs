//! Serving one connection, over the socket or TCP.

use super::{peer::Peer, security::ApiAuth};
use crate::daemon::Daemon;
use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1::Builder, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{io, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// Bytes of a request's head that are read at all; what is over the bound of [`super::edge`] is
/// answered in words up to here, and shortly beyond.
const MOST_HEAD: usize = 64 << 10;

/// Out of file descriptors: accepting pauses, sessions live on.
pub(super) async fn pause(error: &io::Error) {
    tracing::warn!(%error, "cannot accept");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// How HTTP is spoken.
pub(super) fn http() -> Builder {
    let mut http = Builder::new();
    http.max_buf_size(MOST_HEAD).max_headers(100);
    http
}

/// Serves one connection until it ends or the daemon stops.
pub(super) async fn serve(
    http: &Builder,
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Arc<Peer>,
    gate: Option<Arc<ApiAuth>>,
    router: Router,
    daemon: &Daemon,
) {
    let inner = TowerToHyperService::new(router);
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        if let Some(gate) = &gate {
            request.extensions_mut().insert(gate.clone());
        }
        inner.call(request)
    });
    let connection = http
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => {
            if let Err(error) = result {
                tracing::debug!(%error, "a connection ended badly");
            }
        }
        () = daemon.stopped() => {
            connection.as_mut().graceful_shutdown();
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection ended badly");
            }
        }
    }
}
