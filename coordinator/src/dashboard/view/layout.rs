//! Where things are, by the terminal's size.

use super::chrome;
use crate::dashboard::{
    state::{Focus, Link, State, Tab},
    worker::Worker,
};
use podbay_protocol::Size;
use ratatui::layout::{Position, Rect};

/// Below this many columns there is only the list, or only the tab.
const LIST_ONLY_BELOW: u16 = 60;
/// From this many columns on, the tab is beside the list.
const BESIDE_FROM: u16 = 100;
/// Below this many rows there is no tab under the list.
const STACKED_FROM_ROWS: u16 = 14;
/// Fewest columns of the list and of the tab beside it.
const NARROWEST: u16 = 30;
/// Most terminals shown at once.
const MOST_TILES: usize = 9;
/// Smallest tile, its frame included.
const TILE: (u16, u16) = (24, 6);

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

/// Whether two tiles find room.
pub fn has_tiles(size: Size) -> bool {
    size.cols >= TILE.0 * 2 && size.rows >= TILE.1 + 4 || size.rows >= TILE.1 * 2 + 4
}

/// Rows that a page of the list has.
pub fn list_page(state: &State) -> u16 {
    split(state).list.height.saturating_sub(2).max(1)
}

/// Rows that a page of the tab has.
pub fn pane_page(state: &State) -> u16 {
    split(state).pane.height.saturating_sub(1).max(1)
}

/// The areas for this state.
pub fn split(state: &State) -> Areas {
    split_for(state, !state.workers.is_empty())
}

/// The same, were there workers or not.
fn split_for(state: &State, workers: bool) -> Areas {
    let whole = Rect::new(0, 0, state.size.cols, state.size.rows);
    let mut areas = Areas::default();
    let mut rest = whole;
    let rows = whole.height;
    if rows >= 4 {
        areas.header = take_top(&mut rest, 1);
    }
    if rows >= 2 {
        areas.footer = take_bottom(&mut rest, 1);
    }
    if matches!(state.link, Link::Gone { .. }) && rows >= 3 {
        areas.banner = take_top(&mut rest, 1);
    }
    let message = u16::try_from(chrome::notice_lines(state, whole.width).len()).unwrap_or(1);
    areas.notice = take_bottom(&mut rest, message.min(rows.saturating_sub(1) / 3));
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
    areas.pools = take_top(&mut rest, pools);
    if workers {
        body(state, whole, rest, &mut areas);
    } else {
        areas.list = rest;
    }
    areas
}

