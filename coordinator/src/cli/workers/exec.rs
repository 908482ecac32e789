//! `podbay exec`.

use super::project;
use crate::{
    cli::{
        Failure, Globals,
        attach::{KeysArgs, Opened, Session},
        output::term,
    },
    model::caller_env,
    wire::{AttachQuery, ExecRequest},
};
use clap::Args;
use podbay_protocol::{AttachMode, SessionIo};
use std::{path::PathBuf, process::ExitCode};

/// `podbay exec`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The command gets stdin. In a loop that reads its own list, -n leaves that alone:\n    \
                  while read -r name; do podbay exec -n \"$name\" -- git status; done < names"
)]
pub struct ExecArgs {
    /// The worker.
    #[arg(value_name = "NAME")]
    name: String,
    /// The command and its arguments.
    #[arg(
        value_name = "CMD",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
    /// Give it a terminal [default: when stdin and stdout are terminals].
    #[arg(short, long, overrides_with = "no_tty")]
    tty: bool,
    /// Give it pipes, also in a terminal.
    #[arg(short = 'T', long)]
    no_tty: bool,
    /// Accepted as Docker has it; stdin is passed on unless -n is given.
    #[arg(short, long, hide = true, conflicts_with = "no_stdin")]
    interactive: bool,
    /// Do not read stdin, as `ssh -n`; the command's input is at its end at once.
    #[arg(short = 'n', long)]
    no_stdin: bool,
    /// A variable, NAME=VALUE, or NAME to take it from here.
    #[arg(short, long = "env", value_name = "K=V")]
    env: Vec<String>,
    /// A file of variables.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Run as root in the worker.
    #[arg(long)]
    root: bool,
    #[command(flatten)]
    keys: KeysArgs,
}

/// How a command's session talks: a terminal when the caller has one, else pipes.
pub(super) fn session_io(tty: bool, no_tty: bool) -> SessionIo {
    let has_one = term::stdin_is_tty() && term::stdout_is_tty();
    if tty || (has_one && !no_tty) {
        SessionIo::Pty {
            size: term::size().unwrap_or_default(),
        }
    } else {
        SessionIo::Pipes
    }
}

pub(in crate::cli) async fn run(globals: &Globals, args: ExecArgs) -> Result<ExitCode, Failure> {
    let io = session_io(args.tty, args.no_tty);
    let env = project::environment(&args.env, &args.env_file, |name| std::env::var(name).ok())?;
    let client = globals.client()?;
    let pipes = io == SessionIo::Pipes;
    let keys = if pipes {
        Default::default()
    } else {
        args.keys.matcher(&client).await?
    };
    let size = match &io {
        SessionIo::Pty { size } => Some(*size),
        SessionIo::Pipes => None,
    };
    let request = ExecRequest {
        argv: args.command,
        env,
        caller_env: caller_env(!pipes, |name| std::env::var(name).ok()),
        io,
        root: args.root,
    };
    let prepared = client.exec(&args.name, &request).await?;
    let query = AttachQuery {
        mode: AttachMode::Write,
        cols: size.map(|size| size.cols),
        rows: size.map(|size| size.rows),
        session: Some(prepared.session.clone()),
        silent: false,
    };
    let stream = client.attach(&args.name, &query).await?.on_pipes(pipes);
    let session = Session {
        client,
        name: args.name.clone(),
        mode: AttachMode::Write,
        session: Some(prepared.session),
        pipes,
        keys,
        clipboard: args.keys.clipboard,
        detach_at_end: false,
        no_stdin: args.no_stdin,
    };
    let end = session
        .run(Opened {
            stream,
            announced: true,
        })
        .await?;
    Ok(end.report(&args.name))
}
