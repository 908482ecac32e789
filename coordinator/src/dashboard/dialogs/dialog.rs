//! What can lie over the list. Data only; `update` drives it, `view` draws it.

use crate::dashboard::dialogs::{
    confirm::Confirm, help::model::Help, line::LineDialog, palette::model::Palette,
    spawn::form::SpawnForm,
};

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
    Line(LineDialog),
    /// Every action, by name.
    Palette(Palette),
}
