//! Files, environment and flags as one tree of values that still know where they came from.
//!
//! Owns the layers and what was found wrong so far. Checks names and types of keys against the
//! schema; never what a value means.

// Each layer gets a range of offsets of its own, so that a value's span says both the layer and
// the place in it. The walk collects every fault, and drops what is faulty, so that the rest can
// still be checked. Numbers become texts, which is what the kinds of values read.

use super::error::{ConfigError, Origin};
use crate::model::{ProfileName, did_you_mean};
use serde_json::Value as Json;
use std::{borrow::Cow, ops::Range, path::PathBuf};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Faults of one file's syntax that are reported.
const MAX_SYNTAX_ERRORS: usize = 10;

/// What values may come from.
pub(super) enum Layer {
    /// A file and its text.
    File { path: PathBuf, text: String },
    /// Variables, by index.
    Env(Vec<String>),
    /// Flags, by index.
    Flags(Vec<String>),
}

/// All layers, and what was found wrong so far.
#[derive(Default)]
pub(super) struct Layers {
    /// Each with its first offset.
    layers: Vec<(usize, Layer)>,
    next: usize,
    pub(super) errors: Vec<ConfigError>,
}

impl Layers {
    /// Adds a layer; its values' offsets start at the number returned.
    pub(super) fn add(&mut self, layer: Layer) -> usize {
        let base = self.next;
        self.next += 1 + match &layer {
            Layer::File { text, .. } => text.len(),
            Layer::Env(names) | Layer::Flags(names) => names.len(),
        };
        self.layers.push((base, layer));
        base
    }

    /// Where a span is.
    pub(super) fn origin(&self, span: &Range<usize>) -> Origin {
        let layer = self
            .layers
            .iter()
            .rev()
            .find(|(base, _)| *base <= span.start);
        let Some((base, layer)) = layer else {
            return Origin::Default;
        };
        let at = span.start - base;
        match layer {
            Layer::File { path, text } => {
                let before = text.get(..at).unwrap_or(text);
                let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
                Origin::File {
                    path: path.clone(),
                    line: before.matches('\n').count() + 1,
                    column: before
                        .get(line_start..)
                        .map_or(1, |line| line.chars().count() + 1),
                }
            }
            Layer::Env(names) => names.get(at).cloned().map_or(Origin::Default, Origin::Env),
            Layer::Flags(names) => names.get(at).cloned().map_or(Origin::Default, Origin::Flag),
        }
    }

    /// Notes a fault.
    pub(super) fn fault(
        &mut self,
        span: &Range<usize>,
        key: impl Into<String>,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) {
        let origin = self.origin(span);
        self.errors.push(ConfigError {
            origin,
            key: key.into(),
            wrong: wrong.into(),
            right: right.into(),
        });
    }

