//! The API, in front of the real coordinator on an engine that is made of answers alone.

mod attach;
mod handed;
#[path = "../../../tests/support/needs.rs"]
mod needs;
mod real;
mod routes;
mod support;
