//! The configuration: each key once, with its type, its default, its rule and its documentation.
//!
//! Owns all keys. Schema, reader, `podbay config show`, the names in the environment and the seed
//! files follow from these entries. Never compares two keys: that is in `checks.rs`.

// An entry is
//
//     /// What the schema and the documentation say of the key.
//     //! What the seed file says of it, where that is something else.
//     field: Type = kind, default, [examples];
//
// Default and examples are written as in the file. A key without a default (or with `null`) may be
// missing; without examples, the default is the example. `field("key")` names a key that is not
// called as the field. To add a key, add one entry here, and write the seed files with
// `UPDATE_SEED=1 cargo nextest run -p coordinator seed_files`.

use super::{
    checks,
    key::{About, At, Kind, Shown},
    kinds::{
        billionths, bytes, count, destinations, duration, duration_or_zero, group, keys_of_actions,
        limit, optional_group, path, paths, runtime, size, string, strings, table, tables, text,
        truth, variables, whole, word,
    },
    section::{Section, section},
    values,
    words::{LogFormat, Network, Notifications, Rehome, SORTS, SecurityProfile, ThemeChoice},
};
use crate::model::{
    Egress, Isolation, Limits, keys::Preset, parse_bytes, parse_cpus, parse_disk, parse_pids,
};
use serde_json::json;
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Most warm workers of one profile.
const MAX_WARM: u32 = 64;
/// The largest body of a request that can be configured.
const MAX_BODY: usize = 64 << 20;
const ISOLATIONS: [Isolation; 3] = [Isolation::Bind, Isolation::Overlay, Isolation::None];

section! {
    /// Podbay's configuration.
    pub struct Config {
        /// `[log]`
        log: LogConfig = table();
        /// `[engine]`
        engine: EngineConfig = table();
        /// `[workspace]`
        workspace: WorkspaceConfig = table();
        /// `[attach]`
        attach: AttachConfig = table();
        /// `[dashboard]`
        dashboard: DashboardConfig = table().checked(checks::dashboard);
        /// `[api]`
        api: ApiConfig = table();
        /// `[pool]`
        pool: PoolConfig = table();
        /// `[defaults]`
        defaults: Defaults = table();
        /// What workers are made of, by name.
        profiles: BTreeMap<String, Profile> = tables(checks::profile);
    }
}

section! {
    /// Logging.
    pub struct LogConfig {
        /// What is logged: a level, or levels by module.
        //! A level (off, error, warn, info, debug, trace), or levels by module: "info,coordinator=debug".
        level: String = string(values::log_filter), "info", ["info", "info,coordinator=debug"];
        /// How log lines look.
        //! "text" for people, "json" for programs.
        format: LogFormat = word(LogFormat::ALL, LogFormat::as_str);
        /// Rotated files kept.
        //! Rotated files kept in logs/, of 8 MiB each.
        keep_files: u32 = whole(1..=100), 5;
    }
}

section! {
    /// The engine.
    pub struct EngineConfig {
        /// Deadline of an ordinary call.
        //! Deadline of an ordinary call to the engine.
        timeout: Duration = duration(SECOND..=5 * MINUTE), "10s";
        /// Deadline of creating or starting a container.
        create_timeout: Duration = duration(SECOND..=HOUR), "1m";
        /// How often everything is listed again.
        //! How often everything is listed again, whether the engine sent events or not.
        relist_interval: Duration = duration(SECOND / 10..=MINUTE), "1s", ["2s"];
        /// Most creations under way at once.
        //! Most containers being created at once, over all pools.
        max_parallel: u32 = whole(1..=64), 8, [4];
    }
}

section! {
    /// Which folders may be projects.
    pub struct WorkspaceConfig {
        /// When not empty, projects must be inside one of these.
        //! When not empty, projects must be inside one of these folders of the engine's host.
        roots: Vec<PathBuf> = paths(), [], [["/srv/projects"]];
        /// Folders allowed although a built-in rule refuses them.
        //! Folders allowed as projects although a built-in rule refuses them.
        allow: Vec<PathBuf> = paths(), [], [["/home/me"]];
        /// Mount projects into warm workers; false: every claim with a project is a cold start.
        //! Mount projects into warm workers; false makes every claim with a project a cold start.
        hot_mounts: bool = truth(), true;
    }
}

section! {
    /// Attaching.
    pub struct AttachConfig {
        /// Key sequences that detach, as Docker writes them.
        //! Key sequences that detach, written as for `docker attach --detach-keys`.
        detach_keys: Vec<String> = strings(values::detach_keys),
            ["ctrl-p,ctrl-q", "ctrl-\\"], [["ctrl-p,ctrl-q"]];
    }
}

