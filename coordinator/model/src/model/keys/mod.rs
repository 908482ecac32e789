//! Keys of the dashboard: every action with its name, the presets, and what configuration changes of
//! them. Owns them here, and not in the dashboard, so that `podbay config check` knows them. Never acts.

mod action;
mod bindings;
mod chord;
mod presets;
mod table;

pub use action::{Action, Context};
pub use bindings::{Binding, Bindings, Found, KeyProblem};
pub use chord::{Chord, ChordError, Code, Sequence, label, parse_sequence};
pub use presets::Preset;
pub use table::{ENTRIES, Entry, footer};
