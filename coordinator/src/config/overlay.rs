//! Environment variables and flags, laid over the files.
//!
//! `PODBAY_SECTION_KEY` is the key of that name in that section; `PODBAY_KEY` is a key of the
//! default profile. The names of the shell scripts before Podbay work too. An empty variable is
//! not set. Lists are split at colons (folders) or blanks (everything else).

use super::Sources;
use super::fields::truth;
use super::tree::{Layer, Layers, overlay, put};
use serde_json::Value as Json;
use std::{borrow::Cow, collections::BTreeMap};
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue},
};

/// Variables of the shell scripts, and the keys they are now. `*` is the default profile.
const DROP_IN: [(&str, &str); 8] = [
    ("WORKER_MEMORY", "*.memory"),
    ("WORKER_CPUS", "*.cpus"),
    ("WORKER_IMAGE", "*.image"),
    ("MIN_WARM_WORKERS", "*.min_warm"),
    ("MAX_WARM_WORKERS", "*.max_warm"),
    ("ENABLE_POOL_MANAGER", "pool.enabled"),
    ("SKIP_IMAGE_PULL", "pool.skip_image_pull"),
    ("LAZY_IMAGE_PULL", "pool.lazy_image_pull"),
];

/// Values given by flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(Vec<(String, String, String)>);

impl Overrides {
    /// Sets a key (`log.level`, `profiles.NAME.memory`, or `*.memory` for the default profile) to
    /// a value, both as text; `flag` is named in errors. A later one wins.
    pub fn set(&mut self, flag: &str, key: &str, value: &str) {
        self.0.push((flag.into(), key.into(), value.into()));
    }
}

/// A value given outside of files.
struct Given {
    key: String,
    value: String,
    span: std::ops::Range<usize>,
}

/// Lays environment and flags over the tree. Returns the default profile's name.
pub(super) fn outside(
    layers: &mut Layers,
    tree: &mut DeTable<'static>,
    sources: &Sources,
    schema: &Json,
) -> String {
    let mut given = from_environment(layers, &sources.env, schema);
    let flags = &sources.flags.0;
    let base = layers.add(Layer::Flags(
        flags.iter().map(|(flag, ..)| flag.clone()).collect(),
    ));
    for (n, (_, key, value)) in flags.iter().enumerate() {
        given.push(Given {
            key: key.clone(),
            value: value.clone(),
            span: base + n..base + n,
        });
    }
    let (of_default, others): (Vec<_>, Vec<_>) =
        given.into_iter().partition(|g| g.key.starts_with("*."));
    for one in others {
        lay(layers, tree, one, "", schema);
    }
    let name = tree
        .get("defaults")
        .and_then(|d| d.get_ref().get("profile"))
        .and_then(|p| p.get_ref().as_str())
        .unwrap_or("default")
        .to_owned();
    // Values for a profile that is not there must not make it.
    let there = tree
        .get("profiles")
        .is_some_and(|p| p.get_ref().get(name.as_str()).is_some());
    if there || name == "default" {
        for one in of_default {
            lay(layers, tree, one, &name, schema);
        }
    }
    name
}

fn from_environment(
    layers: &mut Layers,
    env: &BTreeMap<String, String>,
    schema: &Json,
) -> Vec<Given> {
    let mut known: Vec<(String, String)> = DROP_IN
        .iter()
        .map(|(variable, key)| ((*variable).to_owned(), (*key).to_owned()))
        .collect();
    let keys = |schema: Option<&Json>| -> Vec<String> {
        let properties = schema.and_then(|s| s.get("properties"));
        let properties = properties.and_then(Json::as_object);
        properties.map_or_else(Vec::new, |p| p.keys().cloned().collect())
    };
    for key in keys(profile_schema(schema)) {
        if key != "env" {
            known.push((format!("PODBAY_{}", key.to_uppercase()), format!("*.{key}")));
        }
    }
    for section in keys(Some(schema)) {
        let inner = schema.get("properties").and_then(|p| p.get(&section));
        for key in keys(inner) {
            let variable = format!("PODBAY_{section}_{key}").to_uppercase();
            known.push((variable, format!("{section}.{key}")));
        }
    }
    let set: Vec<(String, String, String)> = known
        .into_iter()
        .filter_map(|(variable, key)| {
            let value = env.get(&variable).filter(|value| !value.is_empty())?;
            Some((variable, key, value.clone()))
        })
        .collect();
    let base = layers.add(Layer::Env(
        set.iter().map(|(name, ..)| name.clone()).collect(),
    ));
    set.into_iter()
        .enumerate()
        .map(|(n, (_, key, value))| Given {
            key,
            value,
            span: base + n..base + n,
        })
        .collect()
}

/// The schema of one profile.
pub(super) fn profile_schema(schema: &Json) -> Option<&Json> {
    schema
        .get("properties")?
        .get("profiles")?
        .get("additionalProperties")
}

/// Puts one value into the tree.
fn lay(
    layers: &mut Layers,
    tree: &mut DeTable<'static>,
    given: Given,
    default_profile: &str,
    schema: &Json,
) {
    // A profile's name may have dots; its keys have none, but those below `env` may.
    let (path, leaf): (Vec<&str>, Option<&Json>) = if let Some(key) = given.key.strip_prefix("*.") {
        let leaf = profile_schema(schema).and_then(|s| s.get("properties")?.get(key));
        (vec!["profiles", default_profile, key], leaf)
    } else if let Some(rest) = given.key.strip_prefix("profiles.")
        && let Some((name, key)) = rest.rsplit_once('.')
    {
        let leaf = profile_schema(schema).and_then(|s| s.get("properties")?.get(key));
        (vec!["profiles", name, key], leaf)
    } else if let Some((section, key)) = given.key.split_once('.') {
        let leaf = schema
            .get("properties")
            .and_then(|s| s.get(section)?.get("properties")?.get(key));
        (vec![section, key], leaf)
    } else {
        (vec![], None)
    };
    let Some(leaf) = leaf else {
        layers.fault(&given.span, given.key, "no such key", "");
        return;
    };
    let text = |text: &str| {
        let text = DeValue::String(Cow::Owned(text.to_owned()));
        Spanned::new(given.span.clone(), text)
    };
    let value = match leaf.get("type").and_then(Json::as_str) {
        Some("boolean") => match truth(&given.value) {
            Ok(value) => DeValue::Boolean(value),
            Err(refused) => {
                layers.fault(&given.span, given.key, refused.wrong, refused.right);
                return;
            }
        },
        Some("array") => {
            let parts: DeArray<'static> = if given.key.starts_with("workspace.") {
                given.value.split(':').map(text).collect()
            } else {
                given.value.split_whitespace().map(text).collect()
            };
            DeValue::Array(parts)
        }
        Some("object") => {
            layers.fault(&given.span, given.key, "cannot be set here", "use a file");
            return;
        }
        _ => text(&given.value).into_inner(),
    };
    let mut over = DeTable::new();
    put(&mut over, &path, Spanned::new(given.span.clone(), value));
    overlay(tree, over);
}
