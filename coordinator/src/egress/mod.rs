//! Where workers may connect to: kernel rules by uid, and a proxy that knows names.
//!
//! `serve` runs in a helper container in the parent's network namespace, the only process with the
//! right to change its rules; `GuardClient` is the coordinator's side of its socket. Connections
//! through the proxy and the rules outlive the coordinator.

mod client;
mod count;
mod expr;
mod netlink;
mod nflog;
mod peer;
mod proxy;
mod server;
mod table;
mod wire;

pub use client::GuardClient;
pub use server::{ServeError, serve};
pub use wire::{Denied, FIRST_UID, GuardReport, GuardRequest, Guarded, PROXY_PORT, UIDS};
