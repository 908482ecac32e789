//! The fields of the spawn form, and the profiles it offers.

use crate::wire::PoolView;

/// Fields of the form, from top to bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpawnField {
    /// The project's folder.
    Project,
    /// The worker's name.
    Name,
    /// The profile.
    Profile,
    /// How the project gets in.
    Isolation,
    /// The command.
    Command,
    /// The environment.
    Env,
    /// The memory limit.
    Memory,
    /// The CPU limit.
    Cpus,
    /// The process limit.
    Pids,
    /// Whether the worker is kept after its session.
    Keep,
}

impl SpawnField {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Project,
        Self::Name,
        Self::Profile,
        Self::Isolation,
        Self::Command,
        Self::Env,
        Self::Memory,
        Self::Cpus,
        Self::Pids,
        Self::Keep,
    ];

    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Name => "Name",
            Self::Profile => "Profile",
            Self::Isolation => "Isolation",
            Self::Command => "Command",
            Self::Env => "Environment",
            Self::Memory => "Memory",
            Self::Cpus => "CPUs",
            Self::Pids => "Processes",
            Self::Keep => "Afterwards",
        }
    }

    /// What is shown in its place when it is empty.
    pub fn empty(self) -> &'static str {
        match self {
            Self::Project => "none",
            Self::Name => "made up",
            Self::Env => "the profile's",
            _ => "the profile's default",
        }
    }
}

/// A profile to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub profile: String,
    /// Its image.
    pub image: String,
    /// Workers that are ready.
    pub warm: u32,
    /// Why that number will not grow.
    pub held: Option<&'static str>,
}

impl From<&PoolView> for Offer {
    fn from(pool: &PoolView) -> Self {
        Self {
            profile: pool.profile.clone(),
            image: pool.image.clone(),
            warm: pool.warm,
            held: match (pool.draining, pool.paused) {
                (true, _) => Some("draining"),
                (false, true) => Some("paused"),
                (false, false) => None,
            },
        }
    }
}
