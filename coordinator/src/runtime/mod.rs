//! The engine: creating, listing and removing containers.
//!
//! Owns every engine call of the coordinator, each with a deadline. Must never decide which worker
//! to create or remove (that is `fleet`), and never be on the path of a warm claim.

mod accounts;
mod container;
mod containers;
mod docker;
mod error;
mod helper;
mod image;
mod installer;
mod network;
mod own;
mod removal;
mod seccomp;
mod security;

pub use accounts::Accounts;
pub use container::{HostFolders, ProjectMount, WorkerSpec, labels};
pub use containers::{EngineEvent, Listed, Started};
pub use docker::Docker;
pub use error::RuntimeError;
pub use helper::{Helper, HelperSpec};
pub use image::{Image, PullPolicy};
pub use own::{Own, own_container, replaced_socket};
pub use seccomp::{Seccomp, SeccompError};
pub use security::{allows_root, mount_words, network_words, security_words};
