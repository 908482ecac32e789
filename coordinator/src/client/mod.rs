//! Typed client of the API: over the socket, or through `podbay relay` by engine exec.
