//! The request that a spawn form stands for, and what is wrong with it.

use crate::{
    dashboard::{
        dialogs::spawn::{fields::SpawnField, form::SpawnForm},
        widgets::{text, text_field::TextField},
    },
    model::{self, HostPath, LimitError, ProfileName, WorkerName},
    wire::{LimitsRequest, SpawnRequest},
};
use podbay_protocol::{SessionIo, Size};
use std::collections::BTreeMap;

impl SpawnForm {
    /// The request, with a terminal of this size.
    ///
    /// # Errors
    /// The field that is wrong, and what would be right.
    pub fn request(&self, size: Size) -> Result<SpawnRequest, (SpawnField, String)> {
        let project = self.project.content();
        let project = match project.trim() {
            "/" => "/",
            other => other.trim_end_matches('/'),
        };
        if let Some(wrong) = wrong_project(project) {
            return Err((SpawnField::Project, wrong));
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
        let env = environment(&self.env.content()).map_err(|wrong| (SpawnField::Env, wrong))?;
        let limits = LimitsRequest {
            memory: limit(&self.memory, model::parse_bytes)
                .map_err(|e| (SpawnField::Memory, e.to_string()))?,
            cpus: limit(&self.cpus, model::parse_cpus)
                .map_err(|e| (SpawnField::Cpus, e.to_string()))?,
            pids: limit(&self.pids, model::parse_pids)
                .map_err(|e| (SpawnField::Pids, e.to_string()))?,
            none: false,
        };
        Ok(SpawnRequest {
            project: (!project.is_empty()).then(|| HostPath::new(project)),
            name: (!name.is_empty()).then(|| name.to_owned()),
            profile: self.profile.clone(),
            isolation: self.isolation,
            limits,
            env,
            argv,
            io: SessionIo::Pty { size },
            remove: !self.keep,
            ..SpawnRequest::default()
        })
    }
}

/// A path as it can be typed; `None` for one that cannot.
pub fn typable(path: &HostPath) -> Option<String> {
    let text = path.as_path().to_str()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

/// What is wrong with a project's path.
pub fn wrong_project(project: &str) -> Option<String> {
    if project.is_empty() || project.starts_with('/') {
        return None;
    }
    let right = "give an absolute path on the engine's host, such as /home/me/project";
    Some(match project.starts_with('~') {
        true => format!("the engine's host does not know whose home ~ is: {right}"),
        false => right.to_owned(),
    })
}

/// A limit as written, once its parser takes it; `None` for an empty field.
fn limit<T>(
    field: &TextField,
    parse: fn(&str) -> Result<T, LimitError>,
) -> Result<Option<String>, LimitError> {
    let given = field.content();
    match given.trim() {
        "" => Ok(None),
        given => parse(given).map(|_| Some(given.to_owned())),
    }
}

/// `NAME=value` words.
fn environment(line: &str) -> Result<BTreeMap<String, String>, String> {
    text::split_words(line)?
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => Err(format!("{word:?} is not NAME=value")),
        })
        .collect()
}

/// What spawning is called, while it is under way and when it failed.
pub fn describe_spawn(request: &SpawnRequest) -> String {
    format!("spawn {}", request.name.as_deref().unwrap_or("a worker"))
}
