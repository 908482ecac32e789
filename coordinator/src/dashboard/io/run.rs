//! Opening and leaving the dashboard: all that the loop needs is made here. Never leaves a terminal
//! other than it found it.

use crate::{
    cli::attach::{self, Matcher},
    client::{Client, Discover},
    dashboard::{
        app::{
            settings::Settings,
            state::{AppState, FALLBACK_SIZE},
        },
        input::decoder::InputDecoder,
        io::{
            event_loop::Runner,
            event_stream,
            fetch::Fetcher,
            form_memory,
            live::workers::LiveWorkers,
            signals::{Clock, Signals},
            terminal::{
                frame_writer::FrameWriter,
                guard::{self, TerminalGuard},
                painter::Painter,
            },
        },
    },
};
use anyhow::Context;
use std::io::IsTerminal;
use tokio::sync::mpsc;

/// Messages on their way. A full queue makes the event stream wait.
const QUEUE: usize = 1024;

/// How the dashboard behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DashboardOptions {
    /// Key sequences that lead back from a worker's terminal, as Docker writes them; the first
    /// one is shown to the user. Empty: the configuration's.
    pub detach_keys: Vec<String>,
    /// A worker to begin with, by name or id.
    pub worker: Option<String>,
}

/// Finds the coordinator and opens the dashboard, with a worker selected.
///
/// # Errors
/// There is no coordinator; as [`open`].
pub fn start(discover: &Discover, worker: Option<String>) -> anyhow::Result<()> {
    let options = DashboardOptions {
        worker,
        ..DashboardOptions::default()
    };
    open(Client::discover(discover)?, options)
}

/// Opens the dashboard and blocks until it is left.
///
/// # Errors
/// There is no terminal, or it is lost.
pub fn open(client: Client, options: DashboardOptions) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let result = runtime.block_on(run(client, options));
    // A thread may still be blocked in a read of the terminal; it must not hold the exit up.
    runtime.shutdown_background();
    result
}

/// Runs the dashboard on the terminal of stdin and stdout until the user leaves it or a signal
/// ends it (SIGTERM, SIGHUP, SIGINT: an ordinary return). Workers and sessions are not touched by
/// its end.
///
/// # Errors
/// When stdin or stdout is no terminal, when the terminal is lost, when the detach keys make no
/// sense, and after a panic in one of its tasks. A coordinator that cannot be reached is shown,
/// not returned.
pub async fn run(client: Client, options: DashboardOptions) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        anyhow::bail!("the dashboard needs a terminal; with docker exec, give -it");
    }
    let mut settings = Settings::load(&client).await;
    if !options.detach_keys.is_empty() {
        settings.leave_keys = options.detach_keys;
    }
    let keys = Matcher::new(&settings.leave_keys).map_err(anyhow::Error::msg)?;
    let signals = Signals::new().context("watching for signals")?;
    let guard = TerminalGuard::enter().context("preparing the terminal")?;
    let clock = Clock::of_the_system();
    let mut state = AppState::new(
        settings,
        guard::size().unwrap_or(FALLBACK_SIZE),
        clock.now_ms(),
    );
    if let Some(file) = form_memory::file() {
        match form_memory::load(&file) {
            Ok(values) => state.spawn_memory = values,
            Err(error) => state.refuse(format!("{}: {error}", file.display())),
        }
    }
    state.select_when_listed = options.worker;
    let (pieces, stop) = attach::Input::start(true, client.target().is_inside_parent())
        .context("reading the terminal")?
        .split();
    let (to, messages) = mpsc::channel(QUEUE);
    let events = tokio::spawn(event_stream::run(client.clone(), to.clone()));
    let runner = Runner {
        live_workers: LiveWorkers::new(client.clone()),
        fetcher: Fetcher::new(client.clone(), to.clone()),
        client,
        input: InputDecoder::new(keys.clone()),
        keys,
        state,
        painter: Painter::new(),
        writer: FrameWriter::start().context("writing to the terminal")?,
        guard,
        pieces: Some(pieces),
        stop,
        expires: None,
        to,
        messages,
        fullscreen: None,
        clock,
        changed: true,
        quit: false,
    };
    let result = runner.run(signals).await;
    events.abort();
    result
}
