//! The coordinator's helpers: containers that may each do one thing which the coordinator may not.

use super::{
    container::{bind, labels, log_limits, never_restart, no_new_privileges},
    containers::Started,
    docker::Docker,
    error::RuntimeError,
};
use bollard::models::{ContainerCreateBody, HostConfig, Mount};
use std::{collections::HashMap, path::PathBuf};

/// Which helper a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helper {
    /// Mounts projects into workers.
    Mounter,
    /// Keeps the rules of the parent's network.
    Guard,
    /// Puts the binaries of its own image into the state volume.
    Installer,
}

impl Helper {
    /// The value of [`labels::ROLE`], and the end of the container's name.
    #[must_use]
    pub fn role(self) -> &'static str {
        match self {
            Self::Mounter => "mounter",
            Self::Guard => "netguard",
            Self::Installer => "installer",
        }
    }

    fn capabilities(self) -> &'static [&'static str] {
        match self {
            Self::Mounter => &[
                "SYS_ADMIN",
                "SYS_CHROOT",
                "SYS_PTRACE",
                "SETUID",
                "SETGID",
                "CHOWN",
                "FOWNER",
                "DAC_OVERRIDE",
                // A folder of a group other than the owner's keeps its set-group-ID bit.
                "FSETID",
                // An id-map that shows anything as uid 0: root sessions.
                "SETFCAP",
            ],
            Self::Guard => &["NET_ADMIN"],
            Self::Installer => &[],
        }
    }
}

/// All that goes into a helper's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HelperSpec {
    /// Which one.
    pub helper: Helper,
    /// The instance's name.
    pub instance: String,
    /// The image: the parent's own, or the one that installs itself.
    pub image: String,
    /// The parent's container id.
    pub parent: String,
    /// File name of the `podbay` binary in force under `bin/`.
    pub podbay: String,
    /// The state volume on the host.
    pub state_on_host: PathBuf,
    /// The state volume inside the container.
    pub state_dir: PathBuf,
}

impl HelperSpec {
    fn name(&self) -> String {
        format!("{}-{}", self.instance, self.helper.role())
    }

    fn program(&self, state: &str) -> Vec<String> {
        let (binary, command) = match self.helper {
            Helper::Mounter => (format!("{state}/bin/{}", self.podbay), "mounter"),
            Helper::Guard => (format!("{state}/bin/{}", self.podbay), "netguard"),
            Helper::Installer => ("/bin/podbay".to_owned(), "install"),
        };
        vec![binary, command.to_owned()]
    }

    fn mounts(&self, state: &str) -> Vec<Mount> {
        let folder = |name: &str, read_only: bool| {
            let target = format!("{state}/{name}");
            bind(&self.state_on_host.join(name), &target, read_only)
        };
        match self.helper {
            Helper::Mounter | Helper::Installer => vec![bind(&self.state_on_host, state, false)],
            Helper::Guard => vec![folder("bin", true), folder("run", false)],
        }
    }

