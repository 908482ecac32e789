//! The container in which another parent image installs itself into the state volume.

use super::{Docker, HelperSpec, RuntimeError};
use bollard::{
    container::LogOutput,
    query_parameters::{InspectContainerOptions, LogsOptionsBuilder},
};
use futures_util::StreamExt;
use std::time::Duration;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Bytes of what it said that are kept.
const SAID: usize = 2048;

impl Docker {
    /// Runs `podbay install` of an image and gives its exit code and what it said. The caller bounds
    /// the time; the container goes in any case, at the next call at the latest.
    ///
    /// # Errors
    /// [`RuntimeError`]: no such image, or one without `/bin/podbay`.
    pub async fn run_installer(&self, spec: &HelperSpec) -> Result<(i64, String), RuntimeError> {
        let container = self.run_helper(spec).await?;
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
