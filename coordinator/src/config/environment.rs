//! Environment variables and flags, laid over the files.
//!
//! Owns the variables' names and how their texts become values. Never judges a value: it is read
//! as those of files are.

// `PODBAY_SECTION_KEY` is the key of that name in that section; `PODBAY_KEY` is a key of the
// default profile. The names of the shell scripts before Podbay work too. An empty variable is
// not set. Lists are split at colons (folders) or blanks (everything else).

use super::layers::{Layer, Layers, overlay, put};
use super::sources::Sources;
use super::values::truth;
use serde_json::Value as Json;
use std::{borrow::Cow, collections::BTreeMap, ops::Range};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Variables of the shell scripts, and the keys they are now. `*` is the default profile.
const FORMER_NAMES: [(&str, &str); 8] = [
    ("WORKER_MEMORY", "*.memory"),
    ("WORKER_CPUS", "*.cpus"),
    ("WORKER_IMAGE", "*.image"),
    ("MIN_WARM_WORKERS", "*.min_warm"),
    ("MAX_WARM_WORKERS", "*.max_warm"),
    ("ENABLE_POOL_MANAGER", "pool.enabled"),
    ("SKIP_IMAGE_PULL", "pool.skip_image_pull"),
    ("LAZY_IMAGE_PULL", "pool.lazy_image_pull"),
];

/// A value given outside of files.
struct Setting {
    key: String,
    value: String,
    span: Range<usize>,
}

/// Lays environment and flags over the tree, and the default profile where nobody describes it.
pub(super) fn outside(
    layers: &mut Layers,
    tree: &mut DeTable<'static>,
    sources: &Sources,
    schema: &Json,
) {
    let variables = variables(&sources.env, schema);
    let mut all = settings(layers, variables, Layer::Env);
    all.extend(settings(layers, sources.flags.0.clone(), Layer::Flags));
    let (of_default, others): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|one| one.key.starts_with("*."));
    for one in others {
        lay(layers, tree, one, "", schema);
    }
    let name = tree
        .get("defaults")
        .and_then(|d| d.get_ref().get("profile"))
        .and_then(|p| p.get_ref().as_str())
        .unwrap_or("default")
        .to_owned();
    let profiles = tree.get("profiles").map(Spanned::get_ref);
    if profiles.is_none_or(|profiles| profiles.get(&name).is_none()) {
        // Values for a profile that is not there must not make it.
        if name != "default" {
            return;
        }
        let table = Spanned::new(0..0, DeValue::Table(DeTable::new()));
        put(tree, &["profiles", "default"], table);
    }
    for one in of_default {
        lay(layers, tree, one, &name, schema);
    }
}

/// The settings of one layer, each a name for errors, a key and a value.
fn settings(
    layers: &mut Layers,
    given: Vec<(String, String, String)>,
    layer: fn(Vec<String>) -> Layer,
) -> Vec<Setting> {
    let names = given.iter().map(|(name, ..)| name.clone()).collect();
    let base = layers.add(layer(names));
    let places = (base..).map(|at| at..at);
    let settings = given.into_iter().zip(places);
    settings
        .map(|((_, key, value), span)| Setting { key, value, span })
        .collect()
}

/// The variables that are set, and the keys they are.
fn variables(env: &BTreeMap<String, String>, schema: &Json) -> Vec<(String, String, String)> {
    let keys = |table: Option<&Json>| -> Vec<String> {
        let properties = table.and_then(|t| t.get("properties")?.as_object());
        properties.map_or_else(Vec::new, |p| p.keys().cloned().collect())
    };
    let former = FORMER_NAMES.map(|(variable, key)| (variable.to_owned(), key.to_owned()));
    let of_default = keys(profile_schema(schema)).into_iter();
    let of_default = of_default
        .filter(|key| key != "env")
        .map(|key| (format!("PODBAY_{key}"), format!("*.{key}")));
    let of_sections = keys(Some(schema)).into_iter().flat_map(|section| {
        let inner = keys(property(Some(schema), &section)).into_iter();
        inner.map(move |key| {
            (
                format!("PODBAY_{section}_{key}"),
                format!("{section}.{key}"),
            )
        })
    });
    former
        .into_iter()
        .chain(of_default)
        .chain(of_sections)
        .filter_map(|(variable, key)| {
            let variable = variable.to_uppercase();
            let value = env.get(&variable).filter(|value| !value.is_empty())?;
            Some((variable, key, value.clone()))
        })
        .collect()
}

/// The schema of one profile.
pub(super) fn profile_schema(schema: &Json) -> Option<&Json> {
    property(Some(schema), "profiles")?.get("additionalProperties")
}

/// The schema of a key of a table.
fn property<'a>(table: Option<&'a Json>, key: &str) -> Option<&'a Json> {
    table?.get("properties")?.get(key)
}

/// Puts one value into the tree.
fn lay(
    layers: &mut Layers,
    tree: &mut DeTable<'static>,
    given: Setting,
    default_profile: &str,
    schema: &Json,
) {
    // A profile's name may have dots; its keys have none, but those below `env` may.
    let of_profile = match given.key.strip_prefix("*.") {
        Some(key) => Some((default_profile, key)),
        None => given
            .key
            .strip_prefix("profiles.")
            .and_then(|rest| rest.rsplit_once('.')),
    };
    let (path, leaf) = if let Some((name, key)) = of_profile {
        (
            vec!["profiles", name, key],
            property(profile_schema(schema), key),
        )
    } else if let Some((section, key)) = given.key.split_once('.') {
        (
            vec![section, key],
            property(property(Some(schema), section), key),
        )
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
        Some("array") if given.key.starts_with("workspace.") => {
            DeValue::Array(given.value.split(':').map(text).collect())
        }
        Some("array") => DeValue::Array(given.value.split_whitespace().map(text).collect()),
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
