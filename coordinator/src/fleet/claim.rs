//! A claim as the fleet knows it.

use super::event::ClaimSpec;
use crate::{model::WorkerId, wire::WhenEmpty};

/// One claim that is not answered yet.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) spec: ClaimSpec,
    pub(super) phase: Phase,
    /// Whether it was a hit or a miss is counted.
    pub(super) counted: bool,
    /// `Assign`s so far.
    pub(super) tries: u32,
    /// What made the last worker fail.
    pub(super) trouble: Option<String>,
    /// The claimant went away while its session was being started.
    pub(super) cancelled: bool,
}

/// Where a claim is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has no worker.
    Waiting,
    /// A worker is being made for it.
    Cold(WorkerId),
    /// `Assign` is issued.
    Assigned(WorkerId),
}

impl Claim {
    /// It does not wait for the pool.
    pub(super) fn goes_cold(&self) -> bool {
        match self.spec.when_empty {
            WhenEmpty::Cold => true,
            WhenEmpty::Queue => self.spec.force_cold.is_some(),
            WhenEmpty::Fail => false,
        }
    }

    /// It waits for the pool.
    pub(super) fn queues(&self) -> bool {
        self.phase == Phase::Waiting && !self.goes_cold()
    }
}
