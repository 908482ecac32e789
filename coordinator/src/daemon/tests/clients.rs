//! People who attach to sessions, and look at them for a while.

use super::{operations::note, state::World};
use crate::{
    daemon::{Attached, ClientLink, ClientPath, Daemon},
    wire::AttachQuery,
};
use podbay_protocol::AttachMode;
use std::{os::unix::net::UnixStream, sync::Arc};
use tokio::time::sleep;

/// How the next client's bytes go.
pub(super) fn path(world: &World) -> ClientPath {
    match world.lock().dice.chance(500) {
        true => ClientPath::Relayed,
        false => ClientPath::Handed,
    }
}

/// A client watches for a while.
pub(super) async fn hold(world: &World, daemon: &Daemon, attached: Attached) {
    let (wait, gone) = {
        let dice = &mut world.lock().dice;
        (dice.delay(), dice.chance(100))
    };
    if let ClientLink::Relayed { .. } = attached.link {
        sleep(wait).await;
        return drop(attached);
    }
    let (client, socket) = UnixStream::pair().unwrap();
    socket.set_nonblocking(true).unwrap();
    let socket = Some(socket).filter(|_| !gone);
    daemon.hand(attached, socket, b"typed".to_vec()).await;
    sleep(wait).await;
    drop(client);
}

/// Attaches to a worker's session, or starts an exec.
pub(super) async fn attach(
    world: &World,
    daemon: &Arc<Daemon>,
    name: &str,
    session: Option<String>,
) {
    let query = AttachQuery {
        session,
        mode: AttachMode::Write,
        cols: Some(80),
        rows: Some(24),
        silent: false,
    };
    let attached = daemon.attach(name, query, path(world)).await;
    note(world, &attached);
    if let Ok(attached) = attached {
        hold(world, daemon, attached).await;
    }
}
