//! What a worker's container is made of.

use super::{
    seccomp::Seccomp,
    security::{OOM_SCORE_ADJ, capabilities, hidden_paths, may_gain_privileges, temporary},
};
use crate::{
    config::{Network, SecurityProfile},
    model::{Egress, Limits, WorkerId},
};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountBindOptions, MountType, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
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
    /// `parent`, `worker`, or which helper it is.
    pub const ROLE: &str = "dev.podbay.role";
    /// The worker's id.
    pub const WORKER: &str = "dev.podbay.worker";
    /// The worker's profile.
    pub const PROFILE: &str = "dev.podbay.profile";
    /// Hash of the worker's spec.
    pub const SPEC: &str = "dev.podbay.spec";
    /// Hash of what of the spec confines the worker's sessions.
    pub const CONFINEMENT: &str = "dev.podbay.confinement";
    /// The worker's own uid (and gid).
    pub const UID: &str = "dev.podbay.uid";
    /// Where the worker may connect to.
    pub const EGRESS: &str = "dev.podbay.egress";
    /// The worker's security profile.
    pub const SECURITY: &str = "dev.podbay.security";
    /// The worker's network, as the configuration says it.
    pub const NETWORK: &str = "dev.podbay.network";
    /// The worker's OCI runtime, where that is not the engine's default.
    pub const RUNTIME: &str = "dev.podbay.runtime";
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
    /// Hash of what of it confines the worker's sessions, for the label.
    pub confinement: String,
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
    /// Which system calls it may use.
    pub seccomp: Seccomp,
    /// Size of `/dev/shm` in bytes; the engine's default where there is none.
    pub shm: Option<u64>,
    /// Read-only root; its folder on the state volume has account files then.
    pub read_only: bool,
    /// Its network.
    pub network: Network,
    /// Id of the instance's network, for [`Network::Isolated`].
    pub bridge: Option<String>,
    /// OCI runtime, where that is not the engine's default.
    pub runtime: Option<String>,
    /// First and last port of its own, in the shared network.
    pub ports: (u16, u16),
    /// Where it may connect to, for the label.
    pub egress: Egress,
    /// The project, when the engine mounts it.
    pub project: Option<ProjectMount>,
}

/// Secrets of sessions: in memory, passed through by everybody, listed by the agent alone.
const SECRETS_TMPFS: &str = "mode=711,size=8m,nr_inodes=4096,nosuid,nodev,noexec";

impl WorkerSpec {
    /// The container's name until a claim renames it.
    #[must_use]
    pub fn container_name(&self) -> String {
        format!("{}-warm-{}", self.instance, self.id)
    }

    fn mounts(&self, host: &HostFolders) -> Vec<Mount> {
        let folder = host.worker(&self.id);
        let mut mounts = vec![
            bind(&host.state.join("bin"), paths::BIN, true),
            bind(&folder.join("run"), paths::RUN, true),
            bind(&folder.join("log"), paths::LOG, false),
            bind(&folder.join("home"), paths::HOME, false),
        ];
        if self.network == Network::Shared {
            for name in ["hosts", "resolv.conf"] {
                let source = host.state.join("net").join(name);
                mounts.push(bind(&source, &format!("/etc/{name}"), true));
            }
        }
        if self.read_only {
            // The agent adds the session's user to these.
            for name in ["passwd", "group"] {
                let source = folder.join("etc").join(name);
                mounts.push(bind(&source, &format!("/etc/{name}"), false));
            }
        }
        if let Some(project) = &self.project {
            mounts.push(bind(Path::new(&project.source), paths::WORKSPACE, false));
        }
        mounts
    }

    fn tmpfs(&self) -> HashMap<String, String> {
        let mut tmpfs = if self.read_only {
            temporary(self.limits)
        } else {
            HashMap::new()
        };
        tmpfs.insert(paths::SECRETS.to_owned(), SECRETS_TMPFS.to_owned());
        tmpfs
    }

    fn network_mode(&self) -> String {
        match self.network {
            Network::Shared => format!("container:{}", self.parent),
            Network::Isolated => self
                .bridge
                .clone()
                .unwrap_or_else(|| isolated_network(&self.instance)),
            Network::None => "none".to_owned(),
        }
    }

