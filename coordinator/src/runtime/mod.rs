//! The engine: creating, listing and removing containers.
//!
//! Owns every engine call of the coordinator, each with a deadline. Must never decide which worker
//! to create or remove (that is `fleet`), and never be on the path of a warm claim.

mod container;
mod docker;
mod error;
mod image;
mod installer;
mod own;

pub use container::{
    HostFolders, NETWORK_WORDS, ProjectMount, WorkerSpec, labels, mount_words, security_words,
};
pub use docker::{Docker, EngineEvent, Listed, MounterSpec, Started};
pub use error::RuntimeError;
pub use image::{Image, PullPolicy};
pub use own::{Own, own_container};
