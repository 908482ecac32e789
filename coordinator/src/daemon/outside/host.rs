//! What the kernel says of this machine.

use super::listening::listening;
use crate::wire::ListeningPort;
use std::{
    collections::{BTreeSet, HashMap},
    fmt::Debug,
    io,
};

/// Blocking calls, to be made through [`blocking`](crate::daemon::blocking).
pub(in crate::daemon) trait Host: Debug + Send + Sync {
    /// TCP sockets that are listened on in the parent's network, by their owners' uids.
    fn listening(&self) -> io::Result<HashMap<u32, BTreeSet<ListeningPort>>>;
}

/// The machine that this process runs on.
#[derive(Debug, Clone, Copy)]
pub(in crate::daemon) struct ThisHost;

impl Host for ThisHost {
    fn listening(&self) -> io::Result<HashMap<u32, BTreeSet<ListeningPort>>> {
        listening()
    }
}
