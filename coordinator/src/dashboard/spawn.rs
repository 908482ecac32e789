//! The spawn form: its fields, what keys do in it, and the request it comes to. Pure.
//!
//! The usual case is two keys: one opens it with the last values, Enter spawns.

mod complete;
mod request;

use super::{
    event::{Effect, Failure, Fetch},
    field::Field,
    state::State,
};
use crate::{
    model::Isolation,
    wire::{PoolView, SpawnRequest},
};
pub use complete::Completion;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use podbay_protocol::Size;
pub use request::typable;
use serde::{Deserialize, Serialize};

/// What a key did.
#[derive(Debug, Clone, PartialEq)]
pub enum FormKey {
    /// The form stays; this is to be done.
    Stay(Vec<Effect>),
    /// The form goes, and nothing is done.
    Cancel,
    /// This is to be spawned.
    Spawn(Box<SpawnRequest>),
}

/// Fields of the form, from top to bottom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SpawnField {
    /// The project's folder.
    Project,
    /// The worker's name.
    Name,
    /// The profile.
    Profile,
    /// How the project gets in.
    Isolation,
    /// The command.
    Command,
    /// The environment.
    Env,
    /// The memory limit.
    Memory,
    /// The CPU limit.
    Cpus,
    /// The process limit.
    Pids,
    /// Whether the worker is kept after its session.
    Keep,
}

impl SpawnField {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Project,
        Self::Name,
        Self::Profile,
        Self::Isolation,
        Self::Command,
        Self::Env,
        Self::Memory,
        Self::Cpus,
        Self::Pids,
        Self::Keep,
    ];

    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Name => "Name",
            Self::Profile => "Profile",
            Self::Isolation => "Isolation",
            Self::Command => "Command",
            Self::Env => "Environment",
            Self::Memory => "Memory",
            Self::Cpus => "CPUs",
            Self::Pids => "Processes",
            Self::Keep => "Afterwards",
        }
    }

    /// What is shown in its place when it is empty.
    pub fn empty(self) -> &'static str {
        match self {
            Self::Project => "none",
            Self::Name => "made up",
            Self::Env => "the profile's",
            _ => "the profile's default",
        }
    }
}

/// The last values of the form, for the next time. A name is not among them: it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SpawnMemory {
    project: String,
    profile: Option<String>,
    isolation: Option<Isolation>,
    command: String,
    /// Never written to a file: keys and passwords are in it.
    #[serde(skip)]
    env: String,
    memory: String,
    cpus: String,
    pids: String,
    keep: bool,
}

/// A profile to choose from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub profile: String,
    /// Its image.
    pub image: String,
    /// Workers that are ready.
    pub warm: u32,
    /// Why that number will not grow.
    pub held: Option<&'static str>,
}

impl From<&PoolView> for Offer {
    fn from(pool: &PoolView) -> Self {
        Self {
            profile: pool.profile.clone(),
            image: pool.image.clone(),
            warm: pool.warm,
            held: match (pool.draining, pool.paused) {
                (true, _) => Some("draining"),
                (false, true) => Some("paused"),
                (false, false) => None,
            },
        }
    }
}

/// The form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnForm {
    /// The project's folder on the engine's host; empty for none.
    pub project: Field,
    /// What its path may be completed to.
    pub completion: Completion,
    /// Whether the project was edited since the form was opened.
    pub touched: bool,
    /// The name; empty for one that is made up.
    pub name: Field,
    /// The profile; `None` for the configured default.
    pub profile: Option<String>,
    /// The profiles to choose from.
    pub offers: Vec<Offer>,
    /// The isolation; `None` for the profile's.
    pub isolation: Option<Isolation>,
    /// The command; empty for the profile's.
    pub command: Field,
    /// The environment: words `NAME=value`.
    pub env: Field,
    /// The memory limit; empty for the profile's.
    pub memory: Field,
    /// The CPU limit; empty for the profile's.
    pub cpus: Field,
    /// The process limit; empty for the profile's.
    pub pids: Field,
    /// Whether the worker is kept after its session.
    pub keep: bool,
    /// The field with the focus.
    pub focus: SpawnField,
    /// What is wrong, and where.
    pub error: Option<(SpawnField, String)>,
}

