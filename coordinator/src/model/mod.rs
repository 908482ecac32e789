//! Ids, names, limits, worker and pool states. Pure; knows no I/O and no clock.

mod egress;
pub mod keys;
mod limits;
mod log_limit;
mod name;
mod nearest;
#[cfg(test)]
#[path = "../../../tests/support/needs.rs"]
pub(crate) mod needs;
mod path;
mod rate;
mod state;

pub use egress::{Egress, EgressError, EgressHost, EgressRule, forbidden, normal};
pub use limits::{LimitError, Limits, parse_bytes, parse_cpus, parse_pids};
pub use log_limit::{LeftOut, LogLimit, Verdict};
pub use name::{NameError, ProfileName, VARIABLE_RULE, WorkerId, WorkerName, is_variable_name};
pub use nearest::did_you_mean;
pub use path::HostPath;
pub use rate::{Bucket, Summary};
pub use state::{Isolation, WorkerState};

/// Where the state volume is mounted in a parent, unless `PODBAY_STATE` says otherwise.
pub const STATE_DIR: &str = "/var/lib/podbay";
