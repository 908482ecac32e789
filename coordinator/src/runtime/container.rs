//! What a worker's container is made of.

use crate::{
    config::SecurityProfile,
    model::{Limits, WorkerId},
};
use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount, MountBindOptions, MountType,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use podbay_protocol::paths;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// Labels carry what must survive everything.
pub mod labels {
    /// The instance: the parent container's name.
    pub const INSTANCE: &str = "dev.podbay.instance";
    /// `parent`, `worker` or `mounter`.
    pub const ROLE: &str = "dev.podbay.role";
    /// The worker's id.
    pub const WORKER: &str = "dev.podbay.worker";
    /// The worker's profile.
    pub const PROFILE: &str = "dev.podbay.profile";
    /// Hash of the worker's spec.
    pub const SPEC: &str = "dev.podbay.spec";
    /// The worker's own uid (and gid).
    pub const UID: &str = "dev.podbay.uid";
    /// The worker's security profile.
    pub const SECURITY: &str = "dev.podbay.security";
}

/// The state volume as the engine's host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFolders {
    /// The volume's root.
    pub state: PathBuf,
}

impl HostFolders {
    fn worker(&self, id: &WorkerId) -> PathBuf {
        self.state.join("workers").join(id.as_str())
    }
}

/// A project that the engine itself mounts: the fallback where hot mounts are not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectMount {
    /// The folder on the host; UTF-8, since the engine's API is JSON.
    pub source: String,
}

/// All that goes into one worker's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerSpec {
    /// The worker.
    pub id: WorkerId,
    /// The instance's name.
    pub instance: String,
    /// The parent's container id: workers share its network namespace.
    pub parent: String,
    /// The profile's name.
    pub profile: String,
    /// Hash of the spec, for the label.
    pub spec: String,
    /// The image's id.
    pub image: String,
    /// File name of the agent under `bin/`.
    pub agent: String,
    /// The worker's own uid and gid.
    pub uid: u32,
    /// Limits.
    pub limits: Limits,
    /// What it may do.
    pub security: SecurityProfile,
    /// Read-only root.
    pub read_only: bool,
    /// The project, when the engine mounts it.
    pub project: Option<ProjectMount>,
}

impl WorkerSpec {
    /// The container's name until a claim renames it.
    #[must_use]
    pub fn container_name(&self) -> String {
        format!("{}-warm-{}", self.instance, self.id)
    }

    pub(super) fn body(&self, host: &HostFolders) -> ContainerCreateBody {
        let folder = host.worker(&self.id);
        let mut mounts = vec![
            bind(&host.state.join("bin"), paths::BIN, true),
            bind(&folder.join("run"), paths::RUN, true),
            bind(&folder.join("log"), paths::LOG, false),
            bind(&folder.join("home"), paths::HOME, false),
            bind(&host.state.join("net/hosts"), "/etc/hosts", true),
            bind(
                &host.state.join("net/resolv.conf"),
                "/etc/resolv.conf",
                true,
            ),
        ];
        if let Some(project) = &self.project {
            mounts.push(bind(Path::new(&project.source), paths::WORKSPACE, false));
        }
        let tmpfs = self.read_only.then(|| {
            HashMap::from([
                ("/tmp".to_owned(), "mode=1777".to_owned()),
                ("/run".to_owned(), "mode=755".to_owned()),
            ])
        });
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![
                format!("{}/{}", paths::BIN, self.agent),
                "init".to_owned(),
            ]),
            cmd: Some(Vec::new()),
            user: Some("0:0".to_owned()),
            env: Some(vec![format!("PODBAY_WORKER={}", self.id)]),
            working_dir: Some(paths::WORKSPACE.to_owned()),
            stop_signal: Some("SIGTERM".to_owned()),
            labels: Some(HashMap::from([
                label(labels::INSTANCE, &self.instance),
                label(labels::ROLE, "worker"),
                label(labels::WORKER, self.id.as_str()),
                label(labels::PROFILE, &self.profile),
                label(labels::SPEC, &self.spec),
                label(labels::UID, &self.uid.to_string()),
                label(labels::SECURITY, self.security.as_str()),
            ])),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{}", self.parent)),
                mounts: Some(mounts),
                tmpfs,
                readonly_rootfs: Some(self.read_only),
                memory: self.limits.memory_bytes.map(saturate),
                memory_swap: self.limits.memory_bytes.map(saturate),
                nano_cpus: self.limits.nano_cpus.map(cpus),
                pids_limit: self.limits.pids.map(saturate),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(capabilities(self.security)),
                security_opt: no_new_privileges(self.security == SecurityProfile::Strict),
                ulimits: Some(vec![ResourcesUlimits {
                    name: Some("core".to_owned()),
                    soft: Some(0),
                    hard: Some(0),
                }]),
                log_config: Some(log_limits("1m", "2")),
                restart_policy: Some(never_restart()),
                auto_remove: Some(false),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

/// What the agent, root in its container, needs: other uids for sessions, and signals to them.
/// Sessions of another uid have none of it.
fn capabilities(security: SecurityProfile) -> Vec<String> {
    let mut caps = vec!["SETUID", "SETGID", "KILL"];
    if security == SecurityProfile::Build {
        caps.extend(["CHOWN", "DAC_OVERRIDE", "FOWNER"]);
    }
    caps.into_iter().map(str::to_owned).collect()
}

/// What a session may do, for people; says what `WorkerSpec::body` sets.
#[must_use]
pub fn security_words(security: SecurityProfile, root: bool) -> String {
    let caps = capabilities(security).join(", ");
    let rest = match security {
        SecurityProfile::Strict => "no new privileges",
        SecurityProfile::Build => "new privileges through set-uid programs",
    };
    let has = if root {
        format!("root with {caps}")
    } else if security == SecurityProfile::Build {
        format!("no capabilities of its own, at most {caps}")
    } else {
        "no capabilities".to_owned()
    };
    format!("{has}; {rest}; the engine's own seccomp filter")
}

/// Which network a worker has, for people.
pub const NETWORK_WORDS: &str = "shared with the parent and all other workers";

/// What of the host every worker has, for people, besides its project.
#[must_use]
pub fn mount_words() -> Vec<String> {
    [
        (
            "a home of its own",
            paths::HOME,
            "kept until the worker is removed",
        ),
        (
            "the agent and its recordings",
            "/.podbay",
            "the agent's own",
        ),
        ("hosts and resolv.conf of the parent", "/etc", "read-only"),
    ]
    .into_iter()
    .map(|(what, target, how)| format!("{what} → {target} ({how})"))
    .collect()
}

pub(super) fn no_new_privileges(on: bool) -> Option<Vec<String>> {
    on.then(|| vec!["no-new-privileges".to_owned()])
}

pub(super) fn never_restart() -> RestartPolicy {
    RestartPolicy {
        name: Some(RestartPolicyNameEnum::NO),
        maximum_retry_count: None,
    }
}

pub(super) fn log_limits(size: &str, files: &str) -> HostConfigLogConfig {
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(HashMap::from([
            ("max-size".to_owned(), size.to_owned()),
            ("max-file".to_owned(), files.to_owned()),
        ])),
    }
}

