//! Calls of the coordinator, each in a task of its own; the result comes back as a message.

use crate::{
    client::{Client, ClientError},
    dashboard::app::{
        effect::Call,
        failure::Failure,
        message::{CallDone, Fetched, Msg},
    },
    model::caller_env,
    wire::{
        ApplyRequest, DiscardRequest, ExecRequest, ScaleRequest, SpawnRequest, SpawnResponse,
        StopRequest,
    },
};
use podbay_protocol::{SessionIo, Size};
use std::{collections::BTreeMap, future::Future, time::Duration};
use tokio::sync::mpsc;

/// Between a line and its Enter.
const BEFORE_ENTER: Duration = Duration::from_millis(150);

/// Starts a call; its end is reported under `what`.
pub fn start(client: &Client, to: &mpsc::Sender<Msg>, what: String, call: Call) {
    let (client, to) = (client.clone(), to.clone());
    tokio::spawn(async move {
        let done = answer(&client, &to, call)
            .await
            .unwrap_or_else(|error| CallDone::Failed(Failure::from(error)));
        send(&to, Msg::CallDone { what, done }).await;
    });
}

/// A dashboard that ended wants to know nothing.
async fn send(to: &mpsc::Sender<Msg>, msg: Msg) {
    drop(to.send(msg).await);
}

async fn answer(
    client: &Client,
    to: &mpsc::Sender<Msg>,
    call: Call,
) -> Result<CallDone, ClientError> {
    Ok(match call {
        Call::Spawn(mut request) => {
            request.caller_env = own_env();
            spawn(client, &request).await?
        }
        Call::Stop(workers) => {
            let request = StopRequest::default();
            each(workers, "stopped", |id| {
                let (client, request) = (client.clone(), request.clone());
                async move { client.stop(&id, &request).await.map(drop) }
            })
            .await?
        }
        Call::Remove(workers) => {
            each(workers, "removed", |id| {
                let client = client.clone();
                async move { client.remove(&id, false).await }
            })
            .await?
        }
        Call::Restart(workers) => {
            each(workers, "restarted", |id| {
                let client = client.clone();
                async move { client.restart(&id, &StopRequest::default()).await.map(drop) }
            })
            .await?
        }
        Call::StopAll => {
            let names = client.stop_all(&StopRequest::default()).await?;
            CallDone::Done(match names.len() {
                1 => "1 worker stopped".to_owned(),
                n => format!("{n} workers stopped"),
            })
        }
        Call::Apply {
            worker,
            paths,
            force,
        } => {
            let request = ApplyRequest { paths, force };
            let result = client.apply(&worker, &request).await;
            let result = result.map_err(Failure::from);
            let applied = Fetched::Applied { worker, result };
            send(to, Msg::Fetched(Box::new(applied))).await;
            CallDone::Quiet
        }
        Call::Discard { worker, paths } => {
            let left = client.discard(&worker, &DiscardRequest { paths }).await;
            let left = left.map_err(Failure::from);
            let discarded = Fetched::Discarded { worker, left };
            send(to, Msg::Fetched(Box::new(discarded))).await;
            CallDone::Quiet
        }
        Call::Shell { id } => {
            let request = ExecRequest {
                argv: vec!["/bin/sh".to_owned()],
                env: [].into(),
                caller_env: own_env(),
                io: SessionIo::Pty {
                    size: Size::default(),
                },
                root: false,
            };
            let session = client.exec(&id, &request).await?.session;
            CallDone::Shell { id, session }
        }
        Call::Reply { id, name, line } => {
            client.input(&id, line.into_bytes()).await?;
            // Some programs take text and Enter in one piece for a paste, and wait.
            tokio::time::sleep(BEFORE_ENTER).await;
            client.input(&id, "\r").await?;
            CallDone::Done(format!("{name} was answered"))
        }
        Call::Scale { profile, min, max } => {
            let request = ScaleRequest {
                min_warm: min,
                max_warm: max,
            };
            let pool = client.scale(&profile, &request).await?;
            CallDone::Done(format!(
                "pool {profile}: {} to {} warm",
                pool.min_warm, pool.max_warm
            ))
        }
        Call::Pause { profile, paused } => {
            match paused {
                true => client.pause(&profile).await?,
                false => client.resume(&profile).await?,
            };
            let how = if paused { "paused" } else { "goes on" };
            CallDone::Done(format!("refilling {profile} {how}"))
        }
        Call::Rename { id, name } => {
            let worker = client.rename(&id, &name).await?;
            CallDone::Done(format!("it is {} now", worker.name))
        }
        Call::Seen { id } => {
            client.seen(&id).await?;
            CallDone::Quiet
        }
    })
}

/// The variables of the dashboard's own terminal that a session gets.
fn own_env() -> BTreeMap<String, String> {
    caller_env(true, |name| std::env::var(name).ok())
}

async fn spawn(client: &Client, request: &SpawnRequest) -> Result<CallDone, ClientError> {
    let SpawnResponse {
        worker,
        warm,
        cold_reason,
        timings,
        warnings,
    } = client.spawn(request).await?;
    Ok(CallDone::Spawned {
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

/// The same for several workers together. Fails when one failed, and says which.
async fn each<F: Future<Output = Result<(), ClientError>>>(
    workers: Vec<(String, String)>,
    verb: &str,
    one: impl Fn(String) -> F,
) -> Result<CallDone, ClientError> {
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
        return Ok(CallDone::Done(match done.as_slice() {
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
    Ok(CallDone::Failed(Failure {
        message: format!("{} of {count} not {verb}: {}", said.len(), said.join("; ")),
        hint,
    }))
}
