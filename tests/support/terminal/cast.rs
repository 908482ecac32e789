//! A terminal's output as an asciicast (version 2), and pictures of its marked moments.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};
use worker_agent::screen::{Cell, Color, Screen, ScreenOptions, Underline};

/// A recording.
#[derive(Debug, Clone)]
pub struct Cast {
    cols: u16,
    rows: u16,
    began: Instant,
    events: Vec<(Duration, Event)>,
    /// The beginning of a character that is not complete.
    partial: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Event {
    Output(String),
    Mark(String),
}

impl Cast {
    /// Of a terminal of this size, beginning now.
    #[must_use]
    pub fn new(cols: u16, rows: u16) -> Self {
        Self {
            cols,
            rows,
            began: Instant::now(),
            events: Vec::new(),
            partial: Vec::new(),
        }
    }

    /// Takes output in.
    pub fn output(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        let complete = match std::str::from_utf8(&self.partial) {
            Ok(_) => self.partial.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => self.partial.len(),
        };
        let text: Vec<u8> = self.partial.drain(..complete).collect();
        let text = String::from_utf8_lossy(&text).into_owned();
        if !text.is_empty() {
            let at = self.began.elapsed();
            self.events.push((at, Event::Output(text)));
        }
    }

    /// Marks this moment.
    pub fn mark(&mut self, name: &str) {
        let at = self.began.elapsed();
        self.events.push((at, Event::Mark(name.to_owned())));
    }

    /// As asciicast lines.
    ///
    /// # Panics
    /// Never: texts are always JSON.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let mut out = format!(
            "{{\"version\": 2, \"width\": {}, \"height\": {}, \"env\": {{\"TERM\": \"xterm-256color\"}}}}\n",
            self.cols, self.rows
        );
        for (at, event) in &self.events {
            let (kind, text) = match event {
                Event::Output(text) => ("o", text),
                Event::Mark(name) => ("m", name),
            };
            let text = serde_json::to_string(text).expect("a text");
            writeln!(out, "[{:.3}, \"{kind}\", {text}]", at.as_secs_f64()).expect("a string");
        }
        out
    }
}

/// The screen at each mark of a recording: its name and a picture as SVG.
///
/// # Panics
/// The recording is none.
#[must_use]
pub fn pictures(cast: &str) -> Vec<(String, String)> {
    let mut lines = cast.lines();
    let head: serde_json::Value =
        serde_json::from_str(lines.next().expect("a header")).expect("a header");
    let number = |key: &str| u16::try_from(head[key].as_u64().expect("a size")).expect("a size");
    let options = ScreenOptions { scrollback: 0 };
    let mut screen = Screen::new(number("width"), number("height"), options);
    let mut pictures = Vec::new();
    for line in lines {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        let text = event[2].as_str().expect("a text");
        match event[1].as_str() {
            Some("o") => drop(screen.process(text.as_bytes())),
            Some("m") => pictures.push((text.to_owned(), svg(&screen))),
            other => panic!("an event of kind {other:?}"),
        }
    }
    pictures
}

/// A cell's width and height, and where its text stands.
const CELL: (f64, f64, f64) = (8.4, 18.0, 13.5);
const FOREGROUND: &str = "#d8dee9";
const BACKGROUND: &str = "#14171c";
/// The sixteen colours.
const PALETTE: [&str; 16] = [
    "#2a2f38", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#c8ccd4",
    "#7f8795", "#ff8790", "#b5e890", "#ffd98a", "#82c7ff", "#e29bf5", "#79dbe6", "#ffffff",
];

/// A run of cells that look the same.
#[derive(Default, PartialEq, Clone)]
struct Look {
    fg: String,
    bg: String,
    bold: bool,
    dim: bool,
    italic: bool,
    underline: bool,
}

