//! After a coordinator's start: which workers there are, and what they are.
//!
//! Owns what is made of containers, folders and agents' descriptions that a former coordinator left.
//! Never believes a worker more than the coordinator's own records.

pub(in crate::daemon) mod adopt;
pub(in crate::daemon) mod describe;
pub(in crate::daemon) mod startup;
pub(in crate::daemon) mod unproven;
