//! What was refused, by the worker's uid. Bounded: workers are.

use super::wire::Denied;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Longest text kept of one refusal, in characters.
const MOST_TEXT: usize = 300;

/// Shared by the proxy, the kernel's reports, and who asks.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<BTreeMap<u32, (u64, String)>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, (u64, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
            *last = what.chars().take(MOST_TEXT).collect();
        }
    }

    pub fn report(&self) -> Vec<Denied> {
        let counts = self.lock();
        let some = counts.iter().filter(|(_, (count, _))| *count > 0);
        some.map(|(uid, (count, last))| Denied {
            uid: *uid,
            count: *count,
            last: last.clone(),
        })
        .collect()
    }
}
