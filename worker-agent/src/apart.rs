//! Which version this agent is of, and the agent as one of another version.
//!
//! With the feature `faults`, the file `version-apart` ([`crate::faults`]) makes an agent that runs
//! say and know what an `older` or a `newer` one would, speak another version of the protocol
//! (`older-protocol`, `newer-protocol`), or one in which no answer is called as it was (`foreign`).
//! Nothing of that is in a release.

use podbay_protocol::{FrameError, PROTOCOL_VERSION};
use serde::Serialize;
use serde_json::Value;

/// Version of the protocol that is spoken.
pub(crate) fn protocol() -> u32 {
    #[cfg(feature = "faults")]
    return on::protocol(PROTOCOL_VERSION);
    #[cfg(not(feature = "faults"))]
    PROTOCOL_VERSION
}

/// The package's version.
pub(crate) fn build() -> String {
    #[cfg(feature = "faults")]
    if let Some(build) = on::build() {
        return build.to_owned();
    }
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A request as it is understood.
pub(crate) fn heard(frame: Value) -> Value {
    #[cfg(feature = "faults")]
    return on::heard(frame);
    #[cfg(not(feature = "faults"))]
    frame
}

/// A message as it is said.
///
/// # Errors
/// As [`podbay_protocol::encode`].
pub(crate) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    #[cfg(feature = "faults")]
    return on::encode(message);
    #[cfg(not(feature = "faults"))]
    podbay_protocol::encode(message)
}

#[cfg(feature = "faults")]
mod on {
    use crate::faults::version_apart;
    use podbay_protocol::FrameError;
    use serde::Serialize;
    use serde_json::{Value, json};

    /// Operations that the protocol gained last.
    const GAINED: [&str; 4] = ["start_with_secrets", "restart", "origin", "carry"];
    /// What descriptions gained last.
    const TOLD_SINCE: [&str; 4] = [
        "landlock",
        "workspace_uid",
        "workspace_gid",
        "workspace_mounted",
    ];
    /// Maps of the user's, in which a field is no field.
    const MAPS: [&str; 2] = ["env", "secrets"];

    pub(super) fn protocol(own: u32) -> u32 {
        match version_apart().as_deref() {
            Some("older-protocol") => own - 1,
            Some("newer-protocol" | "foreign") => own + 1,
            _ => own,
        }
    }

    pub(super) fn build() -> Option<&'static str> {
        match version_apart()?.as_str() {
            "older" | "older-protocol" => Some("0.0.1"),
            "newer" | "newer-protocol" | "foreign" => Some("99.0.0"),
            _ => None,
        }
    }

    pub(super) fn heard(mut frame: Value) -> Value {
        if version_apart().as_deref() == Some("older")
            && let Some(Value::String(op)) = frame.get_mut("op")
            && GAINED.contains(&op.as_str())
        {
            // Refused by the same code as any operation that is not known.
            op.push_str("_unknown");
        }
        frame
    }

    pub(super) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
        let mut message = serde_json::to_value(message).map_err(FrameError::Json)?;
        let mut said = Vec::new();
        match version_apart().as_deref() {
            Some("older") => {
                if let Some(Value::Object(described)) = message.pointer_mut("/result/Ok") {
                    described.retain(|name, _| !TOLD_SINCE.contains(&name.as_str()));
                }
            }
            Some("newer") => {
                // The first frame is the hello, whatever the version.
                if message.get("kind").is_some() {
                    for unknown in [
                        json!({ "kind": "event", "event": "mood", "session": "s", "mood": "calm" }),
                        json!({ "kind": "hint", "hint": "rest" }),
                    ] {
                        said.extend(podbay_protocol::encode(&unknown)?);
                    }
                }
                modernise(&mut message);
            }
            Some("foreign") => {
                if let Some(reply) = message.pointer_mut("/result/Ok/reply") {
                    *reply = "gibberish".into();
                }
            }
            _ => {}
        }
        said.extend(podbay_protocol::encode(&message)?);
        Ok(said)
    }

    /// Fields everywhere, a state and an answer that nobody has heard of.
    fn modernise(value: &mut Value) {
        match value {
            Value::Array(all) => all.iter_mut().for_each(modernise),
            Value::Object(fields) => {
                for (name, field) in fields.iter_mut() {
                    match (name.as_str(), &*field) {
                        ("state", Value::String(_)) => *field = "pondering".into(),
                        ("reply", Value::String(reply)) if reply == "origin" => {
                            *field = "provenance".into();
                        }
                        (map, _) if MAPS.contains(&map) => {}
                        _ => modernise(field),
                    }
                }
                // The two arms of a `Result` are no fields.
                if !fields.contains_key("Ok") && !fields.contains_key("Err") {
                    fields.insert("from_the_future".to_owned(), json!({ "since": 99 }));
                }
            }
            _ => {}
        }
    }
}
