//! What a project's path may be completed to: recent projects first, then the folders that the
//! engine's host has. Pure; the form asks for the folders.

use crate::dashboard::{app::failure::Failure, widgets::needle::Needle};

/// Recent projects that are offered once something was typed.
const RECENT: usize = 5;

/// One way to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Absolute.
    pub path: String,
    /// Whether it is a recent project.
    pub recent: bool,
}

/// The list under the project's field.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// Recent projects, the last one first.
    recent: Vec<String>,
    /// What was asked for last.
    asked: String,
    /// What the engine's host has, and for which text.
    folders: Option<(String, Vec<String>)>,
    /// Why it could not say.
    failed: Option<String>,
    /// What is offered now.
    list: Vec<Candidate>,
    /// The one that Tab and Enter take.
    chosen: Option<usize>,
    /// Whether it is seen.
    open: bool,
}

impl Completion {
    /// With the recent projects.
    pub fn new(recent: &[String]) -> Self {
        Self {
            recent: recent.to_vec(),
            ..Self::default()
        }
    }

    /// Newer recent projects.
    pub fn recent_came(&mut self, recent: &[String], typed: Option<&str>) {
        self.recent = recent.to_vec();
        self.arrange(typed);
    }

    /// The folders for a text; those for another one than was asked for last are late.
    pub fn folders_came(
        &mut self,
        path: &str,
        folders: Result<Vec<String>, Failure>,
        typed: Option<&str>,
    ) {
        if path != self.asked {
            return;
        }
        match folders {
            Ok(folders) => {
                self.failed = None;
                self.folders = Some((path.to_owned(), folders));
            }
            Err(failure) => {
                self.failed = Some(failure.message);
                self.folders = None;
            }
        }
        self.arrange(typed);
    }

    /// The text changed; whether the host is to be asked.
    pub fn typed(&mut self, typed: &str) -> bool {
        self.chosen = None;
        self.open = true;
        self.failed = None;
        typed.clone_into(&mut self.asked);
        self.arrange(Some(typed));
        typed.starts_with('/')
    }

    /// Works out what is offered for a text; `None`: nothing was typed yet.
    fn arrange(&mut self, typed: Option<&str>) {
        let before = self.chosen().map(|c| c.path.clone());
        let typed = typed.unwrap_or_default();
        let needle = Needle::new(typed);
        let most = if typed.is_empty() { usize::MAX } else { RECENT };
        let recent = self.recent.iter();
        let recent = recent
            .filter(|path| needle.is_in(path) && path.as_str() != typed)
            .take(most);
        let mut list: Vec<Candidate> = recent
            .map(|path| Candidate {
                path: path.clone(),
                recent: true,
            })
            .collect();
        if let Some((path, folders)) = &self.folders
            && path == typed
        {
            for folder in folders {
                if !list.iter().any(|c| c.path == *folder) {
                    list.push(Candidate {
                        path: folder.clone(),
                        recent: false,
                    });
                }
            }
        }
        self.list = list;
        // Late answers must not move the choice to something else.
        self.chosen = before.and_then(|path| self.list.iter().position(|c| c.path == path));
    }

    /// What is offered, while it is seen.
    pub fn list(&self) -> &[Candidate] {
        match self.open {
            true => &self.list,
            false => &[],
        }
    }

    /// Place of the chosen one in the list.
    pub fn place(&self) -> Option<usize> {
        self.chosen
    }

    /// The chosen one.
    pub fn chosen(&self) -> Option<&Candidate> {
        self.list.get(self.chosen?)
    }

    /// Why the host could not say.
    pub fn failed(&self) -> Option<&str> {
        self.failed.as_deref()
    }

    /// Into the list, or down in it; `false` when there is nothing.
    pub fn down(&mut self) -> bool {
        if self.list.is_empty() {
            return false;
        }
        self.open = true;
        let last = self.list.len() - 1;
        self.chosen = Some(self.chosen.map_or(0, |at| at.saturating_add(1).min(last)));
        true
    }

    /// Up in the list, or out of it; `false` when nothing is chosen.
    pub fn up(&mut self) -> bool {
        let Some(at) = self.chosen else {
            return false;
        };
        self.chosen = at.checked_sub(1);
        true
    }

    /// Nothing is chosen any more, and the list goes.
    pub fn close(&mut self) {
        self.chosen = None;
        self.open = false;
    }

    /// How far all folders go on alike, beyond the text; a single one as a whole. `None` for a folder
    /// that is typed to its end: what comes of a key must not depend on when the host's answer came.
    pub fn prefix(&self, typed: &str) -> Option<String> {
        let (path, folders) = self.folders.as_ref()?;
        if path != typed || !self.open {
            return None;
        }
        let mut folders = folders.iter().filter(|f| f.starts_with(typed));
        let first = folders.next()?;
        let mut common = first.as_str();
        let mut alone = true;
        for folder in folders {
            alone = false;
            let same = common.chars().zip(folder.chars());
            let length = same.take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8());
            common = common.get(..length.sum()).unwrap_or_default();
        }
        match alone {
            true if first.trim_end_matches('/') == typed => None,
            true => Some(format!("{}/", first.trim_end_matches('/'))),
            false => (common.len() > typed.len()).then(|| common.to_owned()),
        }
    }
}
