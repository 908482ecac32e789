//! Frames on a socket that was handed over.
