//! The container in which another parent image installs itself into the state volume.

use super::{
    Docker, RuntimeError,
    container::{bind, labels, log_limits, never_restart, no_new_privileges},
};
use bollard::{
    container::LogOutput,
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{InspectContainerOptions, LogsOptionsBuilder},
};
use futures_util::StreamExt;
use std::{collections::HashMap, path::Path, time::Duration};

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of what it said that are kept.
const SAID: usize = 2048;

impl Docker {
    /// Runs `podbay install` of `image` and gives its exit code and what it said. The caller bounds
    /// the time; the container goes in any case, at the next call at the latest.
    ///
    /// # Errors
    /// [`RuntimeError`]: no such image, or one without `/bin/podbay`.
    pub async fn run_installer(
        &self,
        image: &str,
        instance: &str,
        state_on_host: &Path,
        state: &Path,
    ) -> Result<(i64, String), RuntimeError> {
        let name = format!("{instance}-installer");
        match self.remove(&name).await {
            Ok(()) | Err(RuntimeError::NoContainer(_)) => {}
            Err(error) => return Err(error),
        }
        let inside = state.to_string_lossy().into_owned();
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec!["/bin/podbay".to_owned(), "install".to_owned()]),
            cmd: Some(Vec::new()),
            user: Some("0:0".to_owned()),
            env: Some(vec![format!("PODBAY_STATE={inside}")]),
            labels: Some(HashMap::from([
                (labels::INSTANCE.to_owned(), instance.to_owned()),
                (labels::ROLE.to_owned(), "installer".to_owned()),
            ])),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                readonly_rootfs: Some(true),
                cap_drop: Some(vec!["ALL".to_owned()]),
                security_opt: no_new_privileges(true),
                mounts: Some(vec![bind(state_on_host, &inside, false)]),
                memory: Some(256 << 20),
                pids_limit: Some(64),
                log_config: Some(log_limits("1m", "1")),
                restart_policy: Some(never_restart()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let container = self.create_and_let_run(&name, body).await?;
        let code = self.exit_code(&container).await;
        let said = self.last_words(&container).await;
        self.remove_best_effort(&container).await;
        Ok((code?, said))
    }

    async fn exit_code(&self, container: &str) -> Result<i64, RuntimeError> {
        loop {
            let call = self
                .api
                .inspect_container(container, None::<InspectContainerOptions>);
            let found = self.call("waiting for a container", call).await?;
            let state = found.state.unwrap_or_default();
            if state.running != Some(true) {
                return Ok(state.exit_code.unwrap_or(-1));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn last_words(&self, container: &str) -> String {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail("20")
            .build();
        let mut said = String::new();
        let mut lines = self.api.logs(container, Some(options));
        while let Ok(Some(Ok(line))) = tokio::time::timeout(LOOK * 20, lines.next()).await {
            let (LogOutput::StdErr { message }
            | LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message }) = line;
            said.push_str(&String::from_utf8_lossy(&message));
            if said.len() > SAID {
                break;
            }
        }
        said.trim().to_owned()
    }
}
