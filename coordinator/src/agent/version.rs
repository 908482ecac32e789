//! Which version an agent is of, and what that means.
//!
//! An upgrade leaves workers the agent they were started with, so one may be older than this
//! coordinator, or newer after an upgrade that was given up.

use podbay_protocol::{Hello, PROTOCOL_VERSION};
use std::{cmp::Ordering, fmt};

/// This coordinator's version; an agent made by it has the same.
const BUILD: &str = env!("CARGO_PKG_VERSION");
/// Bytes of a version that are shown.
const LONGEST: usize = 40;

/// What an agent said of itself in its hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentVersion {
    protocol: u32,
    build: String,
}

impl AgentVersion {
    /// As told by a hello.
    #[must_use]
    pub fn of(hello: &Hello) -> Self {
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
        Self {
            protocol: hello.protocol,
            build: hello.build.chars().filter(plain).take(LONGEST).collect(),
        }
    }

    /// Whether it speaks this coordinator's version of the protocol: a worker whose agent does not
    /// is given to no claim.
    #[must_use]
    pub fn speaks_ours(&self) -> bool {
        self.protocol == PROTOCOL_VERSION
    }

    /// How it differs from this coordinator's; `None` when it does not.
    #[must_use]
    pub fn difference(&self) -> Option<String> {
        let same = self.speaks_ours() && self.build == BUILD;
        (!same).then(|| self.to_string())
    }

    /// The protocol's version goes before the package's.
    fn age(&self) -> &'static str {
        let numbers = |build: &str| -> Vec<u64> {
            let release = build.split(['-', '+']).next().unwrap_or_default();
            release.split('.').map_while(|n| n.parse().ok()).collect()
        };
        let ours = (PROTOCOL_VERSION, numbers(BUILD));
        match (self.protocol, numbers(&self.build)).cmp(&ours) {
            Ordering::Less => "an older version",
            Ordering::Equal => "another build of this version",
            Ordering::Greater => "a newer version",
        }
    }
}

/// `an older version (0.0.1, protocol 1; the coordinator: 0.1.0, protocol 1)`.
impl fmt::Display for AgentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} ({}, protocol {}; the coordinator: {BUILD}, protocol {PROTOCOL_VERSION})",
            self.age(),
            self.build,
            self.protocol
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(protocol: u32, build: &str) -> AgentVersion {
        AgentVersion {
            protocol,
            build: build.to_owned(),
        }
    }

    #[test]
    fn an_agent_of_this_build_does_not_differ() {
        let own = version(PROTOCOL_VERSION, BUILD);
        assert_eq!(own.difference(), None);
        assert!(own.speaks_ours());
    }

    #[test]
    fn the_protocol_goes_before_the_build_and_numbers_before_letters() {
        for (protocol, build, words) in [
            (PROTOCOL_VERSION, "0.0.9", "an older version (0.0.9,"),
            (PROTOCOL_VERSION, "0.10.0", "a newer version (0.10.0,"),
            (PROTOCOL_VERSION - 1, "9.9.9", "an older version (9.9.9,"),
            (PROTOCOL_VERSION + 1, "0.0.1", "a newer version (0.0.1,"),
            (
                PROTOCOL_VERSION,
                concat!(env!("CARGO_PKG_VERSION"), "-rc.1"),
                "another build",
            ),
        ] {
            let said = version(protocol, build).difference().unwrap();
            assert!(said.starts_with(words), "{said}");
            assert!(said.contains(BUILD), "{said}");
        }
        assert!(!version(PROTOCOL_VERSION + 1, BUILD).speaks_ours());
    }

    #[test]
    fn what_an_agent_calls_itself_is_fit_to_be_shown() {
        let hello = Hello {
            protocol: 1,
            build: format!("1.0\u{1b}[2J\n{}", "x".repeat(500)),
            worker: String::new(),
            token: String::new(),
            purpose: podbay_protocol::Purpose::Control,
            takes_clients: false,
        };
        let shown = AgentVersion::of(&hello).to_string();
        assert!(
            shown.len() < 200 && !shown.contains(char::is_control),
            "{shown}"
        );
    }
}
