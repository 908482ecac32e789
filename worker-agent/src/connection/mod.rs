//! Connections: to the coordinator, how it is dialled, a stream for each client that it relays, and
//! the sockets of clients that it handed over.

pub mod control;
pub mod dialer;
pub mod handed_conn;
pub mod stream_conn;