/// A bind mount of an existing folder; `Mounts` fails where `Binds` would create it.
pub(super) fn bind(source: &Path, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.to_string_lossy().into_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        bind_options: Some(MountBindOptions::default()),
        ..Mount::default()
    }
}

/// Billionths of a CPU as the engine takes them: it refuses more than the machine has.
pub(super) fn cpus(limit: u64) -> i64 {
    let all = std::thread::available_parallelism().map_or(u64::MAX, |n| n.get() as u64);
    saturate(limit.min(all.saturating_mul(1_000_000_000)))
}

pub(super) fn saturate(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(security: SecurityProfile) -> WorkerSpec {
        WorkerSpec {
            id: WorkerId::from_bits(1),
            instance: "bay".into(),
            parent: "p".into(),
            profile: "default".into(),
            spec: "s".into(),
            image: "i".into(),
            agent: "a".into(),
            uid: 200_000,
            limits: Limits::default(),
            security,
            read_only: false,
            project: None,
        }
    }

    fn host_config(security: SecurityProfile) -> HostConfig {
        let host = HostFolders {
            state: "/state".into(),
        };
        spec(security).body(&host).host_config.unwrap()
    }

    #[test]
    fn the_words_on_security_are_what_the_container_is_made_with() {
        for security in [SecurityProfile::Strict, SecurityProfile::Build] {
            let config = host_config(security);
            let root = security_words(security, true);
            for cap in config.cap_add.unwrap() {
                assert!(root.contains(&cap), "{cap}: {root}");
            }
            let strict = security == SecurityProfile::Strict;
            let options = config.security_opt.unwrap_or_default();
            assert_eq!(options.contains(&"no-new-privileges".to_owned()), strict);
            assert!(!options.iter().any(|option| option.contains("seccomp")));
            let user = security_words(security, false);
            assert_eq!(user.contains("no new privileges"), strict, "{user}");
            assert!(user.starts_with("no capabilities") && !user.contains("root"));
        }
    }

    #[test]
    fn every_mount_is_among_the_words() {
        let words = mount_words();
        let targets: Vec<&str> = words
            .iter()
            .filter_map(|line| line.split_once(" → ")?.1.split(' ').next())
            .collect();
        for mount in host_config(SecurityProfile::Strict).mounts.unwrap() {
            let target = mount.target.unwrap();
            let told = |told: &&str| Path::new(&target).starts_with(told);
            assert!(targets.iter().any(told), "{target}: {words:?}");
        }
    }
}
