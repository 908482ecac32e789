//! The API, in front of the real coordinator on an engine that is made of answers alone.

mod attach;
mod handed;
mod routes;
mod support;
