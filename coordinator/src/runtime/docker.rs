//! The connection to the engine: calls through bollard, each with a deadline; and what the engine is.

use super::RuntimeError;
use bollard::errors::Error as Bollard;
use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

/// The oldest API that works: Docker 20.10.
const OLDEST_API: (u32, u32) = (1, 41);
const OLDEST_API_TEXT: &str = "1.41";
/// bollard's own time-out, in seconds; every call has a shorter deadline of ours.
const BOLLARD_TIMEOUT: u64 = 120;

/// A connection to the engine. Cheap to clone; connections are kept alive and pooled.
#[derive(Debug, Clone)]
pub struct Docker {
    pub(super) api: bollard::Docker,
    endpoint: String,
    timeout: Duration,
    pub(super) create_timeout: Duration,
}

impl Docker {
    /// Prepares a connection; nothing is sent yet.
    ///
    /// # Errors
    /// [`RuntimeError`] when the endpoint cannot be used at all.
    pub fn connect(
        socket: &Path,
        timeout: Duration,
        create_timeout: Duration,
    ) -> Result<Self, RuntimeError> {
        let endpoint = format!("unix://{}", socket.display());
        let api = bollard::Docker::connect_with_unix(
            &endpoint,
            BOLLARD_TIMEOUT,
            bollard::API_DEFAULT_VERSION,
        )
        .map_err(|e| RuntimeError::from_bollard("connecting", &endpoint, e))?;
        Ok(Self {
            api,
            endpoint,
            timeout,
            create_timeout,
        })
    }

    pub(super) fn api(&self) -> &bollard::Docker {
        &self.api
    }

    /// The engine's socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        Path::new(self.endpoint.trim_start_matches("unix://"))
    }

    /// Where the engine is.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub(super) async fn call<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, Bollard>>,
    ) -> Result<T, RuntimeError> {
        self.call_within(doing, self.timeout, call).await
    }

    pub(super) async fn call_within<T>(
        &self,
        doing: &'static str,
        limit: Duration,
        call: impl Future<Output = Result<T, Bollard>>,
    ) -> Result<T, RuntimeError> {
        match tokio::time::timeout(limit, call).await {
            Ok(result) => result.map_err(|e| RuntimeError::from_bollard(doing, &self.endpoint, e)),
            Err(_) => Err(RuntimeError::TimedOut {
                doing,
                seconds: limit.as_secs(),
            }),
        }
    }

    /// Name, version and API version of the engine.
    ///
    /// # Errors
    /// [`RuntimeError::TooOld`] below Docker 20.10's API 1.41.
    pub async fn version(&self) -> Result<(String, String, String), RuntimeError> {
        let version = self
            .call("asking for the version", self.api.version())
            .await?;
        let api = version.api_version.unwrap_or_default();
        let podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name.to_ascii_lowercase().contains("podman"));
        if parse_api(&api).is_none_or(|found| found < OLDEST_API) {
            return Err(RuntimeError::TooOld {
                found: api,
                needed: OLDEST_API_TEXT,
            });
        }
        let name = if podman { "Podman" } else { "Docker" };
        Ok((name.to_owned(), version.version.unwrap_or_default(), api))
    }

    /// What of the engine does not work although it answers: a Docker whose containerd is dead
    /// pings and lists, and leaves it out of its version (moby, `fillPlatformVersion`).
    ///
    /// # Errors
    /// [`RuntimeError`] when the engine does not answer.
    pub async fn missing_part(&self) -> Result<Option<String>, RuntimeError> {
        let version = self
            .call("asking for the version", self.api.version())
            .await?;
        let parts: Vec<String> = version
            .components
            .unwrap_or_default()
            .into_iter()
            .map(|component| component.name)
            .collect();
        let has = |name: &str| parts.iter().any(|part| part == name);
        let missing = has("Engine") && (has("runc") || has("docker-init")) && !has("containerd");
        Ok(missing.then(|| {
            "it answers, but its containerd does not: no container can be started or stopped"
                .to_owned()
        }))
    }

    /// The engine's data root: no project may be there.
    ///
    /// # Errors
    /// [`RuntimeError`] when the engine does not answer.
    pub async fn data_root(&self) -> Result<Option<PathBuf>, RuntimeError> {
        let info = self
            .call("asking for the data root", self.api.info())
            .await?;
        Ok(info.docker_root_dir.map(PathBuf::from))
    }
}

fn parse_api(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn api_versions_compare_as_numbers() {
        assert!(parse_api("1.41").unwrap() >= OLDEST_API);
        assert!(parse_api("1.100").unwrap() > OLDEST_API);
        assert!(parse_api("1.9").unwrap() < OLDEST_API);
        assert_eq!(parse_api("garbage"), None);
    }
}
