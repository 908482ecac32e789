//! Who may run now. Owns the order: a bounded number runs, a bounded number waits in the order they
//! came. Never lets a further one wait: it is told immediately that there are too many.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How often one that waits looks whether it is still waited for.
const LOOK: Duration = Duration::from_millis(100);

/// The turns of one kind of request.
pub(super) struct Turns {
    max_running: usize,
    max_waiting: usize,
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    waiting: VecDeque<u64>,
    next: u64,
}

/// Why there is no turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoTurn {
    /// Too many wait already.
    Full,
    /// It did not come in time.
    Late,
    /// Nobody waits for it any more.
    GivenUp,
}

/// A turn, over when dropped.
pub(super) struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
        self.0.news.notify_all();
    }
}

impl Turns {
    pub(super) fn new(max_running: usize, max_waiting: usize) -> Self {
        Self {
            max_running,
            max_waiting,
            state: Mutex::default(),
            news: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a turn.
    pub(super) fn take(
        &self,
        until: Instant,
        given_up: impl Fn() -> bool,
    ) -> Result<Turn<'_>, NoTurn> {
        let mut state = self.lock();
        if state.running < self.max_running && state.waiting.is_empty() {
            state.running += 1;
            return Ok(Turn(self));
        }
        if state.waiting.len() >= self.max_waiting {
            return Err(NoTurn::Full);
        }
        let mine = state.next;
        state.next += 1;
        state.waiting.push_back(mine);
        loop {
            let why = if state.running < self.max_running && state.waiting.front() == Some(&mine) {
                None
            } else if given_up() {
                Some(NoTurn::GivenUp)
            } else if Instant::now() >= until {
                Some(NoTurn::Late)
            } else {
                let woken = self.news.wait_timeout(state, LOOK);
                state = woken.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            };
            state.waiting.retain(|n| *n != mine);
            if why.is_none() {
                state.running += 1;
            }
            drop(state);
            // The next one may be the first now.
            self.news.notify_all();
            return match why {
                None => Ok(Turn(self)),
                Some(why) => Err(why),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn so_many_run_so_many_wait_in_order_and_the_next_is_refused_at_once() {
        let turns = Turns::new(1, 2);
        let far = Instant::now() + Duration::from_secs(60);
        let stays = || false;
        let first = turns.take(far, stays).unwrap_or_else(|_| unreachable!());
        let order = Mutex::new(Vec::new());
        let gone = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let waiting = |n| {
                while turns.lock().waiting.len() < n {
                    std::thread::yield_now();
                }
            };
            let a = scope.spawn(|| turns.take(far, || gone.load(Ordering::Relaxed)).err());
            waiting(1);
            let b = scope.spawn(|| {
                turns
                    .take(far, stays)
                    .map(|_turn| order.lock().unwrap().push('b'))
                    .err()
            });
            waiting(2);
            assert_eq!(turns.take(far, stays).err(), Some(NoTurn::Full));
            // One that gave up makes room, and does not run.
            gone.store(true, Ordering::Relaxed);
            assert_eq!(a.join().unwrap(), Some(NoTurn::GivenUp));
            let c = scope.spawn(|| {
                turns
                    .take(far, stays)
                    .map(|_turn| order.lock().unwrap().push('c'))
                    .err()
            });
            waiting(2);
            assert!(order.lock().unwrap().is_empty());
            drop(first);
            assert_eq!((b.join().unwrap(), c.join().unwrap()), (None, None));
        });
        assert_eq!(*order.lock().unwrap(), ['b', 'c']);
        let one = turns.take(far, stays);
        assert_eq!(turns.take(Instant::now(), stays).err(), Some(NoTurn::Late));
        drop(one);
        assert!(turns.take(far, stays).is_ok());
    }
}
