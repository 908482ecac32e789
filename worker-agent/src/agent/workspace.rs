//! Whether a project is at `/workspace`.
//!
//! Owns: what was there when the agent started. An image can have a volume of its own there, which is
//! no project.

use podbay_protocol::paths::{ENGINE_MOUNTED_ENV, WORKSPACE};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// The folder that is at `/workspace` before a claim.
#[derive(Debug)]
pub struct Workspace {
    first: Option<(u64, u64)>,
    engine_mounted: bool,
}

impl Workspace {
    /// Looks at it before the first claim.
    pub fn at_start() -> Self {
        Self {
            first: identity(Path::new(WORKSPACE)),
            engine_mounted: std::env::var_os(ENGINE_MOUNTED_ENV).is_some(),
        }
    }

    /// Whether a project is mounted there: by the engine, or by the mounter since.
    pub fn mounted(&self) -> bool {
        self.engine_mounted || identity(Path::new(WORKSPACE)) != self.first
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}
