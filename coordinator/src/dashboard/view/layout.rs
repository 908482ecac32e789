//! Where things are, by the terminal's size.

use super::chrome;
use crate::dashboard::state::{Link, State};
use podbay_protocol::Size;
use ratatui::layout::Rect;

/// Below this many columns there is only the list.
const LIST_ONLY_BELOW: u16 = 60;
/// From this many columns on, the preview is beside the list.
const BESIDE_FROM: u16 = 100;
/// Below this many rows there is no preview under the list.
const STACKED_FROM_ROWS: u16 = 14;

/// The areas; empty ones are not drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Areas {
    /// Instance, engine, version.
    pub header: Rect,
    /// Says that the coordinator is gone.
    pub banner: Rect,
    /// One row a pool.
    pub pools: Rect,
    /// The workers.
    pub list: Rect,
    /// The selected worker's screen.
    pub preview: Rect,
    /// Whether the preview is beside the list.
    pub beside: bool,
    /// The last message.
    pub notice: Rect,
    /// Keys.
    pub footer: Rect,
}

/// Whether a terminal of this size has room for the preview.
pub fn has_preview(size: Size) -> bool {
    size.cols >= BESIDE_FROM && size.rows >= 6
        || size.cols >= LIST_ONLY_BELOW && size.rows >= STACKED_FROM_ROWS
}

/// Rows that a page of the list has, about: for PgUp and PgDn.
pub fn list_page(size: Size) -> u16 {
    let body = size.rows.saturating_sub(4);
    match has_preview(size) && size.cols < BESIDE_FROM {
        true => (body / 2).saturating_sub(2).max(1),
        false => body.saturating_sub(2).max(1),
    }
}

/// The areas for this state.
pub fn split(state: &State, whole: Rect) -> Areas {
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

    let size = Size {
        cols: whole.width,
        rows: whole.height,
    };
    areas.beside = whole.width >= BESIDE_FROM;
    if !has_preview(size) || state.workers.is_empty() {
        areas.list = rest;
    } else if areas.beside {
        let width = (whole.width * 9 / 20).clamp(50, 100);
        areas.list = Rect { width, ..rest };
        areas.preview = Rect {
            x: rest.x + width,
            width: rest.width.saturating_sub(width),
            ..rest
        };
    } else {
        // As many rows as the workers need, up to half.
        let wanted = u16::try_from(state.rows.len())
            .unwrap_or(u16::MAX)
            .saturating_add(2);
        let height = wanted.clamp(5, (rest.height / 2).max(5)).min(rest.height);
        areas.list = take_top(&mut rest, height);
        areas.preview = rest;
    }
    areas
}

fn take_top(rest: &mut Rect, height: u16) -> Rect {
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
