//! What a key of the configuration is: how its value is described, read and written.
//!
//! Owns [`Kind`], of which each entry in `sections` has one, and [`At`], through which values are
//! read and faults are noted. Never knows a key by its name.

use super::{
    layers::{Layers, dotted},
    values::Refused,
};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};
use std::{borrow::Cow, collections::BTreeMap, ops::Range};
use toml::{
    Spanned, Value,
    de::{DeTable, DeValue},
};

/// A value and where it was given. Numbers are texts here (see `layers.rs`).
pub(super) type Given = Spanned<DeValue<'static>>;

/// A JSON schema.
type Schema = serde_json::Map<String, Json>;

/// A value on its way into `podbay config show`; tables keep the order of their keys.
pub(super) enum Shown {
    Value(Value),
    Table(Vec<(String, Shown)>),
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(serializer),
            Self::Table(keys) => {
                serializer.collect_map(keys.iter().map(|(key, value)| (key, value)))
            }
        }
    }
}

/// All that is said of a key.
pub(super) struct About {
    pub(super) name: &'static str,
    /// What the schema says of it, line by line.
    pub(super) description: &'static [&'static str],
    /// What the seed file says of it, line by line; nothing where that is the description.
    #[cfg(test)]
    pub(super) comment: &'static [&'static str],
    /// Its schema, without description and examples.
    pub(super) schema: Box<dyn Fn() -> Json>,
    /// What it is where nobody gives it; `None`: it may be missing.
    pub(super) default: Option<Json>,
    /// A list of examples; without one, the default is the example.
    pub(super) examples: Option<Json>,
    /// The keys of a table or a group.
    pub(super) keys: fn() -> Vec<About>,
    /// Whether its keys stand among those of the table around it.
    pub(super) is_group: bool,
}

/// The lines of a documentation comment.
pub(super) fn lines(docs: &[&str]) -> String {
    let lines: Vec<&str> = docs
        .iter()
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    lines.join("\n")
}

impl About {
    /// Its whole schema.
    fn described(&self) -> Schema {
        let Json::Object(mut schema) = (self.schema)() else {
            return Schema::new();
        };
        schema
            .entry("description")
            .or_insert_with(|| lines(self.description).into());
        let is_example = match &self.default {
            Some(Json::Array(items)) => !items.is_empty(),
            Some(Json::Bool(_) | Json::Object(_)) | None => false,
            Some(_) => !schema.contains_key("enum"),
        };
        let default = self.default.as_ref().filter(|_| is_example);
        let examples = self
            .examples
            .clone()
            .or(default.map(|default| json!([default])));
        schema.extend(examples.map(|examples| ("examples".to_owned(), examples)));
        schema
    }
}

