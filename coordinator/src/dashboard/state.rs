//! All the dashboard knows. Changed by `update` only, drawn by `view` only.

use super::{
    dialog::{Dialog, SpawnMemory},
    event::{Failure, Picture},
    grid::Grid,
    order::{self, Group},
    text,
    theme::Theme,
};
use crate::{
    model::WorkerState,
    wire::{PoolView, Status, WorkerView},
};
use podbay_protocol::{ExitStatus, Size};
use std::{collections::BTreeMap, sync::Arc};

/// The state.
#[derive(Debug, Clone)]
pub struct State {
    /// Colours and glyphs.
    pub theme: Theme,
    /// The terminal's size.
    pub size: Size,
    /// Unix milliseconds on the coordinator's clock.
    pub now_ms: u64,
    /// Whether what is shown is live.
    pub link: Link,
    /// The coordinator, once it said hello.
    pub status: Option<Status>,
    /// Pools by profile.
    pub pools: BTreeMap<String, PoolView>,
    /// Workers by id.
    pub workers: BTreeMap<String, Worker>,
    /// Ids in the order of the list, filtered.
    pub rows: Vec<String>,
    /// The selected worker's id; one of `rows`, or none when that is empty.
    pub selected: Option<String>,
    /// What rows must contain to be listed.
    pub filter: String,
    /// Whether keys go to the filter.
    pub filtering: bool,
    /// What lies over the list.
    pub dialog: Option<Dialog>,
    /// The last message to the user.
    pub notice: Option<Notice>,
    /// What the preview shows.
    pub preview: Preview,
    /// The spawn dialog's last values.
    pub spawn_memory: SpawnMemory,
    /// A worker that was spawned here and is selected as soon as it is listed.
    pub select_when_listed: Option<String>,
    /// Actions under way, as the user would call them.
    pub pending: Vec<String>,
    /// The worker that keys go to, by id.
    pub typing: Option<String>,
    /// The keys that leave a full-screen attach, for people.
    pub detach_label: String,
}

/// The link to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// Nothing has come yet.
    Connecting,
    /// Events are coming.
    Live,
    /// The coordinator cannot be reached; it is tried again.
    Gone {
        /// Unix milliseconds.
        since_ms: u64,
        /// Why.
        reason: String,
    },
}

/// A worker and what was worked out about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// As the coordinator sent it.
    pub view: WorkerView,
    /// Hundredths of one CPU, from the last two readings.
    pub cpu_percent: Option<u64>,
    /// Time of the last reading of CPU time: Unix milliseconds and microseconds of CPU.
    pub cpu_read: Option<(u64, u64)>,
}

/// A message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Whether something failed.
    pub level: Level,
    /// What happened.
    pub text: String,
    /// What can be done.
    pub hint: Option<String>,
    /// Unix milliseconds after which it goes away by itself.
    pub until_ms: Option<u64>,
}

/// How bad a notice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Good or neutral.
    Info,
    /// Something failed. Stays until a key is pressed.
    Error,
}

/// The preview of the selected worker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// The worker watched.
    pub worker: Option<String>,
    /// The last picture, and the id of the worker it is of.
    pub picture: Option<(String, Arc<Picture>)>,
    /// What the stream is doing.
    pub stream: PreviewStream,
}

/// What the preview's stream is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PreviewStream {
    /// Nothing is watched.
    #[default]
    Off,
    /// Attaching.
    Opening,
    /// Live.
    Live,
    /// The session ended.
    Ended(ExitStatus),
    /// Broken; the reason.
    Broken(String),
}

impl State {
    /// Before the first event.
    pub fn new(theme: Theme, size: Size, now_ms: u64) -> Self {
        Self {
            theme,
            size,
            now_ms,
            link: Link::Connecting,
            status: None,
            pools: BTreeMap::new(),
            workers: BTreeMap::new(),
            rows: Vec::new(),
            selected: None,
            filter: String::new(),
            filtering: false,
            dialog: None,
            notice: None,
            preview: Preview::default(),
            spawn_memory: SpawnMemory::default(),
            select_when_listed: None,
            pending: Vec::new(),
            typing: None,
            detach_label: "Ctrl-Q".to_owned(),
        }
    }

    /// Whether what is shown is what is.
    pub fn is_live(&self) -> bool {
        self.link == Link::Live
    }

    /// The selected worker.
    pub fn selected_worker(&self) -> Option<&Worker> {
        self.selected.as_ref().and_then(|id| self.workers.get(id))
    }

    /// Place of the selected worker in `rows`.
    pub fn selected_row(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.rows.iter().position(|id| id == selected)
    }

    /// The workers in the order of the list.
    pub fn listed(&self) -> impl Iterator<Item = &Worker> {
        self.rows.iter().filter_map(|id| self.workers.get(id))
    }

    /// How many workers are in each group, in the list's order; filtered like the list.
    pub fn groups(&self) -> BTreeMap<Group, usize> {
        let mut groups = BTreeMap::new();
        for worker in self.listed() {
            *groups.entry(worker.group()).or_default() += 1;
        }
        groups
    }

