//! Where configuration comes from: files, the environment, flags.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Where configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `podbay.toml`; must be there when it is given.
    pub file: Option<PathBuf>,
    /// The folder of `NAME.toml` profiles; need not be there.
    pub profiles_dir: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Flags.
    pub flags: Overrides,
}

impl Sources {
    /// Where a coordinator with this state folder looks: the named file, or `config/podbay.toml`
    /// where there is one; `profiles/`; the process's environment.
    #[must_use]
    pub fn of_state(state: &Path, file: Option<PathBuf>) -> Self {
        let named = file.or_else(|| std::env::var_os("PODBAY_CONFIG").map(PathBuf::from));
        let usual = state.join("config/podbay.toml");
        let variables = std::env::vars_os();
        Self {
            file: named.or_else(|| usual.exists().then_some(usual)),
            profiles_dir: Some(state.join("profiles")),
            env: variables
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            flags: Overrides::default(),
        }
    }
}

/// Values given by flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(pub(super) Vec<(String, String, String)>);

impl Overrides {
    /// Sets a key (`log.level`, `profiles.NAME.memory`, or `*.memory` for the default profile) to
    /// a value, both as text; `flag` is named in errors. A later one wins.
    pub fn set(&mut self, flag: &str, key: &str, value: &str) {
        self.0.push((flag.into(), key.into(), value.into()));
    }
}
