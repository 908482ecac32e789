//! The checked configuration as TOML again.

use super::egress::WordOrList;
use super::raw::{
    Field, RawApi, RawAttach, RawConfig, RawDashboard, RawDefaults, RawEngine, RawLog, RawPool,
    RawProfile, RawWorkspace,
};
use super::types::{Config, DashboardConfig, Profile, TcpConfig};
use std::{path::PathBuf, time::Duration};
use toml::Spanned;

fn field<T>(value: T) -> Field<T> {
    Some(Spanned::new(0..0, value))
}

fn list(items: impl IntoIterator<Item = String>) -> Field<Vec<Spanned<String>>> {
    field(items.into_iter().map(|i| Spanned::new(0..0, i)).collect())
}

fn time(value: Duration) -> Field<String> {
    field(humantime::format_duration(value).to_string())
}

fn paths(paths: &[PathBuf]) -> Field<Vec<Spanned<String>>> {
    list(paths.iter().map(|p| p.to_string_lossy().into_owned()))
}

fn limit(value: Option<u64>, text: impl FnOnce(u64) -> String) -> Field<String> {
    field(value.map_or_else(|| "none".to_owned(), text))
}

/// Bytes in the largest unit that divides them.
fn bytes(value: u64) -> String {
    for (shift, unit) in [(40, "t"), (30, "g"), (20, "m"), (10, "k")] {
        if value > 0 && value.trailing_zeros() >= shift {
            return format!("{}{unit}", value >> shift);
        }
    }
    value.to_string()
}

/// Billionths of a CPU as a decimal number of CPUs.
fn cpus(nano: u64) -> String {
    let (whole, rest) = (nano / 1_000_000_000, nano % 1_000_000_000);
    let text = format!("{whole}.{rest:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn tcp(tcp: Option<&TcpConfig>) -> RawApi {
    let Some(tcp) = tcp else {
        return RawApi::default();
    };
    let path = |path: &PathBuf| field(path.to_string_lossy().into_owned());
    RawApi {
        max_body: None,
        listen: field(tcp.listen.to_string()),
        tls_cert: path(&tcp.cert),
        tls_key: path(&tcp.key),
        token_file: path(&tcp.token_file),
        hosts: list(tcp.hosts.iter().cloned()),
        origins: list(tcp.origins.iter().cloned()),
    }
}

fn profile(p: &Profile) -> RawProfile {
    let mut raw = RawProfile {
        image: field(p.image.clone()),
        command: list(p.command.iter().cloned()),
        min_warm: field(p.min_warm.to_string()),
        max_warm: field(p.max_warm.to_string()),
        idle_timeout: time(p.idle_timeout),
        max_age: time(p.max_age),
        check_interval: time(p.check_interval),
        ready_timeout: time(p.ready_timeout),
        stop_grace: time(p.stop_grace),
        isolation: field(p.isolation.as_str().to_owned()),
        security: field(p.security.as_str().to_owned()),
        read_only: field(p.read_only),
        egress: field(WordOrList::of(&p.egress)),
        rehome: field(p.rehome.as_str().to_owned()),
        resume: list(p.resume.iter().cloned()),
        network: field(p.network.as_str().to_owned()),
        runtime: field(p.runtime.clone().unwrap_or_else(|| "default".to_owned())),
        memory: limit(p.limits.memory_bytes, bytes),
        cpus: limit(p.limits.nano_cpus, cpus),
        pids: limit(p.limits.pids, |n| n.to_string()),
        disk: limit(p.disk, bytes),
        ..RawProfile::default()
    };
    let env = p.env.iter();
    raw.env = env
        .map(|(name, value)| (name.clone(), Spanned::new(0..0, value.clone())))
        .collect();
    raw
}

fn dashboard(d: &DashboardConfig) -> RawDashboard {
    let keys = |keys: &Vec<String>| list(keys.iter().cloned());
    RawDashboard {
        keymap: field(d.keymap.as_str().to_owned()),
        leave_keys: keys(&d.leave_keys),
        theme: field(d.theme.word().to_owned()),
        mouse: field(d.mouse),
        notifications: field(d.notifications.word().to_owned()),
        clipboard: field(d.clipboard),
        sort: field(d.sort.to_owned()),
        keys: d
            .keys
            .iter()
            .filter_map(|(action, given)| Some((action.clone(), keys(given)?)))
            .collect(),
    }
}

/// The configuration as TOML, every key written out. Loading it gives the same configuration.
///
/// ```
/// let config = coordinator::config::parse("podbay.toml".as_ref(), "").unwrap();
/// let text = coordinator::config::to_toml(&config);
/// assert_eq!(coordinator::config::parse("x".as_ref(), &text).unwrap(), config);
/// ```
#[must_use]
pub fn to_toml(config: &Config) -> String {
    let raw = RawConfig {
        log: RawLog {
            level: field(config.log.level.clone()),
            format: field(config.log.format.as_str().to_owned()),
            keep_files: field(config.log.keep_files.to_string()),
        },
        engine: RawEngine {
            timeout: time(config.engine.timeout),
            create_timeout: time(config.engine.create_timeout),
            relist_interval: time(config.engine.relist_interval),
            max_parallel: field(config.engine.max_parallel.to_string()),
        },
        workspace: RawWorkspace {
            roots: paths(&config.workspace.roots),
            allow: paths(&config.workspace.allow),
            hot_mounts: field(config.workspace.hot_mounts),
        },
        attach: RawAttach {
            detach_keys: list(config.attach.detach_keys.iter().cloned()),
        },
        dashboard: dashboard(&config.dashboard),
        api: RawApi {
            max_body: field(bytes(config.api.max_body as u64)),
            ..tcp(config.api.tcp.as_ref())
        },
        pool: RawPool {
            enabled: field(config.pool.enabled),
            skip_image_pull: field(config.pool.skip_image_pull),
            lazy_image_pull: field(config.pool.lazy_image_pull),
        },
        defaults: RawDefaults {
            profile: field(config.defaults.profile.clone()),
        },
        profiles: config
            .profiles
            .iter()
            .map(|(name, p)| (name.clone(), profile(p)))
            .collect(),
    };
    toml::to_string(&raw).unwrap_or_default()
}
