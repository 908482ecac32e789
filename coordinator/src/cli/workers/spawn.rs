//! `podbay spawn`.

use super::{exec::session_io, project, secret};
use crate::{
    cli::{
        Failure, Globals,
        attach::{KeysArgs, Opened, Session, SessionOutcome},
        output::{
            term::{self, Paint},
            text,
        },
    },
    client::{Client, Target},
    model::{self, HostPath, Isolation, ProfileName, WorkerName},
    wire::{LimitsRequest, SpawnRequest, SpawnResponse, WhenEmpty},
};
use clap::{Args, ValueEnum};
use podbay_protocol::{AttachMode, ExitStatus, SessionIo};
use std::{path::PathBuf, process::ExitCode, time::Duration};

/// `podbay spawn`.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The command gets stdin. In a loop that reads its own list, --no-stdin leaves that alone:\n    \
                  while read -r folder; do podbay spawn --no-stdin \"$folder\" -- make; done < folders"
)]
pub struct SpawnArgs {
    /// The project's folder [default: the current one].
    #[arg(value_name = "PROJECT")]
    project: Option<PathBuf>,
    /// The worker's name [default: made up].
    #[arg(short, long, value_parser = name::<WorkerName>)]
    name: Option<String>,
    /// Do not read stdin, as `ssh -n`; the command's input is at its end at once.
    #[arg(long)]
    no_stdin: bool,
    /// Do not attach: print the name and return.
    #[arg(short, long)]
    detach: bool,
    /// The profile [default: the configuration's].
    #[arg(short, long, value_parser = name::<ProfileName>)]
    profile: Option<String>,
    /// How the project gets in: bind (writes go to it), overlay (review, then apply or discard) or
    /// none [default: the profile's].
    #[arg(long, value_name = "MODE")]
    isolation: Option<Isolation>,
    /// Memory, such as 4g.
    #[arg(short, long, value_name = "SIZE", allow_negative_numbers = true, value_parser = checked(model::parse_bytes))]
    memory: Option<String>,
    /// CPUs, such as 2 or 0.5.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = checked(model::parse_cpus))]
    cpus: Option<String>,
    /// Processes and threads.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = checked(model::parse_pids))]
    pids_limit: Option<String>,
    /// No limits at all.
    #[arg(long, conflicts_with_all = ["memory", "cpus", "pids_limit"])]
    no_limits: bool,
    /// A variable, NAME=VALUE, or NAME to take it from here.
    #[arg(short, long = "env", value_name = "K=V")]
    env: Vec<String>,
    /// A file of variables.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// A secret of the session, taken from this variable here: a file in the worker's memory, its
    /// path in $NAME_FILE.
    #[arg(long, value_name = "NAME")]
    secret: Vec<String>,
    /// The same with its value from a file.
    #[arg(long, value_name = "NAME=FILE")]
    secret_file: Vec<String>,
    /// Secrets from a file of NAME=VALUE lines.
    #[arg(long, value_name = "FILE")]
    secrets_from: Vec<PathBuf>,
    /// As --secret, and as variable $NAME of the session as well, which all processes of its user
    /// can read.
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// Remove the worker when its session ends; changes and the recording stay [default].
    #[arg(long, overrides_with = "no_rm")]
    rm: bool,
    /// Keep the worker when its session ends.
    #[arg(long)]
    no_rm: bool,
    /// Stop the session after so long, such as 2h.
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    timeout: Option<Duration>,
    /// What to do when no warm worker is there.
    #[arg(long, value_name = "WHAT", default_value = "cold")]
    when_empty: Empty,
    /// Run as root in the worker.
    #[arg(long)]
    root: bool,
    /// With -d, print the answer as JSON.
    #[arg(long, requires = "detach")]
    pub json: bool,
    #[command(flatten)]
    keys: KeysArgs,
    /// The command and its arguments [default: the profile's].
    #[arg(value_name = "CMD", last = true)]
    command: Vec<String>,
}

/// The session starts before its answer is here, by so much at most.
const STARTED_BEFORE: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Empty {
    /// Start a worker for this one.
    Cold,
    /// Wait for the next warm one.
    Queue,
    /// Fail.
    Fail,
}

fn name<T: std::str::FromStr<Err = model::NameError>>(
    given: &str,
) -> Result<String, model::NameError> {
    given.parse::<T>().map(|_| given.to_owned())
}

/// Checks a limit here, so that a typing error costs no connection; it is sent as written.
fn checked<T>(
    parse: fn(&str) -> Result<T, model::LimitError>,
) -> impl Fn(&str) -> Result<String, model::LimitError> + Clone
where
    T: 'static,
{
    move |given| parse(given).map(|_| given.to_owned())
}

