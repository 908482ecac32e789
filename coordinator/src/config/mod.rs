//! Configuration: file, environment and flags become one checked struct before anything binds.

mod types;

pub use types::{
    ApiConfig, AttachConfig, Config, Defaults, EngineConfig, LogConfig, LogFormat, Profile,
    SecurityProfile, WorkspaceConfig,
};

/// tmp
pub fn to_toml(_: &Config) -> String { String::new() }
