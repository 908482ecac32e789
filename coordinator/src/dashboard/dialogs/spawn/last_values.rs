//! The last values of the spawn form, for the next time. Serialised, and never with the
//! environment.

use crate::model::Isolation;
use serde::{Deserialize, Serialize};

/// The last values of the form, for the next time. A name is not among them: it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpawnMemory {
    pub(super) project: String,
    pub(super) profile: Option<String>,
    pub(super) isolation: Option<Isolation>,
    pub(super) command: String,
    /// Never written to a file: keys and passwords are in it.
    #[serde(skip)]
    pub(super) env: String,
    pub(super) memory: String,
    pub(super) cpus: String,
    pub(super) pids: String,
    pub(super) keep: bool,
}
