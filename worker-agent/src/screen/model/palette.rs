//! The colours reported to a program that asks while no terminal is attached.

use alacritty_terminal::vte::ansi::{NamedColor, Rgb};

const fn rgb(value: u32) -> Rgb {
    let [_, r, g, b] = value.to_be_bytes();
    Rgb { r, g, b }
}

/// xterm's sixteen.
const NAMED: [Rgb; 16] = [
    rgb(0x00_0000),
    rgb(0xcd_0000),
    rgb(0x00_cd00),
    rgb(0xcd_cd00),
    rgb(0x00_00ee),
    rgb(0xcd_00cd),
    rgb(0x00_cdcd),
    rgb(0xe5_e5e5),
    rgb(0x7f_7f7f),
    rgb(0xff_0000),
    rgb(0x00_ff00),
    rgb(0xff_ff00),
    rgb(0x5c_5cff),
    rgb(0xff_00ff),
    rgb(0x00_ffff),
    rgb(0xff_ffff),
];

/// The usual colour of palette entry `index` (0–255, then foreground, background, cursor).
pub(super) fn default_color(index: usize) -> Rgb {
    const BACKGROUND: usize = NamedColor::Background as usize;
    if let Some(color) = NAMED.get(index) {
        return *color;
    }
    match index {
        16..=231 => {
            let level = |step: usize| if step == 0 { 0 } else { byte(55 + 40 * step) };
            let cube = index - 16;
            Rgb {
                r: level(cube / 36),
                g: level(cube / 6 % 6),
                b: level(cube % 6),
            }
        }
        232..=255 => {
            let level = byte(8 + 10 * (index - 232));
            Rgb {
                r: level,
                g: level,
                b: level,
            }
        }
        BACKGROUND => rgb(0x00_0000),
        _ => rgb(0xe5_e5e5),
    }
}

fn byte(value: usize) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}
