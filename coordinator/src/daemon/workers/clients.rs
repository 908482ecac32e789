//! The clients of a worker's main session, by their streams.
//!
//! Owns: who counts as attached, in whichever order the news of a client come. Never believes that a
//! client is there that another worker's agent has.

use std::collections::{BTreeMap, VecDeque};

/// Clients of a session whose end is remembered.
const MAX_LEFT: usize = 64;
/// Clients that are known at a time before an agent's word adds none any more.
const MAX_KNOWN: usize = 256;

/// The clients of a session. Each is counted from its arrival to the agent's word that it left, in
/// whichever order the two come. It belongs to the agent's connection on which it came: a later
/// connection's description says who outlived that one.
#[derive(Debug, Clone, Default)]
pub(in crate::daemon) struct Clients {
    known: BTreeMap<String, Client>,
    /// Who left last: a description that was made before may still name them.
    left: VecDeque<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Client {
    open: bool,
    connection: u64,
}

impl Clients {
    /// An agent is about to be asked to take a client.
    pub fn opening(&mut self, stream: &str, connection: u64) {
        let open = false;
        self.known
            .insert(stream.to_owned(), Client { open, connection });
    }

    /// It is there; no news if the agent has said meanwhile that it left.
    pub fn opened(&mut self, stream: &str) {
        if let Some(client) = self.known.get_mut(stream) {
            client.open = true;
        }
    }

    /// It left, or did not come.
    pub fn left(&mut self, stream: &str) {
        self.known.remove(stream);
        if self.left.len() == MAX_LEFT {
            self.left.pop_front();
        }
        self.left.push_back(stream.to_owned());
    }

    /// The agent describes itself on this connection, and names the clients that outlive a connection.
    pub fn described(&mut self, streams: &[String], connection: u64) {
        self.known
            .retain(|_, client| client.connection >= connection);
        for stream in streams {
            if !self.left.contains(stream) && self.known.len() < MAX_KNOWN {
                let open = true;
                let client = Client { open, connection };
                self.known.entry(stream.clone()).or_insert(client);
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        let open = self.known.values().filter(|client| client.open).count();
        u32::try_from(open).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_counted_in_whichever_order_they_come_and_go() {
        let mut clients = Clients::default();
        clients.opening("a", 1);
        assert_eq!(clients.count(), 0);
        clients.opened("a");
        // The word that one has left overtakes its arrival.
        clients.opening("b", 1);
        clients.left("b");
        clients.opened("b");
        assert_eq!(clients.count(), 1);
        // One leaves while another is on its way.
        clients.opening("c", 1);
        clients.left("a");
        clients.opened("c");
        assert_eq!(clients.count(), 1);
        clients.left("c");
        assert_eq!(clients.count(), 0);
        assert!(clients.known.is_empty());
        for n in 0..2 * MAX_LEFT {
            clients.left(&n.to_string());
        }
        assert_eq!(clients.left.len(), MAX_LEFT);
        for n in 0..100 {
            let names: Vec<String> = (0..64).map(|m| format!("{n}-{m}")).collect();
            clients.described(&names, 1);
        }
        assert_eq!(clients.known.len(), MAX_KNOWN);
    }

    #[test]
    fn a_new_connection_says_who_outlived_the_one_before() {
        let mut clients = Clients::default();
        for stream in ["relayed", "handed", "leaves"] {
            clients.opening(stream, 1);
            clients.opened(stream);
        }
        // On the same connection nobody is gone who was not said to be.
        clients.described(&["handed".into(), "leaves".into()], 1);
        assert_eq!(clients.count(), 3);
        // Of another connection only those are there that it names; one has left meanwhile.
        clients.opening("new", 2);
        clients.left("leaves");
        clients.described(&["handed".into(), "leaves".into()], 2);
        assert_eq!(clients.count(), 1);
        clients.opened("new");
        assert_eq!(clients.count(), 2);
        // A new coordinator knows nobody but from the description.
        let mut fresh = Clients::default();
        fresh.left("leaves");
        fresh.described(&["handed".into(), "leaves".into()], 7);
        assert_eq!(fresh.count(), 1);
        fresh.left("handed");
        assert_eq!(fresh.count(), 0);
    }
}
