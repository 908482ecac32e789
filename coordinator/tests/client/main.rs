//! The client, against a server that answers wrongly.

mod answers;
mod attach;
mod server;
