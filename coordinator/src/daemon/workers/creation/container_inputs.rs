//! What was read for containers to be made of: seccomp lists and account files.

use crate::{
    config::SecurityProfile,
    runtime::{Accounts, Seccomp, SeccompError},
};
use std::{collections::HashMap, sync::Arc};

/// What was read for containers to be made of.
#[derive(Debug, Default)]
pub(in crate::daemon) struct ContainerInputs {
    /// By security profile, as last read.
    pub(super) seccomp: HashMap<SecurityProfile, Result<Seccomp, SeccompError>>,
    /// By profile: the id of its image when it was there last.
    pub(in crate::daemon) images: HashMap<String, String>,
    /// By image id.
    pub(super) accounts: HashMap<String, Arc<Accounts>>,
    /// Whoever makes the workers' network or reads account files takes turns.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
}
