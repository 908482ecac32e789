//! What can lie over the list: help, the palette, the spawn form, a line to type, a question. Data
//! only; `update` drives it, `view` draws it.

use super::{event::Act, field::Field, help::Help, palette::Palette, spawn::SpawnForm};

pub use super::spawn::SpawnMemory;

/// A dialog.
#[derive(Debug, Clone, PartialEq)]
pub enum Dialog {
    /// The keys.
    Help(Help),
    /// The spawn form.
    Spawn(Box<SpawnForm>),
    /// A question.
    Confirm(Confirm),
    /// One line of text.
    Line(Line),
    /// Every action, by name.
    Palette(Palette),
}

/// A question before something is lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirm {
    /// What is asked.
    pub question: String,
    /// What would be lost, one thing a line.
    pub losses: Vec<String>,
    /// The word on the button that does it.
    pub verb: &'static str,
    /// What it is called while it is under way.
    pub what: String,
    /// What is done.
    pub act: Act,
    /// Whether that button has the focus; `Cancel` has it at first.
    pub on_verb: bool,
}

/// One line of text that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is for.
    pub what: LineFor,
    /// The text.
    pub field: Field,
    /// What is wrong with it.
    pub error: Option<String>,
}

/// What a line is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineFor {
    /// An answer to a worker.
    Reply {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Another name for a worker.
    Rename {
        /// Its id.
        id: String,
        /// Its name.
        name: String,
    },
}
