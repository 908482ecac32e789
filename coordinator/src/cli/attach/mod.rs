//! `podbay attach`, and attaching for `spawn` and `exec`.

mod brackets;
mod drain;
mod guard;
mod input;
mod input_buffer;
mod keyboard;
mod keys;
mod outcome;
mod output;
mod queries;
pub(crate) mod raw_mode;
mod session;
mod shown;
mod signals;

pub(crate) use drain::{drain_rest, thrown_away};
pub(crate) use input::{Input, Reader};
pub(crate) use keys::{Fed, Matcher};
pub(crate) use outcome::SessionOutcome;
pub(crate) use session::{BorrowedTerminal, Opened, Session};

use crate::{
    cli::{Failure, Globals, output::term},
    client::Client,
    wire::AttachQuery,
};
use clap::Args;
use podbay_protocol::AttachMode;
use std::process::ExitCode;

/// `podbay attach`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Without a terminal, what stdin has is typed into the session, and its end detaches."
)]
pub struct AttachArgs {
    /// The worker.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only watch.
    #[arg(long, conflicts_with = "takeover")]
    read_only: bool,
    /// Become the one who types; whoever did becomes a watcher.
    #[arg(long)]
    takeover: bool,
    #[command(flatten)]
    keys: KeysArgs,
}

/// Which keys detach, and what the session may do to the terminal.
#[derive(Debug, Clone, Default, Args)]
pub struct KeysArgs {
    /// Keys that detach, such as ctrl-p,ctrl-q; may be repeated; `none` for none
    /// [default: the configuration's, else ctrl-p,ctrl-q and ctrl-\].
    #[arg(long, value_name = "KEYS", env = "PODBAY_DETACH_KEYS")]
    detach_keys: Vec<String>,
    /// Let the session write this terminal's clipboard (OSC 52).
    #[arg(long)]
    pub(super) clipboard: bool,
}

impl KeysArgs {
    /// The matcher; the configuration in force is asked for when the user says nothing.
    pub(super) async fn matcher(&self, client: &Client) -> Result<Matcher, Failure> {
        Matcher::new(&self.sequences(client).await).map_err(Failure::usage)
    }

    async fn sequences(&self, client: &Client) -> Vec<String> {
        if !self.detach_keys.is_empty() {
            return self.detach_keys.clone();
        }
        // What the coordinator has is checked there; were it not to be understood here, or not to
        // be had, the default keys still detach.
        let configured = client
            .config()
            .await
            .ok()
            .and_then(|text| configured(&text));
        let understood = configured.filter(|keys| Matcher::new(keys).is_ok());
        understood.unwrap_or_else(|| keys::DEFAULT.map(str::to_owned).into())
    }
}

fn configured(text: &str) -> Option<Vec<String>> {
    let value: toml::Value = toml::from_str(text)
        .ok()
        .or_else(|| serde_json::from_str(text).ok())?;
    let keys = value.get("attach")?.get("detach_keys")?.as_array()?;
    let keys: Option<Vec<String>> = keys
        .iter()
        .map(|key| key.as_str().map(str::to_owned))
        .collect();
    keys.filter(|keys| !keys.is_empty())
}

pub(super) async fn run(globals: &Globals, args: &AttachArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let mode = match args {
        AttachArgs {
            read_only: true, ..
        } => AttachMode::ReadOnly,
        AttachArgs { takeover: true, .. } => AttachMode::Takeover,
        _ => AttachMode::Write,
    };
    let mut keys = args.keys.sequences(&client).await;
    if args.read_only {
        // Nothing is typed into the session, so the key that ends most things ends this.
        keys.push("ctrl-c".into());
    }
    let keys = Matcher::new(&keys).map_err(Failure::usage)?;
    let size = term::size().filter(|_| term::stdout_is_tty());
    let query = AttachQuery {
        mode,
        cols: size.map(|size| size.cols),
        rows: size.map(|size| size.rows),
        session: None,
        silent: false,
    };
    let stream = client.attach(&args.name, &query).await?;
    let session = Session {
        client,
        name: args.name.clone(),
        mode,
        session: None,
        pipes: false,
        keys,
        clipboard: args.keys.clipboard,
        detach_at_end: mode != AttachMode::ReadOnly,
        no_stdin: false,
    };
    let end = session
        .run(Opened {
            stream,
            announced: false,
        })
        .await?;
    Ok(end.report(&args.name))
}
