//! Waiting for something to become true.

use std::time::{Duration, Instant};

/// How often a predicate is tried.
const STEP: Duration = Duration::from_millis(10);

/// Tries until the predicate gives a value.
///
/// # Panics
/// It gave none within `bound`; `what` says what was waited for.
pub fn until<T>(what: &str, bound: Duration, mut predicate: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = predicate() {
            return value;
        }
        assert!(
            start.elapsed() < bound,
            "waited {bound:?} in vain for: {what}"
        );
        pause(STEP);
    }
}

/// Tries until the predicate is true.
///
/// # Panics
/// It was not within `bound`.
pub fn until_true(what: &str, bound: Duration, mut predicate: impl FnMut() -> bool) {
    until(what, bound, || predicate().then_some(()));
}

/// The one place where tests sleep: between two looks at a predicate.
#[expect(
    clippy::disallowed_methods,
    reason = "bounded pause between two looks at a predicate"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}
