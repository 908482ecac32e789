//! Where workers may connect to: the coordinator's side. Owns the connection to the guard. Never changes
//! a rule: that is the crate `podbay-netguard`, in a helper container in the parent's network namespace,
//! the only process with the right to.

mod client;

pub use crate::model::{FIRST_UID, UIDS};
pub use client::GuardClient;
pub use podbay_netguard::{Denied, GuardReport, GuardRequest, Guarded, PROXY_PORT};
