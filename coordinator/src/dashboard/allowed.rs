//! Which actions make sense now, and why not. Footer and palette ask before the key is pressed, the
//! keys when it was.

use super::{keymap::Action, state::State};

/// Whether an action makes sense now.
///
/// # Errors
/// Says why not.
pub fn allowed(state: &State, action: Action) -> Result<(), String> {
    let live = || match state.is_live() {
        true => Ok(()),
        false => Err("the coordinator is unreachable; wait until it is back".to_owned()),
    };
    let selected = || {
        state
            .selected_worker()
            .ok_or_else(|| "no worker is selected".to_owned())
    };
    match action {
        Action::Enter | Action::Zoom | Action::Takeover => {
            live()?;
            let worker = selected()?;
            let (name, group) = (&worker.view.name, worker.group().word());
            match worker.attachable() {
                true => Ok(()),
                false => Err(format!(
                    "{name} has no running session to attach to: it is {group}"
                )),
            }
        }
        Action::Stop => {
            live()?;
            let worker = selected()?;
            match worker.ended() {
                true => Err(format!(
                    "{} has ended already; D removes it",
                    worker.view.name
                )),
                false => Ok(()),
            }
        }
        Action::Remove => {
            live()?;
            let worker = selected()?;
            match worker.ended() {
                true => Ok(()),
                false => Err(format!(
                    "{} has not ended; x stops it first",
                    worker.view.name
                )),
            }
        }
        Action::StopAll => {
            live()?;
            match state.workers.is_empty() {
                true => Err("there are no workers to stop".to_owned()),
                false => Ok(()),
            }
        }
        Action::Spawn => live(),
        Action::Back => match state.filter.is_empty() && state.notice.is_none() {
            true => Err(String::new()),
            false => Ok(()),
        },
        Action::Filter if state.workers.is_empty() => Err("there are no workers".to_owned()),
        _ => Ok(()),
    }
}
