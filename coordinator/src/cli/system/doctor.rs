//! `podbay doctor`.

use super::up;
use crate::{
    cli::{
        Failure, Globals,
        output::{
            term::{self, Paint},
            text,
        },
    },
    client::{
        Client, ClientError,
        engine::{Engine, OLDEST_API},
        engine_address::{self, SystemEnv},
    },
    wire::{HOT_MOUNTS_OFF, HotMounts, WorkerView},
};
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;

/// `podbay doctor`.
#[derive(Debug, Clone, Args)]
pub struct DoctorArgs {
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warn,
    Fail,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    level: Level,
    found: String,
    todo: Option<String>,
}

fn check(what: &'static str, level: Level, found: impl Into<String>) -> Check {
    Check {
        what,
        level,
        found: found.into(),
        todo: None,
    }
}

impl Check {
    fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = Some(todo.into());
        self
    }

    fn failed(what: &'static str, error: &ClientError) -> Self {
        let check = check(what, Level::Fail, error.to_string());
        Self {
            todo: error.hint(),
            ..check
        }
    }
}

pub(in crate::cli) async fn run(globals: &Globals, args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let mut checks = Vec::new();
    let mut code = 0;
    // Inside the parent the coordinator is asked about the engine.
    if globals.discover().socket().is_none() && !engine(globals, &mut checks).await {
        code = 3;
    }
    if code == 0 {
        coordinator(globals, &mut checks).await;
    }
    if code == 0 && checks.iter().any(|check| check.level == Level::Fail) {
        code = 1;
    }
    if args.json {
        term::print_json(&checks)?;
    } else {
        show(&checks)?;
    }
    Ok(ExitCode::from(code))
}

fn show(checks: &[Check]) -> std::io::Result<()> {
    let colours = term::colours();
    for Check {
        what,
        level,
        found,
        todo,
    } in checks
    {
        let (word, paint) = match level {
            Level::Ok => ("ok  ", Paint::Green),
            Level::Warn => ("warn", Paint::Yellow),
            Level::Fail => ("FAIL", Paint::Red),
        };
        let mut lines = format!(
            "{}  {what}: {}\n",
            paint.on(colours, word),
            text::escape(found)
        );
        if let Some(todo) = todo {
            lines.push_str(&format!("      {}\n", text::escape(todo)));
        }
        term::print(&lines)?;
    }
    Ok(())
}

/// The engine and what is in it; whether there is an engine at all.
async fn engine(globals: &Globals, checks: &mut Vec<Check>) -> bool {
    let address = match engine_address::find(&SystemEnv) {
        Ok(address) => address,
        Err(error) => {
            checks.push(
                check("engine", Level::Fail, error.to_string())
                    .todo("start the engine, or set DOCKER_HOST to its unix socket"),
            );
            return false;
        }
    };
    let engine = match Engine::connect(address).await {
        Ok(engine) => engine,
        Err(error) => {
            checks.push(Check::failed("engine", &error));
            return false;
        }
    };
    let found = format!("{} at {}", engine.description, engine.address());
    if engine.api < OLDEST_API {
        checks.push(
            check("engine", Level::Fail, found).todo("Docker 20.10 (API 1.41) or newer is needed"),
        );
        return false;
    }
    checks.push(check("engine", Level::Ok, found));
    let image = "podbay/parent:latest";
    checks.push(match engine.image(image).await {
        Ok(Some(_)) => check("image", Level::Ok, image),
        Ok(None) => check("image", Level::Warn, format!("{image} is not here"))
            .todo("build it with `scripts/build-images.sh`"),
        Err(error) => Check::failed("image", &error),
    });
    let name = globals.discover().parent();
    checks.push(match engine.container(&name).await {
        Ok(Some(parent)) if up::is_running(&parent) => {
            check("parent", Level::Ok, format!("{name} is running"))
        }
        Ok(Some(_)) => check("parent", Level::Fail, format!("{name} is stopped"))
            .todo("start it with `podbay up`"),
        Ok(None) => check("parent", Level::Fail, format!("there is no {name}"))
            .todo("start it with `podbay up`"),
        Err(error) => Check::failed("parent", &error),
    });
    true
}

