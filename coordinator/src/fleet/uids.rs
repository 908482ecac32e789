//! Which uids are in use besides those of the workers that the fleet knows.
//!
//! Rules of the network, blocks of ports and owners of files go by a worker's uid, so no two
//! containers may ever have the same one. A uid is free again only when a listing that was asked
//! for after the worker's end shows no container of it: the engine may report a removal that is
//! still under way, or a creation that failed and yet left something.

use super::event::Millis;
use crate::model::{FIRST_UID, UIDS, WorkerId};
use std::collections::{BTreeMap, BTreeSet};

/// Uids that no worker of the fleet has and that are not free either.
#[derive(Debug, Clone, Default)]
pub(super) struct Uids {
    /// What a former coordinator left is known.
    known: bool,
    reserved: BTreeMap<WorkerId, u32>,
    /// Of workers that are gone, and when they went.
    retired: BTreeMap<WorkerId, (u32, Millis)>,
}

impl Uids {
    pub(super) fn reserve(&mut self, uids: Vec<(WorkerId, u32)>) {
        self.known = true;
        self.reserved.extend(uids);
    }

    /// Nothing is left of what had it; as after a worker's end, a listing has to confirm that.
    pub(super) fn release(&mut self, worker: &WorkerId, now: Millis) {
        if let Some(uid) = self.reserved.remove(worker) {
            self.retire(worker.clone(), uid, now);
        }
    }

    /// The worker's entry has it from now on.
    pub(super) fn hand_over(&mut self, worker: &WorkerId) {
        self.reserved.remove(worker);
        self.retired.remove(worker);
    }

    pub(super) fn retire(&mut self, worker: WorkerId, uid: u32, now: Millis) {
        self.retired.insert(worker, (uid, now));
    }

    /// A listing was asked for at that time and shows these containers.
    pub(super) fn listed(&mut self, asked_at: Millis, shown: impl Fn(&WorkerId) -> bool) {
        self.retired
            .retain(|worker, (_, at)| *at >= asked_at || shown(worker));
    }

    /// The lowest uid that none of these has, and no other either.
    pub(super) fn free(&self, workers: impl Iterator<Item = u32>) -> Option<u32> {
        let taken: BTreeSet<u32> = workers
            .chain(self.reserved.values().copied())
            .chain(self.retired.values().map(|(uid, _)| *uid))
            .collect();
        (FIRST_UID..FIRST_UID + UIDS).find(|uid| !taken.contains(uid))
    }

    /// Whether it is known what a former coordinator left.
    pub(super) fn known(&self) -> bool {
        self.known
    }
}
