//! Recordings of sessions: written as asciicast, with secrets taken out, and read back.

pub mod playback;
mod recorder;
pub mod redact;

pub(crate) use recorder::path_component;
pub use recorder::{KEEP, ROTATE_AT, RecordedStream, Recorder, file_name};
