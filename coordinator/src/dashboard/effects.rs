//! Calls of the coordinator, each beside the loop: what they came to comes back as a message.

use super::event::{Act, ActionDone, Failure, Fetched, Msg};
use crate::{
    client::{Client, ClientError},
    wire::{
        ApplyRequest, DiscardRequest, ExecRequest, ScaleRequest, SpawnRequest, SpawnResponse,
        StopRequest,
    },
};
use podbay_protocol::{SessionIo, Size};
use std::{future::Future, time::Duration};
use tokio::sync::mpsc;

/// Between a line and its Enter.
const BEFORE_ENTER: Duration = Duration::from_millis(150);

/// Starts a call; its end is reported under `what`.
pub fn act(client: &Client, to: &mpsc::Sender<Msg>, what: String, act: Act) {
    let (client, to) = (client.clone(), to.clone());
    tokio::spawn(async move {
        let done = call(&client, &to, act)
            .await
            .unwrap_or_else(|error| ActionDone::Failed(Failure::from(error)));
        tell(&to, Msg::ActionDone { what, done }).await;
    });
}

/// A dashboard that ended wants to know nothing.
async fn tell(to: &mpsc::Sender<Msg>, msg: Msg) {
    drop(to.send(msg).await);
}

async fn call(
    client: &Client,
    to: &mpsc::Sender<Msg>,
    act: Act,
) -> Result<ActionDone, ClientError> {
    Ok(match act {
        Act::Spawn(request) => spawn(client, &request).await?,
        Act::Stop(workers) => {
            let request = StopRequest::default();
            each(workers, "stopped", |id| {
                let (client, request) = (client.clone(), request.clone());
                async move { client.stop(&id, &request).await.map(drop) }
            })
            .await?
        }
        Act::Remove(workers) => {
            each(workers, "removed", |id| {
                let client = client.clone();
                async move { client.remove(&id, false).await }
            })
            .await?
        }
        Act::Restart(workers) => {
            each(workers, "restarted", |id| {
                let client = client.clone();
                async move { client.restart(&id, &StopRequest::default()).await.map(drop) }
            })
            .await?
        }
        Act::StopAll => {
            let names = client.stop_all(&StopRequest::default()).await?;
            ActionDone::Done(match names.len() {
                1 => "1 worker stopped".to_owned(),
                n => format!("{n} workers stopped"),
            })
        }
        Act::Apply {
            worker,
            paths,
            force,
        } => {
            let request = ApplyRequest { paths, force };
            let result = client.apply(&worker, &request).await;
            let result = result.map_err(Failure::from);
            let applied = Fetched::Applied { worker, result };
            tell(to, Msg::Fetched(Box::new(applied))).await;
            ActionDone::Quiet
        }
        Act::Discard { worker, paths } => {
            let left = client.discard(&worker, &DiscardRequest { paths }).await;
            let left = left.map_err(Failure::from);
            let discarded = Fetched::Discarded { worker, left };
            tell(to, Msg::Fetched(Box::new(discarded))).await;
            ActionDone::Quiet
        }
        Act::Shell { id } => {
            let request = ExecRequest {
                argv: vec!["/bin/sh".to_owned()],
                env: [].into(),
                io: SessionIo::Pty {
                    size: Size::default(),
                },
                root: false,
            };
            let session = client.exec(&id, &request).await?.session;
            ActionDone::Shell { id, session }
        }
        Act::Reply { id, name, line } => {
            client.input(&id, line.into_bytes()).await?;
            // Some programs take text and Enter in one piece for a paste, and wait.
            tokio::time::sleep(BEFORE_ENTER).await;
            client.input(&id, "\r").await?;
            ActionDone::Done(format!("{name} was answered"))
        }
        Act::Scale { profile, min, max } => {
            let request = ScaleRequest {
                min_warm: min,
                max_warm: max,
            };
            let pool = client.scale(&profile, &request).await?;
            ActionDone::Done(format!(
                "pool {profile}: {} to {} warm",
                pool.min_warm, pool.max_warm
            ))
        }
        Act::Pause { profile, paused } => {
            match paused {
                true => client.pause(&profile).await?,
                false => client.resume(&profile).await?,
            };
            let how = if paused { "paused" } else { "goes on" };
            ActionDone::Done(format!("refilling {profile} {how}"))
        }
        Act::Rename { id, name } => {
            let worker = client.rename(&id, &name).await?;
            ActionDone::Done(format!("it is {} now", worker.name))
        }
        Act::Seen { id } => {
            client.seen(&id).await?;
            ActionDone::Quiet
        }
    })
}

async fn spawn(client: &Client, request: &SpawnRequest) -> Result<ActionDone, ClientError> {
    let SpawnResponse {
        worker,
        warm,
        cold_reason,
        timings,
        warnings,
    } = client.spawn(request).await?;
    Ok(ActionDone::Spawned {
        id: worker.id,
        name: worker.name,
        cold_reason: match warm {
            true => None,
            false => Some(cold_reason.unwrap_or_else(|| "asked for".to_owned())),
        },
        total_us: timings.total_us,
        warnings,
    })
}

/// The same for several workers at once. Fails when one failed, and says which.
async fn each<F: Future<Output = Result<(), ClientError>>>(
    workers: Vec<(String, String)>,
    verb: &str,
    one: impl Fn(String) -> F,
) -> Result<ActionDone, ClientError> {
    let count = workers.len();
    let calls = workers.into_iter().map(|(id, name)| {
        let call = one(id);
        async move { (name, call.await) }
    });
    let mut done = Vec::new();
    let mut failed: Vec<(String, ClientError)> = Vec::new();
    for (name, result) in futures_util::future::join_all(calls).await {
        match result {
            Ok(()) => done.push(name),
            Err(error) => failed.push((name, error)),
        }
    }
    if failed.is_empty() {
        return Ok(ActionDone::Done(match done.as_slice() {
            [name] => format!("{name} {verb}"),
            _ => format!("{count} workers {verb}"),
        }));
    }
    if count == 1
        && let Some((_, error)) = failed.pop()
    {
        return Err(error);
    }
    let hint = failed.iter().find_map(|(_, error)| error.hint());
    let said: Vec<String> = failed
        .into_iter()
        .map(|(name, error)| format!("{name}: {error}"))
        .collect();
    Ok(ActionDone::Failed(Failure {
        message: format!("{} of {count} not {verb}: {}", said.len(), said.join("; ")),
        hint,
    }))
}
