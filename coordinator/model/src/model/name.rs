//! Names. Owns their validation: it is nowhere else. Never asks whether a name is taken.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Longest name, in bytes: a host name's label (RFC 1123).
pub const MAX_NAME: usize = 63;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid {what} {given:?}: use 1 to {MAX_NAME} of a-z, 0-9, '-', '_' and '.', starting with a letter or digit"
)]
pub struct NameError {
    what: &'static str,
    given: String,
}

fn check(what: &'static str, given: &str) -> Result<(), NameError> {
    let first_ok = given
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let all_ok = given
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
    if first_ok && all_ok && given.len() <= MAX_NAME {
        Ok(())
    } else {
        Err(NameError {
            what,
            given: given.chars().take(80).collect(),
        })
    }
}

/// Longest name of a variable, in bytes.
pub const MAX_VARIABLE: usize = 200;

/// What a variable's name is made of, for people.
pub const VARIABLE_RULE: &str = "use letters, digits and _, not starting with a digit";

/// Whether something is a name for an environment variable of ours, or for a secret: it is also the
/// name of a file.
#[must_use]
pub fn is_variable_name(given: &str) -> bool {
    let first = given.bytes().next();
    first.is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && given.len() <= MAX_VARIABLE
        && given
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`NameError`] says what is allowed.
            pub fn new(given: impl Into<String>) -> Result<Self, NameError> {
                let given = given.into();
                check($what, &given)?;
                Ok(Self(given))
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(given: String) -> Result<Self, NameError> {
                Self::new(given)
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;
            fn from_str(given: &str) -> Result<Self, NameError> {
                Self::new(given)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}

name_type!(
    /// A worker's name, unique among workers that have not been removed.
    WorkerName,
    "worker name"
);
name_type!(
    /// A profile's name.
    ProfileName,
    "profile name"
);
name_type!(
    /// A worker's id: 12 hexadecimal digits, never reused.
    WorkerId,
    "worker id"
);

impl WorkerId {
    /// A new id from 48 bits given by the caller (the operating system's randomness).
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(format!("{:012x}", bits & 0xffff_ffff_ffff))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_escape_a_folder_is_refused() {
        for bad in [
            "",
            "../../x",
            "..",
            ".hidden",
            "a/b",
            "A",
            "a b",
            "a\n",
            "é",
            "-x",
            &"a".repeat(64),
        ] {
            let error = WorkerName::new(bad).unwrap_err().to_string();
            assert!(error.contains("use 1 to 63"), "{error}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn an_accepted_name_is_one_plain_path_component(s in ".{0,70}") {
            if let Ok(name) = WorkerName::new(s) {
                let path = std::path::Path::new(name.as_str());
                prop_assert_eq!(path.components().count(), 1);
                prop_assert!(matches!(path.components().next(), Some(std::path::Component::Normal(_))));
            }
        }
    }
}
