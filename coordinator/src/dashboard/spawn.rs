//! The spawn form.

use super::{
    event::{Effect, Failure},
    field::Field,
    state::State,
    text,
};
use crate::{
    model::{HostPath, Isolation, ProfileName, WorkerName},
    wire::SpawnRequest,
};
use crossterm::event::{KeyCode, KeyEvent};
use podbay_protocol::{SessionIo, Size};

/// What a key did.
pub enum FormKey {
    Stay(Vec<Effect>),
    Cancel,
    Spawn(Box<SpawnRequest>),
}

impl SpawnForm {
    pub fn open(state: &State) -> (Self, Vec<Effect>) {
        (
            Self::new(&state.spawn_memory, state.pools.keys().cloned().collect()),
            vec![],
        )
    }
    pub fn paste(&mut self, t: &str) -> Vec<Effect> {
        if let Some(f) = self.text_field() {
            f.insert(t);
        }
        vec![]
    }
    pub fn recent_came(&mut self, _r: &[String]) {}
    pub fn folders_came(&mut self, _p: &str, _f: Result<Vec<String>, Failure>) {}
    pub fn refuse(&mut self, w: &str) {
        self.error = Some((self.focus, w.to_owned()));
    }
    pub fn hints(&self) -> Vec<(&'static str, &'static str)> {
        vec![("Enter", "spawn"), ("Tab", "next field"), ("Esc", "cancel")]
    }
    pub fn key(&mut self, key: KeyEvent, size: Size) -> FormKey {
        match key.code {
            KeyCode::Esc => return FormKey::Cancel,
            KeyCode::Enter => match self.request(size) {
                Ok(r) => return FormKey::Spawn(Box::new(r)),
                Err((field, wrong)) => {
                    self.focus = field;
                    self.error = Some((field, wrong));
                }
            },
            KeyCode::Tab | KeyCode::Down => self.move_focus(true),
            KeyCode::BackTab | KeyCode::Up => self.move_focus(false),
            _ => {
                self.error = None;
                match self.text_field() {
                    Some(f) => {
                        f.key(key);
                    }
                    None => match key.code {
                        KeyCode::Right | KeyCode::Char(' ' | 'l') => self.cycle(true),
                        KeyCode::Left | KeyCode::Char('h') => self.cycle(false),
                        _ => {}
                    },
                }
            }
        }
        FormKey::Stay(vec![])
    }
}

/// Fields of the spawn form, from top to bottom.
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
}

impl SpawnField {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Project,
        Self::Name,
        Self::Profile,
        Self::Isolation,
        Self::Command,
    ];

    /// The label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Project => "Project",
            Self::Name => "Name",
            Self::Profile => "Profile",
            Self::Isolation => "Isolation",
            Self::Command => "Command",
        }
    }
}

/// The last values of the spawn form, for the next time. A name is not among them: it is in use.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SpawnMemory {
    project: String,
    profile: Option<String>,
    isolation: Option<Isolation>,
    command: String,
}

/// The spawn form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnForm {
    /// The project's folder on the engine's host; empty for none.
    pub project: Field,
    /// The name; empty for one that is made up.
    pub name: Field,
    /// The profile; `None` for the configured default.
    pub profile: Option<String>,
    /// The profiles to choose from.
    pub profiles: Vec<String>,
    /// The isolation; `None` for the profile's.
    pub isolation: Option<Isolation>,
    /// The command; empty for the profile's.
    pub command: Field,
    /// The field with the focus.
    pub focus: SpawnField,
    /// What is wrong, and where.
    pub error: Option<(SpawnField, String)>,
}

impl SpawnForm {
    /// With the last values.
    pub fn new(memory: &SpawnMemory, profiles: Vec<String>) -> Self {
        Self {
            project: Field::new(&memory.project),
            name: Field::default(),
            profile: memory.profile.clone().filter(|p| profiles.contains(p)),
            profiles,
            isolation: memory.isolation,
            command: Field::new(&memory.command),
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
        }
    }