async fn coordinator(globals: &Globals, checks: &mut Vec<Check>) {
    if checks
        .iter()
        .any(|check| check.what == "parent" && check.level == Level::Fail)
    {
        return;
    }
    let client = match Client::discover(&globals.discover()) {
        Ok(client) => client,
        Err(error) => return checks.push(Check::failed("coordinator", &error)),
    };
    let status = match client.status().await {
        Ok(status) => status,
        Err(error) => return checks.push(Check::failed("coordinator", &error)),
    };
    let ours = env!("CARGO_PKG_VERSION");
    let version = &status.version.version;
    checks.push(if version == ours {
        check("coordinator", Level::Ok, format!("version {version}"))
    } else {
        check(
            "coordinator",
            Level::Warn,
            format!("version {version}, and this is {ours}"),
        )
        .todo("use the same version on both sides: `podbay up --recreate` after an upgrade")
    });
    if !status.engine.reachable {
        let why = status
            .engine
            .error
            .clone()
            .unwrap_or_else(|| "no answer".into());
        checks.push(check("engine from the parent", Level::Fail, why).todo(
            "see that the engine's socket is mounted into the parent: `podbay up --recreate`",
        ));
    }
    if let (true, Some(why)) = (status.engine.reachable, &status.engine.error) {
        checks.push(
            check(
                "engine from the parent",
                Level::Fail,
                format!("degraded: {why}"),
            )
            .todo("restart the engine's containerd; sessions that run are not touched"),
        );
    }
    checks.push(hot_mounts(&status.hot_mounts));
    let guard = &status.guard;
    checks.push(match (guard.available, &guard.reason) {
        (true, None) => check(
            "egress guard",
            Level::Ok,
            "rules by the worker's uid are in force",
        ),
        (true, Some(reason)) => check("egress guard", Level::Warn, reason.clone()),
        (false, reason) => check(
            "egress guard",
            Level::Warn,
            reason.clone().unwrap_or_else(|| "not ready yet".into()),
        )
        .todo(
            "workers reach each other's ports, and profiles whose egress is not open are refused; \
             the engine must allow NET_ADMIN to the guard's container, and the kernel nf_tables",
        ),
    });
    for pool in &status.pools {
        let found = format!("{}: {}/{} warm", pool.profile, pool.warm, pool.target);
        checks.push(
            match pool
                .last_failure
                .as_ref()
                .filter(|failure| failure.retry_in_ms.is_some())
            {
                Some(failure) => check("pool", Level::Fail, format!("{found}; {}", failure.reason))
                    .todo(pool_todo(&pool.image, &failure.reason)),
                None => check("pool", Level::Ok, found),
            },
        );
    }
    for warning in &status.warnings {
        checks.push(check("coordinator", Level::Warn, warning.clone()));
    }
    match client.workers(false).await {
        Ok(workers) => checks.extend(workers.iter().filter_map(agent)),
        Err(error) => checks.push(Check::failed("workers", &error)),
    }
}

fn hot_mounts(hot: &HotMounts) -> Check {
    let what = "hot mounts";
    let reason = hot.reason.as_deref();
    match (hot.available, hot.idmapped) {
        (true, true) => check(what, Level::Ok, "available, id-mapped"),
        (true, false) => check(what, Level::Warn, "available, not id-mapped")
            .todo(reason.unwrap_or("sessions run as the project's owner instead")),
        (false, _) if reason == Some(HOT_MOUNTS_OFF) => check(what, Level::Ok, HOT_MOUNTS_OFF)
            .todo("spawns with a project start cold, and overlay isolation is unavailable"),
        (false, _) => check(what, Level::Warn, reason.unwrap_or("not available"))
            .todo("spawns with a project start cold; a newer kernel or a rootful engine is needed"),
    }
}

/// What to do about a pool that fails: the engine says it of an image that it does not have.
fn pool_todo(image: &str, reason: &str) -> String {
    if reason.contains("is not on this engine") {
        format!("see that image {image} is there")
    } else {
        format!("see that a container of image {image} starts, or set another image in the profile")
    }
}

/// A worker that an upgrade left an agent of another version.
fn agent(worker: &WorkerView) -> Option<Check> {
    let version = worker.agent.as_ref()?;
    worker.claimed_ms?;
    let found = format!("{} has an agent of {version}", worker.name);
    Some(check("agent", Level::Warn, found).todo(
        "its session goes on, and what the agent does not know is refused; stop it and spawn it \
         again when it suits",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_about_what_is_wrong() {
        let mut hot = HotMounts {
            reason: Some(HOT_MOUNTS_OFF.to_owned()),
            ..HotMounts::default()
        };
        let off = hot_mounts(&hot);
        assert_eq!(off.level, Level::Ok);
        assert!(!off.todo.unwrap().contains("kernel"));
        hot.reason = Some("this kernel has no open_tree".to_owned());
        assert!(hot_mounts(&hot).todo.unwrap().contains("newer kernel"));
        let missing = pool_todo("i", "image i is not on this engine: build it");
        assert_eq!(missing, "see that image i is there");
        assert!(!pool_todo("i", "its agent does not answer").contains("is there"));
    }
}
