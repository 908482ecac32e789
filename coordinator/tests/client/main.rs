//! The client, against a server that answers wrongly.

mod answers;
mod attach;
mod claims;
mod framed;
mod frames;
mod server;
