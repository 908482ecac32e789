//! The kinds of values that keys take.
//!
//! Owns what each kind looks like in the schema, how it is read, and how it is written. Never says
//! which key is of which kind (`sections`) or what a text must be (`values.rs`).

use super::{
    key::{At, Given, Kind, Shown},
    section::Section,
    values::{self, Refused},
};
use crate::model::{
    Egress, EgressError, EgressRule, LimitError,
    keys::{ENTRIES, Entry},
};
use serde_json::{Value as Json, json};
use std::{collections::BTreeMap, ops::RangeInclusive, path::PathBuf, time::Duration};
use toml::{Spanned, Value, de::DeValue};

// The bounds of durations are written with these.
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
pub(super) const HOUR: Duration = Duration::from_secs(3600);
pub(super) const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Most entries of a list of destinations: each may become a rule of the kernel's for each worker.
const MAX_EGRESS_RULES: usize = 256;

fn shown(value: impl Into<Value>) -> Option<Shown> {
    Some(Shown::Value(value.into()))
}

/// Text that `parse` judges.
pub(super) fn text<T: 'static>(
    parse: fn(&str) -> Result<T, Refused>,
    show: fn(&T) -> String,
) -> Kind<T> {
    let read = move |at: &mut At<'_>| at.parse(parse);
    Kind::new(
        || json!({ "type": "string" }),
        read,
        move |value| shown(show(value)),
    )
}

/// Text that is kept as `parse` gives it.
pub(super) fn string(parse: fn(&str) -> Result<String, Refused>) -> Kind<String> {
    text(parse, String::clone)
}

/// An absolute path.
pub(super) fn path() -> Kind<PathBuf> {
    text(values::absolute, |path| path.to_string_lossy().into_owned())
}

/// A list of texts that `parse` judges.
fn list<T: 'static>(parse: fn(&str) -> Result<T, Refused>, show: fn(&T) -> String) -> Kind<Vec<T>> {
    let read = move |at: &mut At<'_>| {
        let items = at.given.get_ref().as_array()?;
        Some(at.items(items, |item| item.parse(parse)))
    };
    let schema = || json!({ "type": "array", "items": { "type": "string" } });
    Kind::new(schema, read, move |items| {
        shown(items.iter().map(show).collect::<Vec<String>>())
    })
}

/// A list of [`string`].
pub(super) fn strings(parse: fn(&str) -> Result<String, Refused>) -> Kind<Vec<String>> {
    list(parse, String::clone)
}

/// A list of [`path`].
pub(super) fn paths() -> Kind<Vec<PathBuf>> {
    list(values::absolute, |path| path.to_string_lossy().into_owned())
}

/// One of a few words, by default the first.
pub(super) fn word<T: Copy + 'static, const N: usize>(
    all: [T; N],
    as_str: fn(T) -> &'static str,
) -> Kind<T> {
    let words: Vec<(&str, T)> = all.iter().map(|one| (as_str(*one), *one)).collect();
    let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let first = names.first().copied();
    let read = move |at: &mut At<'_>| at.parse(|given| values::word(given, &words));
    let schema = move || json!({ "type": "string", "enum": names });
    Kind::new(schema, read, move |one| shown(as_str(*one))).default(first.into())
}

/// True or false.
pub(super) fn truth() -> Kind<bool> {
    let read = |at: &mut At<'_>| at.given.get_ref().as_bool();
    Kind::new(|| json!({ "type": "boolean" }), read, |value| shown(*value))
}

/// A whole number.
pub(super) fn whole(bounds: RangeInclusive<u32>) -> Kind<u32> {
    let (least, most) = (*bounds.start(), *bounds.end());
    let schema =
        move || json!({ "type": "integer", "format": "uint32", "minimum": least, "maximum": most });
    let read = move |at: &mut At<'_>| at.parse(|given| values::whole(given, bounds.clone()));
    Kind::new(schema, read, |number| shown(*number))
}

/// A duration.
pub(super) fn duration(bounds: RangeInclusive<Duration>) -> Kind<Duration> {
    time(bounds, false)
}

