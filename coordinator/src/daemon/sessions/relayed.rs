//! Clients that this process relays: who of them types, as their sessions' agents report.
//!
//! Owns: an entry for each such client, for as long as it is there. Never lets one worker's agent speak
//! of another's clients.

use crate::model::WorkerId;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::watch;

/// The clients that are relayed.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct RelayedClients(Arc<Mutex<BTreeMap<String, Entry>>>);

#[derive(Debug)]
struct Entry {
    worker: WorkerId,
    session: String,
    writes: watch::Sender<bool>,
}

/// Whether a client types; its entry goes with this.
#[derive(Debug)]
pub struct Writes {
    /// Changes when another client takes over, or leaves.
    pub changes: watch::Receiver<bool>,
    stream: String,
    clients: RelayedClients,
}

impl RelayedClients {
    /// A client of this session is relayed from now on.
    pub fn enter(&self, worker: &WorkerId, session: &str, stream: &str, writer: bool) -> Writes {
        let (writes, changes) = watch::channel(writer);
        let entry = Entry {
            worker: worker.clone(),
            session: session.to_owned(),
            writes,
        };
        self.change(|clients| clients.insert(stream.to_owned(), entry));
        Writes {
            changes,
            stream: stream.to_owned(),
            clients: self.clone(),
        }
    }

    /// This stream's client types into this session of the worker now, and no other does.
    pub fn writer(&self, worker: &WorkerId, session: &str, stream: &str) {
        self.change(|clients| {
            for (own, entry) in clients.iter() {
                if entry.worker == *worker && entry.session == session {
                    let writes = own == stream;
                    entry
                        .writes
                        .send_if_modified(|now| std::mem::replace(now, writes) != writes);
                }
            }
        });
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Entry>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Writes {
    fn drop(&mut self) {
        self.clients.change(|clients| clients.remove(&self.stream));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_on_who_types_reaches_the_clients_of_that_session_alone() {
        let (one, other) = (WorkerId::from_bits(1), WorkerId::from_bits(2));
        let clients = RelayedClients::default();
        let mut a = clients.enter(&one, "s", "a", true);
        let mut b = clients.enter(&one, "s", "b", false);
        let exec = clients.enter(&one, "x", "c", true);
        let elsewhere = clients.enter(&other, "s", "d", true);
        clients.writer(&one, "s", "b");
        assert!(a.changes.has_changed().unwrap() && b.changes.has_changed().unwrap());
        assert!(!*a.changes.borrow_and_update() && *b.changes.borrow_and_update());
        // Another worker's agent changes nothing here, whatever it knows.
        clients.writer(&other, "s", "a");
        assert!(!a.changes.has_changed().unwrap() && !b.changes.has_changed().unwrap());
        assert!(*exec.changes.borrow() && !*elsewhere.changes.borrow());
        // One whose socket this process does not have took over.
        clients.writer(&one, "s", "handed");
        assert!(!*b.changes.borrow());
        drop((a, b, exec, elsewhere));
        assert!(clients.0.lock().unwrap().is_empty());
    }
}
