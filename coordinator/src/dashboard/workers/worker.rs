//! A worker as the dashboard knows it: what the coordinator sent, and what follows from several
//! readings of it. Never asks for anything.

use crate::{
    dashboard::workers::group::{self, Group},
    model::WorkerState,
    wire::WorkerView,
};
use podbay_protocol::ExitStatus;

/// Readings kept for a sparkline.
const HISTORY: usize = 32;

/// A worker and what was worked out about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// As the coordinator sent it.
    pub view: WorkerView,
    /// Hundredths of one CPU, from the last two readings.
    pub cpu_percent: Option<u64>,
    /// Time of the last reading of CPU time: Unix milliseconds and microseconds of CPU.
    pub cpu_read: Option<(u64, u64)>,
    /// The last percentages, oldest first.
    pub cpu_history: Vec<u64>,
    /// The last sizes in bytes, oldest first.
    pub memory_history: Vec<u64>,
}

impl Worker {
    /// From a first view.
    pub fn new(view: WorkerView, at_ms: u64) -> Self {
        let cpu_read = view.readings.cpu_us.map(|us| (at_ms, us));
        Self {
            view,
            cpu_percent: None,
            cpu_read,
            cpu_history: Vec::new(),
            memory_history: Vec::new(),
        }
    }

    /// Takes a newer view, read at `at_ms`.
    pub fn refresh(&mut self, view: WorkerView, at_ms: u64) {
        /// Shorter than this, the quotient is noise.
        const SHORTEST_MS: u64 = 500;
        match (self.cpu_read, view.readings.cpu_us) {
            (Some((then_ms, then_us)), Some(now_us)) if now_us >= then_us => {
                let ms = at_ms.saturating_sub(then_ms);
                if ms >= SHORTEST_MS && view.readings != self.view.readings {
                    let percent = (now_us - then_us) / ms.saturating_mul(10);
                    self.cpu_percent = Some(percent);
                    keep(&mut self.cpu_history, percent);
                    self.cpu_read = Some((at_ms, now_us));
                }
            }
            (_, now) => {
                self.cpu_percent = None;
                self.cpu_read = now.map(|us| (at_ms, us));
            }
        }
        if let Some(bytes) = view.readings.memory_bytes
            && view.readings != self.view.readings
        {
            keep(&mut self.memory_history, bytes);
        }
        self.view = view;
    }

    /// The group it is listed in.
    pub fn group(&self) -> Group {
        group::group(&self.view)
    }

    /// What its age counts from: the claim, or the creation; the end once it ended. Unix ms.
    pub fn age_from(&self) -> u64 {
        let view = &self.view;
        view.ended_ms.or(view.claimed_ms).unwrap_or(view.created_ms)
    }

    /// Whether there is a session to attach to.
    pub fn attachable(&self) -> bool {
        self.view.state == WorkerState::Running
    }

    /// Whether a coordinator has found it, and its agent has not called there yet.
    pub fn found_again(&self) -> bool {
        matches!(
            self.view.state,
            WorkerState::Creating | WorkerState::Claiming
        )
    }

    /// Whether it can be removed without stopping anything.
    pub fn ended(&self) -> bool {
        matches!(
            self.view.state,
            WorkerState::Exited | WorkerState::Failed | WorkerState::Lost
        )
    }

    /// Whether there are changes to review.
    pub fn changed(&self) -> bool {
        self.view.unapplied || self.view.changes.as_ref().is_some_and(|c| c.files > 0)
    }

    /// Why it is in its state, in words; empty when there is nothing to say.
    pub fn reason(&self) -> String {
        let view = &self.view;
        if let Some(exit) = view.exit {
            let oom = if view.oom {
                ", killed for lack of memory"
            } else {
                ""
            };
            let changes = if view.unapplied {
                ", changes to review"
            } else {
                ""
            };
            return format!("{}{oom}{changes}", describe_exit(exit));
        }
        match (&view.why, &view.activity) {
            (Some(why), _) => why.clone(),
            (None, Some(activity)) if view.state == WorkerState::Running => {
                let why = activity.why.as_str();
                why.strip_prefix("notification: ").unwrap_or(why).to_owned()
            }
            _ => String::new(),
        }
    }
}

fn keep(history: &mut Vec<u64>, value: u64) {
    if history.len() >= HISTORY {
        history.remove(0);
    }
    history.push(value);
}

/// How a session ended, in words.
pub fn describe_exit(exit: ExitStatus) -> String {
    match exit {
        ExitStatus::Code(0) => "finished (exit 0)".to_owned(),
        ExitStatus::Code(code) => format!("failed with exit code {code}"),
        ExitStatus::Signal(9) => "killed (signal 9)".to_owned(),
        ExitStatus::Signal(15) => "stopped (signal 15)".to_owned(),
        ExitStatus::Signal(signal) => format!("ended by signal {signal}"),
    }
}
