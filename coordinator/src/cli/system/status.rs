//! `podbay status`.

use super::pool;
use crate::cli::{
    Failure, Globals,
    output::{
        term::{self, Paint},
        text,
    },
};
use clap::Args;
use std::process::ExitCode;

/// `podbay status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &StatusArgs) -> Result<ExitCode, Failure> {
    let status = globals.client()?.status().await?;
    if args.json {
        term::print_json(&status)?;
        return Ok(ExitCode::SUCCESS);
    }
    let colours = term::colours();
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        out.push_str(&format!(
            "{} {value}\n",
            Paint::Dim.on(colours, format!("{name:<12}"))
        ));
    };
    line(
        "coordinator",
        format!(
            "{} {}, up {}",
            text::escape(&status.instance),
            status.version.version,
            text::uptime(status.uptime_ms)
        ),
    );
    let engine = &status.engine;
    let reached = match (&engine.error, engine.reachable) {
        (None, true) => Paint::Green.on(colours, "reachable"),
        (Some(error), true) => {
            Paint::Yellow.on(colours, format!("degraded: {}", text::escape(error)))
        }
        (Some(error), false) => {
            Paint::Red.on(colours, format!("unreachable: {}", text::escape(error)))
        }
        (None, false) => Paint::Red.on(colours, "unreachable"),
    };
    line(
        "engine",
        format!(
            "{} {} (API {}) at {}, {reached}",
            engine.name,
            engine.version,
            engine.api,
            text::escape(&engine.endpoint)
        ),
    );
    let hot = &status.hot_mounts;
    line(
        "hot mounts",
        match (hot.available, &hot.reason) {
            (true, _) if hot.idmapped => "yes, id-mapped".to_owned(),
            (true, _) => "yes, not id-mapped".to_owned(),
            (false, Some(reason)) => {
                Paint::Yellow.on(colours, format!("no: {}", text::escape(reason)))
            }
            (false, None) => Paint::Yellow.on(colours, "no"),
        },
    );
    let guard = &status.guard;
    line(
        "egress guard",
        match (guard.available, &guard.reason) {
            (true, None) => "yes".to_owned(),
            (true, Some(reason)) => {
                Paint::Yellow.on(colours, format!("yes, but {}", text::escape(reason)))
            }
            (false, reason) => {
                let reason = reason.as_deref().unwrap_or("not ready yet");
                Paint::Yellow.on(colours, format!("no: {}", text::escape(reason)))
            }
        },
    );
    let counts: Vec<String> = status
        .workers
        .iter()
        .map(|(state, n)| format!("{n} {state}"))
        .collect();
    line(
        "workers",
        if counts.is_empty() {
            "none".into()
        } else {
            counts.join(", ")
        },
    );
    for warning in &status.warnings {
        line("warning", Paint::Yellow.on(colours, text::escape(warning)));
    }
    if !status.pools.is_empty() {
        out.push('\n');
        out.push_str(&pool::table(&status.pools, colours));
    }
    term::print(&out)?;
    Ok(ExitCode::SUCCESS)
}
