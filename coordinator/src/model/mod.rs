//! Ids, names, limits, worker and pool states. Pure; knows no I/O and no clock.

pub mod keys;
mod limits;
mod name;
mod nearest;
mod path;
mod state;

pub use limits::{LimitError, Limits, parse_bytes, parse_cpus, parse_pids};
pub use name::{NameError, ProfileName, WorkerId, WorkerName};
pub use nearest::did_you_mean;
pub use path::HostPath;
pub use state::{Isolation, WorkerState};
