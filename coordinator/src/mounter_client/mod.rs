//! Getting projects into workers and changes out of them: the coordinator's side. Owns the connections
//! to the mounter. Never mounts, and never opens a project: that is the crate `podbay-mounter`, in a
//! helper container with the few capabilities that it needs.

mod client;
mod review;
mod slots;

pub use client::MounterClient;
pub use podbay_mounter::{
    CheckedProject, LeftOut, MountFacts, MountMode, MountRequest, Mounted, MounterCaps,
    MounterError, MounterErrorKind, OverlayRequest, Policy, PrepareRequest, ReviewClaim,
    ReviewTarget, Usage, UsageRequest,
};
pub use review::ReviewAnswer;
