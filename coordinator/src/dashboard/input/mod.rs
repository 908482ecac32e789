//! Bytes of the terminal as keys, mouse, pastes, or bytes for a program. Knows nothing of the
//! state.

pub mod cut;
pub mod decode;
pub mod decoder;
pub mod mouse;
