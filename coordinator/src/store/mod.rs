//! What neither the engine nor the agents can know: claim records and finished sessions.
//!
//! Owns the layout of the state volume and its files. Every file is written whole to a temporary
//! name, synced and renamed, so that a crash leaves the old or the new one, never a torn one; a
//! file that does not parse is reported and passed over. Must never be on a claim's path.

mod audit;
mod audit_files;
mod audit_reader;
mod facts;
mod folders;
mod hold;
mod lines;
mod log_file;
mod record;
mod recording;
mod seal;
mod uids;
mod upgrade;

pub use audit::AuditLog;
pub use audit_reader::AuditReader;
pub use folders::{StateDir, WorkerFolder};
pub use log_file::{LogFile, MAX_LOG_FILE};
pub use record::{ClaimRecord, FinishedRecord};
pub use recording::{Piece, Recording, RecordingQuery};
pub use seal::ClaimKey;
pub use upgrade::{Upgrade, base, become_current};