fn svg(screen: &Screen) -> String {
    let (cols, rows) = screen.size();
    let (width, height) = (
        f64::from(cols) * CELL.0 + 16.0,
        f64::from(rows) * CELL.1 + 16.0,
    );
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', \
         monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{BACKGROUND}\"/>\n"
    );
    let mut cells: Vec<(u16, u16, String, Look)> = Vec::new();
    screen.cells(|row, col, cell| {
        cells.push((row, col, cell.text.to_owned(), look(&cell)));
    });
    if let Some((row, col)) = screen.cursor()
        && let Some(cell) = cells.iter_mut().find(|c| (c.0, c.1) == (row, col))
    {
        let bg = std::mem::replace(&mut cell.3.bg, FOREGROUND.to_owned());
        cell.3.fg = if bg.is_empty() {
            BACKGROUND.to_owned()
        } else {
            bg
        };
    }
    let mut at = 0;
    while let Some((row, col, _, look)) = cells.get(at).cloned() {
        let run: Vec<&(u16, u16, String, Look)> = cells[at..]
            .iter()
            .take_while(|c| c.0 == row && c.3 == look)
            .collect();
        at += run.len();
        let text: String = run.iter().map(|c| c.2.as_str()).collect();
        let count = f64::from(u16::try_from(run.len()).expect("a row"));
        let (x, y) = (f64::from(col) * CELL.0 + 8.0, f64::from(row) * CELL.1 + 8.0);
        if !look.bg.is_empty() {
            writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{:.0}\" fill=\"{}\"/>",
                count * CELL.0,
                CELL.1,
                look.bg
            )
            .expect("a string");
        }
        if text.trim().is_empty() {
            continue;
        }
        let mut style = format!("fill=\"{}\"", look.fg);
        for (on, attribute) in [
            (look.bold, " font-weight=\"bold\""),
            (look.dim, " opacity=\"0.65\""),
            (look.italic, " font-style=\"italic\""),
            (look.underline, " text-decoration=\"underline\""),
        ] {
            if on {
                style.push_str(attribute);
            }
        }
        let text = text
            .trim_end()
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;");
        let shown = text.trim_start();
        let skipped = f64::from(u16::try_from(text.len() - shown.len()).expect("a row"));
        let columns = run
            .iter()
            .rposition(|c| !c.2.trim().is_empty())
            .map_or(0.0, |last| {
                f64::from(u16::try_from(last + 1).expect("a row")) - skipped
            });
        writeln!(
            out,
            "<text x=\"{:.1}\" y=\"{:.1}\" textLength=\"{:.1}\" lengthAdjust=\"spacingAndGlyphs\" \
             xml:space=\"preserve\" {style}>{shown}</text>",
            x + skipped * CELL.0,
            y + CELL.2,
            columns * CELL.0
        )
        .expect("a string");
    }
    out.push_str("</svg>\n");
    out
}

fn look(cell: &Cell<'_>) -> Look {
    let attrs = &cell.attrs;
    let (mut fg, mut bg) = (colour(cell.fg), colour(cell.bg));
    if attrs.inverse {
        (fg, bg) = (
            bg.or_else(|| Some(BACKGROUND.to_owned())),
            fg.or_else(|| Some(FOREGROUND.to_owned())),
        );
    }
    Look {
        fg: fg.unwrap_or_else(|| FOREGROUND.to_owned()),
        bg: bg.unwrap_or_default(),
        bold: attrs.bold,
        dim: attrs.dim,
        italic: attrs.italic,
        underline: attrs.underline != Underline::None,
    }
}

fn colour(given: Color) -> Option<String> {
    match given {
        Color::Default => None,
        Color::Rgb(r, g, b) => Some(format!("#{r:02x}{g:02x}{b:02x}")),
        Color::Indexed(i @ 0..=15) => PALETTE.get(usize::from(i)).map(|c| (*c).to_owned()),
        Color::Indexed(i @ 16..=231) => {
            let level = |n: u8| if n == 0 { 0 } else { 55 + n * 40 };
            let i = i - 16;
            Some(format!(
                "#{:02x}{:02x}{:02x}",
                level(i / 36),
                level(i / 6 % 6),
                level(i % 6)
            ))
        }
        Color::Indexed(i) => {
            let grey = 8 + (i - 232) * 10;
            Some(format!("#{grey:02x}{grey:02x}{grey:02x}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_shown_again_and_its_marks_are_pictures() {
        let mut cast = Cast::new(10, 2);
        let text = "\x1b[1;32mgrün\x1b[m <x>".as_bytes();
        // A character is cut.
        cast.output(&text[..10]);
        cast.output(&text[10..]);
        cast.mark("one");
        let lines = cast.to_lines();
        let pictures = pictures(&lines);
        assert_eq!(pictures.len(), 1);
        let (name, svg) = &pictures[0];
        assert_eq!(name, "one");
        assert!(
            svg.contains(">grün</text>") && svg.contains("&lt;x&gt;"),
            "{svg}"
        );
    }
}
