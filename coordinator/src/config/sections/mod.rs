//! The configuration: each key once, with its type, its default, its rule and its documentation.
//!
//! Owns all keys. Schema, reader, `podbay config show`, the names in the environment and the seed
//! files follow from these entries. Never compares two keys: that is in
//! `checks.rs`, and within one section beside its keys.

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

mod api;
mod dashboard;
mod profile;

pub use api::{ApiConfig, TcpConfig};
pub use dashboard::DashboardConfig;
pub use profile::Profile;

use super::{
    key::{About, At, Kind, Shown},
    kinds::{
        HOUR, MINUTE, SECOND, duration, paths, string, strings, table, tables, truth, whole, word,
    },
    section::{Section, section},
    values,
    words::LogFormat,
};
use serde_json::json;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

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
        dashboard: DashboardConfig = table().checked(dashboard::dashboard);
        /// `[api]`
        api: ApiConfig = table();
        /// `[pool]`
        pool: PoolConfig = table();
        /// `[defaults]`
        defaults: Defaults = table();
        /// What workers are made of, by name.
        profiles: BTreeMap<String, Profile> = tables(profile::profile);
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
