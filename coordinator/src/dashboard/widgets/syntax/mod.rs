//! Light syntax colouring of programs' text.

pub mod highlight;
pub mod language;
