//! The engine without Podbay: containers of the workers' shape, created and started and nothing
//! else.

use crate::{instance::Bench, rivals::LABEL};
use bollard::models::{ContainerCreateBody, HostConfig};
use coordinator::cli::Failure;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

/// What a worker is made of, with folders of the bench's own in place of the worker's.
#[derive(Debug, Clone)]
pub struct Shape(ContainerCreateBody);

impl Shape {
    /// That of a warm worker, of which there must be one.
    pub async fn of_warm(bench: &Bench) -> Result<Self, Failure> {
        let gone = || Failure::new(1, "no warm worker to take the shape of");
        let worker = bench.warm().await?.into_iter().next().ok_or_else(gone)?;
        let container = worker.container.as_deref().ok_or_else(gone)?;
        let found = bench.engine.container(container).await?.ok_or_else(gone)?;
        let config = found.config.ok_or_else(gone)?;
        let mut host = found.host_config.ok_or_else(gone)?;
        let own = format!("/workers/{}/", worker.id);
        for mount in host.mounts.iter_mut().flatten() {
            let source = mount.source.clone().unwrap_or_default();
            if let Some((_, name)) = source.split_once(&own) {
                let folder = bench.scratch.folder(&format!("worker/{name}"))?;
                mount.source = Some(folder.to_string_lossy().into_owned());
            }
        }
        Ok(Self(ContainerCreateBody {
            image: config.image,
            env: config.env,
            user: config.user,
            working_dir: config.working_dir,
            // An agent without a coordinator would spend its time dialling.
            entrypoint: Some(vec!["/bin/sleep".to_owned()]),
            cmd: Some(vec!["600".to_owned()]),
            labels: Some(HashMap::from([(LABEL.to_owned(), bench.run.clone())])),
            host_config: Some(HostConfig {
                container_id_file: None,
                console_size: None,
                ..host
            }),
            ..ContainerCreateBody::default()
        }))
    }

    /// Creates and starts one; its name and the time.
    pub async fn run(&self, bench: &Bench) -> Result<(String, Duration), Failure> {
        let name = bench.name();
        let began = Instant::now();
        bench.engine.create(&name, self.0.clone()).await?;
        bench.engine.start(&name).await?;
        Ok((name, began.elapsed()))
    }

    /// Creates and starts `n`, at most `parallel` at once; removes them, and gives the time until
    /// the last one ran.
    pub async fn run_many(
        &self,
        bench: &Bench,
        n: usize,
        parallel: usize,
    ) -> Result<Duration, Failure> {
        let names: Vec<String> = (0..n).map(|_| bench.name()).collect();
        let slots = Arc::new(tokio::sync::Semaphore::new(parallel));
        let began = Instant::now();
        let mut under_way = JoinSet::new();
        for name in names.clone() {
            let (slots, engine, body) = (slots.clone(), bench.engine.clone(), self.0.clone());
            under_way.spawn(async move {
                let _slot = slots.acquire().await;
                engine.create(&name, body).await?;
                engine.start(&name).await
            });
        }
        let mut outcome = Ok(());
        while let Some(done) = under_way.join_next().await {
            let done = done.map_err(|error| Failure::new(1, error.to_string()))?;
            outcome = outcome.and(done.map_err(Failure::from));
        }
        let took = began.elapsed();
        remove(bench, names).await?;
        outcome.map(|()| took)
    }
}

/// Removes containers, all at once.
pub async fn remove(bench: &Bench, names: Vec<String>) -> Result<(), Failure> {
    let mut removals = JoinSet::new();
    for name in names {
        let engine = bench.engine.clone();
        removals.spawn(async move { engine.remove(&name, 0).await });
    }
    while let Some(removed) = removals.join_next().await {
        removed.map_err(|error| Failure::new(1, error.to_string()))??;
    }
    Ok(())
}
