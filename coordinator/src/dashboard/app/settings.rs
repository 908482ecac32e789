//! What the user set: `[dashboard]` of the configuration in effect, and this process's environment,
//! which wins. Never fails: what is not understood is reported and left at its default, since the
//! coordinator may be older or newer.

use crate::{
    client::Client,
    config::{Notifications, ThemeChoice, parse_detach_keys},
    dashboard::{app::keys::keymap::Keymap, widgets::theme::scheme::Theme, workers::sort::Sort},
    model::keys::{self, Preset},
};
use std::{collections::BTreeMap, time::Duration};

/// How long the coordinator may take to say what its configuration is; the dashboard opens without
/// it, too.
const PATIENCE: Duration = Duration::from_secs(2);

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The keys to begin with.
    pub preset: Preset,
    /// Keys of single actions, by the action's name.
    pub keys: BTreeMap<String, Vec<String>>,
    /// Key sequences that give the keys back to the dashboard, as Docker writes them; never empty.
    pub leave_keys: Vec<String>,
    /// The colours and glyphs.
    pub theme: Theme,
    /// Whether the mouse is the dashboard's.
    pub mouse: bool,
    /// How it tells that a worker waits.
    pub notifications: Notifications,
    /// Whether programs in workers may write the clipboard of the terminal.
    pub clipboard: bool,
    /// What the list is sorted by within its groups.
    pub sort: Sort,
    /// What was not understood.
    pub problems: Vec<String>,
}

impl Default for Settings {
    /// Without configuration, on a terminal with sixteen colours and Unicode.
    fn default() -> Self {
        Self::read(None, &|_| None)
    }
}

impl Settings {
    /// Those in effect: asks the coordinator, with a bound, and looks at the process's environment.
    pub async fn load(client: &Client) -> Self {
        let asked = tokio::time::timeout(PATIENCE, client.config()).await;
        let text = asked.ok().and_then(Result::ok);
        Self::read(text.as_deref(), &|name| std::env::var(name).ok())
    }

    /// From the text of a configuration, TOML or JSON, and an environment.
    pub fn read(config: Option<&str>, env: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut problems = Vec::new();
        let section = config.and_then(section).unwrap_or_default();
        let mut given = SectionReader {
            section: &section,
            problems: &mut problems,
        };
        let mut preset = given.word("keymap", Preset::named, &Preset::ALL.map(Preset::as_str));
        let mut theme = given.word(
            "theme",
            ThemeChoice::of,
            &ThemeChoice::ALL.map(ThemeChoice::as_str),
        );
        let notifications = given.word(
            "notifications",
            Notifications::of,
            &Notifications::ALL.map(Notifications::as_str),
        );
        let sort = given.word("sort", Sort::named, &Sort::ALL.map(Sort::word));
        let (mouse, clipboard) = (given.truth("mouse"), given.truth("clipboard"));
        let keys = given.keys();
        let configured = given.list("leave_keys");
        if let Some(one) = environment("PODBAY_KEYMAP", Preset::named, env, &mut problems) {
            preset = Some(one);
        }
        let own_theme = environment("PODBAY_THEME", ThemeChoice::of, env, &mut problems);
        theme = own_theme.or(theme);
        let preset = preset.unwrap_or_default();
        Self {
            preset,
            keys,
            leave_keys: leave_keys(preset, configured, &mut problems),
            theme: Theme::new(theme.unwrap_or_default(), own_theme.is_some(), env),
            mouse: mouse.unwrap_or(true),
            notifications: notifications.unwrap_or_default(),
            clipboard: clipboard.unwrap_or(false),
            sort: sort.unwrap_or_default(),
            problems,
        }
    }

    /// The keymap, and everything in the settings that was not understood.
    pub fn keymap(&self) -> (Keymap, Vec<String>) {
        let (keymap, wrong) = Keymap::new(self.preset, &self.keys);
        let problems = self.problems.iter().cloned().chain(wrong).collect();
        (keymap, problems)
    }

    /// The colours and glyphs to begin with.
    pub fn theme(&self) -> Theme {
        self.theme
    }

    /// The first of the keys that lead back, in words: `Ctrl-Q`, `Ctrl-B d`.
    pub fn leave_label(&self) -> String {
        let first = self.leave_keys.first().map_or("", String::as_str);
        let label = |key: &str| {
            keys::parse_sequence(key).map_or_else(|_| key.to_owned(), |key| keys::label(&key))
        };
        first.split(',').map(label).collect::<Vec<_>>().join(" ")
    }
}

/// `[dashboard]` of a configuration.
fn section(text: &str) -> Option<toml::Table> {
    let whole: toml::Table = toml::from_str(text)
        .ok()
        .or_else(|| serde_json::from_str(text).ok())?;
    whole.get("dashboard")?.as_table().cloned()
}

/// Reads keys of the section one by one, and notes what is wrong with them.
struct SectionReader<'a> {
    section: &'a toml::Table,
    problems: &'a mut Vec<String>,
}

impl SectionReader<'_> {
    fn fault(&mut self, key: &str, right: &str) {
        self.problems
            .push(format!("dashboard.{key} is not understood; {right}"));
    }

    fn word<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Option<T>,
        words: &[&str],
    ) -> Option<T> {
        let given = self.section.get(key)?;
        let known = given.as_str().and_then(parse);
        if known.is_none() {
            self.fault(key, &format!("use {}", words.join(", ")));
        }
        known
    }

    fn truth(&mut self, key: &str) -> Option<bool> {
        let given = self.section.get(key)?.as_bool();
        if given.is_none() {
            self.fault(key, "use true or false");
        }
        given
    }

    fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let given = strings(self.section.get(key)?);
        if given.is_none() {
            self.fault(key, "give a list of texts");
        }
        given
    }

    fn keys(&mut self) -> BTreeMap<String, Vec<String>> {
        let Some(given) = self.section.get("keys").and_then(toml::Value::as_table) else {
            return BTreeMap::new();
        };
        let mut all = BTreeMap::new();
        for (action, keys) in given {
            match strings(keys) {
                Some(keys) => {
                    all.insert(action.clone(), keys);
                }
                None => self.fault(&format!("keys.{action}"), "give a list of keys"),
            }
        }
        all
    }
}

