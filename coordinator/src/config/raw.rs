//! The configuration as written: every key, nothing checked but its shape.
//!
//! The JSON schema comes from these structs, and the reader knows keys and types from the schema,
//! so there is one list of keys. Values of any scalar type arrive here as text (see `tree.rs`).

use super::egress::WordOrList;
use crate::model::keys::{ENTRIES, Entry};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Deserialize, Serialize, Serializer};
use std::collections::BTreeMap;
use toml::Spanned;

/// A value that may be absent, with where it stood.
pub(super) type Field<T> = Option<Spanned<T>>;

/// Podbay's configuration.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "podbay.toml")]
pub(super) struct RawConfig {
    pub(super) log: RawLog,
    pub(super) engine: RawEngine,
    pub(super) workspace: RawWorkspace,
    pub(super) attach: RawAttach,
    pub(super) dashboard: RawDashboard,
    pub(super) api: RawApi,
    pub(super) pool: RawPool,
    pub(super) defaults: RawDefaults,
    /// What workers are made of, by name.
    pub(super) profiles: BTreeMap<String, RawProfile>,
}

/// Logging.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawLog {
    /// What is logged: a level, or levels by module.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"info", example = &"info,coordinator=debug")]
    pub(super) level: Field<String>,
    /// How log lines look.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["text", "json"]))]
    pub(super) format: Field<String>,
    /// Rotated files kept.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plainly")]
    #[schemars(with = "u32", range(min = 1, max = 100), example = 5)]
    pub(super) keep_files: Field<String>,
}

/// The engine.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawEngine {
    /// Deadline of an ordinary call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"10s")]
    pub(super) timeout: Field<String>,
    /// Deadline of creating or starting a container.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"1m")]
    pub(super) create_timeout: Field<String>,
    /// How often everything is listed again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"2s")]
    pub(super) relist_interval: Field<String>,
    /// Most creations under way at once.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plainly")]
    #[schemars(with = "u32", range(min = 1, max = 64), example = 4)]
    pub(super) max_parallel: Field<String>,
}

/// Which folders may be projects.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawWorkspace {
    /// When not empty, projects must be inside one of these.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = ["/srv/projects"])]
    pub(super) roots: Field<Vec<Spanned<String>>>,
    /// Folders allowed although a built-in rule refuses them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = ["/home/me"])]
    pub(super) allow: Field<Vec<Spanned<String>>>,
    /// Mount projects into warm workers; false: every claim with a project is a cold start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(super) hot_mounts: Field<bool>,
}

/// Attaching.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawAttach {
    /// Key sequences that detach, as Docker writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = ["ctrl-p,ctrl-q"])]
    pub(super) detach_keys: Field<Vec<Spanned<String>>>,
}

/// The dashboard.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDashboard {
    /// The keys to begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["default", "claude-squad", "tmux"]))]
    pub(super) keymap: Field<String>,
    /// Key sequences that give the keys back to the dashboard, as Docker writes them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = ["ctrl-q"])]
    pub(super) leave_keys: Field<Vec<Spanned<String>>>,
    /// The colours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["auto", "dark", "light", "16", "high-contrast", "none"]))]
    pub(super) theme: Field<String>,
    /// Take the mouse; false: it is the terminal's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(super) mouse: Field<bool>,
    /// How it tells that a worker waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["all", "osc777", "osc99", "bell", "off"]))]
    pub(super) notifications: Field<String>,
    /// Let programs in workers write the terminal's clipboard.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(super) clipboard: Field<bool>,
    /// What the list is sorted by within its groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["name", "age", "cpu", "memory", "project"]))]
    pub(super) sort: Field<String>,
    /// Keys of single actions, in place of the preset's; [] for none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, Vec<String>>", transform = by_action)]
    pub(super) keys: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
}

/// The API.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawApi {
    /// Largest request body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Size", example = &"1m")]
    pub(super) max_body: Field<String>,
    /// Address and port, inside the parent, for the API over TCP. Needs tls_cert, tls_key and
    /// token_file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"0.0.0.0:7777")]
    pub(super) listen: Field<String>,
    /// Certificates for it (PEM, the server's first); an absolute path in the parent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"/var/lib/podbay/config/tls/cert.pem")]
    pub(super) tls_cert: Field<String>,
    /// Their private key (PEM).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"/var/lib/podbay/config/tls/key.pem")]
    pub(super) tls_key: Field<String>,
    /// File of the token that clients send: 64 hexadecimal digits, mode 0600. Made when missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"/var/lib/podbay/config/tls/token")]
    pub(super) token_file: Field<String>,
    /// Host names by which clients may call it, besides its address and localhost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = &["bay.example"])]
    pub(super) hosts: Field<Vec<Spanned<String>>>,
    /// Origins of web pages that may call it; none by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = &["https://bay.example"])]
    pub(super) origins: Field<Vec<Spanned<String>>>,
}

/// All pools.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPool {
    /// Keep warm workers; false: every pool is 0 to 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(super) enabled: Field<bool>,
    /// Never pull images.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(super) skip_image_pull: Field<bool>,
    /// Pull an image when it is first needed, not at the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(super) lazy_image_pull: Field<bool>,
}