    pub(super) fn body(&self, host: &HostFolders) -> ContainerCreateBody {
        let (masked, read_only) = hidden_paths(self.security);
        let mut env = vec![format!("PODBAY_WORKER={}", self.id)];
        if self.network == Network::Shared {
            // The agent holds what runs in the worker to these.
            env.push(format!(
                "{}={}-{}",
                paths::PORTS_ENV,
                self.ports.0,
                self.ports.1
            ));
        }
        if self.project.is_some() {
            env.push(format!("{}=1", paths::ENGINE_MOUNTED_ENV));
        }
        if self.security == SecurityProfile::NestedSandbox {
            env.push(format!("{}=1", paths::MAY_MOUNT_ENV));
        }
        let mut security = vec![self.seccomp.option()];
        if !may_gain_privileges(self.security) {
            security.push("no-new-privileges".to_owned());
        }
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![
                format!("{}/{}", paths::BIN, self.agent),
                "init".to_owned(),
            ]),
            cmd: Some(Vec::new()),
            user: Some("0:0".to_owned()),
            env: Some(env),
            working_dir: Some(paths::WORKSPACE.to_owned()),
            stop_signal: Some("SIGTERM".to_owned()),
            // The image's would run in warm workers, as root, and leave its files to the claim.
            healthcheck: Some(HealthConfig {
                test: Some(vec!["NONE".to_owned()]),
                ..HealthConfig::default()
            }),
            labels: Some(HashMap::from([
                label(labels::INSTANCE, &self.instance),
                label(labels::ROLE, "worker"),
                label(labels::WORKER, self.id.as_str()),
                label(labels::PROFILE, &self.profile),
                label(labels::SPEC, &self.spec),
                label(labels::CONFINEMENT, &self.confinement),
                label(labels::UID, &self.uid.to_string()),
                label(labels::SECURITY, self.security.as_str()),
                label(labels::NETWORK, self.network.as_str()),
                label(labels::RUNTIME, self.runtime.as_deref().unwrap_or_default()),
                label(labels::EGRESS, &self.egress.to_string()),
            ])),
            host_config: Some(HostConfig {
                network_mode: Some(self.network_mode()),
                runtime: self.runtime.clone(),
                mounts: Some(self.mounts(host)),
                tmpfs: Some(self.tmpfs()),
                readonly_rootfs: Some(self.read_only),
                masked_paths: Some(masked),
                readonly_paths: Some(read_only),
                ipc_mode: Some("private".to_owned()),
                shm_size: self.shm.map(saturate),
                cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
                oom_score_adj: Some(OOM_SCORE_ADJ),
                memory: self.limits.memory_bytes.map(saturate),
                memory_swap: self.limits.memory_bytes.map(saturate),
                nano_cpus: self.limits.nano_cpus.map(cpus),
                pids_limit: self.limits.pids.map(saturate),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(capabilities(self.security)),
                security_opt: Some(security),
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

/// Name of the instance's network of workers that have one of their own.
pub(super) fn isolated_network(instance: &str) -> String {
    format!("{instance}-isolated")
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
    use super::{super::security::*, *};

    fn spec(security: SecurityProfile, network: Network) -> WorkerSpec {
        WorkerSpec {
            id: WorkerId::from_bits(1),
            instance: "bay".into(),
            parent: "p".into(),
            profile: "default".into(),
            confinement: "c".into(),
            spec: "s".into(),
            image: "i".into(),
            agent: "a".into(),
            uid: 200_000,
            limits: Limits::default(),
            security,
            seccomp: Seccomp::load(Path::new("/nowhere"), security).unwrap(),
            shm: None,
            read_only: true,
            network,
            bridge: None,
            runtime: None,
            ports: (20_000, 20_019),
            egress: Egress::Open,
            project: None,
        }
    }

    fn host_config(security: SecurityProfile, network: Network) -> HostConfig {
        let host = HostFolders {
            state: "/state".into(),
        };
        spec(security, network).body(&host).host_config.unwrap()
    }

    #[test]
    fn the_words_on_security_are_what_the_container_is_made_with() {
        for security in SecurityProfile::ALL {
            let config = host_config(security, Network::Shared);
            let root = security_words(security, true, None);
            for cap in config.cap_add.unwrap() {
                assert!(root.contains(&cap), "{cap}: {root}");
                assert!(!["NET_ADMIN", "NET_RAW", "SYS_ADMIN"].contains(&cap.as_str()));
            }
            assert_eq!(config.cap_drop.unwrap(), ["ALL"]);
            assert_eq!(config.sysctls, None);
            let firm = security != SecurityProfile::Build;
            let options = config.security_opt.unwrap_or_default();
            assert_eq!(options.contains(&"no-new-privileges".to_owned()), firm);
            assert!(options.iter().any(|option| option.starts_with("seccomp={")));
            let user = security_words(security, false, None);
            assert_eq!(user.contains("no new privileges"), firm, "{user}");
            assert!(user.contains("no capabilities") && !user.contains("root"));
            // Root over a /proc with nothing hidden could change the host.
            let hidden = !config.masked_paths.unwrap().is_empty();
            assert_eq!(hidden, !config.readonly_paths.unwrap().is_empty());
            assert_eq!(hidden, allows_root(security));
        }
    }

    #[test]
    fn every_mount_is_among_the_words() {
        let words = mount_words(Network::Shared);
        let targets: Vec<&str> = words
            .iter()
            .filter_map(|line| line.split_once(" → ")?.1.split(' ').next())
            .collect();
        let config = host_config(SecurityProfile::Strict, Network::Shared);
        for mount in config.mounts.unwrap() {
            let target = mount.target.unwrap();
            let told = |told: &&str| Path::new(&target).starts_with(told);
            assert!(targets.iter().any(told), "{target}: {words:?}");
        }
    }

    #[test]
    fn only_the_shared_network_brings_the_parents_files_and_a_block_of_ports() {
        for (network, mode) in [
            (Network::Shared, "container:p"),
            (Network::Isolated, "bay-isolated"),
            (Network::None, "none"),
        ] {
            let body = spec(SecurityProfile::Strict, network).body(&HostFolders {
                state: "/state".into(),
            });
            let shared = network == Network::Shared;
            let env = body.env.unwrap();
            assert_eq!(env.iter().any(|v| v.ends_with("=20000-20019")), shared);
            let config = body.host_config.unwrap();
            assert_eq!(config.network_mode.unwrap(), mode);
            let mounts = config.mounts.unwrap();
            let hosts = |m: &Mount| m.target.as_deref() == Some("/etc/hosts");
            assert_eq!(mounts.iter().any(hosts), shared);
        }
    }
}