/// A duration, or zero: never.
pub(super) fn duration_or_zero(bounds: RangeInclusive<Duration>) -> Kind<Duration> {
    time(bounds, true)
}

fn time(bounds: RangeInclusive<Duration>, or_zero: bool) -> Kind<Duration> {
    let read =
        move |at: &mut At<'_>| at.parse(|given| values::duration(given, bounds.clone(), or_zero));
    Kind::new(
        || json!({ "type": "string" }),
        read,
        |value| shown(humantime::format_duration(*value).to_string()),
    )
}

/// An OCI runtime's name.
pub(super) fn runtime() -> Kind<Option<String>> {
    text(values::runtime, |name| {
        name.clone().unwrap_or_else(|| "default".to_owned())
    })
}

/// A number of bytes.
pub(super) fn size(bounds: RangeInclusive<usize>) -> Kind<usize> {
    let read = move |at: &mut At<'_>| at.parse(|given| values::size(given, bounds.clone()));
    let schema = || json!({ "type": ["integer", "string"] });
    Kind::new(schema, read, |value| shown(bytes(*value as u64)))
}

/// A limit of workers; `number` is what the schema calls it where it is not text.
pub(super) fn limit(
    number: &'static str,
    parse: fn(&str) -> Result<u64, LimitError>,
    show: fn(u64) -> Value,
) -> Kind<Option<u64>> {
    let read = move |at: &mut At<'_>| at.parse(|given| values::limit(given, parse));
    Kind::new(
        move || json!({ "type": [number, "string"] }),
        read,
        move |limit| Some(Shown::Value(limit.map_or_else(|| "none".into(), show))),
    )
}

/// Bytes in the largest unit that divides them.
pub(super) fn bytes(value: u64) -> Value {
    for (shift, unit) in [(40, "t"), (30, "g"), (20, "m"), (10, "k")] {
        if value > 0 && value.trailing_zeros() >= shift {
            return format!("{}{unit}", value >> shift).into();
        }
    }
    value.to_string().into()
}

/// Billionths as a number.
pub(super) fn billionths(value: u64) -> Value {
    match value % 1_000_000_000 {
        0 => count(value / 1_000_000_000),
        _ => (value as f64 / 1e9).into(),
    }
}

/// A number as it is.
pub(super) fn count(value: u64) -> Value {
    i64::try_from(value).map_or_else(|_| value.to_string().into(), Value::Integer)
}

/// Values by name.
fn by_name<T: 'static>(
    schema: impl Fn() -> Json + 'static,
    read: impl Fn(&str, &mut At<'_>) -> Option<T> + 'static,
    show: impl Fn(&T) -> Option<Shown> + 'static,
) -> Kind<BTreeMap<String, T>> {
    let show_all = move |values: &BTreeMap<String, T>| {
        let shown = values
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), show(value)?)));
        let shown: Vec<_> = shown.collect();
        (!shown.is_empty()).then_some(Shown::Table(shown))
    };
    Kind::new(schema, move |at: &mut At<'_>| at.keys(&read), show_all).default(json!({}))
}

/// A session's environment.
pub(super) fn variables() -> Kind<BTreeMap<String, String>> {
    let schema = || json!({ "type": "object", "additionalProperties": { "type": "string" } });
    let read = |name: &str, at: &mut At<'_>| {
        at.parse(|value| {
            values::variable(name)?;
            values::without_nul(value, "a variable")
        })
    };
    by_name(schema, read, |value: &String| shown(value.clone()))
}

/// Lists of keys, by the dashboard's actions.
pub(super) fn keys_of_actions() -> Kind<BTreeMap<String, Vec<String>>> {
    let keys = |entry: &Entry| {
        json!({
            "type": "array",
            "items": { "type": "string" },
            "description": entry.help,
            "examples": [["f5", "ctrl-b x"]],
        })
    };
    let schema = move || {
        let actions = ENTRIES.iter().map(|entry| (entry.name, keys(entry)));
        let actions: BTreeMap<&str, Json> = actions.collect();
        json!({ "type": "object", "properties": actions, "additionalProperties": false })
    };
    let item = strings(values::as_given);
    let read = move |_: &str, at: &mut At<'_>| (item.read)(at);
    by_name(schema, read, |keys: &Vec<String>| shown(keys.clone()))
}

