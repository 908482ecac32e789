//! A picture of a worker's screen: plain cells, made by the live tasks, painted by the view.

use compact_str::CompactString;
use ratatui::style::Style;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GridCell {
    /// One printable character with its combining ones; empty behind a wide character.
    pub symbol: CompactString,
    /// Colours and attributes.
    pub style: Style,
}

/// A screen at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grid {
    /// Columns.
    pub cols: u16,
    /// Rows.
    pub rows: u16,
    cells: Vec<GridCell>,
    /// Row and column of a cursor that is visible.
    pub cursor: Option<(u16, u16)>,
    /// The terminal's title, as the program set it: not cleaned.
    pub title: String,
}

impl Grid {
    /// A blank screen.
    pub fn new(cols: u16, rows: u16) -> Self {
        Self {
            cols,
            rows,
            cells: vec![GridCell::default(); usize::from(cols) * usize::from(rows)],
            cursor: None,
            title: String::new(),
        }
    }

    fn index(&self, row: u16, col: u16) -> Option<usize> {
        (row < self.rows && col < self.cols)
            .then(|| usize::from(row) * usize::from(self.cols) + usize::from(col))
    }

    /// Sets a cell; outside of the screen nothing happens.
    pub fn set(&mut self, row: u16, col: u16, cell: GridCell) {
        if let Some(place) = self.index(row, col).and_then(|i| self.cells.get_mut(i)) {
            *place = cell;
        }
    }

    /// A cell, if there is one.
    pub fn get(&self, row: u16, col: u16) -> Option<&GridCell> {
        self.index(row, col).and_then(|i| self.cells.get(i))
    }

    /// Rows and columns that hold all that was written, from the top left corner.
    pub fn written(&self) -> (u16, u16) {
        let mut extent = (0, 0);
        for row in 0..self.rows {
            for col in 0..self.cols {
                let filled =
                    |cell: &GridCell| !cell.symbol.trim().is_empty() || cell.style.bg.is_some();
                if self.get(row, col).is_some_and(filled) {
                    extent = (row + 1, extent.1.max(col + 1));
                }
            }
        }
        extent
    }

    /// The first row to show in a window of `height` rows: the end of what was written, and the
    /// cursor.
    pub fn first_row(&self, height: u16) -> u16 {
        let cursor = self.cursor.map(|(row, _)| row);
        let end = self
            .written()
            .0
            .max(cursor.map_or(0, |row| row.saturating_add(1)));
        let first = end.saturating_sub(height);
        cursor.map_or(first, |row| first.min(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid_with_text_in(rows: &[u16]) -> Grid {
        let mut grid = Grid::new(10, 24);
        for &row in rows {
            let symbol = "x".into();
            grid.set(
                row,
                0,
                GridCell {
                    symbol,
                    style: Style::new(),
                },
            );
        }
        grid
    }

    #[test]
    fn a_small_window_shows_the_end_and_the_cursor() {
        let mut grid = grid_with_text_in(&[0, 1, 15]);
        assert_eq!(grid.first_row(24), 0);
        assert_eq!(grid.first_row(6), 10);
        grid.cursor = Some((20, 0));
        assert_eq!(grid.first_row(6), 15);
        grid.cursor = Some((2, 0));
        assert_eq!(grid.first_row(6), 2);
    }

    #[test]
    fn outside_of_the_screen_nothing_happens() {
        let mut grid = Grid::new(0, 0);
        grid.set(5, 5, GridCell::default());
        assert_eq!(grid.get(0, 0), None);
        assert_eq!(grid.first_row(0), 0);
    }
}
