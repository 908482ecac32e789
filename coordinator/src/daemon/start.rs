//! From checked arguments to a running coordinator.

use crate::{
    config::{Config, Sources, load},
    daemon::serve::{Listen, Reload, ServeOptions, serve},
    runtime::PullPolicy,
    store::StateDir,
};
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// Threads of the coordinator: its work is waiting.
const THREADS: usize = 2;
/// Where the parent's image has its seeds and the agent.
const SEEDS: &str = "/usr/share/podbay";
const AGENT: &str = "worker-agent";

/// Runs the coordinator on the state folder until it is told to stop.
///
/// # Errors
/// The state folder or the socket cannot be used.
pub fn start(
    state_dir: PathBuf,
    engine_socket: PathBuf,
    config: Config,
    sources: Sources,
    listen: Listen,
) -> anyhow::Result<()> {
    let pull = match (config.pool.skip_image_pull, config.pool.lazy_image_pull) {
        (true, _) => PullPolicy::Never,
        (false, true) => PullPolicy::WhenNeeded,
        (false, false) => PullPolicy::AtStart,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("podbay")
        .enable_all()
        .build()?;
    runtime.block_on(serve(ServeOptions {
        agent_binary: agent_binary(&state_dir),
        state_dir,
        engine_socket,
        seeds: SEEDS.into(),
        config,
        pull,
        listen,
        watched: sources.watched(),
        reload: reload(sources),
    }))
}

/// Reads the configuration again, from where it is by then.
fn reload(sources: Sources) -> Reload {
    let sources = Mutex::new(sources);
    Box::new(move || {
        let mut sources = sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.keep_found();
        load(&sources).map_err(|errors| errors.to_string())
    })
}

/// The agent is beside `podbay`, or named with it by an upgrade.
fn agent_binary(state: &Path) -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/bin/podbay"));
    let bin = state.join("bin");
    let upgrade = StateDir::open(state).ok().and_then(|s| s.upgrade());
    match upgrade {
        Some(upgrade) if own == bin.join(&upgrade.podbay) => bin.join(upgrade.agent),
        _ => own.with_file_name(AGENT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_that_is_created_after_the_start_is_read() {
        let state = tempfile::tempdir().unwrap();
        let sources = Sources {
            usual: Some(state.path().join("podbay.toml")),
            ..Sources::default()
        };
        let watched = sources.watched();
        let load = reload(sources);
        assert_eq!(load().unwrap().engine.max_parallel, 8);
        assert_eq!(watched, [state.path().join("podbay.toml")]);
        std::fs::write(&watched[0], "[engine]\nmax_parallel = 3\n").unwrap();
        assert_eq!(load().unwrap().engine.max_parallel, 3);
        // While an editor replaces it, nothing else is in effect.
        std::fs::remove_file(&watched[0]).unwrap();
        assert!(load().unwrap_err().contains("cannot be read"));
    }
}
