//! Gets what tabs and dialogs ask for, each in a task of its own; the result is a message.
//! One stream of output and one question for folders at a time: a newer one ends the one before.

use crate::{
    client::{Client, ClientError},
    dashboard::{
        app::{
            effect::Fetch,
            failure::Failure,
            message::{Fetched, LogLines, Msg},
        },
        dialogs::spawn::request::typable,
        pages::logs::assembler::Assembler,
    },
    model::HostPath,
    wire::LogsQuery,
};
use bytes::Bytes;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

/// Lines of a recording that are read at first.
const TAIL: u64 = 5_000;
/// How long lines are gathered before they are shown.
const GATHER: Duration = Duration::from_millis(50);
/// How long the beginning of a recording may take before it counts as empty so far.
const FIRST: Duration = Duration::from_secs(1);
/// Bytes that are gathered at most before they are shown.
const GATHERED: usize = 4 << 20;
/// First and longest wait before a broken stream is opened again.
pub const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));

/// Carries fetches out.
pub struct Fetcher {
    client: Client,
    to: mpsc::Sender<Msg>,
    logs: Option<Ended>,
    folders: Option<Ended>,
}

/// A task that ends with this.
struct Ended(JoinHandle<()>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Fetcher {
    /// What is fetched goes to `to`.
    pub fn new(client: Client, to: mpsc::Sender<Msg>) -> Self {
        Self {
            client,
            to,
            logs: None,
            folders: None,
        }
    }

    /// Begins to get something, and returns immediately.
    pub fn fetch(&mut self, fetch: Fetch) {
        let (client, to) = (self.client.clone(), self.to.clone());
        match fetch {
            Fetch::Changes { worker } => {
                tokio::spawn(async move {
                    let changes = client.changes(&worker, None).await;
                    let changes = changes.map_err(Failure::from);
                    send(&to, Fetched::Changes { worker, changes }).await;
                });
            }
            Fetch::Diff { worker, path } => {
                tokio::spawn(async move {
                    let diff = client.diff(&worker, Some(&path)).await;
                    let diff = diff.map(|found| found.diffs).map_err(Failure::from);
                    send(&to, Fetched::Diff { worker, path, diff }).await;
                });
            }
            Fetch::Logs { worker } => {
                self.logs = worker.map(|worker| Ended(tokio::spawn(logs(client, to, worker))));
            }
            Fetch::Folders { path } => {
                self.folders = Some(Ended(tokio::spawn(async move {
                    let folders = client.folders(&HostPath::new(path.as_str())).await;
                    let folders = folders
                        .map(|found| {
                            let found = found.folders.iter();
                            found.filter_map(|f| typable(&f.path)).collect()
                        })
                        .map_err(Failure::from);
                    send(&to, Fetched::Folders { path, folders }).await;
                })));
            }
            Fetch::Recent => {
                tokio::spawn(async move {
                    // Who does not get them types.
                    if let Ok(projects) = client.recent_projects().await {
                        let recent = projects.recent.iter().filter_map(typable);
                        send(&to, Fetched::Recent(recent.collect())).await;
                    }
                });
            }
        }
    }
}

/// Says whether someone still listens.
async fn send(to: &mpsc::Sender<Msg>, fetched: Fetched) -> bool {
    to.send(Msg::Fetched(Box::new(fetched))).await.is_ok()
}

/// Follows a session's output until it ends; opens the stream again when it breaks.
pub async fn logs(client: Client, to: mpsc::Sender<Msg>, worker: String) {
    let mut wait = RETRY.0;
    loop {
        let error = match stream(&client, &to, &worker, &mut wait).await {
            Ok(()) => return,
            Err(error) => error,
        };
        let transient = error.is_transient();
        let lines = Err(Failure::from(error));
        let worker = worker.clone();
        if !send(&to, Fetched::Logs { worker, lines }).await || !transient {
            return;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY.1);
    }
}

/// One stream, until the session ended or nobody listens.
async fn stream(
    client: &Client,
    to: &mpsc::Sender<Msg>,
    worker: &str,
    wait: &mut Duration,
) -> Result<(), ClientError> {
    let query = LogsQuery {
        follow: true,
        tail: Some(TAIL),
        ..LogsQuery::default()
    };
    let mut bytes = client.logs(worker, &query).await?;
    *wait = RETRY.0;
    let mut assembler = Assembler::default();
    let mut fresh = true;
    let lines = |lines: LogLines| Fetched::Logs {
        worker: worker.to_owned(),
        lines: Ok(lines),
    };
    loop {
        // A session that has not written anything yet sends nothing, not even an end.
        let first = match fresh {
            true => timeout(FIRST, bytes.next())
                .await
                .unwrap_or_else(|_| Some(Ok(Bytes::new()))),
            false => bytes.next().await,
        };
        let mut ended = first.is_none();
        let mut broken = None;
        if let Some(piece) = first {
            let piece = piece?;
            let mut gathered = piece.len();
            assembler.push(&piece);
            let more = async {
                while gathered < GATHERED {
                    match bytes.next().await {
                        None => return Ok(true),
                        Some(Ok(piece)) => {
                            gathered += piece.len();
                            assembler.push(&piece);
                        }
                        Some(Err(error)) => return Err(error),
                    }
                }
                Ok(false)
            };
            match timeout(GATHER, more).await {
                Ok(Ok(end)) => ended = end,
                Ok(Err(error)) => broken = Some(error),
                Err(_) => {}
            }
        }
        let mut drained = assembler.drain(fresh);
        drained.ended = ended;
        let new = fresh || ended || drained.replace > 0 || !drained.lines.is_empty();
        fresh = false;
        if new && !send(to, lines(drained)).await || ended {
            return Ok(());
        }
        if let Some(error) = broken {
            return Err(error);
        }
    }
}

#[cfg(test)]
#[path = "fetch_tests.rs"]
mod tests;