impl SpawnForm {
    /// With the last values, for the selected worker's project; and what it has to know.
    pub fn open(state: &State) -> (Self, Vec<Effect>) {
        let offers = state.pools.values().map(Offer::from).collect();
        let mut form = Self::new(&state.spawn_memory, offers, &state.recent);
        let selected = state.selected_worker();
        let project = selected
            .and_then(|worker| typable(worker.view.project.as_ref()?))
            .or_else(|| {
                form.project
                    .is_empty()
                    .then(|| state.recent.first().cloned())?
            });
        if let Some(project) = project {
            form.project = Field::new(&project);
        }
        (form, vec![Effect::Fetch(Fetch::Recent)])
    }

    /// With the last values.
    pub fn new(memory: &SpawnMemory, offers: Vec<Offer>, recent: &[String]) -> Self {
        let known = |profile: &String| offers.iter().any(|offer| offer.profile == *profile);
        let mut completion = Completion::new(recent);
        completion.recent_came(recent, None);
        Self {
            project: Field::new(&memory.project),
            completion,
            touched: false,
            name: Field::default(),
            profile: memory.profile.clone().filter(known),
            offers,
            isolation: memory.isolation,
            command: Field::new(&memory.command),
            env: Field::new(&memory.env),
            memory: Field::new(&memory.memory),
            cpus: Field::new(&memory.cpus),
            pids: Field::new(&memory.pids),
            keep: memory.keep,
            focus: SpawnField::Project,
            error: None,
        }
    }

    /// The values to remember.
    pub fn memory(&self) -> SpawnMemory {
        SpawnMemory {
            project: self.project.content(),
            profile: self.profile.clone(),
            isolation: self.isolation,
            command: self.command.content(),
            env: self.env.content(),
            memory: self.memory.content(),
            cpus: self.cpus.content(),
            pids: self.pids.content(),
            keep: self.keep,
        }
    }

    /// Takes a key; the session's terminal will have this size.
    pub fn key(&mut self, key: KeyEvent, size: Size) -> FormKey {
        let in_project = self.focus == SpawnField::Project;
        match key.code {
            KeyCode::Esc if in_project && self.completion.chosen().is_some() => {
                self.completion.close();
            }
            KeyCode::Esc => return FormKey::Cancel,
            KeyCode::Enter if in_project && self.completion.chosen().is_some() => {
                return FormKey::Stay(self.choose());
            }
            KeyCode::Enter => match self.request(size) {
                Ok(request) => return FormKey::Spawn(Box::new(request)),
                Err((field, wrong)) => {
                    self.move_to(field);
                    self.error = Some((field, wrong));
                }
            },
            KeyCode::Tab if in_project => return FormKey::Stay(self.complete()),
            KeyCode::Down if in_project && self.completion.down() => {}
            KeyCode::Up if in_project && self.completion.up() => {}
            KeyCode::Tab | KeyCode::Down => self.move_focus(true),
            KeyCode::BackTab | KeyCode::Up => self.move_focus(false),
            _ => return FormKey::Stay(self.edit(key)),
        }
        FormKey::Stay(Vec::new())
    }

    /// Takes pasted text.
    pub fn paste(&mut self, pasted: &str) -> Vec<Effect> {
        self.error = None;
        let absolute = pasted.trim_start().starts_with('/');
        if self.focus == SpawnField::Project && !self.touched && absolute {
            self.project = Field::default();
        }
        match self.text_field() {
            Some(field) => field.insert(pasted),
            None => return Vec::new(),
        }
        self.edited()
    }

    /// Says that it cannot be done now.
    pub fn refuse(&mut self, why: &str) {
        self.error = Some((self.focus, why.to_owned()));
    }

    /// Projects of late, the last one first.
    pub fn recent_came(&mut self, recent: &[String]) {
        let typed = self.touched.then(|| self.project.content());
        self.completion.recent_came(recent, typed.as_deref());
    }

