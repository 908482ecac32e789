//! What keeps sessions in their worker: Landlock and resource limits, files of secrets, accounts.

pub mod confine;
mod landlock_abi;
pub mod passwd;
pub mod secrets;
