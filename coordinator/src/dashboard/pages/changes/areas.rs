//! Where things are in the changes tab, by its size.

use crate::dashboard::{
    pages::changes::tab::{ChangesPart, ChangesTab},
    widgets::rects::take_top,
};
use ratatui::layout::Rect;

/// From this many columns on, the files are left of the difference, not above it.
const BESIDE_FROM: u16 = 90;
/// In less than these columns and rows only what has the keys is shown.
const SMALL: (u16, u16) = (24, 7);

/// Where things are in the tab; what is empty is not drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChangesAreas {
    /// Totals and the filter.
    pub summary: Rect,
    /// The files.
    pub files: Rect,
    /// The column between the files and the difference, where they are side by side.
    pub divider: Option<u16>,
    /// What the difference is of.
    pub title: Rect,
    /// The difference.
    pub diff: Rect,
}

impl ChangesTab {
    /// Where things are in an area.
    pub fn places(&self, area: Rect) -> ChangesAreas {
        let mut places = ChangesAreas::default();
        let mut rest = area;
        if rest.height >= 3 {
            places.summary = take_top(&mut rest, 1);
        }
        let rows = self.files().map_or(0, |files| files.shown.len());
        let rows = u16::try_from(rows).unwrap_or(u16::MAX).max(1);
        if rest.height < SMALL.1 || rest.width < SMALL.0 {
            match self.part {
                ChangesPart::Files => places.files = rest,
                ChangesPart::Diff => {
                    places.title = take_top(&mut rest, 1);
                    places.diff = rest;
                }
            }
            return places;
        }
        if rest.width >= BESIDE_FROM {
            let width = (rest.width * 3 / 10).clamp(28, 60);
            places.files = Rect { width, ..rest };
            places.divider = Some(rest.x + width);
            rest.x += width + 1;
            rest.width -= width + 1;
        } else {
            places.files = take_top(&mut rest, rows.min((area.height / 3).max(3)));
        }
        places.title = take_top(&mut rest, 1);
        places.diff = rest;
        places
    }
}
