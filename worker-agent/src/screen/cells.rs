//! What a preview reads from a screen: cells, colours, attributes, modes.

use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::{Cell as GridCell, Flags};
use alacritty_terminal::term::color::Colors;
use alacritty_terminal::vte::ansi::{self, NamedColor};

use super::model::{BLINK, Model};

/// A colour as the program asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Color {
    /// The terminal's own foreground or background.
    #[default]
    Default,
    /// Palette entry: 0–7 normal, 8–15 bright, 16–255 the 256-colour table.
    Indexed(u8),
    /// 24-bit red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a cell is underlined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Underline {
    /// Not at all.
    #[default]
    None,
    /// One straight line.
    Single,
    /// Two straight lines.
    Double,
    /// A wavy line.
    Curly,
    /// Dots.
    Dotted,
    /// Dashes.
    Dashed,
}

/// A cell's attributes beyond its two colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attrs {
    /// Bold (SGR 1).
    pub bold: bool,
    /// Dim (SGR 2).
    pub dim: bool,
    /// Italic (SGR 3).
    pub italic: bool,
    /// Blinking (SGR 5 or 6).
    pub blink: bool,
    /// Foreground and background exchanged (SGR 7).
    pub inverse: bool,
    /// Not shown (SGR 8).
    pub hidden: bool,
    /// Struck through (SGR 9).
    pub strike: bool,
    /// Underline style (SGR 4, 4:0 to 4:5).
    pub underline: Underline,
    /// Underline colour (SGR 58); `Default` follows the foreground.
    pub underline_color: Color,
}

/// One visible cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell<'a> {
    /// The character and what combines with it; empty for the tail of a wide character.
    pub text: &'a str,
    /// Foreground colour.
    pub fg: Color,
    /// Background colour.
    pub bg: Color,
    /// Everything else.
    pub attrs: Attrs,
    /// Whether the character takes this column and the next.
    pub wide: bool,
}

/// Which mouse events the program wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Mouse {
    /// None.
    #[default]
    Off,
    /// Press and release (mode 1000).
    Click,
    /// Also motion while a button is down (mode 1002).
    Drag,
    /// All motion (mode 1003).
    Motion,
}

/// The cursor's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CursorShape {
    /// A filled cell.
    #[default]
    Block,
    /// A line under the cell.
    Underline,
    /// A bar left of the cell.
    Bar,
}

/// The modes a client has to know to send keys and paint the cursor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Modes {
    /// Arrow keys send `ESC O` (DECCKM).
    pub app_cursor: bool,
    /// The keypad sends application sequences (DECKPAM).
    pub app_keypad: bool,
    /// Pasted text is bracketed (mode 2004).
    pub bracketed_paste: bool,
    /// Mouse reporting (modes 1000, 1002, 1003).
    pub mouse: Mouse,
    /// Mouse reports in SGR form (mode 1006).
    pub sgr_mouse: bool,
    /// The alternate screen is up (mode 1049).
    pub alt_screen: bool,
    /// Focus changes are reported (mode 1004).
    pub focus_events: bool,
    /// Cursor shape (DECSCUSR).
    pub cursor_shape: CursorShape,
    /// Whether the cursor blinks.
    pub cursor_blink: bool,
    /// Kitty keyboard flags in effect, 0 for none.
    pub kitty_flags: u8,
    /// xterm's modifyOtherKeys, 0 for off.
    pub other_keys: u8,
}

impl Modes {
    pub(super) fn of(model: &Model) -> Self {
        let has = |mode| model.has(mode);
        let style = model.cursor_style.unwrap_or_default();
        Self {
            app_cursor: has(TermMode::APP_CURSOR),
            app_keypad: has(TermMode::APP_KEYPAD),
            bracketed_paste: has(TermMode::BRACKETED_PASTE),
            mouse: if has(TermMode::MOUSE_MOTION) {
                Mouse::Motion
            } else if has(TermMode::MOUSE_DRAG) {
                Mouse::Drag
            } else if has(TermMode::MOUSE_REPORT_CLICK) {
                Mouse::Click
            } else {
                Mouse::Off
            },
            sgr_mouse: has(TermMode::SGR_MOUSE),
            alt_screen: has(TermMode::ALT_SCREEN),
            focus_events: has(TermMode::FOCUS_IN_OUT),
            cursor_shape: match style.shape {
                ansi::CursorShape::Underline => CursorShape::Underline,
                ansi::CursorShape::Beam => CursorShape::Bar,
                _ => CursorShape::Block,
            },
            cursor_blink: style.blinking,
            kitty_flags: model.keyboard.flags,
            other_keys: model.modify_other_keys,
        }
    }
}

/// Turns a grid's cell into the preview's, writing its text into `buffer`.
pub(super) fn view<'a>(cell: &GridCell, colors: &Colors, buffer: &'a mut String) -> Cell<'a> {
    buffer.clear();
    if !cell.flags.contains(Flags::WIDE_CHAR_SPACER) {
        buffer.push(cell.c);
        buffer.extend(cell.zerowidth().into_iter().flatten());
    }
    let has = |flag| cell.flags.contains(flag);
    Cell {
        text: buffer,
        fg: color(cell.fg, colors),
        bg: color(cell.bg, colors),
        attrs: Attrs {
            bold: has(Flags::BOLD),
            dim: has(Flags::DIM),
            italic: has(Flags::ITALIC),
            blink: has(BLINK),
            inverse: has(Flags::INVERSE),
            hidden: has(Flags::HIDDEN),
            strike: has(Flags::STRIKEOUT),
            underline: underline(cell.flags),
            underline_color: cell
                .underline_color()
                .map_or(Color::Default, |value| color(value, colors)),
        },
        wide: has(Flags::WIDE_CHAR),
    }
}

fn underline(flags: Flags) -> Underline {
    if flags.contains(Flags::UNDERLINE) {
        Underline::Single
    } else if flags.contains(Flags::DOUBLE_UNDERLINE) {
        Underline::Double
    } else if flags.contains(Flags::UNDERCURL) {
        Underline::Curly
    } else if flags.contains(Flags::DOTTED_UNDERLINE) {
        Underline::Dotted
    } else if flags.contains(Flags::DASHED_UNDERLINE) {
        Underline::Dashed
    } else {
        Underline::None
    }
}

/// Palette entries the program has redefined come out as RGB.
fn color(color: ansi::Color, colors: &Colors) -> Color {
    let index = match color {
        ansi::Color::Spec(rgb) => return Color::Rgb(rgb.r, rgb.g, rgb.b),
        ansi::Color::Indexed(index) => usize::from(index),
        ansi::Color::Named(name) => name as usize,
    };
    match colors[index] {
        Some(rgb) => Color::Rgb(rgb.r, rgb.g, rgb.b),
        None if index >= NamedColor::Foreground as usize => Color::Default,
        None => u8::try_from(index).map_or(Color::Default, Color::Indexed),
    }
}
