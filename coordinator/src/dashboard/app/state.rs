//! All that the dashboard knows, in one [`AppState`], and what follows from it. Changed by `update`
//! alone; never draws, reads a clock or does I/O.

use crate::{
    dashboard::{
        app::{
            effect::LiveTarget,
            failure::Failure,
            focus::{Focus, LateKeys, Selecting, Tab},
            keys::keymap::Keymap,
            live_terminal::{LiveTerminal, TerminalStream},
            notice::{Notice, NoticeLevel},
            settings::Settings,
        },
        dialogs::{dialog::Dialog, spawn::last_values::SpawnMemory},
        pages::{changes::tab::ChangesTab, logs::tab::LogsTab, terminal::picture::Picture},
        widgets::{text, text_field::TextField, theme::scheme::Theme},
        workers::{
            filter,
            group::Group,
            sort::{self, Sort},
            worker::Worker,
        },
    },
    model::keys::{Action, Chord, Context},
    wire::{PoolView, Status},
};
use podbay_protocol::Size;
use std::collections::{BTreeMap, BTreeSet};

/// The state.
#[derive(Debug, Clone)]
pub struct AppState {
    /// What the user set.
    pub settings: Settings,
    /// Which key does what.
    pub keymap: Keymap,
    /// Keys of a sequence that has begun.
    pub begun: Vec<Chord>,
    /// Colours and glyphs.
    pub theme: Theme,
    /// The terminal's size.
    pub size: Size,
    /// Whether the host terminal has the focus; unknown until it says.
    pub host_focus: Option<bool>,
    /// Whether the mouse is the dashboard's.
    pub mouse: bool,
    /// The list's columns next to the pane, once the divider was dragged.
    pub divider: Option<u16>,
    /// Whether the divider is being dragged.
    pub dragging: bool,
    /// Unix milliseconds on the coordinator's clock.
    pub now_ms: u64,
    /// Whether what is shown is live.
    pub link: CoordinatorLink,
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
    /// Ids of the marked workers.
    pub marked: BTreeSet<String>,
    /// What rows must match to be listed.
    pub filter: String,
    /// Whether keys go to the filter.
    pub filtering: bool,
    /// The order within groups.
    pub sort: Sort,
    /// Which tab is shown.
    pub tab: Tab,
    /// What the keys move.
    pub focus: Focus,
    /// The worker that keys go to, by id.
    pub typing: Option<String>,
    /// Whether typing takes the terminal over from another writer.
    pub takeover: bool,
    /// Several terminals together: the first one's place among those that have a session.
    pub tiles: bool,
    /// Live terminals by worker id.
    pub terminals: BTreeMap<String, LiveTerminal>,
    /// What was asked to be live, last.
    pub watched: Vec<LiveTarget>,
    /// The changes of the worker shown.
    pub changes: ChangesTab,
    /// The logs of the worker shown.
    pub logs: LogsTab,
    /// Lines the details are scrolled.
    pub details_scroll: u16,
    /// A search of what scrolled away, while it is typed.
    pub searching: Option<TextField>,
    /// Begin of a selection by keys, and its cursor: columns and rows of the terminal's view.
    pub selecting: Option<Selecting>,
    /// What lies over everything.
    pub dialog: Option<Dialog>,
    /// Keys are thrown away: they were meant for a worker that no longer takes them.
    pub late: Option<LateKeys>,
    /// The last message to the user.
    pub notice: Option<Notice>,
    /// The spawn form's last values.
    pub spawn_memory: SpawnMemory,
    /// Recent projects, the last one first.
    pub recent: Vec<String>,
    /// A worker, by id or name, that is selected as soon as it is listed: one spawned here.
    pub select_when_listed: Option<String>,
    /// Actions under way, as the user would call them.
    pub pending: Vec<String>,
}

/// The link to the coordinator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CoordinatorLink {
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

