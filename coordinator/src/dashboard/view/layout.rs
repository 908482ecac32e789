//! Where things are on the screen, by the terminal's size. Draws nothing.

use crate::dashboard::{
    app::{
        focus::Focus,
        state::{AppState, CoordinatorLink},
    },
    view::notice_line,
    widgets::rects,
};
use podbay_protocol::Size;
use ratatui::layout::Rect;

/// Below this many columns there is only the list, or only the tab.
const LIST_ONLY_BELOW: u16 = 60;
/// From this many columns on, the tab is next to the list.
const BESIDE_FROM: u16 = 100;
/// Below this many rows there is no tab under the list.
const STACKED_FROM_ROWS: u16 = 14;
/// Fewest columns of the list and of the tab next to it.
const NARROWEST: u16 = 30;

/// The areas; empty ones are not drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Areas {
    /// Instance, engine, version, clock.
    pub header: Rect,
    /// Says that the coordinator is gone.
    pub banner: Rect,
    /// One row a pool.
    pub pools: Rect,
    /// The workers.
    pub list: Rect,
    /// The names of the tabs.
    pub tabs: Rect,
    /// What the tab shows; in tiles: all of them.
    pub pane: Rect,
    /// The column between the list and the tab, where they are side by side.
    pub divider: Option<u16>,
    /// The last message.
    pub notice: Rect,
    /// Keys.
    pub footer: Rect,
}

/// Whether a terminal of this size has room for a tab and the list.
pub fn has_pane(size: Size) -> bool {
    size.cols >= BESIDE_FROM && size.rows >= 6
        || size.cols >= LIST_ONLY_BELOW && size.rows >= STACKED_FROM_ROWS
}

/// Rows that a page of the list has.
pub fn list_page(state: &AppState) -> u16 {
    split(state).list.height.saturating_sub(2).max(1)
}

/// Rows that a page of the tab has.
pub fn pane_page(state: &AppState) -> u16 {
    split(state).pane.height.saturating_sub(1).max(1)
}

/// The areas for this state.
pub fn split(state: &AppState) -> Areas {
    split_for(state, !state.workers.is_empty())
}

/// The same, were there workers or not.
fn split_for(state: &AppState, workers: bool) -> Areas {
    let whole = Rect::new(0, 0, state.size.cols, state.size.rows);
    let mut areas = Areas::default();
    let mut rest = whole;
    let rows = whole.height;
    if rows >= 4 {
        areas.header = rects::take_top(&mut rest, 1);
    }
    if rows >= 2 {
        areas.footer = rects::take_bottom(&mut rest, 1);
    }
    if matches!(state.link, CoordinatorLink::Gone { .. }) && rows >= 3 {
        areas.banner = rects::take_top(&mut rest, 1);
    }
    let message = u16::try_from(notice_line::notice_lines(state, whole.width).len()).unwrap_or(1);
    areas.notice = rects::take_bottom(&mut rest, message.min(rows.saturating_sub(1) / 3));
    if state.tiles {
        areas.pane = rest;
        return areas;
    }
    let most = match rows {
        0..8 => 0,
        8..20 => 1,
        20..32 => 2,
        _ => 4,
    };
    let pools = u16::try_from(state.pools.len())
        .unwrap_or(u16::MAX)
        .min(most);
    areas.pools = rects::take_top(&mut rest, pools);
    if workers {
        body(state, whole, rest, &mut areas);
    } else {
        areas.list = rest;
    }
    areas
}

/// The list and the tab.
fn body(state: &AppState, whole: Rect, mut rest: Rect, areas: &mut Areas) {
    if !has_pane(state.size) {
        match state.focus {
            Focus::List => areas.list = rest,
            Focus::Pane => {
                areas.tabs = rects::take_top(&mut rest, 1);
                areas.pane = rest;
            }
        }
    } else if whole.width >= BESIDE_FROM {
        let width = match state.divider {
            Some(column) => column.clamp(NARROWEST, whole.width - NARROWEST),
            None => (whole.width * 2 / 5).clamp(46, 90),
        };
        areas.list = Rect { width, ..rest };
        areas.divider = Some(rest.x + width);
        let mut right = Rect {
            x: rest.x + width + 1,
            width: rest.width.saturating_sub(width + 1),
            ..rest
        };
        areas.tabs = rects::take_top(&mut right, 1);
        areas.pane = right;
    } else {
        // As many rows as the workers need, up to half; less while one of them is typed into.
        let groups = u16::try_from(state.groups().len()).unwrap_or(0);
        let wanted = u16::try_from(state.rows.len())
            .unwrap_or(u16::MAX)
            .saturating_add(groups + 1);
        let share = match state.typing.is_some() || state.focus == Focus::Pane {
            true => rest.height / 4,
            false => rest.height / 2,
        };
        let height = wanted.clamp(4, share.max(4)).min(rest.height);
        areas.list = rects::take_top(&mut rest, height);
        areas.tabs = rects::take_top(&mut rest, 1);
        areas.pane = rest;
    }
}

/// The size of a terminal that is about to be shown.
pub fn new_terminal(state: &AppState) -> Size {
    let pane = split_for(state, true).pane;
    match pane.area() {
        0 => state.size,
        _ => Size {
            cols: pane.width,
            rows: pane.height,
        },
    }
}