/// The list and the tab.
fn body(state: &State, whole: Rect, mut rest: Rect, areas: &mut Areas) {
    if !has_pane(state.size) {
        match state.focus {
            Focus::List => areas.list = rest,
            Focus::Pane => {
                areas.tabs = take_top(&mut rest, 1);
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
        areas.tabs = take_top(&mut right, 1);
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
        areas.list = take_top(&mut rest, height);
        areas.tabs = take_top(&mut rest, 1);
        areas.pane = rest;
    }
}

/// The size of a terminal that is about to be shown.
pub fn new_terminal(state: &State) -> Size {
    let pane = split_for(state, true).pane;
    match pane.area() {
        0 => state.size,
        _ => Size {
            cols: pane.width,
            rows: pane.height,
        },
    }
}

/// Where a worker's terminal is on the screen.
pub fn terminal_of(state: &State, id: &str) -> Option<Rect> {
    if state.tiles {
        let tiles = tiled(state);
        let (_, area) = tiles.into_iter().find(|(tile, _)| *tile == id)?;
        return Some(inside(area)).filter(|a| a.area() > 0);
    }
    let shown = state.tab == Tab::Terminal && state.selected.as_deref() == Some(id);
    let pane = split(state).pane;
    (shown && pane.area() > 0).then_some(pane)
}

/// What a tile's frame leaves.
pub fn inside(tile: Rect) -> Rect {
    Rect {
        x: tile.x.saturating_add(1),
        y: tile.y.saturating_add(1),
        width: tile.width.saturating_sub(2),
        height: tile.height.saturating_sub(2),
    }
}

/// The workers shown as tiles, and where: those with a session, in the list's order, the page with
/// the selected one.
pub fn tiled(state: &State) -> Vec<(&String, Rect)> {
    let area = split(state).pane;
    let ids: Vec<&String> = state
        .rows
        .iter()
        .filter(|id| state.workers.get(*id).is_some_and(Worker::attachable))
        .collect();
    let (most_across, most_down) = (
        usize::from((area.width / TILE.0).max(1)),
        usize::from((area.height / TILE.1).max(1)),
    );
    let most = (most_across * most_down).min(MOST_TILES);
    let here = ids
        .iter()
        .position(|id| state.selected.as_ref() == Some(id))
        .unwrap_or(0);
    let page = here / most;
    let shown: Vec<&String> = ids.into_iter().skip(page * most).take(most).collect();
    let count = shown.len().max(1);
    // Near to a square of tiles, wider than high as terminals are.
    let mut across = (1..=most_across)
        .find(|across| across * across >= count && count.div_ceil(*across) <= most_down)
        .unwrap_or(most_across);
    if count == 2 && most_across >= 2 && area.width >= 2 * 60 {
        across = 2;
    }
    let down = count.div_ceil(across);
    let cut = |length: u16, parts: usize, index: usize| -> (u16, u16) {
        let at = |i: usize| {
            let place = usize::from(length) * i / parts.max(1);
            u16::try_from(place).unwrap_or(length)
        };
        (at(index), at(index + 1) - at(index))
    };
    shown
        .into_iter()
        .enumerate()
        .map(|(i, id)| {
            let (row, column) = (i / across, i % across);
            // The last row has its tiles over its whole width.
            let in_row = match row + 1 == down {
                true => count - row * across,
                false => across,
            };
            let (x, width) = cut(area.width, in_row, column);
            let (y, height) = cut(area.height, down, row);
            let tile = Rect {
                x: area.x + x,
                y: area.y + y,
                width,
                height,
            };
            (id, tile)
        })
        .collect()
}

/// The tile at a place of the screen.
pub fn tile_at(state: &State, at: Position) -> Option<(String, Rect)> {
    tiled(state)
        .into_iter()
        .find(|(_, area)| area.contains(at))
        .map(|(id, area)| (id.clone(), area))
}

/// The tile beside the selected one; past the last one, the next worker that is not shown.
pub fn neighbour(state: &State, across: isize, down: isize) -> Option<String> {
    let tiles = tiled(state);
    let here = tiles
        .iter()
        .find(|(id, _)| state.selected.as_ref() == Some(id))
        .map(|(_, area)| *area);
    let Some(here) = here else {
        return tiles.first().map(|(id, _)| (*id).clone());
    };
    let middle = |a: &Rect| {
        (
            i32::from(a.x) * 2 + i32::from(a.width),
            i32::from(a.y) * 2 + i32::from(a.height),
        )
    };
    let (x, y) = middle(&here);
    let ahead = |a: &Rect| {
        let (ax, ay) = middle(a);
        match (across.signum(), down.signum()) {
            (1, _) => a.x >= here.right(),
            (-1, _) => a.right() <= here.x,
            (_, 1) => a.y >= here.bottom(),
            (_, -1) => a.bottom() <= here.y,
            _ => ax == x && ay == y,
        }
    };
    let near = tiles
        .iter()
        .filter(|(_, a)| ahead(a))
        .min_by_key(|(_, a)| {
            let (ax, ay) = middle(a);
            ((ay - y).abs() * 4, (ax - x).abs())
        })
        .map(|(id, _)| (*id).clone());
    near.or_else(|| {
        // Off the page: the worker after or before in the list.
        let ids: Vec<&String> = state
            .rows
            .iter()
            .filter(|id| state.workers.get(*id).is_some_and(Worker::attachable))
            .collect();
        let edge = match across + down > 0 {
            true => tiles.last(),
            false => tiles.first(),
        };
        let place = ids
            .iter()
            .position(|id| edge.is_some_and(|(e, _)| e == id))?;
        let next = place.checked_add_signed((across + down).signum())?;
        ids.get(next).map(|id| (*id).clone())
    })
}

/// Cuts rows off the top.
pub fn take_top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let taken = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    taken
}

fn take_bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect {
        y: rest.y + rest.height,
        height,
        ..*rest
    }
}

/// A box of at most this size in the middle of an area.
pub fn centred(area: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(area.width), height.min(area.height));
    Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    }
}
