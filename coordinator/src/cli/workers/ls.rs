//! `podbay ls`.

use crate::{
    cli::{
        Failure, Globals,
        output::{
            term::{self, Paint},
            text::{self, Cell, Table},
        },
    },
    client::Client,
    model::WorkerState,
    wire::{EventBody, WorkerView},
};
use clap::Args;
use podbay_protocol::ActivityState;
use std::{collections::BTreeMap, process::ExitCode, time::Duration};

/// `podbay ls`.
#[derive(Debug, Clone, Args)]
pub struct LsArgs {
    /// Finished workers too.
    #[arg(short, long)]
    all: bool,
    /// Only the names.
    #[arg(short, long)]
    quiet: bool,
    /// Go on, printing the list again at each change.
    #[arg(short, long)]
    watch: bool,
    /// Print JSON: one array, or one a line with --watch.
    #[arg(long)]
    pub json: bool,
}

/// Between two printings of a watch, so that a burst of changes is one.
const SETTLE: Duration = Duration::from_millis(100);
/// A watch prints at least so often, for the ages.
const REFRESH: Duration = Duration::from_secs(5);

pub(in crate::cli) async fn run(globals: &Globals, args: &LsArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    if args.watch {
        return watch(&client, args).await;
    }
    let mut workers = client.workers(args.all).await?;
    sort(&mut workers);
    show(&workers, args)?;
    Ok(ExitCode::SUCCESS)
}

/// Claimed ones first, each group by name.
fn sort(workers: &mut [WorkerView]) {
    workers
        .sort_by(|a, b| (a.claimed_ms.is_none(), &a.name).cmp(&(b.claimed_ms.is_none(), &b.name)));
}

async fn watch(client: &Client, args: &LsArgs) -> Result<ExitCode, Failure> {
    loop {
        let mut events = client.events().await?;
        let mut workers: BTreeMap<String, WorkerView> = BTreeMap::new();
        let mut due: Option<tokio::time::Instant> = None;
        loop {
            let wait = due.unwrap_or_else(|| tokio::time::Instant::now() + REFRESH);
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => {
                        take(&mut workers, event?.body);
                        due.get_or_insert_with(|| tokio::time::Instant::now() + SETTLE);
                    }
                    None => break,
                },
                () = tokio::time::sleep_until(wait) => {
                    due = None;
                    let mut list: Vec<WorkerView> =
                        workers.values().filter(|worker| args.all || !finished(worker)).cloned().collect();
                    sort(&mut list);
                    if term::stdout_is_tty() && !args.json {
                        term::print("\x1b[H\x1b[2J")?;
                    }
                    show(&list, args)?;
                }
            }
        }
        term::note("podbay: the coordinator went away; waiting for it");
        wait_for(client).await?;
    }
}

