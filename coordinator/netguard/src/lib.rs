//! The guard: where workers may connect to, by kernel rules that go by uid and a proxy that knows names,
//! in a helper container in the parent's network namespace. Owns those rules and CAP_NET_ADMIN. Never
//! takes a worker's word for who it is; rules and connections outlive the coordinator.
//!
//! [`serve`] is the process; the client of its socket is the coordinator's.

#![forbid(unsafe_code)]

mod count;
mod expr;
mod netlink;
mod nflog;
mod peer;
mod proxy;
mod server;
mod table;
mod wire;

#[cfg(test)]
#[path = "../../../tests/support/needs.rs"]
mod needs;
#[cfg(test)]
#[path = "../../../tests/support/seeds.rs"]
mod seeds;

pub use server::{ServeError, serve};
pub use wire::{Denied, GuardReport, GuardRequest, Guarded, PROXY_MARK, PROXY_PORT};
