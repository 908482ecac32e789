//! Readings of claimed workers, taken every few seconds: processor, memory, ports.
//!
//! All agents are asked at once and a round has one deadline, so that those that do not answer (a
//! paused container, a stuck agent) hold nobody else's readings up.

use crate::daemon::Daemon;
use crate::{agent::AgentHandle, model::WorkerId};
use futures_util::StreamExt;
use podbay_protocol::{Readings, Reply, ToAgentBody};
use std::{sync::Arc, time::Duration};

/// How often the readings of running workers are taken, and how long an agent may take to give its.
const INTERVAL: Duration = Duration::from_secs(2);
/// Agents that are asked at once.
const MAX_ASKED: usize = 512;
/// A change of memory below this is no news.
const MEMORY_STEP: u64 = 1 << 20;
/// A change of CPU time below this is no news, in microseconds.
const CPU_STEP: u64 = 20_000;

impl Daemon {
    /// Takes the readings of claimed workers now and then.
    pub(in crate::daemon) async fn read_meters(self: Arc<Self>) {
        let mut interval = tokio::time::interval(INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            tokio::join!(self.ask_all(), self.read_ports());
        }
    }

    async fn ask_all(self: &Arc<Self>) {
        let claimed: Vec<WorkerId> = {
            let state = self.lock();
            let records = state.records.values();
            records
                .filter(|r| r.claim.is_some() && !r.underway.removes())
                .filter(|r| state.quotas.reason(&r.id).is_none())
                .map(|r| r.id.clone())
                .collect()
        };
        let agents = claimed
            .into_iter()
            .filter_map(|worker| Some((self.registry.handle(&worker)?, worker)));
        let ask = |(agent, worker): (AgentHandle, WorkerId)| async move {
            let asked = agent.request(ToAgentBody::Readings, INTERVAL).await;
            if let Ok(Reply::Readings(readings)) = asked.and_then(|said| said.of(&worker))
                && self.note_readings(&worker, readings)
            {
                self.tell_worker(&worker);
            }
        };
        let asked = futures_util::stream::iter(agents).for_each_concurrent(MAX_ASKED, ask);
        if tokio::time::timeout(INTERVAL, asked).await.is_err() {
            tracing::debug!("some agents gave no readings");
        }
    }

    fn note_readings(&self, worker: &WorkerId, readings: Readings) -> bool {
        let mut state = self.lock();
        let Some(record) = state.records.get_mut(worker) else {
            return false;
        };
        let far = |a: Option<u64>, b: Option<u64>, step: u64| {
            a.unwrap_or_default().abs_diff(b.unwrap_or_default()) >= step
        };
        let old = record.readings;
        let news = far(old.memory_bytes, readings.memory_bytes, MEMORY_STEP)
            || far(old.cpu_us, readings.cpu_us, CPU_STEP)
            || old.pids != readings.pids
            || old.oom_kills != readings.oom_kills;
        if news {
            record.readings = readings;
        }
        news
    }
}