/// What a spawn that says nothing gets.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawDefaults {
    /// The profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"default")]
    pub(super) profile: Field<String>,
}

/// What a worker is made of.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawProfile {
    /// The image.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"podbay/worker:minimal")]
    pub(super) image: Field<String>,
    /// The session's command when none is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", example = ["bash"])]
    pub(super) command: Field<Vec<Spanned<String>>>,
    /// Fewest warm workers; 2 in the default profile, else 0.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plainly")]
    #[schemars(with = "u32", range(max = 64), example = 2)]
    pub(super) min_warm: Field<String>,
    /// Most warm workers.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plainly")]
    #[schemars(with = "u32", range(max = 64), example = 5)]
    pub(super) max_warm: Field<String>,
    /// A warm worker above the target goes after so long; 0s: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"30m")]
    pub(super) idle_timeout: Field<String>,
    /// A warm worker older than this is replaced; 0s: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"24h")]
    pub(super) max_age: Field<String>,
    /// How often a warm worker's health is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"10s")]
    pub(super) check_interval: Field<String>,
    /// How long a worker may take from creation to ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"30s")]
    pub(super) ready_timeout: Field<String>,
    /// From TERM to KILL at a stop.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"2s")]
    pub(super) stop_grace: Field<String>,
    /// How the project gets in when the request does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["bind", "overlay", "none"]))]
    pub(super) isolation: Field<String>,
    /// What the worker may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["strict", "build", "nested-sandbox"]))]
    pub(super) security: Field<String>,
    /// Read-only root with tmpfs on /tmp, /var/tmp and /run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub(super) read_only: Field<bool>,
    /// Where it may connect to: "open" (everywhere), "none", or a list of names and addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WordOrList", example = &"open", example = ["api.example.com", "*.example.org:443"])]
    pub(super) egress: Option<Spanned<WordOrList>>,
    /// Whether a session whose worker lost its network moves to a new container.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["ask", "auto", "never"]))]
    pub(super) rehome: Field<String>,
    /// What is run in place of the session's command when its container was made anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub(super) resume: Field<Vec<Spanned<String>>>,
    /// Which network the worker has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", extend("enum" = ["shared", "isolated", "none"]))]
    pub(super) network: Field<String>,
    /// The engine's name of an OCI runtime; "default": the engine's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", example = &"runsc")]
    pub(super) runtime: Field<String>,
    /// Memory, swap included; "none": no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Size", example = &"4g")]
    pub(super) memory: Field<String>,
    /// CPUs; "none": no limit.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plainly")]
    #[schemars(with = "Number", example = 2, example = 0.5)]
    pub(super) cpus: Field<String>,
    /// Processes and threads; "none": no limit.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "plainly")]
    #[schemars(with = "Size", example = 512)]
    pub(super) pids: Field<String>,
    /// What a worker may keep on the state volume; above it, it is paused; "none": no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Size", example = &"10g")]
    pub(super) disk: Field<String>,
    /// The session's environment.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub(super) env: BTreeMap<String, Spanned<String>>,
}

/// Writes text that is a number as a number.
fn plainly<S: Serializer>(field: &Field<String>, s: S) -> Result<S::Ok, S::Error> {
    let text = field.as_ref().map_or("", |given| given.get_ref().as_str());
    if let Ok(whole) = text.parse::<i64>() {
        s.serialize_i64(whole)
    } else if let Ok(number) = text.parse::<f64>() {
        s.serialize_f64(number)
    } else {
        s.serialize_str(text)
    }
}

/// A whole number, or text with a unit.
#[derive(JsonSchema)]
#[schemars(inline, transform = whole_or_text)]
struct Size(#[expect(dead_code, reason = "only its schema is used")] String);

/// Any number, or text.
#[derive(JsonSchema)]
#[schemars(inline, transform = number_or_text)]
struct Number(#[expect(dead_code, reason = "only its schema is used")] String);

/// One list of keys for every action there is, and no others.
fn by_action(schema: &mut schemars::Schema) {
    let keys = |entry: &Entry| {
        serde_json::json!({
            "type": "array",
            "items": { "type": "string" },
            "description": entry.help,
            "examples": [["f5", "ctrl-b x"]],
        })
    };
    let all: serde_json::Map<String, serde_json::Value> = ENTRIES
        .iter()
        .map(|entry| (entry.name.to_owned(), keys(entry)))
        .collect();
    schema.insert("properties".into(), all.into());
    schema.insert("additionalProperties".into(), false.into());
}

fn whole_or_text(schema: &mut schemars::Schema) {
    schema.insert("type".into(), serde_json::json!(["integer", "string"]));
    schema.remove("description");
}

fn number_or_text(schema: &mut schemars::Schema) {
    schema.insert("type".into(), serde_json::json!(["number", "string"]));
    schema.remove("description");
}

/// The JSON schema as a value, without references.
pub(super) fn schema_value() -> serde_json::Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings
        .into_generator()
        .into_root_schema_for::<RawConfig>()
        .to_value()
}

/// The JSON schema of `podbay.toml` (draft 2020-12), as text.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", schema_value())
}
