//! Frames between the coordinator and the guard: one request, one answer, in turn. Owns the serialised
//! names. Never has behaviour.

use podbay_model::model::Egress;
use serde::{Deserialize, Serialize};

/// One worker's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// The uid all its sockets have.
    pub uid: u32,
    /// Where it may connect to.
    pub egress: Egress,
    /// The first of the ports that are its own, and how many: UDP on loopback goes there only.
    pub ports: (u16, u16),
}

/// What the guard is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardRequest {
    /// How it is, and what was refused.
    Report,
    /// These workers and no others; rules that are there are replaced in one step.
    Replace(Vec<Guarded>),
    /// The same in parts, in effect with the last one: a list of all may be larger than a frame.
    ReplacePart {
        /// What was gathered before is void.
        first: bool,
        /// These are all.
        last: bool,
        /// Some of them.
        workers: Vec<Guarded>,
    },
    /// One worker more, or one changed.
    Add(Guarded),
    /// One worker less.
    Remove {
        /// Its uid.
        uid: u32,
    },
    /// Take all rules away.
    Clear,
}

/// Its answer to everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardReport {
    /// Another number whenever the guard was started: it knows no worker then.
    pub boot: u64,
    /// Inode of its network namespace.
    pub namespace: u64,
    /// Whether rules are in force since this start.
    pub ready: bool,
    /// Why the request failed.
    pub error: Option<String>,
    /// Why refusals by the kernel's rules are not counted, when they are not.
    pub uncounted: Option<String>,
    /// Why the proxy does not listen, when it does not.
    #[serde(default)]
    pub proxy_down: Option<String>,
    /// What was refused since each worker was added.
    pub denied: Vec<Denied>,
}

/// What was refused of one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The worker's uid.
    pub uid: u32,
    /// How often, at least: a flood is sampled.
    pub count: u64,
    /// The last one: `udp 192.0.2.1:53`, `example.com:443 (not listed)`.
    pub last: String,
}

/// Mark of all packets of the proxy's sockets (SO_MARK): only who may change the network's rules can
/// set one, and no session may.
pub const PROXY_MARK: u32 = 0x706f_6462;
/// Where the proxy listens, on loopback: below every worker's own ports.
pub const PROXY_PORT: u16 = 19_999;