impl AppState {
    /// Before the first event.
    pub fn new(settings: Settings, size: Size, now_ms: u64) -> Self {
        let (keymap, problems) = settings.keymap();
        let notice = (!problems.is_empty()).then(|| Notice {
            level: NoticeLevel::Error,
            text: problems.join("; "),
            hint: None,
            until_ms: None,
        });
        Self {
            theme: settings.theme(),
            mouse: settings.mouse,
            sort: settings.sort,
            settings,
            keymap,
            begun: Vec::new(),
            size,
            host_focus: None,
            divider: None,
            dragging: false,
            now_ms,
            link: CoordinatorLink::Connecting,
            status: None,
            pools: BTreeMap::new(),
            workers: BTreeMap::new(),
            rows: Vec::new(),
            selected: None,
            marked: BTreeSet::new(),
            filter: String::new(),
            filtering: false,
            tab: Tab::default(),
            focus: Focus::default(),
            typing: None,
            takeover: false,
            tiles: false,
            terminals: BTreeMap::new(),
            watched: Vec::new(),
            changes: ChangesTab::default(),
            logs: LogsTab::default(),
            details_scroll: 0,
            searching: None,
            selecting: None,
            dialog: None,
            late: None,
            notice,
            spawn_memory: SpawnMemory::default(),
            recent: Vec::new(),
            select_when_listed: None,
            pending: Vec::new(),
        }
    }

