//! Writes cells, pens and cursors as escape sequences.
//!
//! Owns: what the sequences so far have left behind ([`Painter`]). It never looks at a whole screen.

use std::io::Write;

use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{CharsetIndex, Color, NamedColor, Rgb, StandardCharset};

use crate::screen::model::{BLINK, PEN_FLAGS, same_pen, to_i32};

const CHARSETS: [(CharsetIndex, char); 4] = [
    (CharsetIndex::G0, '('),
    (CharsetIndex::G1, ')'),
    (CharsetIndex::G2, '*'),
    (CharsetIndex::G3, '+'),
];

/// Remembers the pen and charsets the sequences so far have left behind and the last character
/// printed, so that it emits only changes. It assumes a terminal that was just reset, with autowrap
/// on, insert mode off and UTF-8 text.
pub(super) struct Painter {
    out: Vec<u8>,
    pen: Cell,
    charsets: [StandardCharset; 4],
    active: CharsetIndex,
    /// What REP would repeat now.
    pub(super) last_char: Option<char>,
}

impl Painter {
    pub(super) fn new() -> Self {
        Self {
            out: Vec::with_capacity(16 * 1024),
            pen: Cell::default(),
            charsets: Default::default(),
            active: CharsetIndex::G0,
            last_char: None,
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn format(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        self.out.write_fmt(arguments).unwrap_or_default();
    }

    pub(super) fn go(&mut self, line: i32, column: usize) {
        self.format(format_args!("\x1b[{};{}H", line + 1, column + 1));
    }

    /// Prints a character with what combines with it.
    pub(super) fn print(&mut self, c: char, combining: Option<&[char]>) {
        for &c in std::iter::once(&c).chain(combining.into_iter().flatten()) {
            let mut buffer = [0; 4];
            self.out
                .extend_from_slice(c.encode_utf8(&mut buffer).as_bytes());
            self.last_char = Some(c);
        }
    }

    pub(super) fn plain_pen(&mut self) {
        self.pen(&Cell::default());
    }

    /// Makes the pen that of `cell`.
    pub(super) fn pen(&mut self, cell: &Cell) {
        if same_pen(&self.pen, cell) {
            return;
        }
        let old = std::mem::replace(
            &mut self.pen,
            Cell {
                flags: cell.flags & PEN_FLAGS,
                c: ' ',
                ..cell.clone()
            },
        );
        let mut codes = Vec::new();
        let keeps = old.flags & PEN_FLAGS == cell.flags & PEN_FLAGS
            && old.underline_color() == cell.underline_color();
        if keeps {
            if old.fg != cell.fg {
                color(&mut codes, cell.fg, Ground::Front);
            }
            if old.bg != cell.bg {
                color(&mut codes, cell.bg, Ground::Back);
            }
        } else {
            codes.push("0".to_owned());
            codes.extend(attributes(cell.flags));
            if cell.fg != Color::Named(NamedColor::Foreground) {
                color(&mut codes, cell.fg, Ground::Front);
            }
            if cell.bg != Color::Named(NamedColor::Background) {
                color(&mut codes, cell.bg, Ground::Back);
            }
            if let Some(value) = cell.underline_color() {
                color(&mut codes, value, Ground::Line);
            }
        }
        if !codes.is_empty() {
            self.format(format_args!("\x1b[{}m", codes.join(";")));
        }
        let link = cell.hyperlink();
        if old.hyperlink() != link {
            match link {
                Some(link) => {
                    self.format(format_args!("\x1b]8;id={};{}\x1b\\", link.id(), link.uri()));
                }
                None => self.raw(b"\x1b]8;;\x1b\\"),
            }
        }
    }

    /// Designates and invokes charsets.
    pub(super) fn charsets(&mut self, cursor: &Cursor<Cell>, active: CharsetIndex) {
        for (at, (index, letter)) in CHARSETS.into_iter().enumerate() {
            let wanted = cursor.charsets[index];
            let Some(slot) = self.charsets.get_mut(at) else {
                continue;
            };
            if *slot != wanted {
                *slot = wanted;
                let set = if wanted == StandardCharset::Ascii {
                    'B'
                } else {
                    '0'
                };
                self.format(format_args!("\x1b{letter}{set}"));
            }
        }
        if self.active != active {
            self.active = active;
            self.raw(if active == CharsetIndex::G0 {
                b"\x0f"
            } else {
                b"\x0e"
            });
        }
    }

    /// Back to ASCII, for painting.
    pub(super) fn plain_charsets(&mut self) {
        self.charsets(&Cursor::default(), CharsetIndex::G0);
    }

    /// Puts a cursor (place, pending wrap, pen, charsets) on a blank screen
    /// and saves it; leaves the screen blank and the cursor at home.
    pub(super) fn saved_cursor(&mut self, cursor: &Cursor<Cell>, active: CharsetIndex) {
        self.go(cursor.point.line.0, cursor.point.column.0);
        if cursor.input_needs_wrap {
            self.plain_pen();
            self.print(' ', None);
        }
        self.pen(&cursor.template);
        self.charsets(cursor, active);
        self.raw(b"\x1b7");
        self.plain_pen();
        self.plain_charsets();
        self.raw(b"\x1b[H");
    }

    /// Puts the cursor where it was, on the painted screen. `top` is the line
    /// that counts as the first (origin mode).
    pub(super) fn cursor(
        &mut self,
        grid: &Grid<Cell>,
        active: CharsetIndex,
        top: i32,
        last_char: Option<char>,
    ) {
        let cursor = &grid.cursor;
        let (line, column) = (cursor.point.line, cursor.point.column.0);
        if cursor.input_needs_wrap {
            self.pending_wrap(grid, line - top, active, last_char);
        } else {
            self.go(line.0 - top, column);
        }
        self.pen(&cursor.template);
        self.charsets(cursor, active);
    }

    /// Printing the row's last character again leaves the wrap pending. If the
    /// character came out of a line-drawing set it is printed the same way,
    /// so that a repeat after the restore repeats the same.
    fn pending_wrap(
        &mut self,
        grid: &Grid<Cell>,
        target: Line,
        active: CharsetIndex,
        last_char: Option<char>,
    ) {
        let row = &grid[grid.cursor.point.line];
        let last = grid.columns() - 1;
        let tail = row[Column(last)].flags.contains(Flags::WIDE_CHAR_SPACER);
        let column = if tail { last - 1 } else { last };
        let cell = &row[Column(column)];
        self.go(target.0, column);
        self.pen(cell);
        let drawn =
            last_char.filter(|c| grid.cursor.charsets[active].map(*c) == cell.c && *c != cell.c);
        match drawn {
            Some(c) => {
                self.charsets(&grid.cursor, active);
                self.print(c, cell.zerowidth());
            }
            None => self.print(cell.c, cell.zerowidth()),
        }
    }

    /// Paints a whole grid, scrollback first, from the top of a blank screen.
    pub(super) fn grid(&mut self, grid: &Grid<Cell>) {
        let top = grid.topmost_line();
        let mut wrapped = false;
        for line in top.0..to_i32(grid.screen_lines()) {
            if line != top.0 && !wrapped {
                // A line that scrolls in is filled with the pen's background.
                self.plain_pen();
                self.raw(b"\r\n");
            }
            wrapped = self.row(grid, Line(line), wrapped);
        }
        self.plain_pen();
    }

    /// Paints one row; says whether the next is its continuation.
    fn row(&mut self, grid: &Grid<Cell>, line: Line, wrapped: bool) -> bool {
        let row = &grid[line];
        let columns = grid.columns();
        let flags = row[Column(columns - 1)].flags;
        let wraps = flags.contains(Flags::WRAPLINE);
        let end = if flags.contains(Flags::LEADING_WIDE_CHAR_SPACER) {
            // The wide character that follows leaves this cell by itself.
            columns - 1
        } else if wraps {
            columns
        } else {
            let used = (0..columns)
                .rev()
                .find(|&column| !is_blank(&row[Column(column)]));
            used.map_or(usize::from(wrapped), |column| column + 1)
        };
        for column in 0..end {
            let cell = &row[Column(column)];
            if cell.flags.contains(Flags::WIDE_CHAR_SPACER) {
                continue;
            }
            self.pen(cell);
            self.print(cell.c, cell.zerowidth());
            let next = column
                + if cell.flags.contains(Flags::WIDE_CHAR) {
                    2
                } else {
                    1
                };
            if next < end
                && cell
                    .zerowidth()
                    .is_some_and(|combining| !combining.is_empty())
            {
                // Terminals differ in how wide they draw a joined character.
                self.format(format_args!("\x1b[{}G", next + 1));
            }
            let filled = next >= columns;
            let colored = cell.bg != Color::Named(NamedColor::Background);
            if column == 0 && wrapped && colored && !filled {
                // The wrap may have scrolled in a row filled with this background.
                self.plain_pen();
                self.raw(b"\x1b[K");
            }
        }
        wraps
    }
}

/// A cell nothing was ever written to, or that was erased without a colour.
pub(super) fn is_blank(cell: &Cell) -> bool {
    cell.bg == Color::Named(NamedColor::Background) && is_erased(cell)
}

/// A cell as erasing leaves it, in any background.
pub(super) fn is_erased(cell: &Cell) -> bool {
    cell.c == ' '
        && cell.fg == Color::Named(NamedColor::Foreground)
        && cell.flags.is_empty()
        && cell.zerowidth().is_none_or(<[char]>::is_empty)
        && cell.underline_color().is_none()
        && cell.hyperlink().is_none()
}

fn attributes(flags: Flags) -> impl Iterator<Item = String> {
    const CODES: [(Flags, &str); 12] = [
        (Flags::BOLD, "1"),
        (Flags::DIM, "2"),
        (Flags::ITALIC, "3"),
        (Flags::UNDERLINE, "4"),
        (Flags::DOUBLE_UNDERLINE, "4:2"),
        (Flags::UNDERCURL, "4:3"),
        (Flags::DOTTED_UNDERLINE, "4:4"),
        (Flags::DASHED_UNDERLINE, "4:5"),
        (BLINK, "5"),
        (Flags::INVERSE, "7"),
        (Flags::HIDDEN, "8"),
        (Flags::STRIKEOUT, "9"),
    ];
    CODES
        .into_iter()
        .filter(move |(flag, _)| flags.contains(*flag))
        .map(|(_, c)| c.to_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ground {
    Front,
    Back,
    Line,
}

fn color(codes: &mut Vec<String>, color: Color, ground: Ground) {
    let base = match ground {
        Ground::Front => 30,
        Ground::Back => 40,
        Ground::Line => 50,
    };
    codes.push(match (color, ground) {
        // Colons: a terminal that does not know 58 skips the whole parameter.
        (Color::Spec(Rgb { r, g, b }), Ground::Line) => format!("58:2::{r}:{g}:{b}"),
        (Color::Indexed(index), Ground::Line) => format!("58:5:{index}"),
        (Color::Named(name), Ground::Line) => format!("58:5:{}", name as usize),
        (Color::Spec(Rgb { r, g, b }), _) => format!("{};2;{r};{g};{b}", base + 8),
        (Color::Indexed(index), _) => format!("{};5;{index}", base + 8),
        (Color::Named(name), _) => match name as usize {
            index @ 0..=7 => format!("{}", base + index),
            index @ 8..=15 => format!("{}", base + 60 + index - 8),
            _ => format!("{}", base + 9),
        },
    });
}
