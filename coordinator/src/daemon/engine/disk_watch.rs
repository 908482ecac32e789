//! Looks at the disks again and again, and says when one becomes full.

use super::disk::look;
use crate::{
    daemon::{Daemon, blocking},
    fleet::Event,
};
use std::{path::Path, sync::Arc, time::Duration};

/// How often they are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

impl Daemon {
    /// Keeps what is known of the disks, and tells the fleet when the engine's becomes full and
    /// when it no longer is.
    pub(in crate::daemon) async fn keep_disks(self: Arc<Self>) {
        loop {
            let (host, state_dir) = (self.outside.host.clone(), self.state_dir.clone());
            // A disk that hangs must not hold anything else up.
            match blocking(move || look(&*host, Path::new("/"), state_dir.path())).await {
                Ok(now) => {
                    let before = std::mem::replace(&mut self.lock().disks, now.clone());
                    if before.engine.is_some() != now.engine.is_some() {
                        self.feed(Event::EngineDisk(now.engine));
                    }
                }
                Err(error) => tracing::debug!(%error, "the disks cannot be looked at"),
            }
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
