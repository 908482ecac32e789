//! Actions of the tabs: showing one, leaving it, scrolling and searching in it.

use crate::{
    dashboard::{
        app::{
            actions::pending_call,
            effect::{Effect, ScrollTo},
            focus::{Focus, Tab},
            state::AppState,
        },
        dialogs::dialog::Dialog,
        pages::{details, tab_outcome::TabOutcome},
        view::layout,
        widgets::scrolling,
    },
    model::keys::Action,
};

/// Shows a tab, with the keys in the list or in it.
pub fn show_tab(state: &mut AppState, tab: Tab, focus: Focus) {
    state.tiles = false;
    state.tab = tab;
    state.focus = focus;
    state.details_scroll = 0;
    // Without room for both, a tab is shown by giving it the keys.
    if !layout::has_pane(state.size) {
        state.focus = Focus::Pane;
    }
    if tab == Tab::Terminal {
        state.focus = Focus::List;
    }
}

/// Gives the keys back to the list, which is all there is where a tab has no room next to it.
fn to_list(state: &mut AppState) {
    state.focus = Focus::List;
    if !layout::has_pane(state.size) {
        state.tab = Tab::Terminal;
    }
}

/// Does what an action means in the changes or the logs.
pub fn in_tab(state: &mut AppState, action: Action, effects: &mut Vec<Effect>) {
    if action == Action::Back && !state.tab_back() {
        return to_list(state);
    }
    let page = layout::pane_page(state);
    let outcome = match state.tab {
        Tab::Changes => state.changes.perform(action, page),
        _ => state.logs.perform(action, page),
    };
    apply_outcome(state, outcome, effects);
}

fn apply_outcome(state: &mut AppState, outcome: TabOutcome, effects: &mut Vec<Effect>) {
    for effect in outcome.effects {
        match effect {
            Effect::Call { what, call } => pending_call::begin(state, what, call, effects),
            effect => effects.push(effect),
        }
    }
    if let Some(said) = outcome.said {
        state.inform(said, None);
    }
    if let Some(why) = outcome.refused {
        state.refuse(why);
    }
    if let Some(confirm) = outcome.ask {
        state.dialog = Some(Dialog::Confirm(confirm));
    }
}

/// The text of a tab's search changed.
pub fn search_changed(state: &mut AppState) {
    match state.tab {
        Tab::Changes => state.changes.search_changed(),
        Tab::Logs => state.logs.search_changed(),
        Tab::Terminal | Tab::Details => {}
    }
}

/// A tab's search ended; kept, or forgotten.
pub fn search_ended(state: &mut AppState, keep: bool) {
    match state.tab {
        Tab::Changes => state.changes.search_ended(keep),
        Tab::Logs => state.logs.search_ended(keep),
        Tab::Terminal | Tab::Details => {}
    }
}

/// Does what an action means in the details.
pub fn details(state: &mut AppState, action: Action) {
    match action {
        Action::Back | Action::Left => to_list(state),
        action => {
            let last = details::text::last_details(state);
            state.details_scroll = scrolling::scrolled(state.details_scroll, action, last);
        }
    }
}

/// Scrolls what is right of the list without leaving the list.
pub fn scroll_pane(state: &mut AppState, up: bool, effects: &mut Vec<Effect>) {
    let action = match up {
        true => Action::ScrollUp,
        false => Action::ScrollDown,
    };
    match state.tab {
        Tab::Terminal => {
            if let Some(id) = state.selected.clone() {
                let to = ScrollTo::Lines(if up { 3 } else { -3 });
                effects.push(Effect::Scroll { id, to });
            }
        }
        Tab::Details => {
            let last = details::text::last_details(state);
            state.details_scroll = scrolling::scrolled(state.details_scroll, action, last);
        }
        Tab::Changes | Tab::Logs => {
            for _ in 0..3 {
                let outcome = match state.tab {
                    Tab::Changes => state.changes.perform(action, 3),
                    _ => state.logs.perform(action, 3),
                };
                apply_outcome(state, outcome, effects);
            }
        }
    }
}
