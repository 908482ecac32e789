//! The command line: one file per command, by what it is about: `workers`, `review`, `system`.
//!
//! Knows the coordinator through `client` and `wire` alone. What needs more (the daemon, the
//! mounter, the dashboard, the configuration's checker) comes in as [`Handlers`], functions passed
//! by `main`.

pub(crate) mod attach;
mod globals;
mod handlers;
pub mod output;
mod review;
mod system;
mod workers;

pub use globals::Globals;
pub use handlers::{ConfigHandlers, DashboardArgs, Handlers, MounterArgs, ServeArgs};
pub use output::Failure;

use clap::{CommandFactory, Parser, Subcommand};
use review::{apply, diff, discard};
use std::{ffi::OsString, path::Path, process::ExitCode};
use system::{audit, completions, config, doctor, down, man, pool, relay, status, up, upgrade};
use workers::{exec, logs, ls, refresh, rename, restart, rm, spawn, stop, top};

/// Runs coding agents in isolated workers that are ready before you ask.
#[derive(Debug, Parser)]
#[command(
    name = "podbay",
    version,
    max_term_width = 100,
    propagate_version = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 no engine or no parent, 5 no such worker, \
                  6 refused by policy, 124 timed out; `exec` and an attached `spawn` return the \
                  command's own."
)]
pub struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Starts the parent container with the coordinator in it.
    Up(up::UpArgs),
    /// Stops every worker and removes the parent container.
    Down(down::DownArgs),
    /// Shows the coordinator, the engine and the pools.
    Status(status::StatusArgs),
    /// Checks everything Podbay needs, and says what to do.
    Doctor(doctor::DoctorArgs),
    /// Opens the dashboard.
    Dashboard(DashboardArgs),
    /// Claims a worker, puts a project into it and runs a command.
    #[command(visible_alias = "run")]
    Spawn(Box<spawn::SpawnArgs>),
    /// Lists workers.
    #[command(visible_aliases = ["ps", "list"])]
    Ls(ls::LsArgs),
    /// Attaches this terminal to a worker's session.
    Attach(attach::AttachArgs),
    /// Runs another command in a worker.
    Exec(exec::ExecArgs),
    /// Prints the recorded output of a worker's session.
    Logs(logs::LogsArgs),
    /// Stops workers.
    Stop(stop::StopArgs),
    /// Starts workers' commands again.
    Restart(restart::RestartArgs),
    /// Makes the host's later edits of the project visible in a copy-on-write worker.
    Refresh(refresh::RefreshArgs),
    /// Gives a worker another name.
    Rename(rename::RenameArgs),
    /// Removes workers that have ended, with their records.
    Rm(rm::RmArgs),
    /// Shows what a copy-on-write worker changed.
    Diff(diff::DiffArgs),
    /// Carries a copy-on-write worker's changes over into the project.
    Apply(apply::ApplyArgs),
    /// Throws a copy-on-write worker's changes away.
    Discard(discard::DiscardArgs),
    /// Shows what workers use, busiest first.
    Top(top::TopArgs),
    /// Shows or changes the pools of warm workers.
    Pool(pool::PoolArgs),
    /// Puts another version of the coordinator in force, under the same parent.
    Upgrade(upgrade::UpgradeArgs),
    /// Shows who did what.
    Audit(audit::AuditArgs),
    /// Shows or checks the configuration.
    Config(config::ConfigArgs),
    /// Prints the completions of a shell.
    Completions(completions::CompletionsArgs),
    /// Prints the manual page.
    Man,
    /// Connects stdio to the coordinator's socket: what the host's `podbay` runs in the parent.
    #[command(hide = true)]
    Relay(relay::RelayArgs),
    /// Runs the coordinator in the foreground.
    Serve(ServeArgs),
    /// Runs the mount helper.
    #[command(hide = true)]
    Mounter(MounterArgs),
    /// Runs the network guard.
    #[command(hide = true)]
    Netguard,
    /// Puts this version into the state volume: what an upgrade runs of the new image.
    #[command(hide = true)]
    Install(ServeArgs),
}

