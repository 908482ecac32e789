//! What an instance shows of its workers, pools and processes.

use super::{Instance, SLOW, text};
use crate::{processes, wait};
use serde_json::Value;
use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

impl Instance {
    /// Every worker as `podbay ls -a` sees it; none while there is no coordinator.
    #[must_use]
    pub fn workers(&self) -> Vec<Value> {
        let all = self.ask(["ls", "-a", "--json"]);
        all.and_then(|all| all.as_array().cloned())
            .unwrap_or_default()
    }

    /// One worker as `podbay ls` sees it, finished ones included.
    #[must_use]
    pub fn worker(&self, name: &str) -> Option<Value> {
        self.workers().into_iter().find(|w| w["name"] == name)
    }

    /// Container ids of the warm workers, sorted.
    #[must_use]
    pub fn warm(&self) -> Vec<String> {
        let warm = self.workers().into_iter().filter(|w| w["state"] == "warm");
        let mut ids: Vec<String> = warm
            .filter_map(|w| w["container"].as_str().map(str::to_owned))
            .collect();
        ids.sort();
        ids
    }

    /// Waits until a worker has this state.
    ///
    /// # Panics
    /// It does not within [`SLOW`].
    pub fn wait_state(&self, name: &str, state: &str) -> Value {
        let start = Instant::now();
        loop {
            let worker = self.worker(name);
            if let Some(worker) = worker.as_ref().filter(|w| w["state"] == state) {
                return worker.clone();
            }
            assert!(
                start.elapsed() < SLOW,
                "waited {SLOW:?} in vain for {name} to be {state}; it is {worker:?}"
            );
            wait::pause(Duration::from_millis(10));
        }
    }

    /// The pool of a profile.
    #[must_use]
    pub fn pool(&self, profile: &str) -> Option<Value> {
        let pools = self.ask(["pool", "status", "--json"])?;
        pools
            .as_array()?
            .iter()
            .find(|p| p["profile"] == profile)
            .cloned()
    }

    /// Waits until a pool has exactly so many warm workers and none on the way.
    pub fn wait_warm(&self, profile: &str, count: u64) {
        wait::until_true(&format!("{count} warm workers of {profile}"), SLOW, || {
            self.pool(profile)
                .is_some_and(|p| p["warm"] == count && p["creating"] == 0)
        });
    }

    /// Process id of the coordinator on this machine; `None` while there is none.
    #[must_use]
    pub fn coordinator(&self) -> Option<i32> {
        let format = "{{.State.Pid}}";
        let said = self
            .engine
            .try_docker(&["inspect", "-f", format, &self.name]);
        if let Ok(pid) = text(&said.stdout).trim().parse() {
            self.parent.store(pid, Ordering::Relaxed);
        }
        let parent = self.parent.load(Ordering::Relaxed);
        if parent == 0 {
            return None;
        }
        processes::children(parent).into_iter().find(|pid| {
            let argv = processes::argv(*pid);
            argv.first().is_some_and(|name| name.ends_with("podbay"))
                && argv.get(1).is_some_and(|word| word == "serve")
        })
    }

    /// The end of the parent's log, for messages of failed tests.
    #[must_use]
    pub fn parent_log(&self) -> String {
        let output = self
            .engine
            .try_docker(&["logs", "--tail", "40", &self.name]);
        format!(
            "\n--- parent ---\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        )
    }
}
