//! Temporary.
mod client;
mod error;
mod rpc;
mod wire;

pub use client::MounterClient;
pub use rpc::{MounterRequest, MounterResponse};
pub use wire::{
    MountMode, MountRequest, Mounted, MounterCaps, MounterError, MounterErrorKind, Policy,
    PrepareRequest, ReviewTarget,
};