impl Command {
    /// Whether errors are to be printed as JSON, as everything else is.
    fn json(&self) -> bool {
        match self {
            Self::Status(args) => args.json,
            Self::Doctor(args) => args.json,
            Self::Ls(args) => args.json,
            Self::Diff(args) => args.json,
            Self::Apply(args) => args.json,
            Self::Spawn(args) => args.json,
            Self::Top(args) => args.json,
            Self::Pool(args) => args.json(),
            Self::Audit(args) => args.json,
            _ => false,
        }
    }
}

/// The whole command line's description: for generated documents.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the command line `args`, the program's name first, and returns the exit code.
///
/// Called as `dashboard` (by a link of that name) it opens the dashboard.
pub fn run(args: impl IntoIterator<Item = OsString>, handlers: &Handlers) -> ExitCode {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let called = args
        .first()
        .and_then(|name| Path::new(name).file_name())
        .map(OsString::from);
    if called.is_some_and(|name| name == "dashboard") {
        args.splice(..1, ["podbay".into(), "dashboard".into()]);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2.
            drop(error.print());
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let json = cli.command.json();
    match dispatch(cli, handlers) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

fn dispatch(cli: Cli, handlers: &Handlers) -> Result<ExitCode, Failure> {
    let globals = &cli.globals;
    match cli.command {
        Command::Serve(args) => return Ok((handlers.serve)(args)),
        Command::Mounter(args) => return Ok((handlers.mounter)(args)),
        Command::Netguard => return Ok((handlers.netguard)()),
        Command::Install(args) => return Ok((handlers.install)(args)),
        Command::Dashboard(args) => return Ok((handlers.dashboard)(globals.discover(), args)),
        Command::Completions(args) => return completions::run(&args, command()),
        Command::Man => return man::run(command()),
        _ => {}
    }
    // One thread: with more, every answer and every key typed would wake another one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(1, format!("cannot start threads: {error}")))?;
    let code = runtime.block_on(async {
        match cli.command {
            Command::Up(args) => up::run(globals, args, &handlers.config).await,
            Command::Down(args) => down::run(globals, &args).await,
            Command::Status(args) => status::run(globals, &args).await,
            Command::Doctor(args) => doctor::run(globals, &args).await,
            Command::Spawn(args) => spawn::run(globals, *args).await,
            Command::Ls(args) => ls::run(globals, &args).await,
            Command::Attach(args) => attach::run(globals, &args).await,
            Command::Exec(args) => exec::run(globals, args).await,
            Command::Logs(args) => logs::run(globals, &args).await,
            Command::Stop(args) => stop::run(globals, &args).await,
            Command::Restart(args) => restart::run(globals, &args).await,
            Command::Refresh(args) => refresh::run(globals, &args).await,
            Command::Rename(args) => rename::run(globals, &args).await,
            Command::Rm(args) => rm::run(globals, &args).await,
            Command::Diff(args) => diff::run(globals, &args).await,
            Command::Apply(args) => apply::run(globals, args).await,
            Command::Discard(args) => discard::run(globals, args).await,
            Command::Top(args) => top::run(globals, &args).await,
            Command::Pool(args) => pool::run(globals, &args).await,
            Command::Upgrade(args) => upgrade::run(globals, &args).await,
            Command::Audit(args) => audit::run(globals, &args).await,
            Command::Config(args) => config::run(globals, &args, &handlers.config).await,
            Command::Relay(args) => relay::run(globals, &args).await,
            Command::Serve(_)
            | Command::Mounter(_)
            | Command::Netguard
            | Command::Install(_)
            | Command::Dashboard(_)
            | Command::Completions(_)
            | Command::Man => Ok(ExitCode::SUCCESS),
        }
    });
    // A thread may still be blocked in a read of the terminal; it must not hold the exit up.
    runtime.shutdown_background();
    code
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_command_line_is_consistent() {
        super::command().debug_assert();
    }
}