/// Waits until the coordinator answers again, for a minute.
async fn wait_for(client: &Client) -> Result<(), Failure> {
    let give_up = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        match client.version().await {
            Ok(_) => return Ok(()),
            Err(error) if !error.is_transient() || tokio::time::Instant::now() >= give_up => {
                return Err(error.into());
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
}

fn finished(worker: &WorkerView) -> bool {
    worker.state == WorkerState::Exited
}

fn take(workers: &mut BTreeMap<String, WorkerView>, event: EventBody) {
    match event {
        EventBody::Hello { workers: all, .. } => {
            *workers = all
                .into_iter()
                .map(|worker| (worker.id.clone(), worker))
                .collect();
        }
        EventBody::Worker { worker } => {
            workers.insert(worker.id.clone(), *worker);
        }
        EventBody::Removed { id, .. } => {
            workers.remove(&id);
        }
        EventBody::Pool { .. } | EventBody::Notification { .. } | EventBody::Engine { .. } => {}
    }
}

fn show(workers: &[WorkerView], args: &LsArgs) -> std::io::Result<()> {
    if args.json && args.watch {
        let line = serde_json::to_string(workers).map_err(std::io::Error::other)?;
        return term::print(&format!("{line}\n"));
    }
    if args.json {
        return term::print_json(&workers);
    }
    if args.quiet {
        let names: String = workers
            .iter()
            .map(|worker| format!("{}\n", text::escape(&worker.name)))
            .collect();
        return term::print(&names);
    }
    term::print(&table(workers, text::now_ms()).render(term::width(), term::colours()))
}

fn table(workers: &[WorkerView], now_ms: u64) -> Table {
    let head = [
        "NAME",
        "STATE",
        "ACTIVITY",
        "PROFILE",
        "ISOLATION",
        "AGE",
        "MEM",
        "PROJECT",
        "COMMAND",
    ];
    let refused = workers.iter().any(|worker| worker.egress_denied.is_some());
    let paused = workers.iter().any(|worker| worker.paused.is_some());
    let head: Vec<&'static str> = head
        .into_iter()
        .chain(refused.then_some("REFUSED"))
        .chain(paused.then_some("PAUSED"))
        .collect();
    let mut table = Table::new(&head, &[8, 7, 2, 3, 0]);
    for worker in workers {
        let (state, paint) = state(worker);
        let (activity, activity_paint) = activity(worker);
        let isolation = match (worker.claimed_ms, worker.unapplied) {
            (None, _) => "-".to_owned(),
            (Some(_), true) => format!("{}*", worker.isolation.as_str()),
            (Some(_), false) => worker.isolation.as_str().to_owned(),
        };
        let since = worker.claimed_ms.unwrap_or(worker.created_ms);
        let mut row = vec![
            Cell::painted(&worker.name, Paint::Bold),
            Cell::painted(state, paint),
            Cell::painted(activity, activity_paint),
            Cell::new(&worker.profile),
            Cell::new(isolation),
            Cell::new(text::age(now_ms.saturating_sub(since))),
            Cell::new(worker.readings.memory_bytes.map_or("-".into(), text::bytes)),
            Cell::new(
                worker
                    .project
                    .as_ref()
                    .map_or("-".into(), ToString::to_string),
            ),
            Cell::new(worker.argv.join(" ")),
        ];
        if refused {
            row.push(match &worker.egress_denied {
                Some(told) => {
                    Cell::painted(format!("{}: {}", told.count, told.last), Paint::Yellow)
                }
                None => Cell::new("-"),
            });
        }
        if paused {
            row.push(match &worker.paused {
                Some(why) => {
                    let why = why.strip_prefix("paused: ").unwrap_or(why);
                    Cell::painted(why, Paint::Yellow)
                }
                None => Cell::new("-"),
            });
        }
        table.row(row);
    }
    table
}

fn state(worker: &WorkerView) -> (String, Paint) {
    let word = worker.state.as_str();
    match worker.state {
        WorkerState::Running if worker.paused.is_some() => ("paused".into(), Paint::Yellow),
        WorkerState::Running => (word.into(), Paint::Green),
        WorkerState::Warm => (word.into(), Paint::Cyan),
        WorkerState::Lost | WorkerState::Failed => (word.into(), Paint::Red),
        WorkerState::Exited if worker.oom => ("exited oom".into(), Paint::Red),
        WorkerState::Exited => match worker.exit.map(podbay_protocol::ExitStatus::shell_code) {
            Some(0) => ("exited 0".into(), Paint::Dim),
            Some(code) => (format!("exited {code}"), Paint::Yellow),
            None => (word.into(), Paint::Dim),
        },
        WorkerState::Creating | WorkerState::Claiming | WorkerState::Stopping => {
            (word.into(), Paint::Yellow)
        }
    }
}

fn activity(worker: &WorkerView) -> (&'static str, Paint) {
    let Some(activity) = worker
        .activity
        .as_ref()
        .filter(|_| worker.state == WorkerState::Running)
    else {
        return ("-", Paint::Dim);
    };
    match activity.state {
        ActivityState::Working => ("working", Paint::Green),
        ActivityState::Waiting => ("waiting", Paint::Yellow),
        ActivityState::Done => ("done", Paint::Cyan),
        ActivityState::Idle => ("idle", Paint::Plain),
        ActivityState::Error => ("error", Paint::Red),
        ActivityState::Stopped => ("stopped", Paint::Plain),
        ActivityState::Unknown => ("unknown", Paint::Dim),
    }
}
