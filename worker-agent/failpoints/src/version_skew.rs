//! An agent that behaves as one of another version.
//!
//! Owns: how its messages differ. It rewrites messages and sends none.

use crate::orders::version_apart;
use serde_json::{Value, json};

/// Operations that the protocol gained last.
const GAINED: [&str; 5] = ["start_with_secrets", "restart", "origin", "carry", "hand"];
/// What descriptions gained last.
const TOLD_SINCE: [&str; 4] = [
    "landlock",
    "workspace_uid",
    "workspace_gid",
    "workspace_mounted",
];
/// What the hello, an attach and descriptions of sessions have had since.
const HELLO_SINCE: &str = "takes_clients";
const ATTACH_SINCE: &str = "handed";
const SESSION_SINCE: &str = "streams";
/// Maps of the user's, in which a field is no field.
const MAPS: [&str; 2] = ["env", "secrets"];

/// Version of the protocol that is spoken by an agent whose own is `own`.
///
/// The file `version-apart` makes an agent that runs say and know what an `older` or a `newer` one
/// would, speak another version of the protocol (`older-protocol`, `newer-protocol`), or one in
/// which no answer is called as it was (`foreign`).
#[must_use]
pub fn protocol(own: u32) -> u32 {
    match version_apart().as_deref() {
        Some("older-protocol") => own - 1,
        Some("newer-protocol" | "foreign") => own + 1,
        _ => own,
    }
}

/// The version that the agent gives for its own; `None` leaves it.
#[must_use]
pub fn build() -> Option<&'static str> {
    match version_apart()?.as_str() {
        "older" | "older-protocol" => Some("0.0.1"),
        "newer" | "newer-protocol" | "foreign" => Some("99.0.0"),
        _ => None,
    }
}

/// A request as that version understands it.
#[must_use]
pub fn incoming(mut request: Value) -> Value {
    if version_apart().as_deref() != Some("older") {
        return request;
    }
    if let Some(Value::String(op)) = request.get_mut("op")
        && GAINED.contains(&op.as_str())
    {
        // Refused by the same code as any operation that is not known.
        op.push_str("_unknown");
    }
    remove(Some(&mut request), ATTACH_SINCE);
    remove(request.get_mut("attach"), ATTACH_SINCE);
    request
}

/// A message as that version sends it, and what it sends before.
#[must_use]
pub fn outgoing(mut message: Value) -> Vec<Value> {
    let mut before = Vec::new();
    match version_apart().as_deref() {
        Some("older") => {
            if let Some(Value::Object(described)) = message.pointer_mut("/result/Ok") {
                described.retain(|name, _| !TOLD_SINCE.contains(&name.as_str()));
            }
            let sessions = message.pointer_mut("/result/Ok/sessions");
            for session in sessions.and_then(Value::as_array_mut).into_iter().flatten() {
                remove(Some(session), SESSION_SINCE);
            }
            remove(Some(&mut message), HELLO_SINCE);
        }
        Some("newer") => {
            // The first frame is the hello, whatever the version.
            if message.get("kind").is_some() {
                before.extend([
                    json!({ "kind": "event", "event": "mood", "session": "s", "mood": "calm" }),
                    json!({ "kind": "hint", "hint": "rest" }),
                ]);
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
    before.push(message);
    before
}

fn remove(from: Option<&mut Value>, field: &str) {
    if let Some(Value::Object(fields)) = from {
        fields.remove(field);
    }
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
