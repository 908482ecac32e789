//! What neither the engine nor the agents can know: claim records and finished sessions.
//!
//! Owns the layout of the state volume and its files. Every file is written whole to a temporary
//! name, synced and renamed, so that a crash leaves the old or the new one, never a torn one; a
//! file that does not parse is reported and passed over. Must never be on a claim's path.

mod audit;
mod facts;
mod audit_reader;
mod folders;
mod lines;
mod record;
mod seal;
mod recording;
mod upgrade;

pub use audit::AuditLog;
pub use audit_reader::AuditReader;
pub use folders::{StateDir, WorkerFolder};
pub use record::{ClaimRecord, FinishedRecord};
pub use seal::ClaimKey;
pub use recording::{Piece, Recording, RecordingQuery};
pub use upgrade::{Upgrade, base, become_current};
