//! What the spawn form says: the keys that work, what is wrong, what a field is for.

use crate::dashboard::dialogs::spawn::{
    fields::{Offer, SpawnField},
    form::SpawnForm,
    request,
};

impl SpawnForm {
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
