//! Named points at which a test makes a process fail, and a clock that it sets.
//!
//! Owns: the files through which a test gives its orders ([`begin`]). It does nothing without the
//! feature `faults`, which no release has.

#[cfg(feature = "faults")]
mod orders;
#[cfg(feature = "faults")]
pub mod version_skew;

#[cfg(feature = "faults")]
pub use orders::{begin, clock_offset, reach};

/// A point with a name: with the feature `faults`, what a test asked for happens here.
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::reach($name)
    };
}

/// With the feature `faults`: takes the orders that are in `folder`.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn begin(_folder: &std::path::Path) {}

/// With the feature `faults`: what a test asked for at this point happens.
#[cfg(not(feature = "faults"))]
#[inline(always)]
pub fn reach(_name: &str) {}

/// The wall clock.
#[must_use]
pub fn wall_clock() -> std::time::SystemTime {
    let now = std::time::SystemTime::now();
    #[cfg(feature = "faults")]
    let now = clock_offset(now);
    now
}
