//! Who may be paused, why one is, and what a person is told of it.

use super::volume::ENOUGH;
use crate::model::WorkerId;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display};

/// A worker with a living session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its id.
    pub worker: WorkerId,
    /// Its container: another one of the same worker is judged anew.
    pub container: String,
    /// Its profile.
    pub profile: String,
    /// What the profile allows it, in bytes.
    pub limit: Option<u64>,
}

/// Why a worker is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Held {
    /// It uses more than its profile allows. Bytes; `used` at least, when it is not `complete`.
    Limit {
        /// What it uses.
        used: u64,
        /// Whether that is all.
        complete: bool,
        /// What it may.
        limit: u64,
        /// Whose key that is.
        profile: String,
    },
    /// The volume is short. Bytes.
    Reserve {
        /// What it uses.
        used: u64,
        /// What is to stay free.
        reserve: u64,
    },
    /// A former coordinator paused it, and noted no more than that.
    Former,
}

impl Held {
    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Limit { profile, .. } => format!(
                "raise `disk` of profile {profile} and have the configuration read again (SIGHUP), \
                 and it goes on; or `podbay stop` it, which keeps its changes"
            ),
            Self::Reserve { reserve, .. } => format!(
                "free space on the state volume (`podbay rm` of ended workers, apply or discard of \
                 their changes): with {} free it goes on; or `podbay stop` it, which keeps its \
                 changes",
                bytes(reserve.saturating_mul(ENOUGH))
            ),
            Self::Former => {
                "free space on the state volume, or raise `disk` of its profile and have \
                             the configuration read again (SIGHUP), and it goes on"
                    .to_owned()
            }
        }
    }
}

impl Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit {
                used,
                complete,
                limit,
                profile,
            } => write!(
                f,
                "paused: it uses {}{} of the {} that profile {profile} allows (disk)",
                if *complete { "" } else { "at least " },
                bytes(*used),
                bytes(*limit)
            ),
            Self::Reserve { used, .. } => write!(
                f,
                "paused: the state volume is nearly full, and it uses {} of it",
                bytes(*used)
            ),
            Self::Former => f.write_str("paused: it used too much of the state volume"),
        }
    }
}

/// Bytes for people.
fn bytes(n: u64) -> String {
    match n {
        n if n >= 1 << 30 => format!("{:.1} GiB", n as f64 / f64::from(1 << 30)),
        n => format!("{:.1} MiB", n as f64 / f64::from(1 << 20)),
    }
}

/// What is to be done with a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Pause it.
    Hold(WorkerId, Held),
    /// Let it go on.
    Release(WorkerId),
}
