//! Accepting connections on the socket.

use super::{
    connection::{http, pause, serve},
    peer::Peer,
    routes,
    tcp::Tcp,
};
use crate::daemon::Daemon;
use anyhow::Context;
use axum::Router;
use std::{
    future::Future,
    io,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
};
use tokio::{net::UnixListener, sync::Semaphore};

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 512;

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
