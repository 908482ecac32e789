//! What keys do in a terminal's scrollback: scroll, search, select, copy. Pure.

use crate::{
    dashboard::{
        app::{
            effect::{Effect, ScrollTo},
            focus::{Focus, Tab},
            state::AppState,
        },
        widgets::text_field::TextField,
    },
    model::keys::Action,
};
use crossterm::event::KeyEvent;

/// Where the terminal's cursor is, for a selection to begin at.
pub fn cursor(state: &AppState) -> (u16, u16) {
    state
        .selected
        .as_ref()
        .and_then(|id| state.picture(id))
        .and_then(|p| p.grid.cursor)
        .map_or((0, 0), |(row, col)| (col, row))
}

/// Back to the live terminal.
pub fn leave(state: &mut AppState, effects: &mut Vec<Effect>) {
    if let Some(id) = state.selected.clone()
        && state
            .picture(&id)
            .is_some_and(|p| p.offset > 0 || p.found_at.is_some() || !p.selected.is_empty())
    {
        effects.push(Effect::Scroll {
            id,
            to: ScrollTo::Bottom,
        });
    }
    state.searching = None;
    state.selecting = None;
    if state.tab == Tab::Terminal {
        state.focus = Focus::List;
    }
}

/// Moves, searches, selects and copies in what scrolled away.
pub fn perform(state: &mut AppState, action: Action, effects: &mut Vec<Effect>) {
    let Some(id) = state.selected.clone() else {
        return;
    };
    let size = state.picture(&id).map(|p| (p.grid.rows, p.grid.cols));
    let (rows, cols) = size.map_or((1, 1), |(rows, cols)| (rows.max(1), cols.max(1)));
    let page = i32::from(rows.saturating_sub(1).max(1));
    let mut scroll = |to| {
        effects.push(Effect::Scroll { id: id.clone(), to });
    };
    let mut selecting = state.selecting.unwrap_or_default();
    let (col, row) = selecting.at;
    match action {
        Action::Down if row.saturating_add(1) < rows => selecting.at.1 += 1,
        Action::Up if row > 0 => selecting.at.1 -= 1,
        Action::Down => scroll(ScrollTo::Lines(-1)),
        Action::Up => scroll(ScrollTo::Lines(1)),
        Action::Left => selecting.at.0 = col.saturating_sub(1),
        Action::Right => selecting.at.0 = col.saturating_add(1).min(cols - 1),
        Action::ScrollDown => scroll(ScrollTo::Lines(-3)),
        Action::ScrollUp => scroll(ScrollTo::Lines(3)),
        Action::PageDown => scroll(ScrollTo::Lines(-page)),
        Action::PageUp => scroll(ScrollTo::Lines(page)),
        Action::First => scroll(ScrollTo::Top),
        Action::Last => {
            scroll(ScrollTo::Lines(i32::MIN));
            selecting.at.1 = rows - 1;
        }
        Action::Filter => state.searching = Some(TextField::default()),
        Action::NextMatch => scroll(ScrollTo::Next { older: true }),
        Action::PreviousMatch => scroll(ScrollTo::Next { older: false }),
        Action::Select => {
            selecting.from = match selecting.from {
                Some(_) => {
                    scroll(ScrollTo::Select(None));
                    None
                }
                None => Some(selecting.at),
            };
        }
        Action::Copy | Action::Enter => {
            scroll(ScrollTo::Copy);
            return leave_scrollback_after_copy(state, &id, effects);
        }
        Action::Back => {
            scroll(ScrollTo::Bottom);
            state.searching = None;
            state.selecting = None;
            state.focus = Focus::List;
            return;
        }
        _ => return,
    }
    if let Some(from) = selecting.from {
        let at = selecting.at;
        effects.push(Effect::Scroll {
            id,
            to: ScrollTo::Select(Some((from, at))),
        });
    }
    state.selecting = Some(selecting);
}

fn leave_scrollback_after_copy(state: &mut AppState, id: &str, effects: &mut Vec<Effect>) {
    effects.push(Effect::Scroll {
        id: id.to_owned(),
        to: ScrollTo::Bottom,
    });
    state.searching = None;
    state.selecting = None;
    state.focus = Focus::List;
}

/// A key while the scrollback's search is typed; it is looked for as it is typed.
pub fn search_typed(
    state: &mut AppState,
    key: KeyEvent,
    ended: Option<bool>,
    effects: &mut Vec<Effect>,
) {
    let (Some(field), Some(id)) = (&mut state.searching, state.selected.clone()) else {
        return;
    };
    let needle = match ended {
        Some(true) => {
            state.searching = None;
            return;
        }
        Some(false) => {
            state.searching = None;
            String::new()
        }
        None => {
            field.key(key);
            field.content()
        }
    };
    effects.push(Effect::Scroll {
        id,
        to: ScrollTo::Search(needle),
    });
}
