//! Accepting connections on the socket.

use super::routes;
use crate::daemon::Daemon;
use anyhow::Context;
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    time::Duration,
};
use tokio::{net::UnixListener, sync::Semaphore};

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;

/// Binds the API's socket and returns the future that serves it until the daemon stops.
///
/// # Errors
/// The socket cannot be bound: another coordinator answers there, or no permission.
pub fn listen(
    daemon: Arc<Daemon>,
    path: PathBuf,
) -> anyhow::Result<Pin<Box<dyn Future<Output = ()> + Send>>> {
    let listener = bind(&path).with_context(|| format!("binding {}", path.display()))?;
    Ok(Box::pin(accept(daemon, listener)))
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

async fn accept(daemon: Arc<Daemon>, listener: UnixListener) {
    let router = routes::router(daemon.clone());
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else {
            return;
        };
        let socket = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => socket,
                Err(error) => {
                    // Out of file descriptors: accepting pauses, sessions live on.
                    tracing::warn!(%error, "cannot accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            },
            () = daemon.stopped() => break,
        };
        let service = TowerToHyperService::new(router.clone());
        let daemon = daemon.clone();
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
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
            drop(slot);
        });
    }
}
