//! Actions that ask for one line of text: answering and renaming a worker.

use crate::{
    dashboard::{
        app::{
            actions::{pending_call, selection},
            effect::{Call, Effect},
            state::AppState,
        },
        dialogs::{
            dialog::Dialog,
            line::{LineDialog, LinePurpose},
        },
        widgets::text_field::TextField,
    },
    model::WorkerName,
};

/// Asks for a line of text about the selected worker.
pub fn open(state: &mut AppState, what: impl FnOnce(String, String) -> LinePurpose) {
    if let Some((id, name)) = selection::selected(state) {
        state.dialog = Some(Dialog::Line(LineDialog {
            what: what(id, name),
            field: TextField::default(),
            error: None,
        }));
    }
}

/// Takes a line that was entered.
///
/// # Errors
/// Says what is wrong with it.
pub fn line_entered(
    state: &mut AppState,
    what: &LinePurpose,
    content: String,
    effects: &mut Vec<Effect>,
) -> Result<(), String> {
    match what {
        LinePurpose::Reply { id, name } => {
            let call = Call::Reply {
                id: id.clone(),
                name: name.clone(),
                line: content,
            };
            pending_call::begin(state, format!("answer {name}"), call, effects);
        }
        LinePurpose::Rename { id, name } => {
            let new = content.trim();
            if new == name {
                return Ok(());
            }
            WorkerName::new(new).map_err(|wrong| wrong.to_string())?;
            if state.workers.values().any(|w| w.view.name == new) {
                return Err(format!("there is a worker named {new} already"));
            }
            let call = Call::Rename {
                id: id.clone(),
                name: new.to_owned(),
            };
            pending_call::begin(state, format!("rename {name}"), call, effects);
        }
    }
    Ok(())
}
