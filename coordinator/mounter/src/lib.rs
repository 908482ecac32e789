//! The mounter: puts projects into running workers and takes changes out of them, in a helper
//! container. Owns every mount, the workers' folders, the path policy and CAP_SYS_ADMIN. Never acts on a
//! path it did not open itself; what a worker wrote is read in a child process ([`review`]) alone.
//!
//! [`serve`] is the process and [`rpc`] what its socket speaks; the client is the coordinator's.

#![deny(unsafe_code)]

mod browse;
mod changes;
mod clock;
pub mod error;
mod folders;
mod host;
mod mount;
pub mod policy;
mod remove;
pub mod rpc;
mod server;
#[allow(unsafe_code, reason = "system calls that no library wraps")]
mod sys;
mod tree;
mod wire;

#[cfg(test)]
#[path = "../../../tests/support/needs.rs"]
mod needs;
#[cfg(test)]
#[path = "../../../tests/support/seeds.rs"]
mod seeds;

pub use changes::review;
pub use rpc::{MounterRequest, MounterResponse};
pub use server::{REVIEW, ReviewProgram, ServeError, serve};
pub use wire::{
    CheckedProject, LeftOut, MountFacts, MountMode, MountRequest, Mounted, MounterCaps,
    MounterError, MounterErrorKind, OverlayRequest, Policy, PrepareRequest, ReviewClaim,
    ReviewTarget, Usage, UsageRequest,
};
