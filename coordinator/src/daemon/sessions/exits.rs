//! How sessions ended, remembered for clients that ask a moment later.
//!
//! By worker and session: one worker's ends are of no other worker's sessions, and do not make
//! others forgotten.

use crate::model::WorkerId;
use podbay_protocol::ExitStatus;
use std::collections::{HashMap, VecDeque};

/// Ends of one worker's sessions that are remembered; the oldest goes.
const MAX_EXITS: usize = 256;
/// Workers whose ends are remembered; that of which the least was heard for the longest time goes.
const MAX_WORKERS: usize = 1024;

/// The ends of the last sessions.
#[derive(Debug, Default)]
pub(in crate::daemon) struct ExitLog {
    ends: HashMap<WorkerId, VecDeque<(String, ExitStatus, bool)>>,
    /// The one that was heard of last is the last.
    order: VecDeque<WorkerId>,
}

impl ExitLog {
    /// A session of this worker ended; only the first word on it counts.
    pub fn add(&mut self, worker: &WorkerId, session: String, status: ExitStatus, oom: bool) {
        if self.get(worker, &session).is_some() {
            return;
        }
        self.order.retain(|known| known != worker);
        self.order.push_back(worker.clone());
        if self.order.len() > MAX_WORKERS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
        let ends = self.ends.entry(worker.clone()).or_default();
        if ends.len() == MAX_EXITS {
            ends.pop_front();
        }
        ends.push_back((session, status, oom));
    }

    /// How a session of this worker ended.
    pub fn get(&self, worker: &WorkerId, session: &str) -> Option<(ExitStatus, bool)> {
        self.ends
            .get(worker)?
            .iter()
            .find(|(known, ..)| known == session)
            .map(|(_, status, oom)| (*status, *oom))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(code: i32) -> ExitStatus {
        serde_json::from_value(serde_json::json!({ "how": "code", "value": code })).unwrap()
    }

    #[test]
    fn a_worker_neither_forges_nor_evicts_another_ones_exits() {
        let (a, b) = (WorkerId::from_bits(1), WorkerId::from_bits(2));
        let mut log = ExitLog::default();
        log.add(&a, "s".to_owned(), code(7), false);
        assert_eq!(log.get(&b, "s"), None);
        log.add(&b, "s".to_owned(), code(0), true);
        for n in 0..10 * MAX_EXITS {
            log.add(&a, format!("invented-{n}"), code(1), false);
        }
        assert_eq!(log.get(&b, "s"), Some((code(0), true)));
        assert_eq!(log.get(&a, "s"), None);
        assert_eq!(log.ends[&a].len(), MAX_EXITS);
        // The first word counts.
        log.add(&b, "s".to_owned(), code(9), false);
        assert_eq!(log.get(&b, "s"), Some((code(0), true)));
    }

    #[test]
    fn so_many_workers_are_remembered_and_no_more() {
        let mut log = ExitLog::default();
        let first = WorkerId::from_bits(0);
        for n in 0..2 * MAX_WORKERS {
            log.add(
                &WorkerId::from_bits(n as u64),
                "s".to_owned(),
                code(0),
                false,
            );
            if n % 100 == 0 {
                log.add(&first, format!("s{n}"), code(0), false);
            }
        }
        assert_eq!(
            (log.ends.len(), log.order.len()),
            (MAX_WORKERS, MAX_WORKERS)
        );
        assert!(log.get(&first, "s2000").is_some());
    }
}
