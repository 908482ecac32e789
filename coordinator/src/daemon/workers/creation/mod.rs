//! New workers: what their containers are made of, and the pools that they are made for.

pub(in crate::daemon) mod container_inputs;
pub(in crate::daemon) mod create;
pub(in crate::daemon) mod pools;
pub(in crate::daemon) mod spec;