// It is read by the dashboard's process, not by the coordinator's.
section! {
    /// The dashboard.
    pub struct DashboardConfig {
        /// The keys to begin with.
        //! The keys to begin with: "default", "claude-squad", or "tmux" (with a prefix, Ctrl-B).
        keymap: Preset = word(Preset::ALL, Preset::as_str);
        /// Keys of single actions, in place of the preset's; [] for none.
        //! Keys of single actions, in place of the preset's; [] for none. The actions and their keys are in
        //! the README under Keys, and behind ? in the dashboard.
        //!   keys.spawn = ["n", "f5"]
        //!   keys.zoom = ["ctrl-b z"]
        //!   keys.stop_all = []
        keys: BTreeMap<String, Vec<String>> = keys_of_actions();
        /// Key sequences that give the keys back to the dashboard, as Docker writes them.
        //! Key sequences that lead back while you type into a worker, written as detach_keys above. The
        //! first one is shown. With keymap = "tmux", "ctrl-b,d" comes before these.
        leave_keys: Vec<String> = strings(values::leave_keys),
            (Preset::Default.leave_keys()), [["ctrl-q"]];
        /// The colours.
        //! "auto", "dark", "light", "16" (the terminal's own colours), "high-contrast", "none".
        theme: ThemeChoice = word(ThemeChoice::ALL, ThemeChoice::as_str);
        /// Take the mouse; false: it is the terminal's.
        //! false leaves the mouse to the terminal.
        mouse: bool = truth(), true;
        /// How it tells that a worker waits.
        //! A worker waits for you: "all" rings the bell and notifies the desktop (OSC 9); "osc777" and
        //! "osc99" do so for terminals that know only these; "bell", "off".
        notifications: Notifications = word(Notifications::ALL, Notifications::as_str);
        /// Let programs in workers write the terminal's clipboard.
        //! Let programs in workers write your clipboard (OSC 52).
        clipboard: bool = truth(), false;
        /// What the list is sorted by within its groups.
        //! The list within its groups, by: "name", "age", "cpu", "memory", "project".
        sort: &'static str = word(SORTS, |word| word);
    }
}

section! {
    /// The API.
    pub struct ApiConfig {
        /// Largest request body.
        max_body: usize = size(16 << 10..=MAX_BODY), "1m";
        /// The API over TCP, when it is configured. Read at the start alone.
        tcp: Option<TcpConfig> = optional_group().checked(checks::tcp);
    }
}

section! {
    /// The API over TCP: with TLS and a token, or not at all.
    pub struct TcpConfig {
        /// Address and port, inside the parent, for the API over TCP. Needs tls_cert, tls_key and
        /// token_file.
        //! The API over TCP (inside the parent; publish the port with the parent's). Only with all four of
        //! these: an address with a port, certificate and key (PEM), and the file of a token, which is made
        //! when it is missing. Taken at the coordinator's start.
        listen: SocketAddr = text(values::address, SocketAddr::to_string), null, ["0.0.0.0:7777"];
        /// Certificates for it (PEM, the server's first); an absolute path in the parent.
        cert("tls_cert"): PathBuf = path(), null, ["/var/lib/podbay/config/tls/cert.pem"];
        /// Their private key (PEM).
        key("tls_key"): PathBuf = path(), null, ["/var/lib/podbay/config/tls/key.pem"];
        /// File of the token that clients send: 64 hexadecimal digits, mode 0600. Made when missing.
        token_file: PathBuf = path(), null, ["/var/lib/podbay/config/tls/token"];
        /// Host names by which clients may call it, besides its address and localhost.
        //! Host names by which clients may call it, besides localhost and addresses.
        hosts: Vec<String> = strings(values::host), [], [["bay.example"]];
        /// Origins of web pages that may call it; none by default.
        //! Web pages that may call it, by origin.
        origins: Vec<String> = strings(values::origin), [], [["https://bay.example"]];
    }
}

section! {
    /// All pools.
    pub struct PoolConfig {
        /// Keep warm workers; false: every pool is 0 to 0.
        //! false: no warm workers at all; every worker starts cold.
        enabled: bool = truth(), true;
        /// Never pull images.
        //! Never pull images; they must be there.
        skip_image_pull: bool = truth(), false;
        /// Pull an image when it is first needed, not at the start.
        lazy_image_pull: bool = truth(), false;
    }
}

section! {
    /// What a spawn that says nothing gets.
    pub struct Defaults {
        /// The profile.
        //! The profile of a spawn that names none. It is the one whose pool is kept warm by default.
        profile: String = string(values::as_given), "default";
    }
}

section! {
    /// What a worker is made of.
    pub struct Profile {
        /// The image.
        //! The image. Any image will do: Podbay brings its own agent along.
        image: String = string(values::image), "podbay/worker:minimal";
        /// The session's command when none is given.
        command: Vec<String> = strings(values::argument).checked(checks::program), ["bash"];
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
        isolation: Isolation = word(ISOLATIONS, Isolation::as_str);
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
        rehome: Rehome = word(Rehome::ALL, Rehome::as_str);
        /// What is run in place of the session's command when its container was made anew.
        //! What such a session runs, where its own command would begin anew; [] for its own.
        resume: Vec<String> = strings(values::argument).checked(checks::program_if_any), [];
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
