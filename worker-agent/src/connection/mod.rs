//! Connections to the coordinator: how they are dialled, the control connection, one stream each
//! for a client.

pub mod control;
pub mod dialer;
pub mod stream_conn;
