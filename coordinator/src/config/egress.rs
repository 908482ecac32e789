//! The key `egress`: a word or a list.

use super::{
    check::Checker,
    fields::{self, Refused},
    raw::RawProfile,
    types::{Network, SecurityProfile},
};
use crate::model::{Egress, EgressRule};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use toml::Spanned;

/// Most entries of a list: each may become a rule of the kernel's for each worker.
const MOST_RULES: usize = 256;

/// `"open"`, `"none"`, or an array of entries.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline, transform = word_or_list)]
pub(super) enum WordOrList {
    /// A word; from the environment, entries with blanks between them.
    Word(String),
    /// Entries, each with its place.
    List(#[schemars(with = "Vec<String>")] Vec<Spanned<String>>),
}

fn word_or_list(schema: &mut schemars::Schema) {
    schema.remove("anyOf");
    schema.remove("description");
    schema.insert("type".into(), serde_json::json!(["string", "array"]));
    schema.insert("items".into(), serde_json::json!({ "type": "string" }));
}

impl WordOrList {
    pub(super) fn of(egress: &Egress) -> Self {
        match egress {
            Egress::Open | Egress::None => Self::Word(egress.to_string()),
            Egress::List(rules) => Self::List(
                rules
                    .iter()
                    .map(|rule| Spanned::new(0..0, rule.to_string()))
                    .collect(),
            ),
        }
    }
}

impl<'de> Deserialize<'de> for WordOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = WordOrList;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string or an array of strings")
            }

            fn visit_str<E>(self, word: &str) -> Result<WordOrList, E> {
                Ok(WordOrList::Word(word.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<WordOrList, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(WordOrList::List(list))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

impl Checker<'_> {
    /// Where a profile's workers may connect to.
    pub(super) fn egress(&mut self, name: &str, raw: &RawProfile) -> Egress {
        let key = format!("profiles.{name}.egress");
        let Some(given) = &raw.egress else {
            return Egress::Open;
        };
        let egress = self.egress_given(&key, given);
        // What cannot be kept is not promised.
        if !egress.is_open()
            && let Some(security) = &raw.security
            && security.get_ref() == SecurityProfile::Build.as_str()
        {
            let wrong = "security = \"build\" lets sessions become root, and rules go by the uid";
            let right = "use egress = \"open\" with it, or security = \"strict\"";
            self.layers.fault(&given.span(), key.clone(), wrong, right);
        }
        if !egress.is_open()
            && let Some(network) = &raw.network
            && network.get_ref() == Network::Isolated.as_str()
        {
            let wrong = "rules hold in the shared network alone";
            let right = "use network = \"shared\" or \"none\" with it, or egress = \"open\"";
            self.layers.fault(&given.span(), key, wrong, right);
        }
        egress
    }

    fn egress_given(&mut self, key: &str, given: &Spanned<WordOrList>) -> Egress {
        let items = match given.get_ref() {
            WordOrList::List(items) => items.clone(),
            // What looks like entries comes from the environment, where there are no arrays.
            WordOrList::Word(text) if text.contains(['.', ':', ' ']) => text
                .split_whitespace()
                .map(|item| Spanned::new(given.span(), item.to_owned()))
                .collect(),
            WordOrList::Word(word) => {
                let words = [("open", true), ("none", false)];
                return match fields::word(word, &words) {
                    Ok(true) => Egress::Open,
                    Ok(false) => Egress::None,
                    Err(refused) => {
                        let right = format!("{}, or a list of names and addresses", refused.right);
                        self.layers.fault(&given.span(), key, refused.wrong, right);
                        Egress::None
                    }
                };
            }
        };
        if items.len() > MOST_RULES {
            let wrong = format!("{} entries are more than {MOST_RULES}", items.len());
            let right = "use a wildcard (*.example.com) or a network (192.0.2.0/24) for many";
            self.layers.fault(&given.span(), key, wrong, right);
            return Egress::None;
        }
        let rules: Vec<EgressRule> = items
            .iter()
            .enumerate()
            .filter_map(|(n, item)| {
                self.given(&format!("{key}[{n}]"), &Some(item.clone()), |text| {
                    text.parse::<EgressRule>().map_err(|error| Refused {
                        wrong: error.wrong,
                        right: error.right,
                    })
                })
            })
            .collect();
        // Nothing listed is nothing allowed.
        if rules.is_empty() {
            Egress::None
        } else {
            Egress::List(rules)
        }
    }
}
