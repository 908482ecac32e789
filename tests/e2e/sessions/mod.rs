//! Sessions: attached to, beside one another, with secrets.

mod attach;
mod exec;
mod handed;
mod secrets;
