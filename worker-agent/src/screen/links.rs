//! How much the links under a screen's cells (OSC 8) may take: each cell of the scrollback can have one
//! of its own.

use alacritty_terminal::{
    Term,
    event::EventListener,
    grid::Dimensions,
    index::{Column, Line},
};

/// Longest address and name of a link; longer ones are left out, as in other terminals
/// (VTE's limits).
const MAX_ADDRESS: usize = 2083;
const MAX_ID: usize = 250;
/// Bytes that the links of one screen take, over which further ones are left out.
const MAX_BYTES: usize = 4 << 20;
/// They are counted each time that so many bytes of links were set.
const COUNT_EVERY: usize = 4 << 20;
/// What a link takes besides its text.
const OVERHEAD: usize = 64;

/// A count of links.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Set since they were counted.
    set: usize,
    /// How much there was then.
    counted: usize,
}

impl Links {
    /// Whether a link is kept.
    pub(super) fn allows<T: EventListener>(&mut self, term: &Term<T>, id: &str, uri: &str) -> bool {
        if uri.len() > MAX_ADDRESS || id.len() > MAX_ID {
            return false;
        }
        self.set += uri.len() + id.len() + OVERHEAD;
        if self.set > COUNT_EVERY {
            self.set = 0;
            self.counted = count(term);
        }
        self.counted <= MAX_BYTES
    }
}

/// What the links of the screen in use take; one under several cells in a row is counted once.
fn count<T: EventListener>(term: &Term<T>) -> usize {
    let grid = term.grid();
    let (mut total, mut last) = (0, None);
    for line in grid.topmost_line().0..=grid.bottommost_line().0 {
        for column in 0..grid.columns() {
            let link = grid[Line(line)][Column(column)].hyperlink();
            if let Some(link) = &link
                && last.as_ref() != Some(link)
            {
                total += link.uri().len() + link.id().len() + OVERHEAD;
            }
            last = link.or(last);
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use crate::screen::{Screen, ScreenOptions};

    /// Links that a client would get, and their bytes.
    fn links(screen: &mut Screen) -> (usize, usize) {
        let blob = screen.restore();
        let text = String::from_utf8_lossy(&blob).into_owned();
        let links: Vec<&str> = text
            .split("\x1b]8;")
            .skip(1)
            .filter_map(|link| link.split('\x1b').next())
            .filter(|link| link.len() > 10)
            .collect();
        (links.len(), links.iter().map(|link| link.len()).sum())
    }

    #[test]
    fn links_are_kept_up_to_a_bound_and_again_once_old_ones_are_gone() {
        let options = ScreenOptions { scrollback: 5_000 };
        let mut screen = Screen::new(80, 24, options);
        screen.process(b"\x1b]8;;http://kept/\x1b\\x\x1b]8;;\x1b\\");
        assert_eq!(links(&mut screen).0, 1);
        let long = "l".repeat(3000);
        screen.process(format!("\x1b]8;;http://{long}/\x1b\\y\x1b]8;;\x1b\\").as_bytes());
        assert_eq!(links(&mut screen).0, 1, "longer than links are");
        for n in 0..30_000 {
            let link = format!("\x1b]8;;http://{n}/{}\x1b\\y", &long[..2000]);
            screen.process(link.as_bytes());
        }
        let (count, bytes) = links(&mut screen);
        assert!(
            count > 1000 && bytes < 10 << 20,
            "{count} links of {bytes} bytes"
        );
        // All that was goes out of the scrollback.
        screen.process(b"\x1b]8;;\x1b\\");
        screen.process(&b"line\r\n".repeat(6_000));
        for n in 0..4_000 {
            let link = format!("\x1b]8;;http://{n}/{}\x1b\\y\x1b]8;;\x1b\\", &long[..2000]);
            screen.process(link.as_bytes());
        }
        assert!(links(&mut screen).0 > 1000);
    }
}
