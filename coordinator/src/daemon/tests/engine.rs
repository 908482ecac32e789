//! An engine in memory.

use super::{agent, dice::Fate, state::World, things::Container};
use crate::{
    daemon::outside::Engine,
    model::Limits,
    runtime::{
        Accounts, EngineEvent, Helper, HelperSpec, HostFolders, Image, Listed, Own, RuntimeError,
        Started, WorkerSpec, labels,
    },
};
use futures_util::{
    future::BoxFuture,
    stream::{self, BoxStream, StreamExt},
};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// The instance's name.
pub const INSTANCE: &str = "world";

#[derive(Debug)]
pub struct FakeEngine(pub Arc<World>);

type Answer<T> = Result<T, RuntimeError>;

fn away() -> RuntimeError {
    RuntimeError::Unreachable {
        endpoint: "fake".to_owned(),
        reason: "it is away".to_owned(),
    }
}

fn refused(doing: &'static str, message: &str) -> RuntimeError {
    RuntimeError::Refused {
        doing,
        status: 500,
        message: message.to_owned(),
    }
}

fn gone(container: &str) -> RuntimeError {
    RuntimeError::NoContainer(container.to_owned())
}

impl FakeEngine {
    /// A call begins: its fate, unless it comes to nothing already.
    async fn call(&self, doing: &'static str, often: bool) -> Answer<Fate> {
        if !self.0.lock().engine_up {
            tokio::time::sleep(Duration::from_millis(1)).await;
            return Err(away());
        }
        match self.0.begin(doing, often).await {
            Fate::Fail => Err(refused(doing, "chance")),
            _ if !self.0.lock().engine_up => Err(away()),
            fate => Ok(fate),
        }
    }

    /// It was carried out: what is answered.
    async fn answer<T>(&self, doing: &'static str, fate: Fate, value: Answer<T>) -> Answer<T> {
        self.0.end(doing, fate).await;
        if fate == Fate::Lost {
            return Err(RuntimeError::TimedOut { doing, seconds: 1 });
        }
        value
    }

    async fn plain<T>(&self, doing: &'static str, value: T) -> Answer<T> {
        let fate = self.call(doing, true).await?;
        self.answer(doing, fate, Ok(value)).await
    }

    fn make(&self, spec: &WorkerSpec) -> Answer<Started> {
        const DOING: &str = "creating a container";
        let mut inner = self.0.lock();
        let name = spec.container_name();
        let worker = spec.id.to_string();
        if inner.containers.values().any(|c| c.name == name) {
            return Err(refused(DOING, "the name is in use"));
        }
        if let Some(other) = inner.containers.values().find(|c| c.uid == spec.uid) {
            let other = other.worker.clone();
            let uid = spec.uid;
            inner.wrong(format!("{worker} and {other} both have the uid {uid}"));
        }
        let ruled = inner.rules.get(&spec.uid).map(|rule| &rule.egress);
        if !spec.egress.is_open() && ruled != Some(&spec.egress) {
            inner.wrong(format!("{worker} starts without its rules"));
        }
        let engine_project = spec.project.as_ref().map(|p| PathBuf::from(&p.source));
        if let Some(path) = &engine_project
            && !inner.projects.get(path).is_some_and(|p| p.there)
        {
            return Err(refused(DOING, "bind source path does not exist"));
        }
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let serial = inner.serial();
        let container = Container {
            id: format!("c{serial:08}"),
            name,
            image: spec.image.clone(),
            worker: worker.clone(),
            uid: spec.uid,
            labels: HashMap::from([
                label(labels::INSTANCE, &spec.instance),
                label(labels::ROLE, "worker"),
                label(labels::WORKER, &worker),
                label(labels::PROFILE, &spec.profile),
                label(labels::SPEC, &spec.spec),
                label(labels::CONFINEMENT, &spec.confinement),
                label(labels::UID, &spec.uid.to_string()),
                label(labels::EGRESS, &spec.egress.to_string()),
                label(labels::SECURITY, spec.security.as_str()),
                label(labels::NETWORK, spec.network.as_str()),
                label(labels::RUNTIME, ""),
            ]),
            running: true,
            paused: false,
            pid: i32::try_from(serial).unwrap() + 1000,
            created_s: i64::try_from(inner.now_ms() / 1000).unwrap(),
            netns: self.0.netns,
            engine_project,
            mount: None,
            sessions: Vec::new(),
            tag: None,
            liar: false,
        };
        let started = Started {
            container: container.id.clone(),
            pid: container.pid,
        };
        inner.say(&format!(
            "created {} for {worker}, uid {}",
            container.id, spec.uid
        ));
        inner.containers.insert(container.id.clone(), container);
        inner.hint("start", &worker);
        drop(inner);
        agent::spawn(&self.0, &started.container);
        Ok(started)
    }