    /// Folders that the engine's host has for a path.
    pub fn folders_came(&mut self, path: &str, folders: Result<Vec<String>, Failure>) {
        let typed = self.touched.then(|| self.project.content());
        self.completion
            .folders_came(path, folders, typed.as_deref());
    }

    /// The keys that work now, and what they do.
    pub fn hints(&self) -> Vec<(&'static str, &'static str)> {
        let listed = !self.completion.list().is_empty();
        match self.focus {
            SpawnField::Project if self.completion.chosen().is_some() => vec![
                ("Enter/Tab", "take it"),
                ("Up/Down", "choose"),
                ("Esc", "close the list"),
            ],
            SpawnField::Project if listed => vec![
                ("Enter", "spawn"),
                ("Tab", "complete"),
                ("Down", "choose"),
                ("Esc", "cancel"),
            ],
            SpawnField::Project => vec![
                ("Enter", "spawn"),
                ("Tab", "next field"),
                ("Down", "recent projects"),
                ("Esc", "cancel"),
            ],
            SpawnField::Profile | SpawnField::Isolation => vec![
                ("Enter", "spawn"),
                ("Tab", "next field"),
                ("Left/Right", "change"),
                ("Esc", "cancel"),
            ],
            SpawnField::Keep => vec![
                ("Enter", "spawn"),
                ("Tab", "next field"),
                ("Space", "change"),
                ("Esc", "cancel"),
            ],
            _ => vec![("Enter", "spawn"), ("Tab", "next field"), ("Esc", "cancel")],
        }
    }

    /// The text of a field, when it is one of text.
    pub fn text_of(&self, field: SpawnField) -> Option<&Field> {
        match field {
            SpawnField::Project => Some(&self.project),
            SpawnField::Name => Some(&self.name),
            SpawnField::Command => Some(&self.command),
            SpawnField::Env => Some(&self.env),
            SpawnField::Memory => Some(&self.memory),
            SpawnField::Cpus => Some(&self.cpus),
            SpawnField::Pids => Some(&self.pids),
            SpawnField::Profile | SpawnField::Isolation | SpawnField::Keep => None,
        }
    }

    fn text_field(&mut self) -> Option<&mut Field> {
        match self.focus {
            SpawnField::Project => Some(&mut self.project),
            SpawnField::Name => Some(&mut self.name),
            SpawnField::Command => Some(&mut self.command),
            SpawnField::Env => Some(&mut self.env),
            SpawnField::Memory => Some(&mut self.memory),
            SpawnField::Cpus => Some(&mut self.cpus),
            SpawnField::Pids => Some(&mut self.pids),
            SpawnField::Profile | SpawnField::Isolation | SpawnField::Keep => None,
        }
    }

