//! What was refused, by the worker's uid. Owns the counts, bounded as workers are. Never keeps one for a
//! uid that nobody announced.

use crate::wire::Denied;
use podbay_protocol::cut;
use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

/// Longest text kept of one refusal, in bytes.
const MAX_TEXT: usize = 300;
/// Workers in one report; the next one continues behind them.
const MAX_TOLD: usize = 500;

/// Shared by the proxy, the kernel's reports, and who asks.
#[derive(Debug, Default)]
pub(super) struct Counts {
    refused: Mutex<BTreeMap<u32, (u64, String)>>,
    /// The uid that the next report begins with.
    next: AtomicU32,
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, (u64, String)>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts for this uid only from here on.
    pub fn begin(&self, uid: u32) {
        self.lock().insert(uid, (0, String::new()));
    }

    pub fn end(&self, uid: u32) {
        self.lock().remove(&uid);
    }

    /// Keeps the counts of these and no others.
    pub fn keep(&self, uids: &[u32]) {
        let mut counts = self.lock();
        counts.retain(|uid, _| uids.contains(uid));
        for uid in uids {
            counts.entry(*uid).or_default();
        }
    }

    /// One more; of a uid that nobody announced nothing is kept.
    pub fn denied(&self, uid: u32, what: &str) {
        if let Some((count, last)) = self.lock().get_mut(&uid) {
            *count = count.saturating_add(1);
            cut(what, MAX_TEXT).clone_into(last);
        }
    }

    /// What was refused of whom; of very many workers, a part of them in turn.
    pub fn report(&self) -> Vec<Denied> {
        let counts = self.lock();
        let next = self.next.load(Ordering::Relaxed);
        let in_turn = counts.range(next..).chain(counts.range(..next));
        let mut some = in_turn.filter(|(_, (count, _))| *count > 0);
        let told = some.by_ref().take(MAX_TOLD);
        let told = told.map(|(uid, (count, last))| Denied {
            uid: *uid,
            count: *count,
            last: last.clone(),
        });
        let told = told.collect();
        self.next
            .store(some.next().map_or(0, |(uid, _)| *uid), Ordering::Relaxed);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_fits_a_frame_and_all_have_their_turn() {
        let counts = Counts::default();
        let uids: Vec<u32> = (0..2500).collect();
        counts.keep(&uids);
        for uid in &uids {
            counts.denied(*uid, &"\u{1}".repeat(5000));
        }
        let mut told = std::collections::BTreeSet::new();
        for _ in 0..5 {
            let report = counts.report();
            assert!(podbay_protocol::encode(&report).is_ok());
            told.extend(report.into_iter().map(|denied| denied.uid));
        }
        assert_eq!(told.len(), 2500);
    }
}
