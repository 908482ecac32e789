//! Which version this agent is of, in what it says and in what it understands.
//!
//! Owns: the seam at which a test makes an agent one of another version; nothing of that is in a
//! release.

use podbay_protocol::{FrameError, FromAgent, Hello, PROTOCOL_VERSION};
use serde_json::Value;

/// Version of the protocol that is spoken.
pub(crate) fn protocol() -> u32 {
    #[cfg(feature = "faults")]
    return podbay_failpoints::version_skew::protocol(PROTOCOL_VERSION);
    #[cfg(not(feature = "faults"))]
    PROTOCOL_VERSION
}

/// The package's version.
pub(crate) fn build() -> String {
    #[cfg(feature = "faults")]
    if let Some(build) = podbay_failpoints::version_skew::build() {
        return build.to_owned();
    }
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A request as it is understood.
pub(crate) fn incoming(request: Value) -> Value {
    #[cfg(feature = "faults")]
    return podbay_failpoints::version_skew::incoming(request);
    #[cfg(not(feature = "faults"))]
    request
}

/// A message as it is sent.
///
/// # Errors
/// As [`FromAgent::to_frame`].
pub(crate) fn to_frame(message: &FromAgent) -> Result<Vec<u8>, FrameError> {
    #[cfg(feature = "faults")]
    return skewed(message);
    #[cfg(not(feature = "faults"))]
    message.to_frame()
}

/// The hello as it is sent.
///
/// # Errors
/// As [`podbay_protocol::encode`].
pub(crate) fn hello(hello: &Hello) -> Result<Vec<u8>, FrameError> {
    #[cfg(feature = "faults")]
    return skewed(hello);
    #[cfg(not(feature = "faults"))]
    podbay_protocol::encode(hello)
}

#[cfg(feature = "faults")]
fn skewed<T: serde::Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let message = serde_json::to_value(message).map_err(FrameError::Json)?;
    let frames = podbay_failpoints::version_skew::outgoing(message);
    let frames: Result<Vec<_>, _> = frames.iter().map(podbay_protocol::encode).collect();
    frames.map(|frames| frames.concat())
}
