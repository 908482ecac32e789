//! The faults that are made at random.

use super::Run;
use e2e::{instance::text, processes, proxy::Mode, wait};
use nix::sys::signal::Signal;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    CoordinatorKilled,
    EngineKilled,
    ContainerdKilled,
    MounterKilled,
    EventsDropped,
    EngineSlow,
    EngineHalfOpen,
    EngineRefuses,
    WarmKilled,
    WarmRemoved,
    WarmPaused,
    SessionPaused,
    SessionKilled,
    SessionRemoved,
    AgentKilled,
}

pub(super) const FAULTS: [Fault; 15] = [
    Fault::CoordinatorKilled,
    Fault::EngineKilled,
    Fault::ContainerdKilled,
    Fault::MounterKilled,
    Fault::EventsDropped,
    Fault::EngineSlow,
    Fault::EngineHalfOpen,
    Fault::EngineRefuses,
    Fault::WarmKilled,
    Fault::WarmRemoved,
    Fault::WarmPaused,
    Fault::SessionPaused,
    Fault::SessionKilled,
    Fault::SessionRemoved,
    Fault::AgentKilled,
];

impl Run {
    pub(super) fn docker(&mut self, args: &[&str]) {
        let output = self.instance.engine.try_docker(args);
        if !output.status.success() {
            self.say(format!(
                "  docker {args:?}: {}",
                text(&output.stderr).trim()
            ));
        }
    }

    pub(super) fn container(&self, name: &str) -> Option<String> {
        let worker = self.instance.worker(name)?;
        worker["container"].as_str().map(str::to_owned)
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.say(format!("{fault:?}"));
        match fault {
            Fault::CoordinatorKilled => {
                if let Some(pid) = self.instance.coordinator() {
                    processes::signal(pid, Signal::SIGKILL);
                }
            }
            Fault::EngineKilled => {
                self.engine.kill_daemon();
                wait::pause(Duration::from_millis(500));
                self.engine.start_daemon();
            }
            Fault::ContainerdKilled => {
                self.engine.kill_containerd();
                wait::pause(Duration::from_millis(500));
                self.engine.start_containerd();
            }
            Fault::MounterKilled => {
                let mounter = self
                    .instance
                    .engine
                    .containers(&self.instance.name, "mounter");
                for id in mounter {
                    self.docker(&["kill", &id]);
                }
            }
            Fault::EventsDropped => self.proxy.set(Mode::DropEvents),
            Fault::EngineSlow => self.proxy.set(Mode::Delay(Duration::from_millis(300))),
            Fault::EngineHalfOpen => self.proxy.set(Mode::HalfOpen),
            Fault::EngineRefuses => self.proxy.set(Mode::Refuse),
            Fault::WarmKilled | Fault::WarmRemoved | Fault::WarmPaused => {
                let warm = self.instance.warm();
                if let Some(id) = warm.first() {
                    match fault {
                        Fault::WarmKilled => self.docker(&["kill", id]),
                        Fault::WarmRemoved => self.docker(&["rm", "-f", id]),
                        _ => self.docker(&["pause", id]),
                    }
                    // A claim may have taken it meanwhile.
                    self.struck.push((id.clone(), fault));
                }
            }
            Fault::SessionPaused => {
                if let Some(id) = self.any().and_then(|name| self.container(&name)) {
                    self.docker(&["pause", &id]);
                    wait::pause(Duration::from_millis(300));
                    self.docker(&["unpause", &id]);
                }
            }
            Fault::SessionKilled | Fault::SessionRemoved => {
                let Some(name) = self.any() else { return };
                let Some(id) = self.container(&name) else {
                    return;
                };
                self.say(format!("  it is {name}"));
                self.doom(&name);
                let how: &[&str] = match fault {
                    Fault::SessionKilled => &["kill", &id],
                    _ => &["rm", "-f", &id],
                };
                self.docker(how);
            }
            Fault::AgentKilled => {
                let Some(name) = self.any() else { return };
                let Some(id) = self.container(&name) else {
                    return;
                };
                self.say(format!("  it is {name}"));
                let said =
                    self.instance
                        .engine
                        .try_docker(&["inspect", "-f", "{{.State.Pid}}", &id]);
                let Ok(pid) = text(&said.stdout).trim().parse::<i32>() else {
                    return;
                };
                if pid > 0 {
                    self.doom(&name);
                    processes::signal(pid, Signal::SIGKILL);
                }
            }
        }
        if matches!(
            fault,
            Fault::EventsDropped | Fault::EngineSlow | Fault::EngineHalfOpen | Fault::EngineRefuses
        ) {
            let time = 500 + self.dice.below(2500) as u64;
            wait::pause(Duration::from_millis(time));
            self.proxy.set(Mode::Pass);
        }
    }

    /// A warm worker that was struck may have been claimed by then: its session is excused.
    pub(super) fn after_strikes(&mut self) {
        for (id, fault) in std::mem::take(&mut self.struck) {
            let names: Vec<String> = self.sessions.keys().cloned().collect();
            for name in names {
                if self.container(&name).as_deref() != Some(&id) {
                    continue;
                }
                if fault == Fault::WarmPaused {
                    self.docker(&["unpause", &id]);
                } else {
                    self.doom(&name);
                }
            }
        }
    }
}