fn strings(value: &toml::Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    items.map(|item| item.as_str().map(str::to_owned)).collect()
}

/// A variable that is set, and what it means.
fn environment<T>(
    name: &str,
    parse: impl Fn(&str) -> Option<T>,
    env: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Option<T> {
    let given = env(name).filter(|value| !value.is_empty())?;
    let parsed = parse(&given);
    if parsed.is_none() {
        let given: String = given.chars().take(40).collect();
        problems.push(format!("{name}={given:?} is not understood"));
    }
    parsed
}

/// The leave keys in effect. Those that are only some preset's default follow the preset in effect,
/// which the environment may have changed.
fn leave_keys(
    preset: Preset,
    configured: Option<Vec<String>>,
    problems: &mut Vec<String>,
) -> Vec<String> {
    let usual = || {
        preset
            .leave_keys()
            .iter()
            .map(|k| (*k).to_owned())
            .collect()
    };
    let Some(configured) = configured else {
        return usual();
    };
    if Preset::ALL.iter().any(|p| p.leave_keys() == configured) {
        return usual();
    }
    let (good, bad): (Vec<String>, Vec<String>) = configured
        .into_iter()
        .partition(|keys| parse_detach_keys(keys).is_ok());
    problems.extend(
        bad.iter()
            .map(|keys| format!("dashboard.leave_keys: {keys:?} are no keys")),
    );
    if good.is_empty() { usual() } else { good }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::keys::Action;
    use crate::{
        config::{parse, to_toml},
        dashboard::widgets::theme::scheme::Scheme,
    };

    fn read(config: &str, vars: &[(&str, &str)]) -> Settings {
        Settings::read(Some(config), &|name| {
            let found = vars.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_the_coordinator_writes_is_understood() {
        let text = "[dashboard]\nkeymap = \"tmux\"\ntheme = \"light\"\nmouse = false\n\
            notifications = \"bell\"\nclipboard = true\nsort = \"age\"\n\
            leave_keys = [\"ctrl-a,d\"]\nkeys.spawn = [\"f5\"]\n";
        let shown = to_toml(&parse("x".as_ref(), text).unwrap());
        let settings = read(&shown, &[]);
        assert_eq!(settings.problems, [""; 0]);
        assert_eq!(settings.preset, Preset::Tmux);
        assert_eq!(settings.theme.scheme, Scheme::Light);
        assert!(!settings.mouse && settings.clipboard);
        assert_eq!(settings.notifications, Notifications::Bell);
        assert_eq!(settings.sort, Sort::Age);
        assert_eq!(settings.leave_label(), "Ctrl-A d");
        let (keymap, problems) = settings.keymap();
        assert_eq!(problems, [""; 0]);
        let spawn = Action::Spawn;
        assert_eq!(keymap.label(spawn, &[]).as_deref(), Some("F5"));
    }

    #[test]
    fn nothing_configured_is_the_documented_defaults() {
        let defaults = to_toml(&parse("x".as_ref(), "").unwrap());
        assert_eq!(read(&defaults, &[]), Settings::default());
        assert_eq!(Settings::default().leave_label(), "Ctrl-Q");
    }

    #[test]
    fn configuration_and_list_know_the_same_orders() {
        assert_eq!(Sort::ALL.map(Sort::word), crate::config::SORTS);
    }

    #[test]
    fn the_environment_of_the_dashboard_wins() {
        let defaults = to_toml(&parse("x".as_ref(), "").unwrap());
        let vars = [
            ("PODBAY_KEYMAP", "tmux"),
            ("PODBAY_THEME", "dark"),
            ("NO_COLOR", "1"),
        ];
        let settings = read(&defaults, &vars);
        assert_eq!(settings.preset, Preset::Tmux);
        assert_eq!(settings.theme.scheme, Scheme::Dark);
        assert_eq!(settings.leave_label(), "Ctrl-B d");
        let settings = read("[dashboard]\ntheme = \"dark\"\n", &[("NO_COLOR", "1")]);
        assert_eq!(settings.theme.scheme, Scheme::None);
        let settings = read("", &[("PODBAY_THEME", "pink"), ("PODBAY_KEYMAP", "")]);
        assert_eq!(
            settings.problems,
            ["PODBAY_THEME=\"pink\" is not understood"]
        );
    }

    #[test]
    fn what_another_version_says_is_named_and_the_rest_is_used() {
        let settings = read(
            "[dashboard]\ntheme = \"neon\"\nmouse = 1\nsort = \"age\"\nfuture = [1]\n\
             leave_keys = [\"ctrl-é\"]\nkeys.fly = [\"n\"]\nkeys.stop = \"n\"\n",
            &[],
        );
        let (_, problems) = settings.keymap();
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert_eq!(settings.sort, Sort::Age);
        assert_eq!(settings.leave_label(), "Ctrl-Q");
        assert!(read("not toml", &[]).problems.is_empty());
        assert!(!read("{\"dashboard\": {\"mouse\": false}}", &[]).mouse);
    }
}
