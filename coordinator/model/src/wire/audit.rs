//! Lines of the audit log. Owns their serialised form. Never writes one.

use serde::{Deserialize, Serialize};

/// One command that changed something or attached, or was refused: a line of `logs/audit.jsonl` and
/// of `GET /v1/audit`. Values of secrets and variables, and what was typed, are never in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When it was asked for: RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Who asked, as far as can be known.
    pub who: Who,
    /// What was asked: `spawn`, `stop`, `attach`, `pool drain`, …
    pub what: String,
    /// The worker, as it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// The profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// What else there is to say: the new name, the program, the mode of an attach, the paths of a
    /// review and how many of them were refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// `ok`, the kind of the error, or `cut_off` when the client did not wait for it.
    pub result: String,
    /// Milliseconds until the answer.
    pub duration_ms: u64,
    /// Entries before this one that could not be written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Who {
    /// A process on the other end of the socket, by the kernel's word.
    Unix {
        /// Its user.
        uid: u32,
        /// Its process id, in the parent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
        /// What it runs. `podbay relay` stands for someone who may use the engine: which user of
        /// the host that is, the engine does not tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        program: Option<String>,
        /// Who the client says it is; nobody checks that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        says: Option<String>,
    },
    /// Over TCP.
    Tcp {
        /// Address and port.
        address: String,
        /// The first digits of the SHA-256 of the token; absent when it was refused.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// See above.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        says: Option<String>,
    },
    /// The coordinator itself.
    Coordinator,
}

/// Query of `GET /v1/audit`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    /// Only what is younger, in seconds.
    #[serde(default)]
    pub since_s: Option<u64>,
    /// Only the last entries.
    #[serde(default)]
    pub tail: Option<u64>,
}