    /// Parses a file's text; `at` is where its table belongs (`profiles.NAME`), `schema` what it
    /// should look like.
    pub(super) fn parse(
        &mut self,
        path: PathBuf,
        text: &str,
        at: &str,
        schema: &Json,
    ) -> DeTable<'static> {
        let base = self.add(Layer::File {
            path,
            text: text.to_owned(),
        });
        let (table, faults) = DeTable::parse_recoverable(text);
        if faults.is_empty() {
            return self.walk(table.into_inner(), base, at, schema);
        }
        for fault in faults.iter().take(MAX_SYNTAX_ERRORS) {
            let span = fault.span().unwrap_or(0..0);
            let span = base + span.start..base + span.end;
            let wrong = fault.message().replace('\n', ", ");
            self.fault(&span, at, format!("not TOML: {wrong}"), "");
        }
        DeTable::new()
    }

    fn walk(
        &mut self,
        table: DeTable<'_>,
        base: usize,
        at: &str,
        schema: &Json,
    ) -> DeTable<'static> {
        let mut out = DeTable::new();
        let known = schema.get("properties").and_then(Json::as_object);
        let others = schema.get("additionalProperties").filter(|s| s.is_object());
        for (key, value) in table {
            let span = base + key.span().start..base + key.span().end;
            let name = key.into_inner().into_owned();
            let path = dotted(at, &name);
            let Some(sub) = known.and_then(|known| known.get(&name)).or(others) else {
                let names = known.into_iter().flat_map(|known| known.keys());
                let names: Vec<&str> = names.map(String::as_str).collect();
                let right = match did_you_mean(&name, names.iter().copied()) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => format!("known here: {}", names.join(", ")),
                };
                self.fault(&span, path, "no such key", right);
                continue;
            };
            if at == "profiles"
                && let Err(error) = ProfileName::new(name.clone())
            {
                self.fault(&span, path, error.to_string(), "");
                continue;
            }
            if let Some(value) = self.walk_value(value, base, &path, sub) {
                out.insert(Spanned::new(span, Cow::Owned(name)), value);
            }
        }
        out
    }

    fn walk_value(
        &mut self,
        value: Spanned<DeValue<'_>>,
        base: usize,
        path: &str,
        schema: &Json,
    ) -> Option<Spanned<DeValue<'static>>> {
        let span = base + value.span().start..base + value.span().end;
        let value = value.into_inner();
        let fits = |word: &str| match schema.get("type") {
            Some(Json::String(one)) => one == word,
            Some(Json::Array(several)) => several.iter().any(|one| one == word),
            _ => false,
        };
        let text = |text: String| DeValue::String(Cow::Owned(text));
        let walked = match value {
            DeValue::String(given) if fits("string") => text(given.into_owned()),
            DeValue::Integer(given) if fits("integer") || fits("number") => {
                let plain = match given.radix() {
                    10 => None,
                    radix => i128::from_str_radix(given.as_str(), radix).ok(),
                };
                text(plain.map_or_else(|| given.as_str().to_owned(), |n| n.to_string()))
            }
            DeValue::Float(given) if fits("number") => text(given.as_str().to_owned()),
            DeValue::Boolean(given) if fits("boolean") => DeValue::Boolean(given),
            DeValue::Table(table) if fits("object") => {
                DeValue::Table(self.walk(table, base, path, schema))
            }
            DeValue::Array(items) if fits("array") => {
                let item = schema.get("items").unwrap_or(&Json::Null);
                DeValue::Array(
                    items
                        .into_iter()
                        .enumerate()
                        .filter_map(|(n, v)| {
                            self.walk_value(v, base, &format!("{path}[{n}]"), item)
                        })
                        .collect(),
                )
            }
            other => {
                let wrong = format!("{} is not what belongs here", named(other.type_str()));
                self.fault(&span, path, wrong, right_for(schema));
                return None;
            }
        };
        Some(Spanned::new(span, walked))
    }
}

fn named(toml_type: &str) -> String {
    match toml_type {
        "integer" | "array" => format!("an {toml_type}"),
        other => format!("a {other}"),
    }
}

/// What the schema would like to see.
fn right_for(schema: &Json) -> String {
    let kinds = match schema.get("type") {
        Some(Json::Array(several)) => several.iter().filter_map(Json::as_str).collect(),
        Some(Json::String(one)) => vec![one.as_str()],
        _ => vec![],
    };
    let kinds: Vec<&str> = kinds
        .into_iter()
        .map(|kind| match kind {
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "object" => "a table",
            "array" => "an array of strings",
            _ => "a string",
        })
        .collect();
    let mut right = format!("give {}", kinds.join(" or "));
    if let Some(Json::Array(words)) = schema.get("enum") {
        let words: Vec<_> = words.iter().map(Json::to_string).collect();
        right.push_str(&format!(": {}", words.join(", ")));
    } else if let Some(Json::Array(examples)) = schema.get("examples")
        && let Some(example) = examples.first()
    {
        right.push_str(&format!(", such as {example}"));
    }
    right
}

/// A key below a key.
pub(super) fn dotted(at: &str, key: &str) -> String {
    if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

/// Lays one tree over another, key by key; arrays are replaced as a whole.
pub(super) fn overlay(under: &mut DeTable<'static>, over: DeTable<'static>) {
    for (key, value) in over {
        let both = under.get_mut(key.get_ref().as_ref());
        match (both.map(Spanned::get_mut), value) {
            (Some(DeValue::Table(under)), value) if value.get_ref().is_table() => {
                if let DeValue::Table(over) = value.into_inner() {
                    overlay(under, over);
                }
            }
            (_, value) => {
                under.remove(key.get_ref().as_ref());
                under.insert(key, value);
            }
        }
    }
}

/// Puts a value at a dotted place, making the tables on the way.
pub(super) fn put(table: &mut DeTable<'static>, path: &[&str], value: Spanned<DeValue<'static>>) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    let span = value.span();
    let key = Spanned::new(span.clone(), Cow::Owned((*first).to_owned()));
    if rest.is_empty() {
        table.remove(*first);
        table.insert(key, value);
        return;
    }
    if !table.contains_key(*first) {
        table.insert(key, Spanned::new(span, DeValue::Table(DeTable::new())));
    }
    if let Some(DeValue::Table(inner)) = table.get_mut(*first).map(Spanned::get_mut) {
        put(inner, rest, value);
    }
}
