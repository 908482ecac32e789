//! Ids, names, limits, worker and pool states, keys of the dashboard. Owns how each is written and
//! what is valid. Never does I/O; a clock is passed in.

mod caller_env;
mod egress;
pub mod keys;
mod limits;
mod log_limit;
mod name;
mod path;
mod rate;
mod state;
mod suggest;

pub use caller_env::{caller_env, caller_env_fault};
pub use egress::{Egress, EgressError, EgressHost, EgressRule, forbidden, normal};
pub use limits::{LimitError, Limits, parse_bytes, parse_cpus, parse_disk, parse_pids, parse_shm};
pub use log_limit::{LeftOut, LogDecision, LogLimit};
pub use name::{
    MAX_NAME, NameError, ProfileName, VARIABLE_RULE, WorkerId, WorkerName, is_variable_name,
};
pub use path::HostPath;
pub use rate::Bucket;
pub use state::{Isolation, WorkerState};
pub use suggest::did_you_mean;

/// Uids of workers, one each.
pub const FIRST_UID: u32 = 200_000;
/// How many there are.
pub const UIDS: u32 = 10_000;
/// The longest duration that a request or a program's limit may name, in seconds: one year. More
/// means "never" or is a mistake, and sums of it overflow the clocks of the standard library.
pub const MAX_DURATION_S: u64 = 365 * 24 * 60 * 60;

/// Where the state volume is mounted in a parent, unless `PODBAY_STATE` says otherwise.
pub const STATE_DIR: &str = "/var/lib/podbay";
