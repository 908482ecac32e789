//! `[profiles.NAME]`: what a worker is made of.

use super::super::{
    key::{About, At, Kind, Shown},
    kinds::{
        HOUR, MINUTE, SECOND, YEAR, billionths, bytes, count, destinations, duration,
        duration_or_zero, group, limit, runtime, string, strings, truth, variables, whole, word,
    },
    section::{Section, section},
    values,
    words::{Network, RecreatePolicy, SecurityProfile},
};
use crate::model::{
    Egress, Isolation, Limits, parse_bytes, parse_cpus, parse_disk, parse_pids, parse_shm,
};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

/// Most warm workers of one profile.
const MAX_WARM: u32 = 64;

section! {
    /// What a worker is made of.
    pub struct Profile {
        /// The image.
        //! The image. Any image will do: Podbay brings its own agent along.
        image: String = string(values::image), "podbay/worker:minimal";
        /// The session's command when none is given.
        command: Vec<String> = strings(values::argument).checked(program), ["bash"];
        /// Fewest warm workers; 2 in the default profile, else 0.
        //! Fewest and most warm workers, at most 64. Profiles other than the default one keep none unless
        //! min_warm says so.
        min_warm: u32 = whole(0..=MAX_WARM), 2;
        /// Most warm workers.
        max_warm: u32 = whole(0..=MAX_WARM), 5;
        /// A warm worker above the target goes after so long; 0s: never.
        //! A warm worker above what the planner wants goes after so long; "0s": never.
        idle_timeout: Duration = duration_or_zero(SECOND..=YEAR), "30m";
        /// A warm worker older than this is replaced; 0s: never.
        //! A warm worker older than this is replaced, the new one first; "0s": never.
        max_age: Duration = duration_or_zero(MINUTE..=YEAR), "24h";
        /// How often a warm worker's health is checked.
        check_interval: Duration = duration(SECOND..=HOUR), "10s";
        /// How long a worker may take from creation to ready.
        //! How long a new worker's agent may take to call.
        ready_timeout: Duration = duration(SECOND..=10 * MINUTE), "30s";
        /// From TERM to KILL at a stop.
        stop_grace: Duration = duration_or_zero(SECOND / 10..=5 * MINUTE), "2s";
        /// How the project gets in when the request does not say.
        //! How the project gets in: "bind" (writes go to the project), "overlay" (copy-on-write, to be
        //! reviewed and applied), "none".
        isolation: Isolation = word(Isolation::ALL, Isolation::as_str);
        /// What the worker may do.
        //! What a worker may do: "strict" (no capabilities), "build" (apt and sudo work), "nested-sandbox"
        //! (as strict, and bubblewrap works: for agents that bring a sandbox of their own). Which system calls
        //! each may use is in seccomp/NAME.json beside this folder.
        security: SecurityProfile = word(SecurityProfile::ALL, SecurityProfile::as_str);
        /// Read-only root with tmpfs on /tmp, /var/tmp and /run.
        read_only: bool = truth(), false;
        /// Where it may connect to: "open" (everywhere), "none", or a list of names and addresses.
        //! Where it may connect to: "open" (everywhere but other workers and link-local addresses), "none", or
        //! a list of names, "*.name" for all below it, addresses and networks, with ":PORT" for another port
        //! than 80 and 443: ["api.example.com", "*.example.org", "192.0.2.0/24:5432"]. Names are reached through
        //! the proxy in HTTP_PROXY and HTTPS_PROXY.
        egress: Egress = destinations(), "open", ["open", ["api.example.com", "*.example.org:443"]];
        /// Whether a session whose worker lost its network moves to a new container.
        //! A session whose worker lost its network or its container (the parent or the engine was started
        //! again) moves to a new container with its home and its changes: "ask" (`podbay restart` moves it),
        //! "auto", "never".
        rehome: RecreatePolicy = word(RecreatePolicy::ALL, RecreatePolicy::as_str);
        /// What is run in place of the session's command when its container was made anew.
        //! What such a session runs, where its own command would begin anew; [] for its own.
        resume: Vec<String> = strings(values::argument).checked(program_if_any), [];
        /// Which network the worker has.
        //! "shared": the network of the parent and all other workers; "isolated": one of its own, from which
        //! no other worker is reached; "none": loopback alone.
        network: Network = word(Network::ALL, Network::as_str);
        /// The engine's name of an OCI runtime; "default": the engine's default.
        //! The engine's name of an OCI runtime, such as "runsc"; "default": the engine's default.
        runtime: Option<String> = runtime(), "default", ["runsc"];
        /// `memory`, `cpus` and `pids`.
        limits: Limits = group();
        /// What a worker may keep on the state volume; above it, it is paused; "none": no limit.
        //! What a worker may keep on the state volume: its home, its changes and its recordings. A worker above
        //! it is paused with the reason until the limit is raised and the configuration read again. The volume
        //! is watched, so that a worker can be above it for a few seconds. "none": no limit of its own; a volume
        //! that is nearly full still has the worker paused that filled it.
        disk: Option<u64> = limit("integer", parse_disk, bytes), "none", ["10g"];
        /// Size of /dev/shm; "none": the engine's default, 64m.
        //! Size of /dev/shm, which browsers and databases use; it counts as memory of the worker. "none": the
        //! engine's default, 64m.
        shm: Option<u64> = limit("integer", parse_shm, bytes), "none", ["1g"];
        /// The session's environment.
        //! The session's environment, on top of the image's.
        env: BTreeMap<String, String> = variables();
    }
}

section! {
    impl Limits {
        /// Memory, swap included; "none": no limit.
        //! Limits of one worker; "none": no limit. Memory has swap included.
        memory_bytes("memory"): Option<u64> = limit("integer", parse_bytes, bytes), "4g";
        /// CPUs; "none": no limit.
        nano_cpus("cpus"): Option<u64> = limit("number", parse_cpus, billionths), 2, [2, 0.5];
        /// Processes and threads; "none": no limit.
        pids: Option<u64> = limit("integer", parse_pids, count), 512;
    }
}

/// What cannot be kept is not promised.
pub(super) fn profile(profile: &mut Profile, at: &mut At<'_>) {
    if profile.egress.is_open() {
        return;
    }
    if profile.security == SecurityProfile::Build {
        let wrong = "security = \"build\" lets sessions become root, and rules go by the uid";
        let right = "use egress = \"open\" with it, or security = \"strict\"";
        at.fault_of("egress", wrong, right);
    }
    if profile.network == Network::Isolated {
        let wrong = "rules hold in the shared network alone";
        let right = "use network = \"shared\" or \"none\" with it, or egress = \"open\"";
        at.fault_of("egress", wrong, right);
    }
}

/// There is a program in a command.
#[expect(clippy::ptr_arg, reason = "what `Kind::checked` takes for a list")]
fn program(words: &mut Vec<String>, at: &mut At<'_>) {
    if words.first().is_none_or(String::is_empty) {
        let right = "give the program and its arguments, such as [\"bash\", \"-l\"]";
        at.fault("there is no program", right);
    }
}

/// There is a program in a command that may be empty.
fn program_if_any(words: &mut Vec<String>, at: &mut At<'_>) {
    if !words.is_empty() {
        program(words, at);
    }
}