    /// The text field with the focus, if it is one.
    pub fn text_field(&mut self) -> Option<&mut Field> {
        match self.focus {
            SpawnField::Project => Some(&mut self.project),
            SpawnField::Name => Some(&mut self.name),
            SpawnField::Command => Some(&mut self.command),
            SpawnField::Profile | SpawnField::Isolation => None,
        }
    }

    /// Moves the focus by one field, around the ends.
    pub fn move_focus(&mut self, forward: bool) {
        let all = SpawnField::ALL;
        let here = all.iter().position(|f| *f == self.focus).unwrap_or(0);
        let next = if forward {
            here + 1
        } else {
            here + all.len() - 1
        } % all.len();
        self.focus = all.get(next).copied().unwrap_or(SpawnField::Project);
    }

    /// The next or previous choice of a field that is not text.
    pub fn cycle(&mut self, forward: bool) {
        match self.focus {
            SpawnField::Profile => cycle(&mut self.profile, &self.profiles, forward),
            SpawnField::Isolation => {
                let all = [Isolation::Bind, Isolation::Overlay, Isolation::None];
                cycle(&mut self.isolation, &all, forward);
            }
            SpawnField::Project | SpawnField::Name | SpawnField::Command => {}
        }
    }

    /// The request, with a terminal of this size.
    ///
    /// # Errors
    /// The field that is wrong, and what would be right.
    pub fn request(&self, size: Size) -> Result<SpawnRequest, (SpawnField, String)> {
        let project = self.project.content();
        let project = project.trim();
        if !project.is_empty() && !project.starts_with('/') {
            let right = "give an absolute path on the engine's host, such as /home/me/project";
            return Err((SpawnField::Project, right.to_owned()));
        }
        let name = self.name.content();
        let name = name.trim();
        if !name.is_empty() {
            WorkerName::new(name).map_err(|e| (SpawnField::Name, e.to_string()))?;
        }
        if let Some(profile) = &self.profile {
            ProfileName::new(profile.as_str()).map_err(|e| (SpawnField::Profile, e.to_string()))?;
        }
        let argv = text::split_words(&self.command.content())
            .map_err(|wrong| (SpawnField::Command, wrong))?;
        Ok(SpawnRequest {
            project: (!project.is_empty()).then(|| HostPath::new(project)),
            name: (!name.is_empty()).then(|| name.to_owned()),
            profile: self.profile.clone(),
            isolation: self.isolation,
            argv,
            io: SessionIo::Pty { size },
            ..SpawnRequest::default()
        })
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
mod tests {
    use super::*;

    fn form() -> SpawnForm {
        SpawnForm::new(
            &SpawnMemory::default(),
            vec!["claude".to_owned(), "shell".to_owned()],
        )
    }

    #[test]
    fn an_empty_form_asks_for_the_defaults() {
        let request = form().request(Size { cols: 80, rows: 24 }).unwrap();
        assert_eq!(request, SpawnRequest::default());
    }

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let mut form = form();
        form.project = Field::new("src");
        assert_eq!(
            form.request(Size::default()).unwrap_err().0,
            SpawnField::Project
        );
        form.project = Field::new("/src");
        form.name = Field::new("Not Good");
        assert_eq!(
            form.request(Size::default()).unwrap_err().0,
            SpawnField::Name
        );
        form.name = Field::default();
        form.command = Field::new("sh -c 'oops");
        assert_eq!(
            form.request(Size::default()).unwrap_err().0,
            SpawnField::Command
        );
    }

    #[test]
    fn choices_go_around_and_begin_with_the_default() {
        let mut form = form();
        form.focus = SpawnField::Profile;
        let seen: Vec<_> = (0..3)
            .map(|_| {
                form.cycle(true);
                form.profile.clone()
            })
            .collect();
        assert_eq!(
            seen,
            [Some("claude".to_owned()), Some("shell".to_owned()), None]
        );
        form.cycle(false);
        assert_eq!(form.profile.as_deref(), Some("shell"));
    }
}