/// Where workers may connect to: a word, or a list.
pub(super) fn destinations() -> Kind<Egress> {
    let schema = || json!({ "type": ["string", "array"], "items": { "type": "string" } });
    // What cannot be understood allows nothing.
    let read = |at: &mut At<'_>| Some(egress(at).unwrap_or(Egress::None));
    Kind::new(schema, read, |egress| match egress {
        Egress::Open | Egress::None => shown(egress.to_string()),
        Egress::List(rules) => shown(
            rules
                .iter()
                .map(EgressRule::to_string)
                .collect::<Vec<String>>(),
        ),
    })
}

fn egress(at: &mut At<'_>) -> Option<Egress> {
    let entries: Vec<Given> = match at.given.get_ref() {
        DeValue::Array(entries) => entries.to_vec(),
        // What looks like entries comes from the environment, where there are no arrays.
        DeValue::String(text) if text.contains(['.', ':', ' ']) => text
            .split_whitespace()
            .map(|entry| DeValue::String(entry.to_owned().into()))
            .map(|entry| Spanned::new(at.given.span(), entry))
            .collect(),
        _ => {
            let open = at.parse(|word| {
                values::word(word, &[("open", true), ("none", false)]).map_err(|refused| Refused {
                    right: format!("{}, or a list of names and addresses", refused.right),
                    ..refused
                })
            })?;
            return Some(if open { Egress::Open } else { Egress::None });
        }
    };
    if entries.len() > MAX_EGRESS_RULES {
        let wrong = format!("{} entries are more than {MAX_EGRESS_RULES}", entries.len());
        let right = "use a wildcard (*.example.com) or a network (192.0.2.0/24) for many";
        at.fault(wrong, right);
        return None;
    }
    let rules: Vec<EgressRule> = at.items(&entries, |entry| {
        entry.parse(|text| {
            text.parse().map_err(|error: EgressError| Refused {
                wrong: error.wrong,
                right: error.right,
            })
        })
    });
    // Nothing listed is nothing allowed.
    Some(if rules.is_empty() {
        Egress::None
    } else {
        Egress::List(rules)
    })
}

/// A table of the file: `[log]`.
pub(super) fn table<S: Section>() -> Kind<S> {
    let schema = || {
        let mut schema = S::schema();
        if let Some(schema) = schema.as_object_mut() {
            schema.insert("default".to_owned(), json!({}));
        }
        schema
    };
    of_section::<S, _>(Kind::new(schema, S::read, shown_section).default(json!({})))
}

/// Tables by name: `[profiles.NAME]`.
pub(super) fn tables<S: Section>(check: fn(&mut S, &mut At<'_>)) -> Kind<BTreeMap<String, S>> {
    let schema = || json!({ "type": "object", "default": {}, "additionalProperties": S::schema() });
    let table = table::<S>().checked(check);
    let read = move |_: &str, at: &mut At<'_>| (table.read)(at);
    of_section::<S, _>(by_name(schema, read, shown_section))
}

/// Keys that are one value of their own, in the table around them.
pub(super) fn group<S: Section>() -> Kind<S> {
    grouped::<S, _>(Kind::new(|| json!({}), S::read, shown_section))
}

/// As [`group`]; without those of its keys that have no default there is no value.
pub(super) fn optional_group<S: Section>() -> Kind<Option<S>> {
    let read = |at: &mut At<'_>| Some(S::read(at));
    let show = |section: &Option<S>| shown_section(section.as_ref()?);
    grouped::<S, _>(Kind::new(|| json!({}), read, show))
}

fn shown_section<S: Section>(section: &S) -> Option<Shown> {
    Some(Shown::Table(section.shown()))
}

fn of_section<S: Section, T>(mut kind: Kind<T>) -> Kind<T> {
    kind.about.keys = S::keys;
    kind
}

fn grouped<S: Section, T>(kind: Kind<T>) -> Kind<T> {
    let mut kind = of_section::<S, T>(kind);
    kind.about.is_group = true;
    kind
}
