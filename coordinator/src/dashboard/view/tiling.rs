//! Where terminals are on the screen: the selected one's, or several as tiles. Draws nothing.

use crate::dashboard::{
    app::{focus::Tab, state::AppState},
    view::layout,
    workers::worker::Worker,
};
use podbay_protocol::Size;
use ratatui::layout::{Position, Rect};

/// Most terminals shown together.
const MAX_TILES: usize = 9;
/// Smallest tile, its frame included.
const TILE: (u16, u16) = (24, 6);

/// Whether two tiles find room.
pub fn has_tiles(size: Size) -> bool {
    size.cols >= TILE.0 * 2 && size.rows >= TILE.1 + 4 || size.rows >= TILE.1 * 2 + 4
}

/// Where a worker's terminal is on the screen.
pub fn terminal_of(state: &AppState, id: &str) -> Option<Rect> {
    if state.tiles {
        let tiles = tiled(state);
        let (_, area) = tiles.into_iter().find(|(tile, _)| *tile == id)?;
        return Some(inside(area)).filter(|a| a.area() > 0);
    }
    let shown = state.tab == Tab::Terminal && state.selected.as_deref() == Some(id);
    let pane = layout::split(state).pane;
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
pub fn tiled(state: &AppState) -> Vec<(&String, Rect)> {
    let area = layout::split(state).pane;
    let ids: Vec<&String> = state
        .rows
        .iter()
        .filter(|id| state.workers.get(*id).is_some_and(Worker::attachable))
        .collect();
    let (most_across, most_down) = (
        usize::from((area.width / TILE.0).max(1)),
        usize::from((area.height / TILE.1).max(1)),
    );
    let most = (most_across * most_down).min(MAX_TILES);
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
pub fn tile_at(state: &AppState, at: Position) -> Option<(String, Rect)> {
    tiled(state)
        .into_iter()
        .find(|(_, area)| area.contains(at))
        .map(|(id, area)| (id.clone(), area))
}

/// The tile next to the selected one; past the last one, the next worker that is not shown.
pub fn neighbour(state: &AppState, across: isize, down: isize) -> Option<String> {
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

impl AppState {
    /// Where the terminal that is typed into is on the screen.
    pub fn typing_area(&self) -> Option<Rect> {
        let id = self.typing.as_ref()?;
        self.terminal_area(id)
    }

    /// Where a worker's terminal is on the screen.
    pub fn terminal_area(&self, id: &str) -> Option<Rect> {
        terminal_of(self, id)
    }

    /// Whether a worker's screen is shown now.
    pub fn is_shown(&self, id: &str) -> bool {
        self.terminal_area(id).is_some()
    }
}
