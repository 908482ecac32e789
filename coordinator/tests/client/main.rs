//! The client, against a server that answers wrongly.

mod answers;
mod attach;
mod framed;
mod server;
