//! Workers' terminals, live: one task for each worker that is watched or typed into.

pub mod attach_state;
pub mod attach_task;
pub mod budget;
pub mod mailbox;
pub mod receive;
pub mod send;
pub mod terminal_model;
pub mod typed_pipe;
pub mod workers;
