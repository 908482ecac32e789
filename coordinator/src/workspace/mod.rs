//! Getting projects into workers and changes out of them.
//!
//! `mounter` runs in a helper container with the few capabilities this needs; `MounterClient` is
//! the coordinator's side of its socket. The rest of the coordinator has no capabilities.

mod changes;
mod client;
mod error;
mod mounter;
pub mod policy;
mod rpc;
mod tree;
mod wire;

pub use changes::review;
pub use client::{MounterClient, ReviewAnswer};
pub(crate) use mounter::private_socket;
pub use mounter::{REVIEW, ReviewProgram, ServeError, serve};
pub use rpc::{MounterRequest, MounterResponse};
pub use wire::{
    CheckedProject, MountFacts, MountMode, MountRequest, Mounted, MounterCaps, MounterError,
    MounterErrorKind, Policy, PrepareRequest, ReviewTarget, Usage, UsageRequest,
};
