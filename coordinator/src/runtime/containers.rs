//! Containers: created and started, listed, followed, renamed, paused, limited.

use super::{
    Docker, HostFolders, RuntimeError, WorkerSpec,
    container::{cpus, labels, saturate},
};
use crate::model::Limits;
use bollard::{
    models::{
        ContainerCreateBody, ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody,
        EventMessage, EventMessageTypeEnum,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, EventsOptionsBuilder, InspectContainerOptions,
        ListContainersOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions,
    },
};
use futures_util::{Stream, StreamExt, stream::select};
use std::collections::HashMap;

/// One container of this instance, as listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Container id.
    pub container: String,
    /// Container name.
    pub name: String,
    /// Image, as it was given at its creation.
    pub image: String,
    /// Running and not paused.
    pub running: bool,
    /// Paused.
    pub paused: bool,
    /// Unix seconds of its creation.
    pub created_s: i64,
    /// Labels.
    pub labels: HashMap<String, String>,
}

impl From<ContainerSummary> for Listed {
    fn from(c: ContainerSummary) -> Self {
        Self {
            container: c.id.unwrap_or_default(),
            name: first_name(c.names),
            image: c.image.unwrap_or_default(),
            running: c.state == Some(ContainerSummaryStateEnum::RUNNING),
            paused: c.state == Some(ContainerSummaryStateEnum::PAUSED),
            created_s: c.created.unwrap_or_default(),
            labels: c.labels.unwrap_or_default(),
        }
    }
}

/// A container that was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Container id.
    pub container: String,
    /// Process id of its PID 1 as the host counts.
    pub pid: i32,
}

/// A hint that something happened to a container of ours; the relist tells what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineEvent {
    /// `die`, `oom`, `destroy`, `pause` …
    pub action: String,
    /// The worker's label, when it has one.
    pub worker: Option<String>,
    /// It happened to an image: one was built, tagged, pulled or removed.
    pub image: bool,
}

impl Docker {
    /// Creates and starts a worker's container. What is left of a failed try is removed.
    ///
    /// # Errors
    /// [`RuntimeError`]; the deadline is the configured `create_timeout`.
    pub async fn create_worker(
        &self,
        spec: &WorkerSpec,
        host: &HostFolders,
    ) -> Result<Started, RuntimeError> {
        self.create_and_start(&spec.container_name(), spec.body(host))
            .await
    }

