//! What neither the engine nor the agents can know: claim records and finished sessions.
//!
//! Owns the layout of the state volume and its files. Every file is written whole to a temporary
//! name, synced and renamed, so that a crash leaves the old or the new one, never a torn one; a
//! file that does not parse is reported and passed over. Must never be on a claim's path.

mod audit;
mod facts;
mod files;
mod hold;
mod lines;
mod log_file;
mod record;
mod recording;
mod seal;
mod state_dir;
mod uids;
mod upgrade;
mod worker_folder;

pub use audit::{AuditLog, AuditReader};
pub use log_file::{LogFile, MAX_LOG_FILE};
pub use record::{ClaimRecord, FinishedRecord};
pub use recording::{Piece, Recording, RecordingQuery};
pub use seal::ClaimKey;
pub use state_dir::StateDir;
pub use upgrade::{Upgrade, base, become_current};
pub use worker_folder::WorkerFolder;
