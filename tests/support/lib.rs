//! Helpers that drive the real binaries against a real engine in a real terminal.
//!
//! Every wait has a bound and a predicate; every instance cleans up after itself, also when its
//! test fails.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a helper that fails ends its test"
)]

pub mod engine;
pub mod instance;
pub mod invariants;
mod measured;
pub mod needs;
pub mod processes;
pub mod programs;
pub mod project;
pub mod terminal;
pub mod wait;

pub use engine::{loopfs, private_engine, proxy};
pub use measured::{folder as figures_folder, measured, promised, times};
pub use terminal::cast;

use std::path::PathBuf;

/// The checkout.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default()
}

/// The static `podbay` binary that the images are made of.
///
/// # Panics
/// It is not built: `scripts/build-images.sh` does.
#[must_use]
pub fn podbay() -> PathBuf {
    binary("podbay")
}

/// A static release binary of this checkout.
///
/// # Panics
/// It is not built: `scripts/build-images.sh` does.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("PODBAY_BIN_DIR") {
        return PathBuf::from(folder).join(name);
    }
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| root().join("target"));
    let path = target.join(triple).join("release").join(name);
    assert!(
        path.is_file(),
        "{} is not built: run scripts/build-images.sh",
        path.display()
    );
    path
}

/// A short name that no other test uses.
#[must_use]
pub fn unique(prefix: &str) -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let bits = RandomState::new().build_hasher().finish();
    format!("{prefix}-{:08x}", bits & 0xffff_ffff)
}
