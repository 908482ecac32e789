//! What the guard's container is made of.

use super::{
    container::{bind, labels, log_limits, never_restart, no_new_privileges},
    docker::{Docker, Started},
    error::RuntimeError,
};
use bollard::models::{ContainerCreateBody, HostConfig};
use std::{collections::HashMap, path::PathBuf};

/// All that goes into the guard's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardSpec {
    /// The instance's name.
    pub instance: String,
    /// The parent's own image.
    pub image: String,
    /// File name of the `podbay` binary in force under `bin/`.
    pub podbay: String,
    /// The parent's container id: the guard keeps the rules of its network.
    pub parent: String,
    /// The state volume on the host.
    pub state_on_host: PathBuf,
    /// The state volume inside the container.
    pub state_dir: PathBuf,
}

impl GuardSpec {
    fn body(&self) -> ContainerCreateBody {
        let state = self.state_dir.to_string_lossy().into_owned();
        let folder = |name: &str, read_only: bool| {
            let target = format!("{state}/{name}");
            bind(&self.state_on_host.join(name), &target, read_only)
        };
        ContainerCreateBody {
            image: Some(self.image.clone()),
            entrypoint: Some(vec![
                format!("{state}/bin/{}", self.podbay),
                "netguard".to_owned(),
            ]),
            cmd: Some(Vec::new()),
            user: Some("0:0".to_owned()),
            env: Some(vec![format!("PODBAY_STATE={state}")]),
            labels: Some(HashMap::from([
                (labels::INSTANCE.to_owned(), self.instance.clone()),
                (labels::ROLE.to_owned(), "netguard".to_owned()),
                (labels::SPEC.to_owned(), self.podbay.clone()),
            ])),
            host_config: Some(HostConfig {
                network_mode: Some(format!("container:{}", self.parent)),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                cap_add: Some(vec!["NET_ADMIN".to_owned()]),
                security_opt: no_new_privileges(true),
                mounts: Some(vec![folder("bin", true), folder("run", false)]),
                memory: Some(256 << 20),
                memory_swap: Some(256 << 20),
                pids_limit: Some(64),
                log_config: Some(log_limits("1m", "2")),
                restart_policy: Some(never_restart()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        }
    }
}

impl Docker {
    /// Creates and starts the guard, replacing one that is there.
    ///
    /// # Errors
    /// [`RuntimeError`]: a capability that is not to be had, for example.
    pub async fn create_guard(&self, spec: &GuardSpec) -> Result<Started, RuntimeError> {
        let name = format!("{}-netguard", spec.instance);
        match self.remove(&name).await {
            Ok(()) | Err(RuntimeError::NoContainer(_)) => {}
            Err(error) => return Err(error),
        }
        self.create_and_start(&name, spec.body()).await
    }
}
