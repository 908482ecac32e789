//! Accepting connections on the socket, and serving one.

use super::{edge::Gate, peer::Peer, routes, tcp::Tcp};
use crate::daemon::Daemon;
use anyhow::Context;
use axum::Router;
use hyper::{Request, body::Incoming, server::conn::http1::Builder, service::Service};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
    sync::Semaphore,
};

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;
/// Bytes of a request's head that are read at all; what is over the bound of [`super::edge`] is
/// answered in words up to here, and shortly beyond.
const MOST_HEAD: usize = 64 << 10;

/// Binds the API's socket, and its port when one is configured, and returns the future that serves
/// them until the daemon stops.
///
/// # Errors
/// The socket cannot be bound: another coordinator answers there, or no permission. What the port
/// needs cannot be used.
pub fn listen(
    daemon: Arc<Daemon>,
    path: PathBuf,
) -> anyhow::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let listener = bind(&path).with_context(|| format!("binding {}", path.display()))?;
    let config = daemon.config();
    let tcp = config.api.tcp.as_ref().map(Tcp::open).transpose()?;
    Ok(Box::pin(async move {
        let router = routes::router(daemon.clone());
        let socket = accept(daemon.clone(), listener, router.clone());
        match tcp {
            Some(tcp) => {
                tokio::join!(socket, tcp.serve(daemon, router));
            }
            None => socket.await,
        }
    }))
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another coordinator answers here: one serves a state volume",
        ));
    }
    crate::agent::bind_private(path)
}

async fn accept(daemon: Arc<Daemon>, listener: UnixListener, router: Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    pause(&error).await;
                    continue;
                }
            },
            () = daemon.stopped() => break,
        };
        let (daemon, router) = (daemon.clone(), router.clone());
        tokio::spawn(async move {
            let peer = Arc::new(Peer::unix(&socket));
            serve(&http(), socket, peer, None, router, &daemon).await;
            drop(slot);
        });
    }
}

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
    gate: Option<Arc<Gate>>,
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