/// The schema of a table with these keys and no others.
pub(super) fn table_schema(docs: &[&'static str], keys: &[About]) -> Json {
    let mut properties = Schema::new();
    for key in keys {
        if key.is_group {
            let inner = (key.keys)();
            properties.extend(
                inner
                    .iter()
                    .map(|key| (key.name.to_owned(), key.described().into())),
            );
        } else {
            properties.insert(key.name.to_owned(), key.described().into());
        }
    }
    json!({
        "type": "object",
        "description": lines(docs),
        "properties": properties,
        "additionalProperties": false,
    })
}

type Read<T> = Box<dyn Fn(&mut At<'_>) -> Option<T>>;
type Write<T> = Box<dyn Fn(&T) -> Option<Shown>>;

/// A kind of value: what a key takes, and how that is read and written.
pub(super) struct Kind<T> {
    pub(super) about: About,
    pub(super) read: Read<T>,
    write: Write<T>,
}

impl<T: 'static> Kind<T> {
    /// `read` notes what is wrong and gives `None` then; where `write` gives `None`, the key is not
    /// shown.
    pub(super) fn new(
        schema: impl Fn() -> Json + 'static,
        read: impl Fn(&mut At<'_>) -> Option<T> + 'static,
        write: impl Fn(&T) -> Option<Shown> + 'static,
    ) -> Self {
        Self {
            about: About {
                name: "",
                description: &[],
                #[cfg(test)]
                comment: &[],
                schema: Box::new(schema),
                default: None,
                examples: None,
                keys: Vec::new,
                is_group: false,
            },
            read: Box::new(read),
            write: Box::new(write),
        }
    }

    /// What it is where nobody gives it, as it would be written in a file.
    pub(super) fn default(mut self, default: Json) -> Self {
        self.about.default = Some(default);
        self
    }

    /// Looks at the value once more when it has been read.
    pub(super) fn checked(self, check: fn(&mut T, &mut At<'_>)) -> Self {
        let read = self.read;
        let checked = move |at: &mut At<'_>| {
            let mut value = read(at)?;
            check(&mut value, at);
            Some(value)
        };
        Self {
            read: Box::new(checked),
            ..self
        }
    }

    /// The value of this key in a table: what was given if it can be used, else the default.
    pub(super) fn read_from(&self, table: &mut At<'_>) -> Option<T> {
        if self.about.is_group {
            return (self.read)(table);
        }
        if let Some(mut at) = table.key(self.about.name)
            && let Some(value) = (self.read)(&mut at)
        {
            return Some(value);
        }
        let default = unplaced(self.about.default.as_ref()?);
        (self.read)(&mut At {
            layers: table.layers,
            key: dotted(&table.key, self.about.name),
            given: &default,
        })
    }

    /// Shows this key of a table.
    pub(super) fn write_to(&self, value: &T, table: &mut Vec<(String, Shown)>) {
        match (self.write)(value) {
            Some(Shown::Table(keys)) if self.about.is_group => table.extend(keys),
            Some(shown) => table.push((self.about.name.to_owned(), shown)),
            None => {}
        }
    }
}

/// A default as if it were given.
fn unplaced(json: &Json) -> Given {
    let value = match json {
        Json::Bool(value) => DeValue::Boolean(*value),
        Json::Array(items) => DeValue::Array(items.iter().map(unplaced).collect()),
        Json::Object(_) => DeValue::Table(DeTable::new()),
        Json::String(text) => DeValue::String(Cow::Owned(text.clone())),
        number => DeValue::String(Cow::Owned(number.to_string())),
    };
    Spanned::new(0..0, value)
}

/// A given value, its key, and where faults are noted.
pub(super) struct At<'a> {
    pub(super) layers: &'a mut Layers,
    /// The key, dotted.
    pub(super) key: String,
    pub(super) given: &'a Given,
}

impl<'a> At<'a> {
    /// Notes a fault of this value.
    pub(super) fn fault(&mut self, wrong: impl Into<String>, right: impl Into<String>) {
        let span = self.given.span();
        self.layers.fault(&span, self.key.as_str(), wrong, right);
    }

    /// Notes a fault of a key of this table.
    pub(super) fn fault_of(
        &mut self,
        name: &str,
        wrong: impl Into<String>,
        right: impl Into<String>,
    ) {
        let span = self.span_of(name);
        self.layers
            .fault(&span, dotted(&self.key, name), wrong, right);
    }

    /// Reads text; notes what is wrong with it.
    pub(super) fn parse<T>(&mut self, parse: impl FnOnce(&str) -> Result<T, Refused>) -> Option<T> {
        match parse(self.given.get_ref().as_str()?) {
            Ok(value) => Some(value),
            Err(refused) => {
                self.fault(refused.wrong, refused.right);
                None
            }
        }
    }

    /// What was given for a key of this table.
    pub(super) fn given(&self, name: &str) -> Option<&'a Given> {
        self.given.get_ref().get(name)
    }

    /// Where a key of this table was given; nowhere if it was not.
    pub(super) fn span_of(&self, name: &str) -> Range<usize> {
        self.given(name).map_or(0..0, Spanned::span)
    }

    /// Whether a key of this table was given, and is right.
    pub(super) fn is_good(&self, name: &str) -> bool {
        let key = dotted(&self.key, name);
        let origin = self.layers.origin(&self.span_of(name));
        let mut errors = self.layers.errors.iter();
        self.given(name).is_some() && !errors.any(|e| e.key == key && e.origin == origin)
    }

    /// A key of this table, if it was given.
    pub(super) fn key(&mut self, name: &str) -> Option<At<'_>> {
        let given = self.given(name)?;
        Some(self.inner(dotted(&self.key, name), given))
    }

    /// Reads what was given for each key of this table.
    pub(super) fn keys<T>(
        &mut self,
        read: impl Fn(&str, &mut At<'_>) -> Option<T>,
    ) -> Option<BTreeMap<String, T>> {
        let table = self.given.get_ref().as_table()?;
        let values = table.iter().filter_map(|(name, given)| {
            let name: &str = name.get_ref();
            let value = read(name, &mut self.inner(dotted(&self.key, name), given))?;
            Some((name.to_owned(), value))
        });
        Some(values.collect())
    }

    /// Reads each item of a list.
    pub(super) fn items<T>(
        &mut self,
        items: &[Given],
        read: impl Fn(&mut At<'_>) -> Option<T>,
    ) -> Vec<T> {
        let values = items.iter().enumerate().filter_map(|(n, item)| {
            let key = format!("{}[{n}]", self.key);
            read(&mut self.inner(key, item))
        });
        values.collect()
    }

    fn inner<'b>(&'b mut self, key: String, given: &'b Given) -> At<'b> {
        At {
            layers: self.layers,
            key,
            given,
        }
    }
}
