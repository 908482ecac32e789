//! From the tree to the checked structs: defaults filled in, every value judged.

use super::fields::{self, Refused};
use super::raw::{Field, RawConfig, RawProfile};
use super::tree::Layers;
use super::types::{
    ApiConfig, AttachConfig, Config, Defaults, EngineConfig, LogConfig, LogFormat, Network,
    PoolConfig, Profile, Rehome, SecurityProfile, WorkspaceConfig,
};
use crate::model::{
    Isolation, Limits, did_you_mean, parse_bytes, parse_cpus, parse_disk, parse_pids,
};
use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};
use toml::Spanned;

/// Most warm workers of one profile.
const MOST_WARM: u32 = 64;
/// Bytes of a request's body where the configuration says nothing.
const MAX_BODY: usize = 1 << 20;
const DEFAULT_IMAGE: &str = "podbay/worker:minimal";
const DEFAULT_MIN_WARM: u32 = 2;
const DEFAULT_MAX_WARM: u32 = 5;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Judges values and notes faults.
pub(super) struct Checker<'a> {
    pub(super) layers: &'a mut Layers,
}

impl Checker<'_> {
    pub(super) fn value<T>(
        &mut self,
        key: &str,
        field: &Field<String>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> T {
        self.given(key, field, parse).unwrap_or(default)
    }

    pub(super) fn given<T>(
        &mut self,
        key: &str,
        field: &Field<String>,
        parse: impl FnOnce(&str) -> Result<T, Refused>,
    ) -> Option<T> {
        let given = field.as_ref()?;
        match parse(given.get_ref()) {
            Ok(value) => Some(value),
            Err(refused) => {
                let span = given.span();
                self.layers.fault(&span, key, refused.wrong, refused.right);
                None
            }
        }
    }

    pub(super) fn list<T>(
        &mut self,
        key: &str,
        field: &Field<Vec<Spanned<String>>>,
        parse: impl Fn(&str) -> Result<T, Refused>,
    ) -> Option<Vec<T>> {
        let items = field.as_ref()?.get_ref().iter().enumerate();
        let parsed = items
            .map(|(n, item)| {
                let item = Some(item.clone());
                self.given(&format!("{key}[{n}]"), &item, &parse)
            })
            .collect::<Vec<_>>();
        Some(parsed.into_iter().flatten().collect())
    }

    fn time(
        &mut self,
        key: &str,
        field: &Field<String>,
        default: Duration,
        bounds: RangeInclusive<Duration>,
        or_zero: bool,
    ) -> Duration {
        self.value(key, field, default, |given| {
            fields::duration(given, bounds, or_zero)
        })
    }

    /// The whole configuration; `default_profile` is the name in force.
    pub(super) fn config(&mut self, raw: &RawConfig, default_profile: String) -> Config {
        let log = LogConfig {
            level: self.value("log.level", &raw.log.level, "info".into(), |given| {
                fields::log_filter(given)
            }),
            format: self.value("log.format", &raw.log.format, LogFormat::Text, |given| {
                fields::word(
                    given,
                    &[("text", LogFormat::Text), ("json", LogFormat::Json)],
                )
            }),
            keep_files: self.value("log.keep_files", &raw.log.keep_files, 5, |given| {
                fields::whole(given, 1..=100)
            }),
        };
        let tenth = SECOND / 10;
        let engine = EngineConfig {
            timeout: self.time(
                "engine.timeout",
                &raw.engine.timeout,
                10 * SECOND,
                SECOND..=5 * MINUTE,
                false,
            ),
            create_timeout: self.time(
                "engine.create_timeout",
                &raw.engine.create_timeout,
                MINUTE,
                SECOND..=HOUR,
                false,
            ),
            relist_interval: self.time(
                "engine.relist_interval",
                &raw.engine.relist_interval,
                SECOND,
                tenth..=MINUTE,
                false,
            ),
            max_parallel: self.value(
                "engine.max_parallel",
                &raw.engine.max_parallel,
                8,
                |given| fields::whole(given, 1..=64),
            ),
        };
        let truth = |field: &Field<bool>, default| field.as_ref().map_or(default, |f| *f.get_ref());
        let workspace = WorkspaceConfig {
            roots: self
                .list("workspace.roots", &raw.workspace.roots, fields::absolute)
                .unwrap_or_default(),
            allow: self
                .list("workspace.allow", &raw.workspace.allow, fields::absolute)
                .unwrap_or_default(),
            hot_mounts: truth(&raw.workspace.hot_mounts, true),
        };
        let keys = self.list(
            "attach.detach_keys",
            &raw.attach.detach_keys,
            fields::detach_keys,
        );
        let attach = AttachConfig {
            detach_keys: keys.unwrap_or_else(|| vec!["ctrl-p,ctrl-q".into(), "ctrl-\\".into()]),
        };
        let dashboard = self.dashboard(&raw.dashboard);
        let tcp = self.tcp(&raw.api);
        let max_body = self.value("api.max_body", &raw.api.max_body, MAX_BODY, |given| {
            fields::size(given, 16 << 10..=64 << 20)
        });

        let pool = PoolConfig {
            enabled: truth(&raw.pool.enabled, true),
            skip_image_pull: truth(&raw.pool.skip_image_pull, false),
            lazy_image_pull: truth(&raw.pool.lazy_image_pull, false),
        };

        let built_in = RawProfile::default();
        let mut all: BTreeMap<&str, &RawProfile> =
            raw.profiles.iter().map(|(n, p)| (n.as_str(), p)).collect();
        if default_profile == "default" {
            all.entry("default").or_insert(&built_in);
        } else if !all.contains_key(default_profile.as_str()) {
            self.no_default_profile(raw, &default_profile);
        }
        let profiles = all
            .into_iter()
            .map(|(name, raw)| {
                let profile = self.profile(name, raw, name == default_profile, pool.enabled);
                (name.to_owned(), profile)
            })
            .collect();
        Config {
            log,
            engine,
            workspace,
            attach,
            dashboard,
            api: ApiConfig { max_body, tcp },
            pool,
            defaults: Defaults {
                profile: default_profile,
            },
            profiles,
        }
    }

    fn no_default_profile(&mut self, raw: &RawConfig, name: &str) {
        let there: Vec<&str> = raw.profiles.keys().map(String::as_str).collect();
        let wrong = format!("there is no profile {name:?}");
        let right = match did_you_mean(name, there.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None if there.is_empty() => format!("add [profiles.{name}], or use \"default\""),
            None => format!("there are: {}", there.join(", ")),
        };
        match &raw.defaults.profile {
            Some(given) => {
                let span = given.span();
                self.layers.fault(&span, "defaults.profile", wrong, right);
            }
            None => self.layers.fault_nowhere("defaults.profile", wrong, right),
        }
    }

    fn profile(
        &mut self,
        name: &str,
        raw: &RawProfile,
        is_default: bool,
        pool_enabled: bool,
    ) -> Profile {
        let key = |key: &str| format!("profiles.{name}.{key}");
        let (min_warm, max_warm) = self.bounds(name, raw, is_default);
        let command = self.argv(&key("command"), &raw.command, false);
        let resume = self.argv(&key("resume"), &raw.resume, true);
        let mut env = BTreeMap::new();
        for (variable, value) in &raw.env {
            let checked = fields::variable(variable).and_then(|()| {
                if value.get_ref().contains('\0') {
                    Err(Refused {
                        wrong: "a NUL byte cannot be part of a variable".into(),
                        right: String::new(),
                    })
                } else {
                    Ok(value.get_ref().clone())
                }
            });
            match checked {
                Ok(value) => {
                    env.insert(variable.clone(), value);
                }
                Err(refused) => {
                    let at = key(&format!("env.{variable}"));
                    self.layers
                        .fault(&value.span(), at, refused.wrong, refused.right);
                }
            }
        }
        let usual = Limits::default();
        Profile {
            image: self.value(
                &key("image"),
                &raw.image,
                DEFAULT_IMAGE.into(),
                fields::image,
            ),
            command: command.unwrap_or_else(|| vec!["bash".into()]),
            env,
            min_warm: if pool_enabled { min_warm } else { 0 },
            max_warm: if pool_enabled { max_warm } else { 0 },
            idle_timeout: self.time(
                &key("idle_timeout"),
                &raw.idle_timeout,
                30 * MINUTE,
                SECOND..=YEAR,
                true,
            ),
            max_age: self.time(
                &key("max_age"),
                &raw.max_age,
                24 * HOUR,
                MINUTE..=YEAR,
                true,
            ),
            check_interval: self.time(
                &key("check_interval"),
                &raw.check_interval,
                10 * SECOND,
                SECOND..=HOUR,
                false,
            ),
            ready_timeout: self.time(
                &key("ready_timeout"),
                &raw.ready_timeout,
                30 * SECOND,
                SECOND..=10 * MINUTE,
                false,
            ),
            stop_grace: self.time(
                &key("stop_grace"),
                &raw.stop_grace,
                2 * SECOND,
                SECOND / 10..=5 * MINUTE,
                true,
            ),
            limits: Limits {
                memory_bytes: self.value(&key("memory"), &raw.memory, usual.memory_bytes, |g| {
                    fields::limit(g, parse_bytes)
                }),
                nano_cpus: self.value(&key("cpus"), &raw.cpus, usual.nano_cpus, |g| {
                    fields::limit(g, parse_cpus)
                }),
                pids: self.value(&key("pids"), &raw.pids, usual.pids, |g| {
                    fields::limit(g, parse_pids)
                }),
            },
            disk: self.value(&key("disk"), &raw.disk, None, |g| {
                fields::limit(g, parse_disk)
            }),
            isolation: self.value(
                &key("isolation"),
                &raw.isolation,
                Isolation::Bind,
                |given| {
                    let all = [Isolation::Bind, Isolation::Overlay, Isolation::None];
                    fields::word(given, &all.map(|i| (i.as_str(), i)))
                },
            ),
            security: self.value(
                &key("security"),
                &raw.security,
                SecurityProfile::Strict,
                |given| fields::word(given, &SecurityProfile::ALL.map(|s| (s.as_str(), s))),
            ),
            read_only: raw.read_only.as_ref().is_some_and(|f| *f.get_ref()),
            egress: self.egress(name, raw),
            rehome: self.value(&key("rehome"), &raw.rehome, Rehome::Ask, |given| {
                fields::word(given, &Rehome::ALL.map(|r| (r.as_str(), r)))
            }),
            resume: resume.unwrap_or_default(),
            network: self.value(&key("network"), &raw.network, Network::Shared, |given| {
                fields::word(given, &Network::ALL.map(|n| (n.as_str(), n)))
            }),
            runtime: self.value(&key("runtime"), &raw.runtime, None, fields::runtime),
        }
    }

    /// A program and its arguments.
    fn argv(
        &mut self,
        key: &str,
        raw: &Field<Vec<Spanned<String>>>,
        may_be_empty: bool,
    ) -> Option<Vec<String>> {
        let words = self.list(key, raw, |word| {
            if word.contains('\0') {
                return Err(Refused {
                    wrong: "a NUL byte cannot be part of a command".into(),
                    right: String::new(),
                });
            }
            Ok(word.to_owned())
        })?;
        let none = words.is_empty() && may_be_empty;
        if let Some(given) = raw
            && !none
            && words.first().is_none_or(String::is_empty)
        {
            let right = "give the program and its arguments, such as [\"bash\", \"-l\"]";
            self.layers
                .fault(&given.span(), key.to_owned(), "there is no program", right);
        }
        Some(words)
    }

    /// The pool's bounds. Only one of them given: the other follows.
    fn bounds(&mut self, name: &str, raw: &RawProfile, is_default: bool) -> (u32, u32) {
        let min_key = format!("profiles.{name}.min_warm");
        let max_key = format!("profiles.{name}.max_warm");
        let count = |given: &str| fields::whole(given, 0..=MOST_WARM);
        let min = self.given(&min_key, &raw.min_warm, count);
        let max = self.given(&max_key, &raw.max_warm, count);
        let usual_min = if is_default { DEFAULT_MIN_WARM } else { 0 };
        match (min, max) {
            (Some(min), Some(max)) => {
                if min > max
                    && let (Some(least), Some(most)) = (&raw.min_warm, &raw.max_warm)
                {
                    let other = self.layers.origin(&most.span());
                    let wrong = format!("{min} is more than max_warm, which is {max} ({other})");
                    let right = format!("give at most {max}, or raise max_warm");
                    self.layers.fault(&least.span(), min_key, wrong, right);
                }
                (min.min(max), max)
            }
            (Some(min), None) => (min, DEFAULT_MAX_WARM.max(min)),
            (None, Some(max)) => (usual_min.min(max), max),
            (None, None) => (usual_min, DEFAULT_MAX_WARM),
        }
    }
}
