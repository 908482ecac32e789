//! The few engine calls that `up`, `down` and `doctor` make themselves, because there is no
//! coordinator to make them.

use super::{ClientError, Endpoint, EngineAddress};
use bollard::{
    API_DEFAULT_VERSION, Docker,
    errors::Error,
    models::{
        ContainerCreateBody, ContainerInspectResponse, ContainerSummary, VolumeCreateRequest,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, ListContainersOptionsBuilder,
        ListNetworksOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
        RemoveVolumeOptions, StopContainerOptionsBuilder,
    },
};
use futures_util::{Stream, StreamExt};
use std::collections::HashMap;

/// Oldest engine API that is supported: Docker 20.10's.
pub const OLDEST_API: (usize, usize) = (1, 41);
/// Seconds an engine call may take; creating and starting a container are the slow ones.
const TIMEOUT_S: u64 = 60;
/// Label with the parent container's name, on everything that belongs to it.
pub const LABEL_INSTANCE: &str = "dev.podbay.instance";
/// Label with what a container is: `parent`, `worker`, `mounter`.
pub const LABEL_ROLE: &str = "dev.podbay.role";

/// An engine that answered.
pub struct Engine {
    docker: Docker,
    address: EngineAddress,
    /// What it is, for people: `Docker 20.10.24, API 1.41`.
    pub description: String,
    /// Its API version.
    pub api: (usize, usize),
}

impl Engine {
    /// Connects and asks for the version.
    ///
    /// # Errors
    /// [`ClientError::NoEngine`] when it does not answer.
    pub async fn connect(address: EngineAddress) -> Result<Self, ClientError> {
        let no_engine = |reason: String| ClientError::NoEngine {
            address: address.to_string(),
            reason,
        };
        let docker = match &address.endpoint {
            Endpoint::Unix(path) => {
                // The engine library says of a refused connection only that it failed.
                tokio::net::UnixStream::connect(path)
                    .await
                    .map_err(|error| no_engine(error.to_string()))?;
                let path = path
                    .to_str()
                    .ok_or_else(|| no_engine("the socket's path is not UTF-8".into()))?;
                Docker::connect_with_unix(path, TIMEOUT_S, API_DEFAULT_VERSION)
            }
            Endpoint::Tcp(host) => {
                Docker::connect_with_http(&format!("tcp://{host}"), TIMEOUT_S, API_DEFAULT_VERSION)
            }
        }
        .map_err(|error| no_engine(error.to_string()))?;
        let docker = docker
            .negotiate_version()
            .await
            .map_err(|error| no_engine(error.to_string()))?;
        let version = docker
            .version()
            .await
            .map_err(|error| no_engine(error.to_string()))?;
        let text = version.api_version.unwrap_or_default();
        let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
        let api = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        let podman = version
            .components
            .iter()
            .flatten()
            .any(|part| part.name.contains("Podman"));
        let description = format!(
            "{} {}, API {text}",
            if podman { "Podman" } else { "Docker" },
            version.version.unwrap_or_default()
        );
        Ok(Self {
            docker,
            address,
            description,
            api,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &EngineAddress {
        &self.address
    }

    fn failed(&self, what: &str, error: &Error) -> ClientError {
        ClientError::Protocol {
            what: what.to_owned(),
            reason: message(error),
        }
    }

    /// A container by name or id; `None` when there is none.
    ///
    /// # Errors
    /// [`ClientError::Protocol`] with the engine's message; this holds for all below.
    pub async fn container(
        &self,
        name: &str,
    ) -> Result<Option<ContainerInspectResponse>, ClientError> {
        match self.docker.inspect_container(name, None).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.failed(&format!("inspecting container {name}"), &error)),
        }
    }

    /// The containers that belong to a parent, running or not, without the parent itself.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn children(&self, parent: &str) -> Result<Vec<ContainerSummary>, ClientError> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_INSTANCE}={parent}")])]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let found = self.docker.list_containers(Some(options)).await;
        let found = found.map_err(|error| self.failed("listing containers", &error))?;
        let role =
            |c: &ContainerSummary| c.labels.as_ref().and_then(|l| l.get(LABEL_ROLE).cloned());
        Ok(found
            .into_iter()
            .filter(|c| role(c).as_deref() != Some("parent"))
            .collect())
    }

