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
    /// Where `podbay.toml` is looked for when no file is given; need not be there.
    pub usual: Option<PathBuf>,
    /// The folder of `NAME.toml` profiles; need not be there.
    pub profiles_dir: Option<PathBuf>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// Flags.
    pub flags: Overrides,
}

impl Sources {
    /// Where a coordinator with this state folder looks: the named file, or `config/podbay.toml`
    /// once there is one; `profiles/`; the process's environment.
    #[must_use]
    pub fn of_state(state: &Path, file: Option<PathBuf>) -> Self {
        let named = file.or_else(|| std::env::var_os("PODBAY_CONFIG").map(PathBuf::from));
        let variables = std::env::vars_os();
        Self {
            file: named,
            usual: Some(state.join("config/podbay.toml")),
            profiles_dir: Some(state.join("profiles")),
            env: variables
                .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
                .collect(),
            flags: Overrides::default(),
        }
    }

    /// The file to be read now: the usual one may have been created since the last look.
    #[must_use]
    pub fn current_file(&self) -> Option<&Path> {
        let there = |path: &&Path| !matches!(path.try_exists(), Ok(false));
        let usual = self.usual.as_deref().filter(there);
        self.file.as_deref().or(usual)
    }

    /// Requires the usual file from now on when it is there: an editor that removes it for a moment
    /// must not put the defaults in effect.
    pub fn keep_found(&mut self) {
        if let Some(found) = self.current_file().map(Path::to_owned) {
            self.file = Some(found);
        }
    }

    /// The files and folders whose changes are looked for, whether they are there or not.
    #[must_use]
    pub fn watched(&self) -> Vec<PathBuf> {
        let file = self.file.as_ref().or(self.usual.as_ref());
        file.into_iter()
            .chain(&self.profiles_dir)
            .cloned()
            .collect()
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
