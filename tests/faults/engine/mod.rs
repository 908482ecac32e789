//! The engine: its calls, its events, its processes, its disk.

mod calls;
mod disks;
mod events;
mod killed;
pub mod kit;
