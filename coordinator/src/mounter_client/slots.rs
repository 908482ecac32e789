//! Bounds on the connections for reviews and removals, of which each has one of its own.

use std::sync::Arc;
use tokio::sync::Semaphore;

/// Reviews at a time, running and waiting; the next one is told that there are too many.
pub(super) const MAX_REVIEWS: usize = 16;
/// Removals at a time; more wait here.
const MAX_REMOVALS: usize = 4;

/// Bounds on the connections that one coordinator makes.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) reviews: Arc<Semaphore>,
    pub(super) removals: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        Self {
            reviews: Arc::new(Semaphore::new(MAX_REVIEWS)),
            removals: Arc::new(Semaphore::new(MAX_REMOVALS)),
        }
    }
}