    fn drop_container(&self, container: &str) {
        let mut inner = self.0.lock();
        inner.note(|| format!("{container} is to be removed"));
        inner.judge_end(container, "removal");
        inner.kill(container);
        if let Some(found) = inner.containers.remove(container) {
            inner.say(&format!("removed {container} of {}", found.worker));
            inner.hint("destroy", &found.worker);
        }
    }
}

fn image() -> Image {
    Image {
        id: "sha256:image".to_owned(),
        env: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
    }
}

impl Engine for FakeEngine {
    fn version(&self) -> BoxFuture<'_, Answer<(String, String, String)>> {
        let value = ("fake".to_owned(), "1".to_owned(), "1.44".to_owned());
        Box::pin(self.plain("asking for the version", value))
    }

    fn data_root(&self) -> BoxFuture<'_, Answer<Option<PathBuf>>> {
        Box::pin(self.plain("asking for the data root", Some(PathBuf::from("/engine"))))
    }

    fn missing_part(&self) -> BoxFuture<'_, Answer<Option<String>>> {
        Box::pin(self.plain("asking for the parts", None))
    }

    fn list<'a>(&'a self, _instance: &'a str) -> BoxFuture<'a, Answer<Vec<Listed>>> {
        Box::pin(async move {
            const DOING: &str = "listing containers";
            let early = {
                let inner = &mut *self.0.lock();
                inner.dice.chance(500).then(|| listed(&inner.containers))
            };
            let fate = self.call(DOING, true).await?;
            let found = early.unwrap_or_else(|| listed(&self.0.lock().containers));
            let brief = |c: &Listed| (c.container.clone(), c.name.clone(), c.running, c.paused);
            let shown = || found.iter().map(brief).collect::<Vec<_>>();
            self.0.note(|| format!("listed {:?}", shown()));
            self.answer(DOING, fate, Ok(found)).await
        })
    }

    fn find_worker<'a>(
        &'a self,
        _instance: &'a str,
        worker: &'a str,
    ) -> BoxFuture<'a, Answer<Option<String>>> {
        Box::pin(async move {
            const DOING: &str = "looking for a worker";
            let fate = self.call(DOING, false).await?;
            let found = self.0.lock().container_of(worker).map(|c| c.id.clone());
            self.answer(DOING, fate, Ok(found)).await
        })
    }

    fn create_worker<'a>(
        &'a self,
        spec: &'a WorkerSpec,
        _host: &'a HostFolders,
    ) -> BoxFuture<'a, Answer<Started>> {
        Box::pin(async move {
            const DOING: &str = "creating a container";
            let fate = self.call(DOING, false).await?;
            let started = self.make(spec);
            self.answer(DOING, fate, started).await
        })
    }

    fn remove<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move {
            const DOING: &str = "removing a container";
            let fate = self.call(DOING, false).await?;
            self.drop_container(container);
            self.answer(DOING, fate, Ok(())).await
        })
    }

    fn rename<'a>(&'a self, container: &'a str, name: &'a str) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move {
            const DOING: &str = "renaming a container";
            let fate = self.call(DOING, false).await?;
            let renamed = {
                let mut inner = self.0.lock();
                inner.note(|| format!("{container} is to be {name}"));
                let taken = inner.containers.values().any(|c| c.name == name);
                match inner.containers.get_mut(container) {
                    None => Err(gone(container)),
                    Some(found) if found.name != name && taken => {
                        Err(refused(DOING, "the name is in use"))
                    }
                    Some(found) => {
                        name.clone_into(&mut found.name);
                        Ok(())
                    }
                }
            };
            self.answer(DOING, fate, renamed).await
        })
    }

    fn pause<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Answer<()>> {
        Box::pin(self.freeze(container, true))
    }

    fn unpause<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Answer<()>> {
        Box::pin(self.freeze(container, false))
    }

    fn update_limits<'a>(
        &'a self,
        container: &'a str,
        _limits: Limits,
    ) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async move {
            const DOING: &str = "changing limits";
            let fate = self.call(DOING, false).await?;
            let there = self.0.lock().containers.contains_key(container);
            let done = there.then_some(()).ok_or_else(|| gone(container));
            self.answer(DOING, fate, done).await
        })
    }

    fn host_pid<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Answer<i32>> {
        Box::pin(async move {
            const DOING: &str = "inspecting a container";
            let fate = self.call(DOING, false).await?;
            let pid = match self.0.lock().containers.get(container) {
                None => Err(gone(container)),
                Some(found) if !found.running => Err(RuntimeError::Other {
                    doing: DOING,
                    message: "it does not run".to_owned(),
                }),
                Some(found) => Ok(found.pid),
            };
            self.answer(DOING, fate, pid).await
        })
    }

    fn image<'a>(&'a self, _image: &'a str) -> BoxFuture<'a, Answer<Option<Image>>> {
        Box::pin(async move {
            const DOING: &str = "inspecting an image";
            let fate = self.call(DOING, true).await?;
            let found = self.0.lock().image_there.then(image);
            self.answer(DOING, fate, Ok(found)).await
        })
    }

    fn ensure_image<'a>(&'a self, name: &'a str, _pull: bool) -> BoxFuture<'a, Answer<Image>> {
        Box::pin(async move {
            const DOING: &str = "inspecting an image";
            let fate = self.call(DOING, true).await?;
            let found = self.0.lock().image_there.then(image);
            let found = found.ok_or_else(|| RuntimeError::NoImage {
                image: name.to_owned(),
                advice: "none".to_owned(),
            });
            self.answer(DOING, fate, found).await
        })
    }

    fn accounts<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Answer<Accounts>> {
        Box::pin(self.plain("reading accounts", Accounts::default()))
    }

    fn isolated_network<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Answer<String>> {
        Box::pin(self.plain("making a network", "net".to_owned()))
    }

    fn create_helper<'a>(&'a self, spec: &'a HelperSpec) -> BoxFuture<'a, Answer<Started>> {
        Box::pin(async move {
            const DOING: &str = "creating a helper";
            let fate = self.call(DOING, false).await?;
            let started = {
                let mut inner = self.0.lock();
                let serial = inner.serial();
                match spec.helper {
                    Helper::Mounter => inner.mounter_up = true,
                    Helper::Guard => (inner.guard, inner.guard_ready) = (Some(serial), false),
                    Helper::Installer => {}
                }
                Started {
                    container: format!("h{serial:08}"),
                    pid: 1,
                }
            };
            self.answer(DOING, fate, Ok(started)).await
        })
    }

    fn remove_helpers<'a>(
        &'a self,
        _instance: &'a str,
        helper: Helper,
        but: Option<&'a str>,
    ) -> BoxFuture<'a, Answer<usize>> {
        Box::pin(async move {
            const DOING: &str = "removing helpers";
            let fate = self.call(DOING, false).await?;
            if but.is_none() {
                let mut inner = self.0.lock();
                match helper {
                    Helper::Mounter => inner.mounter_up = false,
                    Helper::Guard => inner.guard = None,
                    Helper::Installer => {}
                }
            }
            self.answer(DOING, fate, Ok(0)).await
        })
    }

    fn run_installer<'a>(&'a self, _: &'a HelperSpec) -> BoxFuture<'a, Answer<(i64, String)>> {
        Box::pin(self.plain("installing", (1, "not here".to_owned())))
    }

    fn own<'a>(&'a self, state: &'a Path) -> BoxFuture<'a, Answer<Own>> {
        let own = Own {
            id: "parent".to_owned(),
            name: INSTANCE.to_owned(),
            image: "podbay".to_owned(),
            state_on_host: state.to_owned(),
            engine_socket: None,
            pid: 1,
        };
        Box::pin(self.plain("finding the own container", own))
    }

    fn events<'a>(&'a self, _instance: &'a str) -> BoxStream<'a, Answer<EngineEvent>> {
        let mut inner = self.0.lock();
        if !inner.engine_up {
            return stream::once(async { Err(away()) }).boxed();
        }
        let (to, from) = tokio::sync::mpsc::unbounded_channel();
        inner.life.events.push(to);
        stream::unfold(from, |mut from| async move {
            let event = from.recv().await?;
            Some((Ok(event), from))
        })
        .boxed()
    }

    fn socket(&self) -> &Path {
        Path::new("/nowhere/engine.sock")
    }

    fn endpoint(&self) -> &str {
        "fake"
    }
}

impl FakeEngine {
    async fn freeze(&self, container: &str, paused: bool) -> Answer<()> {
        const DOING: &str = "pausing or unpausing";
        let fate = self.call(DOING, false).await?;
        let done = {
            let mut inner = self.0.lock();
            match inner.containers.get_mut(container) {
                Some(found) if found.running => {
                    found.paused = paused;
                    let worker = found.worker.clone();
                    inner.hint(if paused { "pause" } else { "unpause" }, &worker);
                    Ok(())
                }
                Some(_) => Err(refused(DOING, "it does not run")),
                None => Err(gone(container)),
            }
        };
        self.0.changed.notify_waiters();
        self.answer(DOING, fate, done).await
    }
}

fn listed(containers: &BTreeMap<String, Container>) -> Vec<Listed> {
    containers
        .values()
        .map(|c| Listed {
            container: c.id.clone(),
            name: c.name.clone(),
            image: c.image.clone(),
            running: c.running && !c.paused,
            paused: c.running && c.paused,
            created_s: c.created_s,
            labels: c.labels.clone(),
        })
        .collect()
}
