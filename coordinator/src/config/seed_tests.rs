//! The files that a new instance begins with are those that the keys describe.
//! `UPDATE_SEED=1 cargo nextest run -p coordinator seed_files` writes them.

use super::{
    key::{About, lines},
    section::Section,
    sections::{Config, Profile},
};
use serde_json::Value as Json;
use std::path::Path;

const FILE_BEGINS: &str = "\
# Podbay's configuration.
#
# Every key is shown with its default. Remove the \"# \" before a key to change it.
# Flags win over the environment (PODBAY_LOG_LEVEL, PODBAY_MIN_WARM, ...), the environment over
# this file, this file over profiles/NAME.toml. `podbay config check` says what is wrong,
# `podbay config show` what is in force. A reload that fails keeps what was in force before.
";
const FILE_ENDS: &str = "
# Profiles say what workers are made of. Each can be a file of its own, profiles/NAME.toml, or a
# table [profiles.NAME] here. See profiles/default.toml for their keys.
";
const PROFILE_BEGINS: &str = "\
# The profile \"default\": what a worker is made of when a spawn names no other one.
#
# Copy this file to profiles/NAME.toml for another profile. Every key is shown with its default;
# remove the \"# \" before a key to change it.

";
const PROFILE_ENDS: &str = "[env]\n# LANG = \"C.UTF-8\"\n";

/// Keys that stand under the comment of the key before them.
const WITHOUT_COMMENT: [&str; 6] = [
    "max_warm",
    "cpus",
    "pids",
    "tls_cert",
    "tls_key",
    "token_file",
];
/// Keys that begin a part of the profile's file.
const PARTS: [&str; 5] = ["min_warm", "isolation", "rehome", "memory", "env"];
/// Keys that stand elsewhere than in `podbay config show`, and after which one.
const MOVED: [(&str, &str); 2] = [("network", "read_only"), ("runtime", "network")];

/// A table's keys, those of groups among them, in the order of the file.
fn keys(all: Vec<About>) -> Vec<About> {
    let mut keys: Vec<About> = Vec::new();
    for key in all {
        match key.is_group {
            true => keys.extend((key.keys)()),
            false => keys.push(key),
        }
    }
    for (name, before) in MOVED {
        let at = |keys: &[About], name| keys.iter().position(|key| key.name == name);
        if let Some(from) = at(&keys, name) {
            let key = keys.remove(from);
            let to = at(&keys, before).unwrap();
            keys.insert(to + 1, key);
        }
    }
    keys
}

fn value(json: &Json) -> String {
    match json {
        Json::Array(items) => {
            let items: Vec<String> = items.iter().map(value).collect();
            format!("[{}]", items.join(", "))
        }
        other => other.to_string(),
    }
}

fn table(out: &mut String, all: Vec<About>) {
    for key in keys(all) {
        if PARTS.contains(&key.name) {
            out.push('\n');
        }
        if !WITHOUT_COMMENT.contains(&key.name) {
            let comment = match key.comment {
                [] => key.description,
                comment => comment,
            };
            for line in lines(comment).lines() {
                out.push_str(&format!("# {line}\n"));
            }
        }
        match (&key.default, &key.examples) {
            (Some(Json::Object(_)), _) => {}
            (Some(default), _) => out.push_str(&format!("# {} = {}\n", key.name, value(default))),
            (None, examples) => {
                let example = value(&examples.as_ref().unwrap()[0]);
                out.push_str(&format!("#   {} = {example}\n", key.name));
            }
        }
    }
}

#[test]
fn the_seed_files_show_what_the_keys_say() {
    let mut file = FILE_BEGINS.to_owned();
    for section in Config::keys() {
        if section.name != "profiles" {
            file.push_str(&format!("\n[{}]\n", section.name));
            table(&mut file, (section.keys)());
        }
    }
    file.push_str(FILE_ENDS);
    let mut profile = PROFILE_BEGINS.to_owned();
    table(&mut profile, Profile::keys());
    profile.push_str(PROFILE_ENDS);

    let volumes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../volumes");
    for (name, right) in [
        ("config/podbay.toml", file),
        ("profiles/default.toml", profile),
    ] {
        let path = volumes.join(name);
        if std::env::var_os("UPDATE_SEED").is_some() {
            std::fs::write(&path, &right).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap();
        assert_eq!(there, right, "volumes/{name}: run with UPDATE_SEED=1");
    }
}