    /// Whether what is shown is what is.
    pub fn is_live(&self) -> bool {
        self.link == CoordinatorLink::Live
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
        self.marked.retain(|id| self.workers.contains_key(id));
        let mut rows: Vec<&Worker> = self
            .workers
            .values()
            .filter(|w| filter::matches(&self.filter, w, self.marked.contains(&w.view.id)))
            .collect();
        rows.sort_by(|a, b| sort::compare(a, b, self.sort));
        self.rows = rows.into_iter().map(|w| w.view.id.clone()).collect();
        let wanted = self.select_when_listed.as_ref().and_then(|wanted| {
            let named = |w: &&Worker| w.view.id == *wanted || w.view.name == *wanted;
            self.listed().find(named).map(|w| w.view.id.clone())
        });
        if wanted.is_some() {
            self.selected = wanted;
            self.select_when_listed = None;
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
            level: NoticeLevel::Error,
            text: format!("{}: {}", text.into(), failure.message),
            hint: failure.hint.clone(),
            until_ms: None,
        });
    }

    /// Shows a refusal by the dashboard itself, until the next key.
    pub fn refuse(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice {
            level: NoticeLevel::Error,
            text: text.into(),
            hint: None,
            until_ms: None,
        });
    }

    /// Shows good news for a few seconds.
    pub fn inform(&mut self, text: impl Into<String>, hint: Option<String>) {
        self.notice = Some(Notice {
            level: NoticeLevel::Info,
            text: text.into(),
            hint,
            until_ms: Some(self.now_ms.saturating_add(8_000)),
        });
    }

    /// The terminal of a worker, if it was ever watched.
    pub fn terminal(&self, id: &str) -> Option<&LiveTerminal> {
        self.terminals.get(id)
    }

    /// Whether a worker's terminal is live: its agent has the connection, so that it needs no coordinator.
    pub fn is_connected(&self, id: &str) -> bool {
        self.terminal(id)
            .is_some_and(|terminal| terminal.stream == TerminalStream::Live)
    }

    /// Whether a worker's terminal can be live: it can be attached to, or it is attached to, and a new
    /// coordinator does not know it all yet.
    pub fn can_be_live(&self, worker: &Worker) -> bool {
        let id = &worker.view.id;
        match worker.attachable() {
            true => self.is_current(id),
            false => worker.found_again() && self.is_connected(id),
        }
    }

    /// Whether what is known of a worker's terminal is what it shows now, as far as that can be told.
    pub fn is_current(&self, id: &str) -> bool {
        self.is_live() || self.is_connected(id)
    }

    /// The last picture of a worker.
    pub fn picture(&self, id: &str) -> Option<&Picture> {
        self.terminals.get(id)?.picture.as_deref()
    }

    /// The worker that is typed into.
    pub fn typing_worker(&self) -> Option<&Worker> {
        self.typing.as_ref().and_then(|id| self.workers.get(id))
    }

    /// Where keys are looked up, the most specific first.
    pub fn contexts(&self) -> &'static [Context] {
        use Context::{Changes, Global, List, Logs, Page, Scroll, Tiles};
        if matches!(self.dialog, Some(Dialog::Help(_))) {
            return &[Page, Global];
        }
        match (self.tiles, self.focus, self.tab) {
            (_, Focus::Pane, Tab::Terminal) => &[Scroll, Global],
            (true, ..) => &[Tiles, Global],
            (_, Focus::List, _) => &[List, Global],
            (_, Focus::Pane, Tab::Changes) => &[Changes, Global],
            (_, Focus::Pane, Tab::Logs) => &[Logs, Global],
            (_, Focus::Pane, Tab::Details) => &[Page, Global],
        }
    }

    /// The key of an action, in words: where the keys are now, or else anywhere.
    pub fn key(&self, action: Action) -> String {
        let contexts = self.contexts();
        let label = self.keymap.label(action, contexts);
        label.unwrap_or_else(|| action.name().replace('_', " "))
    }

    /// Goes back within the tab that has the keys; `false` when there is nothing to go back from.
    pub fn tab_back(&mut self) -> bool {
        match self.tab {
            Tab::Changes => self.changes.back(),
            Tab::Logs => self.logs.back(),
            Tab::Terminal | Tab::Details => false,
        }
    }

    /// Whether a search is being typed in what the tab shows.
    pub fn search_is_typed(&self) -> bool {
        self.focus == Focus::Pane
            && match self.tab {
                Tab::Terminal => self.searching.is_some(),
                Tab::Changes => self.changes.searching(),
                Tab::Logs => self.logs.searching(),
                Tab::Details => false,
            }
    }

    /// How many workers wait for the user.
    pub fn waiting(&self) -> usize {
        self.workers
            .values()
            .filter(|w| w.group() == Group::NeedsYou)
            .count()
    }

    /// The host terminal's title.
    pub fn title(&self) -> String {
        let instance = self.status.as_ref().map_or("", |s| s.instance.as_str());
        let name = match instance {
            "" => "podbay".to_owned(),
            instance => format!("podbay {instance}"),
        };
        match (&self.link, self.waiting()) {
            (CoordinatorLink::Gone { .. }, _) => format!("{name}: coordinator unreachable"),
            (_, 0) => name,
            (_, 1) => format!("(1) {name}: 1 worker needs you"),
            (_, n) => format!("({n}) {name}: {n} workers need you"),
        }
    }

    /// The workers an action is for: the marked ones, or else the selected one.
    pub fn targets(&self) -> Vec<&Worker> {
        match self.marked.is_empty() {
            true => self.selected_worker().into_iter().collect(),
            false => self
                .marked
                .iter()
                .filter_map(|id| self.workers.get(id))
                .collect(),
        }
    }

    /// Clients of a worker other than this dashboard's own.
    pub fn other_clients(&self, worker: &Worker) -> u32 {
        let own = self.is_connected(&worker.view.id);
        worker.view.clients.saturating_sub(u32::from(own))
    }

    /// Milliseconds until something shown changes by the passing of time alone: the clock's minute,
    /// with which every age moves, the end of a message, or of keys being thrown away.
    pub fn next_change_ms(&self) -> Option<u64> {
        let clock = self
            .status
            .is_some()
            .then(|| text::until_minute(self.now_ms));
        let notice = self
            .notice
            .as_ref()
            .and_then(|n| n.until_ms)
            .map(|until| until.saturating_sub(self.now_ms).max(1));
        let late = self
            .late
            .as_ref()
            .map(|late| late.until_ms.saturating_sub(self.now_ms).max(1));
        clock.into_iter().chain(notice).chain(late).min()
    }
}

/// The first size of a state, before the terminal said anything.
pub const FALLBACK_SIZE: Size = Size { cols: 80, rows: 24 };
