//! What the dashboard knows and decides: state, messages, `update`, keys and actions. Never does
//! I/O or reads a clock: what is to be done outside is an effect.

pub mod actions;
pub mod attention;
pub mod effect;
pub mod failure;
pub mod focus;
pub mod keys;
pub mod live_terminal;
pub mod message;
pub mod notice;
pub mod settings;
pub mod state;
pub mod subscriptions;
pub mod update;
