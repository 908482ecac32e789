//! Configuration: file, environment and flags become one checked struct before anything binds.
//!
//! Owns the order: flags > environment > `podbay.toml` > `profiles/NAME.toml` > defaults, key by
//! key. Finds all faults in one go, each with its place and what would be right; never writes files.

mod at_start;
mod checks;
mod environment;
mod error;
mod key;
mod kinds;
mod layers;
mod section;
mod sections;
#[cfg(test)]
mod seed_tests;
mod sources;
mod values;
mod words;

pub use at_start::not_in_effect;
pub use error::{ConfigError, ConfigErrors, Origin};
pub use sections::{
    ApiConfig, AttachConfig, Config, DashboardConfig, Defaults, EngineConfig, LogConfig,
    PoolConfig, Profile, TcpConfig, WorkspaceConfig,
};
pub use sources::{Overrides, Sources};
pub use values::{DetachKeysError, parse_detach_keys};
pub use words::{
    LogFormat, Network, Notifications, RecreatePolicy, SORTS, SecurityProfile, ThemeChoice,
};

use crate::model::ProfileName;
use key::{At, Shown};
use layers::{Layer, Layers};
use section::Section;
use std::{
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Larger files are no configuration.
const MAX_BYTES: u64 = 1 << 20;

/// Checks one file alone, with the defaults for all that it does not say.
///
/// # Errors
/// As [`load`], as text.
pub fn check_file(path: &Path) -> Result<(), String> {
    let sources = Sources {
        file: Some(path.to_owned()),
        ..Sources::default()
    };
    load(&sources)
        .map(|_| ())
        .map_err(|errors| errors.to_string())
}

/// Reads and checks everything.
///
/// # Errors
/// All faults that were found, each with its place, its key, and what would be right.
pub fn load(sources: &Sources) -> Result<Config, ConfigErrors> {
    let mut layers = Layers::default();
    let mut profiles = Vec::new();
    if let Some(folder) = &sources.profiles_dir {
        for (name, path) in profile_files(&mut layers, folder) {
            if let Some(text) = read(&mut layers, &path) {
                profiles.push((name, path, text));
            }
        }
    }
    let file = sources.current_file().and_then(|path| {
        let text = read(&mut layers, path)?;
        Some((path.to_owned(), text))
    });
    build(layers, file, profiles, sources)
}

/// Checks one file's text alone; `path` is for errors.
///
/// # Errors
/// As [`load`].
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigErrors> {
    build(
        Layers::default(),
        Some((path.to_owned(), text.to_owned())),
        Vec::new(),
        &Sources::default(),
    )
}

fn build(
    mut layers: Layers,
    file: Option<(PathBuf, String)>,
    profiles: Vec<(String, PathBuf, String)>,
    sources: &Sources,
) -> Result<Config, ConfigErrors> {
    let schema = Config::schema();
    let of_profile = environment::profile_schema(&schema)
        .cloned()
        .unwrap_or_default();
    let mut tree = DeTable::new();
    for (name, path, text) in profiles {
        let table = layers.parse(path, &text, &format!("profiles.{name}"), &of_profile);
        let table = Spanned::new(0..0, DeValue::Table(table));
        layers::put(&mut tree, &["profiles", name.as_str()], table);
    }
    if let Some((path, text)) = file {
        let table = layers.parse(path, &text, "", &schema);
        layers::overlay(&mut tree, table);
    }
    environment::outside(&mut layers, &mut tree, sources, &schema);

    let tree = Spanned::new(0..0, DeValue::Table(tree));
    let mut at = At {
        layers: &mut layers,
        key: String::new(),
        given: &tree,
    };
    let mut config = Config::read(&mut at);
    if let Some(config) = &mut config {
        checks::config(config, &mut at);
    }
    match config {
        Some(config) if layers.errors.is_empty() => Ok(config),
        _ => Err(ConfigErrors(layers.errors)),
    }
}

/// The configuration as TOML, every key written out. Loading it gives the same configuration.
///
/// ```
/// let config = coordinator::config::parse("podbay.toml".as_ref(), "").unwrap();
/// let text = coordinator::config::to_toml(&config);
/// assert_eq!(coordinator::config::parse("x".as_ref(), &text).unwrap(), config);
/// ```
#[must_use]
pub fn to_toml(config: &Config) -> String {
    toml::to_string(&Shown::Table(config.shown())).unwrap_or_default()
}

/// The JSON schema of `podbay.toml` (draft 2020-12), as text.
#[must_use]
pub fn schema() -> String {
    let mut schema = Config::schema();
    if let Some(root) = schema.as_object_mut() {
        let draft = "https://json-schema.org/draft/2020-12/schema";
        root.insert("$schema".to_owned(), draft.into());
        root.insert("title".to_owned(), "podbay.toml".into());
    }
    format!("{schema:#}\n")
}

/// A file's text; a fault and `None` when it cannot be read.
fn read(layers: &mut Layers, path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes));
    let wrong = match read {
        Err(error) => format!("cannot be read: {error}"),
        Ok(_) if bytes.len() as u64 > MAX_BYTES => "is larger than 1 MiB".to_owned(),
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => return Some(text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let newlines = error.as_bytes().iter().take(at).filter(|b| **b == b'\n');
                format!("line {} is not UTF-8", newlines.count() + 1)
            }
        },
    };
    whole_file(layers, path, wrong, "");
    None
}

fn whole_file(layers: &mut Layers, path: &Path, wrong: String, right: &str) {
    let base = layers.add(Layer::File {
        path: path.to_owned(),
        text: String::new(),
    });
    layers.fault(&(base..base), "", wrong, right);
}

/// `NAME.toml` files of a folder, by name. Hidden ones and others are not looked at.
fn profile_files(layers: &mut Layers, folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            whole_file(layers, folder, format!("cannot be listed: {error}"), "");
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let is_toml = path.extension().is_some_and(|e| e == "toml");
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let Some(name) = stem.filter(|s| is_toml && !s.starts_with('.')) else {
            continue;
        };
        match ProfileName::new(name.clone()) {
            Ok(_) => found.push((name, path)),
            Err(error) => {
                let right = "rename the file: its name is the profile's";
                whole_file(layers, &path, error.to_string(), right);
            }
        }
    }
    found.sort();
    found
}