    /// Sorts and filters the list again and keeps the selection on its worker; when that one is
    /// gone, on what took its place.
    pub fn arrange(&mut self) {
        let place = self.selected_row().unwrap_or(0);
        let needle = self.filter.to_lowercase();
        let mut rows: Vec<&Worker> = self
            .workers
            .values()
            .filter(|w| needle.is_empty() || w.matches(&needle))
            .collect();
        rows.sort_by(|a, b| order::compare(a, b));
        self.rows = rows.into_iter().map(|w| w.view.id.clone()).collect();
        if let Some(wanted) = &self.select_when_listed
            && self.rows.contains(wanted)
        {
            self.selected = self.select_when_listed.take();
        }
        let listed = self
            .selected
            .as_ref()
            .is_some_and(|id| self.rows.contains(id));
        if !listed {
            let last = self.rows.len().saturating_sub(1);
            self.selected = self.rows.get(place.min(last)).cloned();
        }
    }

    /// Shows a failure until the next key.
    pub fn fail(&mut self, text: impl Into<String>, failure: &Failure) {
        self.notice = Some(Notice {
            level: Level::Error,
            text: format!("{}: {}", text.into(), failure.message),
            hint: failure.hint.clone(),
            until_ms: None,
        });
    }

    /// Shows a refusal by the dashboard itself, until the next key.
    pub fn refuse(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            level: Level::Error,
            text: text.into(),
            hint: None,
            until_ms: None,
        });
    }

    /// Shows good news for a few seconds.
    pub fn inform(&mut self, text: impl Into<String>, hint: Option<String>) {
        self.notice = Some(Notice {
            level: Level::Info,
            text: text.into(),
            hint,
            until_ms: Some(self.now_ms.saturating_add(8_000)),
        });
    }

    /// The last picture of the selected worker.
    pub fn picture(&self) -> Option<&Grid> {
        let (of, picture) = self.preview.picture.as_ref()?;
        (self.selected.as_ref() == Some(of)).then_some(&picture.grid)
    }

    /// Clients of a worker other than this dashboard's own preview.
    pub fn other_clients(&self, worker: &Worker) -> u32 {
        let own = self.preview.stream == PreviewStream::Live
            && self.preview.worker.as_deref() == Some(worker.view.id.as_str());
        worker.view.clients.saturating_sub(u32::from(own))
    }

    /// Milliseconds until something shown changes by the passing of time alone; `None` when
    /// nothing does.
    pub fn next_change_ms(&self) -> Option<u64> {
        let ages = self
            .listed()
            .map(|w| w.age_from())
            .chain(
                self.pools
                    .values()
                    .filter_map(|p| p.last_failure.as_ref())
                    .map(|f| f.at_ms),
            )
            .chain(match &self.link {
                Link::Gone { since_ms, .. } => Some(*since_ms),
                Link::Connecting | Link::Live => None,
            })
            .map(|from| text::until_age_changes(self.now_ms.saturating_sub(from)));
        let notice = self
            .notice
            .as_ref()
            .and_then(|n| n.until_ms)
            .map(|until| until.saturating_sub(self.now_ms).max(1));
        ages.chain(notice).min()
    }
}

impl Worker {
    /// From a first view.
    pub fn new(view: WorkerView, at_ms: u64) -> Self {
        let cpu_read = view.readings.cpu_us.map(|us| (at_ms, us));
        Self {
            view,
            cpu_percent: None,
            cpu_read,
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
                    self.cpu_percent = Some((now_us - then_us) / ms.saturating_mul(10));
                    self.cpu_read = Some((at_ms, now_us));
                }
            }
            (_, now) => {
                self.cpu_percent = None;
                self.cpu_read = now.map(|us| (at_ms, us));
            }
        }
        self.view = view;
    }

    /// The group it is listed in.
    pub fn group(&self) -> Group {
        order::group(&self.view)
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

    /// Whether it can be removed without stopping anything.
    pub fn ended(&self) -> bool {
        matches!(
            self.view.state,
            WorkerState::Exited | WorkerState::Failed | WorkerState::Lost
        )
    }

    /// Why it is in its state, for people; empty when there is nothing to say.
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
            return format!("{}{oom}{changes}", exit_words(exit));
        }
        match (&view.why, &view.activity) {
            (Some(why), _) => why.clone(),
            (None, Some(activity)) if view.state == WorkerState::Running => activity.why.clone(),
            _ => String::new(),
        }
    }

    fn matches(&self, needle: &str) -> bool {
        let view = &self.view;
        let project = view
            .project
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        [
            &view.name,
            &view.profile,
            &view.title,
            &project,
            &view.argv.join(" "),
        ]
        .into_iter()
        .any(|field| field.to_lowercase().contains(needle))
            || self.group().word().contains(needle)
            || view.state.as_str().contains(needle)
    }
}

/// How a session ended, for people.
pub fn exit_words(exit: ExitStatus) -> String {
    match exit {
        ExitStatus::Code(0) => "finished (exit 0)".to_owned(),
        ExitStatus::Code(code) => format!("failed with exit code {code}"),
        ExitStatus::Signal(9) => "killed (signal 9)".to_owned(),
        ExitStatus::Signal(15) => "stopped (signal 15)".to_owned(),
        ExitStatus::Signal(signal) => format!("ended by signal {signal}"),
    }
}