pub(in crate::cli) async fn run(globals: &Globals, args: SpawnArgs) -> Result<ExitCode, Failure> {
    let io = if args.detach {
        SessionIo::Pty {
            size: term::size().unwrap_or_default(),
        }
    } else {
        session_io(false, false)
    };
    let keys = args.keys.clone();
    let clipboard = keys.clipboard;
    let (detach, json, timeout) = (args.detach, args.json, args.timeout);
    let no_stdin = args.no_stdin;
    let client = globals.client()?;
    let request = request(args, io, client.target())?;
    if detach {
        let spawned = term::slowly("waiting for a worker", client.spawn(&request)).await?;
        tell(&spawned);
        if json {
            term::print_json(&spawned)?;
        } else {
            term::print(&format!("{}\n", text::escape(&spawned.worker.name)))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let pipes = request.io == SessionIo::Pipes;
    let keys = if pipes {
        Default::default()
    } else {
        keys.matcher(&client).await?
    };
    let attached = client.spawn_attached(&request);
    let (spawned, stream) = term::slowly("waiting for a worker", attached).await?;
    tell(&spawned);
    let name = spawned.worker.name.clone();
    let session = Session {
        client: client.clone(),
        name: name.clone(),
        mode: AttachMode::Write,
        session: None,
        pipes,
        keys,
        clipboard,
        detach_at_end: false,
        no_stdin,
    };
    let begin = tokio::time::Instant::now();
    let end = session
        .run(Opened {
            stream,
            announced: true,
        })
        .await?;
    if matches!(end, SessionOutcome::Exited { .. }) && spawned.worker.isolation.is_reviewed() {
        review(&client, &name).await;
    }
    let stopped = matches!(
        end,
        SessionOutcome::Exited {
            status: ExitStatus::Signal(_),
            ..
        }
    );
    match timeout {
        Some(timeout) if stopped && begin.elapsed() + STARTED_BEFORE >= timeout => {
            let after = humantime::format_duration(timeout);
            Err(Failure::new(
                124,
                format!("{} was stopped after {after}", text::escape(&name)),
            ))
        }
        _ => Ok(end.report(&name)),
    }
}

fn request(args: SpawnArgs, io: SessionIo, target: &Target) -> Result<SpawnRequest, Failure> {
    let project = match (args.project, args.isolation) {
        (Some(project), Some(Isolation::None)) => {
            return Err(Failure::usage(format!(
                "--isolation none takes no project, and {} was given",
                project.display()
            ))
            .hint("leave one of the two out"));
        }
        (None, Some(Isolation::None)) => None,
        (given, _) => Some(HostPath::new(folder(given, target)?)),
    };
    Ok(SpawnRequest {
        project,
        name: args.name,
        profile: args.profile,
        isolation: args.isolation,
        limits: LimitsRequest {
            memory: args.memory,
            cpus: args.cpus,
            pids: args.pids_limit,
            none: args.no_limits,
        },
        env: project::environment(&args.env, &args.env_file, |name| std::env::var(name).ok())?,
        caller_env: model::caller_env(io != SessionIo::Pipes, |name| std::env::var(name).ok()),
        secrets: secret::gather(
            &args.secret,
            &args.secret_env,
            &args.secret_file,
            &args.secrets_from,
            |name| std::env::var(name).ok(),
        )?,
        argv: args.command,
        io,
        remove: !args.no_rm,
        // Whole seconds, rounded up; none at all is refused by the coordinator.
        timeout_s: args
            .timeout
            .map(|t| t.as_secs() + u64::from(t.subsec_nanos() > 0)),
        when_empty: match args.when_empty {
            Empty::Cold => WhenEmpty::Cold,
            Empty::Queue => WhenEmpty::Queue,
            Empty::Fail => WhenEmpty::Fail,
        },
        root: args.root,
    })
}

/// The project's folder on the engine's host. Inside the parent, relative paths and the current
/// folder mean nothing there.
fn folder(given: Option<PathBuf>, target: &Target) -> Result<PathBuf, Failure> {
    let inside = target.is_inside_parent();
    match given {
        Some(path) if inside && !path.is_absolute() => Err(Failure::usage(format!(
            "inside the parent, {} is no folder of the host",
            path.display()
        ))
        .hint("give the project's absolute path on the host")),
        None if inside => Err(
            Failure::usage("inside the parent there is no current project")
                .hint("give the project's absolute path on the host, or --isolation none"),
        ),
        Some(path) if path.as_os_str().is_empty() => {
            Err(Failure::usage("the project's path is empty")
                .hint("give a folder, or leave it out for the current one"))
        }
        Some(path) => project::absolute(&path),
        None => project::current(),
    }
}

/// What the user should know of how the worker was had.
fn tell(spawned: &SpawnResponse) {
    if let Some(reason) = spawned.cold_reason.as_ref().filter(|_| !spawned.warm) {
        term::note(&format!("podbay: cold start: {}", text::escape(reason)));
    }
    for warning in &spawned.warnings {
        term::note(&format!("podbay: {}", text::escape(warning)));
    }
}

/// Says how to review what a copy-on-write session left. Not knowing is no failure of the session.
async fn review(client: &Client, name: &str) {
    // Not the worker's own flag: just after the session's end that is still being found out.
    if !client.any_changes(name).await.unwrap_or(false) {
        return;
    }
    let name = text::escape(name);
    let command = Paint::Bold.on(
        term::stderr_is_tty() && term::colours(),
        format!("podbay diff {name}"),
    );
    term::note(&format!(
        "podbay: {name} left changes: review with {command}, then `podbay apply {name}` or `podbay discard {name}`"
    ));
}