    /// Removes the networks that the coordinator made for this parent's workers.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn remove_networks(&self, parent: &str) -> Result<(), ClientError> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_INSTANCE}={parent}")])]);
        let options = ListNetworksOptionsBuilder::default()
            .filters(&filters)
            .build();
        let found = self.docker.list_networks(Some(options)).await;
        let found = found.map_err(|error| self.failed("listing networks", &error))?;
        for id in found.into_iter().filter_map(|network| network.id) {
            match self.docker.remove_network(&id).await {
                Ok(()) => {}
                Err(error) if status(&error) == Some(404) => {}
                Err(error) => return Err(self.failed("removing the workers' network", &error)),
            }
        }
        Ok(())
    }

    /// The id of an image; `None` when it is not there.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn image(&self, name: &str) -> Result<Option<String>, ClientError> {
        match self.docker.inspect_image(name).await {
            Ok(image) => Ok(Some(image.id.unwrap_or_default())),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(self.failed(&format!("inspecting image {name}"), &error)),
        }
    }

    /// Pulls an image; each item is a line of progress.
    pub fn pull(&self, name: &str) -> impl Stream<Item = Result<String, ClientError>> + use<'_> {
        // An image without a tag or digest would have every tag pulled.
        let last = name.rsplit('/').next().unwrap_or(name);
        let full = if last.contains([':', '@']) {
            name.to_owned()
        } else {
            format!("{name}:latest")
        };
        let options = CreateImageOptionsBuilder::default()
            .from_image(&full)
            .build();
        self.docker
            .create_image(Some(options), None, None)
            .map(move |item| match item {
                Ok(info) => match info.error_detail.and_then(|detail| detail.message) {
                    Some(reason) => Err(ClientError::Protocol {
                        what: format!("pulling {full}"),
                        reason,
                    }),
                    None => Ok([info.id, info.status]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join(" ")),
                },
                Err(error) => Err(self.failed(&format!("pulling {full}"), &error)),
            })
    }

    /// Makes sure that a volume exists, with the parent's label when it is new.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn create_volume(&self, name: &str, parent: &str) -> Result<(), ClientError> {
        let request = VolumeCreateRequest {
            name: Some(name.to_owned()),
            labels: Some(HashMap::from([(
                LABEL_INSTANCE.to_owned(),
                parent.to_owned(),
            )])),
            ..Default::default()
        };
        let made = self.docker.create_volume(request).await;
        made.map(drop)
            .map_err(|error| self.failed(&format!("creating volume {name}"), &error))
    }

    /// Removes a volume; one that is not there is fine.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn remove_volume(&self, name: &str) -> Result<(), ClientError> {
        match self
            .docker
            .remove_volume(name, None::<RemoveVolumeOptions>)
            .await
        {
            Err(error) if status(&error) != Some(404) => {
                Err(self.failed(&format!("removing volume {name}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// Creates a container and gives its id.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn create(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, ClientError> {
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let made = self.docker.create_container(Some(options), body).await;
        made.map(|made| made.id)
            .map_err(|error| self.failed(&format!("creating container {name}"), &error))
    }

    /// Starts a container.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn start(&self, name: &str) -> Result<(), ClientError> {
        let started = self.docker.start_container(name, None).await;
        started.map_err(|error| self.failed(&format!("starting container {name}"), &error))
    }

    /// Stops a container within the grace, in seconds, and removes it; one that is not there is fine.
    ///
    /// # Errors
    /// As [`Self::container`].
    pub async fn remove(&self, name: &str, grace_s: i32) -> Result<(), ClientError> {
        if grace_s > 0 {
            let options = StopContainerOptionsBuilder::default().t(grace_s).build();
            // A container that cannot be stopped is removed by force below.
            drop(self.docker.stop_container(name, Some(options)).await);
        }
        let options = RemoveContainerOptionsBuilder::default().force(true).build();
        match self.docker.remove_container(name, Some(options)).await {
            Err(error) if status(&error) != Some(404) => {
                Err(self.failed(&format!("removing container {name}"), &error))
            }
            _ => Ok(()),
        }
    }

    /// The last lines a container wrote; empty when they are not to be had.
    pub async fn last_lines(&self, name: &str) -> String {
        let options = LogsOptionsBuilder::default()
            .stdout(true)
            .stderr(true)
            .tail("10")
            .build();
        let lines = self.docker.logs(name, Some(options));
        let lines: Vec<String> = lines
            .filter_map(|l| async { l.ok().map(|l| l.to_string()) })
            .collect()
            .await;
        lines.concat()
    }
}

fn status(error: &Error) -> Option<u16> {
    match error {
        Error::DockerResponseServerError { status_code, .. } => Some(*status_code),
        _ => None,
    }
}

/// The engine's own words.
fn message(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        other => super::transport::chain(other),
    }
}
