//! What every part of Podbay's coordinator speaks of: `model` (names, limits, states, keys) and `wire`
//! (the API's types, routes in `wire/API.md`). Owns the validation of names. Never does I/O, reads a
//! clock, or decides.

#![forbid(unsafe_code)]

pub mod model;
pub mod wire;

#[cfg(test)]
#[path = "../../../tests/support/seeds.rs"]
mod seeds;
