//! Which worker listens on which TCP port: by the uid of the socket's owner, which workers have one each.

use crate::daemon::{Daemon, blocking};
use crate::{model::WorkerId, wire::ListeningPort};
use std::{collections::BTreeMap, sync::Arc};

/// Sockets that are shown of one worker.
const MAX_PORTS: usize = 64;

impl Daemon {
    /// Reads who listens where and tells clients of workers for which that is different.
    pub(in crate::daemon) async fn read_ports(self: &Arc<Self>) {
        let owners = self.owners();
        if owners.is_empty() {
            return;
        }
        let host = self.outside.host.clone();
        let listening = match blocking(move || host.listening()).await {
            Ok(listening) => listening,
            Err(error) => {
                tracing::debug!(%error, "cannot tell who listens");
                return;
            }
        };
        for (worker, uid) in owners {
            let ports: Vec<ListeningPort> = listening
                .get(&uid)
                .map(|ports| ports.iter().take(MAX_PORTS).cloned().collect())
                .unwrap_or_default();
            let news = match self.lock().records.get_mut(&worker) {
                Some(record) if record.ports != ports => {
                    record.ports = ports;
                    true
                }
                _ => false,
            };
            if news {
                self.tell_worker(&worker);
            }
        }
    }

    /// Claimed workers by the uid of their session. A uid that is not one worker's alone (root,
    /// or a project's owner where nobody id-maps) tells nothing.
    fn owners(&self) -> Vec<(WorkerId, u32)> {
        let state = self.lock();
        let mut owners: BTreeMap<u32, Option<WorkerId>> = BTreeMap::new();
        for record in state.records.values() {
            let claimed = record.claim.as_ref().filter(|_| !record.underway.removes());
            let Some(claim) = claimed.filter(|claim| claim.uid != 0) else {
                continue;
            };
            owners
                .entry(claim.uid)
                .and_modify(|owner| *owner = None)
                .or_insert_with(|| Some(record.id.clone()));
        }
        owners
            .into_iter()
            .filter_map(|(uid, owner)| Some((owner?, uid)))
            .collect()
    }
}
