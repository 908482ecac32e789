//! Commands about the instance: the parent, the pools, the configuration, and this program itself.

pub(super) mod audit;
pub(super) mod completions;
pub(super) mod config;
pub(super) mod doctor;
pub(super) mod down;
pub(super) mod man;
pub(super) mod pool;
pub(super) mod relay;
pub(super) mod status;
pub(super) mod up;
pub(super) mod upgrade;
