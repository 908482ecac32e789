//! `worker-agent`: PID 1 of every worker, supervisor of the parent, and a small tool for hooks.

use std::{io::Write, path::Path, process::ExitCode};
use worker_agent::{
    agent::{Agent, Config, hook},
    supervisor,
};

const USAGE: &str =
    "usage: worker-agent init | supervise -- COMMAND [ARGUMENT…] | hook [JSON] | --version";

/// Wrong arguments.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|a| a.to_string_lossy().into_owned())
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["init"] => {
            podbay_failpoints::begin(Path::new(podbay_protocol::paths::RUN));
            init()
        }
        ["supervise", "--", command @ ..] | ["supervise", command @ ..] if !command.is_empty() => {
            match supervisor::run(command) {
                Ok(code) => ExitCode::from(code),
                Err(error) => fail(1, &format!("cannot start: {error}")),
            }
        }
        ["hook", rest @ ..] => {
            hook::run(rest.first().map(|json| (*json).to_owned()));
            ExitCode::SUCCESS
        }
        ["--version" | "-V" | "version"] => {
            // Nobody left to read it is no failure of ours.
            drop(writeln!(
                std::io::stdout(),
                "worker-agent {}",
                env!("CARGO_PKG_VERSION")
            ));
            ExitCode::SUCCESS
        }
        _ => fail(EXIT_USAGE, USAGE),
    }
}

fn init() -> ExitCode {
    match Agent::new(Config::from_env()) {
        Ok(mut agent) => {
            agent.run();
            ExitCode::SUCCESS
        }
        Err(error) => fail(1, &format!("cannot start: {error}")),
    }
}

fn fail(code: u8, message: &str) -> ExitCode {
    drop(writeln!(std::io::stderr(), "worker-agent: {message}"));
    ExitCode::from(code)
}
