//! Configuration: file, environment and flags become one checked struct before anything binds.

mod types;

pub use types::{
    ApiConfig, AttachConfig, Config, Defaults, EngineConfig, LogConfig, LogFormat, Profile,
    SecurityProfile, WorkspaceConfig,
};

/// tmp
pub fn to_toml(_: &Config) -> String { String::new() }

/// tmp
pub struct Sources;
/// tmp
pub fn sources(_: &std::path::Path, _: Option<std::path::PathBuf>) -> Sources { Sources }
/// tmp
pub fn check_file(_: &std::path::Path) -> Result<(), String> { Ok(()) }
/// tmp
pub fn schema() -> String { String::new() }
/// tmp
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullWhen { /// a
 AtStart, /// b
 WhenNeeded, /// c
 Never }
/// tmp
pub fn load(_: &Sources) -> Result<Config, String> {
    use std::time::Duration as D;
    let p = Profile { image: "podbay/worker:minimal".into(), command: vec!["bash".into()], env: Default::default(), min_warm: 2, max_warm: 5,
        idle_timeout: D::from_secs(1800), max_age: D::from_secs(86400), check_interval: D::from_secs(10), ready_timeout: D::from_secs(30), stop_grace: D::from_secs(2),
        limits: Default::default(), isolation: crate::model::Isolation::Bind, security: SecurityProfile::Strict, read_only: false };
    Ok(Config { log: LogConfig { level: "info,coordinator=debug".into(), format: LogFormat::Text, keep_files: 7 },
      engine: EngineConfig { timeout: D::from_secs(10), create_timeout: D::from_secs(60), relist_interval: D::from_secs(2), max_parallel: 4 },
      workspace: WorkspaceConfig { roots: vec![], allow: vec![], hot_mounts: true },
      attach: AttachConfig { detach_keys: vec![] }, api: ApiConfig { max_body: 1 << 20 }, defaults: Defaults { profile: "default".into() },
      profiles: [("default".to_owned(), p)].into(), pull: PullWhen::AtStart })
}