    fn body(&self) -> ContainerCreateBody {
        let state = self.state_dir.to_string_lossy().into_owned();
        let (network, pids, pid_mode) = match self.helper {
            Helper::Mounter => ("none".to_owned(), 256, Some("host".to_owned())),
            Helper::Guard => (format!("container:{}", self.parent), 64, None),
            Helper::Installer => ("none".to_owned(), 64, None),
        };
        let capabilities = self.helper.capabilities().iter();
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(self.program(&state)),
            cmd: Some(Vec::new()),
            user: Some("0:0".to_owned()),
            env: Some(vec![format!("PODBAY_STATE={state}")]),
            labels: Some(HashMap::from([
                (labels::INSTANCE.to_owned(), self.instance.clone()),
                (labels::ROLE.to_owned(), self.helper.role().to_owned()),
                (labels::SPEC.to_owned(), self.podbay.clone()),
            ])),
            host_config: Some(HostConfig {
                network_mode: Some(network),
                pid_mode,
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(capabilities.map(|c| (*c).to_owned()).collect()),
                security_opt: no_new_privileges(true),
                mounts: Some(self.mounts(&state)),
                memory: Some(256 << 20),
                memory_swap: Some(256 << 20),
                pids_limit: Some(pids),
                log_config: Some(log_limits("1m", "2")),
                restart_policy: Some(never_restart()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

impl Docker {
    /// Creates and starts a helper, replacing those of its kind.
    ///
    /// # Errors
    /// [`RuntimeError`]: an unsupported capability, for example.
    pub async fn create_helper(&self, spec: &HelperSpec) -> Result<Started, RuntimeError> {
        let role = spec.helper.role();
        self.remove_role(&spec.instance, role, None).await?;
        let create = |name: String| async move { self.create_and_start(&name, spec.body()).await };
        under_a_free_name(spec.name(), create).await
    }

    /// The same for one that ends by itself; gives its container's id.
    pub(super) async fn run_helper(&self, spec: &HelperSpec) -> Result<String, RuntimeError> {
        let role = spec.helper.role();
        self.remove_role(&spec.instance, role, None).await?;
        let create =
            |name: String| async move { self.create_and_let_run(&name, spec.body()).await };
        under_a_free_name(spec.name(), create).await
    }

    /// Removes the helpers of one kind whose label [`labels::SPEC`] is not `keep`.
    ///
    /// # Errors
    /// [`RuntimeError`].
    pub async fn remove_helpers(
        &self,
        instance: &str,
        helper: Helper,
        keep: Option<&str>,
    ) -> Result<usize, RuntimeError> {
        self.remove_role(instance, helper.role(), keep).await
    }

    /// Removes the containers of one role, found through their labels and removed by id: a name may
    /// be another container's.
    pub(super) async fn remove_role(
        &self,
        instance: &str,
        role: &str,
        keep: Option<&str>,
    ) -> Result<usize, RuntimeError> {
        let mut removed = 0;
        for container in self.list(instance).await? {
            let label = |key: &str| container.labels.get(key).map(String::as_str);
            if label(labels::ROLE) == Some(role) && (keep.is_none() || label(labels::SPEC) != keep)
            {
                self.remove(&container.container).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Id of a worker's container, found through its labels.
    ///
    /// # Errors
    /// [`RuntimeError`] when the engine does not answer.
    pub async fn find_worker(
        &self,
        instance: &str,
        worker: &str,
    ) -> Result<Option<String>, RuntimeError> {
        let listed = self.list(instance).await?;
        let found = listed.into_iter().find(|container| {
            let label = |key: &str| container.labels.get(key).map(String::as_str);
            label(labels::ROLE) == Some("worker") && label(labels::WORKER) == Some(worker)
        });
        Ok(found.map(|container| container.container))
    }

    /// Removes a container of the instance that has this name, as far as the engine can say now; a
    /// later listing finds what is left.
    pub(super) async fn remove_ours(&self, instance: &str, name: &str) {
        match self.list(instance).await {
            Ok(listed) => {
                for container in listed.iter().filter(|c| c.name == name) {
                    self.remove_best_effort(&container.container).await;
                }
            }
            Err(error) => tracing::warn!(name, %error, "a container may be left over"),
        }
    }
}

/// Creates a container under a name, or under a longer one where something that is not a helper has
/// that name: a container of a former version, or somebody else's.
pub(super) async fn under_a_free_name<T, F>(
    name: String,
    create: impl Fn(String) -> F,
) -> Result<T, RuntimeError>
where
    F: Future<Output = Result<T, RuntimeError>>,
{
    match create(name.clone()).await {
        Err(error) if error.name_is_taken() => {
            let mut bits = [0u8; 4];
            if getrandom::fill(&mut bits).is_err() {
                return Err(error);
            }
            let longer = format!("{name}-{:08x}", u32::from_ne_bytes(bits));
            tracing::warn!(name, longer, "the name is another container's");
            create(longer).await
        }
        result => result,
    }
}
