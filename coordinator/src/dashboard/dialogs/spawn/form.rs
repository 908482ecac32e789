//! The spawn form: its fields and what keys do in it; the usual case is two keys, one that opens it
//! with the last values, and Enter. Never spawns: the request is given back.

use crate::{
    dashboard::{
        app::{
            effect::{Effect, Fetch},
            failure::Failure,
        },
        dialogs::spawn::{
            completion::Completion,
            fields::{Offer, SpawnField},
            last_values::SpawnMemory,
        },
        widgets::text_field::TextField,
    },
    model::Isolation,
    wire::SpawnRequest,
};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use podbay_protocol::Size;

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

/// The form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnForm {
    /// The project's folder on the engine's host; empty for none.
    pub project: TextField,
    /// What its path may be completed to.
    pub completion: Completion,
    /// Whether the project was edited since the form was opened.
    pub touched: bool,
    /// The name; empty for one that is made up.
    pub name: TextField,
    /// The profile; `None` for the configured default.
    pub profile: Option<String>,
    /// The profiles to choose from.
    pub offers: Vec<Offer>,
    /// The isolation; `None` for the profile's.
    pub isolation: Option<Isolation>,
    /// The command; empty for the profile's.
    pub command: TextField,
    /// The environment: words `NAME=value`.
    pub env: TextField,
    /// The memory limit; empty for the profile's.
    pub memory: TextField,
    /// The CPU limit; empty for the profile's.
    pub cpus: TextField,
    /// The process limit; empty for the profile's.
    pub pids: TextField,
    /// Whether the worker is kept after its session.
    pub keep: bool,
    /// The field with the focus.
    pub focus: SpawnField,
    /// What is wrong, and where.
    pub error: Option<(SpawnField, String)>,
}

impl SpawnForm {
    /// With the last values.
    pub fn new(memory: &SpawnMemory, offers: Vec<Offer>, recent: &[String]) -> Self {
        let known = |profile: &String| offers.iter().any(|offer| offer.profile == *profile);
        let mut completion = Completion::new(recent);
        completion.recent_came(recent, None);
        Self {
            project: TextField::new(&memory.project),
            completion,
            touched: false,
            name: TextField::default(),
            profile: memory.profile.clone().filter(known),
            offers,
            isolation: memory.isolation,
            command: TextField::new(&memory.command),
            env: TextField::new(&memory.env),
            memory: TextField::new(&memory.memory),
            cpus: TextField::new(&memory.cpus),
            pids: TextField::new(&memory.pids),
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
            self.project = TextField::default();
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

    /// Recent projects, the last one first.
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

    /// The text of a field, when it is one of text.
    pub fn text_of(&self, field: SpawnField) -> Option<&TextField> {
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

    pub(super) fn text_field(&mut self) -> Option<&mut TextField> {
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
                self.project = TextField::new(&longer);
                self.edited()
            }
            None => {
                self.move_focus(true);
                Vec::new()
            }
        }
    }

    /// Takes what is chosen in the list: a recent project as it is, a folder to go on in.
    fn choose(&mut self) -> Vec<Effect> {
        let Some(chosen) = self.completion.chosen().cloned() else {
            return Vec::new();
        };
        self.error = None;
        if chosen.recent {
            self.project = TextField::new(&chosen.path);
            self.touched = true;
            self.completion.close();
            return Vec::new();
        }
        self.project = TextField::new(&format!("{}/", chosen.path.trim_end_matches('/')));
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
                cycle(&mut self.isolation, &Isolation::ALL, forward);
            }
            SpawnField::Keep => self.keep = !self.keep,
            _ => {}
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
#[path = "form_tests.rs"]
mod tests;
