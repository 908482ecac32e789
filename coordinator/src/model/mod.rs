//! Ids, names, limits, worker and pool states. Pure; knows no I/O and no clock.

mod limits;
mod name;
mod path;
mod state;

pub use limits::{LimitError, Limits, parse_bytes, parse_cpus, parse_pids};
pub use name::{NameError, ProfileName, WorkerId, WorkerName};
pub use path::HostPath;
pub use state::{Isolation, WorkerState};
