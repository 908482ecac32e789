//! A value that must not be seen: in no log, no error, no record.

use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::fmt;

/// Longest value, in bytes.
pub const MAX_SECRET: usize = 64 * 1024;
/// Shorter values are not looked for in what is recorded: they would be found everywhere.
pub const SHORTEST_REDACTED: usize = 8;

/// Text that is shown nowhere. It is part of a message all the same: serializing one that has
/// secrets sends them.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct SecretText(String);

impl SecretText {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for who hands it over.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // By way of a value: the library's own errors quote what they did not expect.
        match serde_json::Value::deserialize(d) {
            Ok(serde_json::Value::String(text)) => Ok(Self(text)),
            _ => Err(D::Error::custom("the value of a secret is not a text")),
        }
    }
}

/// One secret of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Secret {
    /// Its value.
    pub value: SecretText,
    /// Whether the session has it as an environment variable as well: all processes of its user can
    /// read that.
    #[serde(default)]
    pub env: bool,
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let wrong =
            || D::Error::custom("a secret is not {\"value\": TEXT, \"env\": true or false}");
        let Ok(serde_json::Value::Object(mut fields)) = serde_json::Value::deserialize(d) else {
            return Err(wrong());
        };
        let Some(serde_json::Value::String(value)) = fields.remove("value") else {
            return Err(wrong());
        };
        let env = match fields.remove("env") {
            None => false,
            Some(serde_json::Value::Bool(env)) => env,
            Some(_) => return Err(wrong()),
        };
        Ok(Self {
            value: SecretText(value),
            env,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_an_error_shows_a_value() {
        let secret: Secret = serde_json::from_str(r#"{"value":"hunter2","env":true}"#).unwrap();
        assert_eq!((secret.value.reveal(), secret.env), ("hunter2", true));
        assert!(!format!("{secret:?}").contains("hunter2"));
        let back = serde_json::to_string(&secret).unwrap();
        assert_eq!(serde_json::from_str::<Secret>(&back).unwrap(), secret);
        for wrong in [
            r#""hunter2""#,
            r#"["hunter2"]"#,
            r#"{"value":["hunter2"]}"#,
            r#"{"value":1234567}"#,
            r#"{"value":"x","env":"hunter2"}"#,
        ] {
            let error = serde_json::from_str::<Secret>(wrong)
                .unwrap_err()
                .to_string();
            assert!(
                !error.contains("hunter2") && !error.contains("12345"),
                "{error}"
            );
        }
    }
}
