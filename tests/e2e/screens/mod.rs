//! The dashboard, and what it asks for.

mod dashboard;
mod views;
mod walk;