    pub(super) async fn create_and_start(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<Started, RuntimeError> {
        let created = self.create_and_let_run(name, body).await?;
        match self.host_pid(&created).await {
            Ok(pid) => Ok(Started {
                container: created,
                pid,
            }),
            Err(error) => {
                self.remove_best_effort(&created).await;
                Err(error)
            }
        }
    }

    /// Creates and starts a container that may end at any time; gives its id.
    pub(super) async fn create_and_let_run(
        &self,
        name: &str,
        body: ContainerCreateBody,
    ) -> Result<String, RuntimeError> {
        let image = body.image.clone().unwrap_or_default();
        let own = body.labels.as_ref();
        let instance = own.and_then(|l| l.get(labels::INSTANCE).cloned());
        let host = body.host_config.as_ref();
        let runtime = host.and_then(|h| h.runtime.clone()).unwrap_or_default();
        let options = CreateContainerOptionsBuilder::default().name(name).build();
        let create = self.api.create_container(Some(options), body);
        let limit = self.create_timeout;
        let created = match self
            .call_within("creating a container", limit, create)
            .await
        {
            Ok(created) => created.id,
            Err(RuntimeError::Refused { status: 404, .. }) => {
                let advice = "build it with scripts/build-images.sh, or pull it".to_owned();
                return Err(RuntimeError::NoImage { image, advice });
            }
            Err(RuntimeError::Refused { message, .. }) if names_a_runtime(&message) => {
                return Err(self.no_runtime(runtime).await);
            }
            Err(error) => {
                // Without an answer the container may exist all the same.
                if error.engine_is_away() {
                    self.remove_ours(&instance.unwrap_or_default(), name).await;
                }
                return Err(error);
            }
        };
        podbay_failpoints::failpoint!("create.container");
        let start = self
            .api
            .start_container(&created, None::<StartContainerOptions>);
        match self.call_within("starting a container", limit, start).await {
            Ok(()) => Ok(created),
            Err(error) => {
                self.remove_best_effort(&created).await;
                Err(error)
            }
        }
    }

    async fn no_runtime(&self, runtime: String) -> RuntimeError {
        let there = match self.call("asking for its runtimes", self.api.info()).await {
            Ok(info) => {
                let mut names: Vec<String> =
                    info.runtimes.into_iter().flatten().map(|r| r.0).collect();
                names.sort();
                names.join(", ")
            }
            Err(error) => error.to_string(),
        };
        RuntimeError::NoRuntime { runtime, there }
    }

    /// Process id of a running container's PID 1, as the host counts.
    ///
    /// # Errors
    /// [`RuntimeError`] when it does not run.
    pub async fn host_pid(&self, container: &str) -> Result<i32, RuntimeError> {
        const DOING: &str = "inspecting a container";
        let call = self
            .api
            .inspect_container(container, None::<InspectContainerOptions>);
        let state = self.call(DOING, call).await?.state.unwrap_or_default();
        let pid = state
            .pid
            .and_then(|pid| i32::try_from(pid).ok())
            .filter(|pid| *pid > 0);
        pid.ok_or_else(|| RuntimeError::Other {
            doing: DOING,
            message: format!(
                "it does not run (exit code {}) {}",
                state.exit_code.unwrap_or_default(),
                state.error.unwrap_or_default()
            ),
        })
    }

    /// All containers of the instance, running or not.
    ///
    /// # Errors
    /// [`RuntimeError`] when the engine does not answer.
    pub async fn list(&self, instance: &str) -> Result<Vec<Listed>, RuntimeError> {
        let filters = HashMap::from([(
            "label".to_owned(),
            vec![format!("{}={instance}", labels::INSTANCE)],
        )]);
        let options = ListContainersOptionsBuilder::default()
            .all(true)
            .filters(&filters)
            .build();
        let found = self
            .call(
                "listing containers",
                self.api.list_containers(Some(options)),
            )
            .await?;
        Ok(found.into_iter().map(Listed::from).collect())
    }

    /// Events of the instance's containers and of all images. Hints only: a stalled reader loses some
    /// silently.
    pub fn events(&self, instance: &str) -> impl Stream<Item = Result<EngineEvent, RuntimeError>> {
        let of = |typ: &str, more: &[(&str, String)]| {
            let more = more.iter().map(|(key, value)| (*key, value.clone()));
            let filters: HashMap<String, Vec<String>> = std::iter::once(("type", typ.to_owned()))
                .chain(more)
                .map(|(key, value)| (key.to_owned(), vec![value]))
                .collect();
            let options = EventsOptionsBuilder::default().filters(&filters).build();
            self.api.events(Some(options))
        };
        let ours = format!("{}={instance}", labels::INSTANCE);
        let endpoint = self.endpoint().to_owned();
        // Two streams: an image has no label of the instance's to be filtered by.
        select(of("container", &[("label", ours)]), of("image", &[])).map(
            move |event| match event {
                Ok(event) => Ok(hint(event)),
                Err(e) => Err(RuntimeError::from_bollard("reading events", &endpoint, e)),
            },
        )
    }

    /// Renames a container; `docker ps` then shows the worker's name.
    ///
    /// # Errors
    /// [`RuntimeError::Refused`] when the name is in use.
    pub async fn rename(&self, container: &str, name: &str) -> Result<(), RuntimeError> {
        let options = RenameContainerOptionsBuilder::default().name(name).build();
        self.call(
            "renaming a container",
            self.api.rename_container(container, options),
        )
        .await
    }

    /// Pauses all of a container's processes.
    ///
    /// # Errors
    /// [`RuntimeError`] when it is gone, not running, or paused already.
    pub async fn pause(&self, container: &str) -> Result<(), RuntimeError> {
        self.call("pausing a container", self.api.pause_container(container))
            .await
    }

    /// Unpauses a container.
    ///
    /// # Errors
    /// [`RuntimeError`] when it is gone or not paused.
    pub async fn unpause(&self, container: &str) -> Result<(), RuntimeError> {
        self.call(
            "unpausing a container",
            self.api.unpause_container(container),
        )
        .await
    }

    /// Changes the limits of a running container.
    ///
    /// # Errors
    /// [`RuntimeError`]: below what is in use, for example.
    pub async fn update_limits(&self, container: &str, limits: Limits) -> Result<(), RuntimeError> {
        // The engine reads 0 as "leave it". It takes -1 as "no limit" for processes, but refuses it
        // for memory, ignores it for swap, and has no such word for CPUs: all there are.
        let memory = limits.memory_bytes.map_or(UNLIMITED_MEMORY, saturate);
        let body = ContainerUpdateBody {
            memory: Some(memory),
            memory_swap: Some(memory),
            nano_cpus: Some(cpus(limits.nano_cpus.unwrap_or(u64::MAX))),
            pids_limit: Some(limits.pids.map_or(-1, saturate)),
            ..ContainerUpdateBody::default()
        };
        self.call(
            "updating limits",
            self.api.update_container(container, body),
        )
        .await
    }
}

/// More than any machine has.
const UNLIMITED_MEMORY: i64 = 1 << 50;

fn hint(event: EventMessage) -> EngineEvent {
    let attributes = event
        .actor
        .and_then(|actor| actor.attributes)
        .unwrap_or_default();
    EngineEvent {
        action: event.action.unwrap_or_default(),
        worker: attributes.get(labels::WORKER).cloned(),
        image: event.typ == Some(EventMessageTypeEnum::IMAGE),
    }
}

fn first_name(names: Option<Vec<String>>) -> String {
    let first = names.into_iter().flatten().next().unwrap_or_default();
    first.trim_start_matches('/').to_owned()
}

/// "Unknown runtime specified X" in Docker 20.10, "unknown or invalid runtime name: X" since 23.
fn names_a_runtime(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("unknown runtime") || message.contains("invalid runtime name")
}