    fn edit(&mut self, key: KeyEvent) -> Vec<Effect> {
        self.error = None;
        let before = self.project.content();
        if let Some(field) = self.text_field() {
            field.key(key);
        } else if !key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Right | KeyCode::Char(' ' | 'l') => self.cycle(true),
                KeyCode::Left | KeyCode::Char('h') => self.cycle(false),
                _ => {}
            }
        }
        match self.project.content() == before {
            true => Vec::new(),
            false => self.edited(),
        }
    }

    /// The project's text changed, if that has the focus.
    fn edited(&mut self) -> Vec<Effect> {
        if self.focus != SpawnField::Project {
            return Vec::new();
        }
        self.touched = true;
        let path = self.project.content();
        match self.completion.typed(&path) {
            true => vec![Effect::Fetch(Fetch::Folders { path })],
            false => Vec::new(),
        }
    }

    /// Tab in the project: takes what is chosen, goes on as far as all folders do, or to the next
    /// field.
    fn complete(&mut self) -> Vec<Effect> {
        if self.completion.chosen().is_some() {
            return self.choose();
        }
        match self.completion.prefix(&self.project.content()) {
            Some(longer) => {
                self.project = Field::new(&longer);
                self.edited()
            }
            None => {
                self.move_focus(true);
                Vec::new()
            }
        }
    }

    /// Takes what is chosen in the list: a project of late as it is, a folder to go on in.
    fn choose(&mut self) -> Vec<Effect> {
        let Some(chosen) = self.completion.chosen().cloned() else {
            return Vec::new();
        };
        self.error = None;
        if chosen.recent {
            self.project = Field::new(&chosen.path);
            self.touched = true;
            self.completion.close();
            return Vec::new();
        }
        self.project = Field::new(&format!("{}/", chosen.path.trim_end_matches('/')));
        self.edited()
    }

    fn move_to(&mut self, field: SpawnField) {
        self.completion.close();
        self.focus = field;
    }

    fn move_focus(&mut self, forward: bool) {
        let all = SpawnField::ALL;
        let here = all.iter().position(|f| *f == self.focus).unwrap_or(0);
        let step = if forward { 1 } else { all.len() - 1 };
        let next = all.get((here + step) % all.len()).copied();
        self.move_to(next.unwrap_or(SpawnField::Project));
    }

    /// The next or previous choice of a field that is not text.
    fn cycle(&mut self, forward: bool) {
        match self.focus {
            SpawnField::Profile => {
                let profiles: Vec<String> = self.offers.iter().map(|o| o.profile.clone()).collect();
                cycle(&mut self.profile, &profiles, forward);
            }
            SpawnField::Isolation => {
                let all = [Isolation::Bind, Isolation::Overlay, Isolation::None];
                cycle(&mut self.isolation, &all, forward);
            }
            SpawnField::Keep => self.keep = !self.keep,
            _ => {}
        }
    }

    /// What is wrong with what was typed so far, or what the field with the focus is for.
    pub fn advice(&self) -> (bool, String) {
        if let Some((field, wrong)) = &self.error {
            return (true, format!("{}: {wrong}", field.label()));
        }
        let said = match self.focus {
            SpawnField::Project => {
                let typed = self.project.content();
                if typed.starts_with('~') {
                    return (true, request::wrong_project(&typed).unwrap_or_default());
                }
                if let Some(why) = self.completion.failed() {
                    return (false, format!("Folders cannot be listed: {why}"));
                }
                "A folder on the engine's host; empty for no project."
            }
            SpawnField::Name => "Empty: a name is made up.",
            SpawnField::Profile => "What the worker is made of: image, limits, command.",
            SpawnField::Isolation => {
                "bind: writes go to the project. overlay: review, then apply. none: no project."
            }
            SpawnField::Command => "Program and arguments, quoted as in a shell.",
            SpawnField::Env => "NAME=value, several with blanks between; quoted as in a shell.",
            SpawnField::Memory => "Such as 512m, 4g or 1.5g.",
            SpawnField::Cpus => "Such as 2 or 0.5.",
            SpawnField::Pids => "Processes and threads at once, such as 512.",
            SpawnField::Keep => {
                "A kept worker can be looked into and started again when its session has ended. \
                 Changes to review are kept in any case."
            }
        };
        (false, said.to_owned())
    }

    /// The offer that is chosen; the only one, when the default is.
    pub fn offer(&self) -> Option<&Offer> {
        match (&self.profile, self.offers.as_slice()) {
            (Some(profile), offers) => offers.iter().find(|o| o.profile == *profile),
            (None, [only]) => Some(only),
            (None, _) => None,
        }
    }
}

/// The next of `None` and the choices, around the ends.
fn cycle<T: Clone + PartialEq>(value: &mut Option<T>, choices: &[T], forward: bool) {
    let count = choices.len() + 1;
    let here = value
        .as_ref()
        .and_then(|v| choices.iter().position(|c| c == v))
        .map_or(0, |i| i + 1);
    let next = if forward { here + 1 } else { here + count - 1 } % count;
    *value = next.checked_sub(1).and_then(|i| choices.get(i)).cloned();
}

#[cfg(test)]
#[path = "spawn/tests.rs"]
mod tests;
