//! Human-readable text: tables that fit, ages, sizes, and escaping.

use super::term::Paint;
use std::time::{Duration, SystemTime};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Escapes what could move the cursor, change colours or reverse the reading direction: C0 and C1
/// controls and the bidirectional formatting characters (Unicode TR 9). Tabs stay.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\t') || is_bidi(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Unix milliseconds now.
pub fn now_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `5s`, `12m`, `3h`, `4d`.
pub fn age(ms: u64) -> String {
    let s = ms / 1000;
    match s {
        0..=99 => format!("{s}s"),
        100..=5_999 => format!("{}m", s / 60),
        6_000..=172_799 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// `812K`, `1.2M`, `340M`, `4.0G`: powers of 1024.
pub fn bytes(n: u64) -> String {
    let mut value = n as f64;
    for unit in ["B", "K", "M", "G"] {
        if value < 1000.0 {
            let decimals = usize::from(value < 10.0 && unit != "B");
            return format!("{value:.decimals$}{unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1}T")
}

/// Microseconds as `640µs`, `12.3ms`, `1.2s`.
pub fn micros(us: u64) -> String {
    match us {
        0..=999 => format!("{us}µs"),
        1_000..=999_999 => format!("{:.1}ms", us as f64 / 1e3),
        _ => format!("{:.1}s", us as f64 / 1e6),
    }
}

/// A duration of whole seconds, as people write it.
pub fn uptime(ms: u64) -> String {
    humantime::format_duration(Duration::from_secs(ms / 1000)).to_string()
}

/// One cell of a table.
#[derive(Debug, Clone)]
pub struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// A cell in the terminal's own colour; control characters are escaped.
    pub fn new(text: impl AsRef<str>) -> Self {
        Self::painted(text, Paint::Plain)
    }

    /// A cell in a colour; control characters are escaped.
    pub fn painted(text: impl AsRef<str>, paint: Paint) -> Self {
        Self {
            text: escape(text.as_ref()).replace('\t', " "),
            paint,
        }
    }
}

/// A table: columns as wide as their widest cell, the given columns cut from the left to right
/// order of `shrink` until it fits.
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    shrink: Vec<usize>,
}

/// Narrowest a column is cut to.
const NARROWEST: usize = 6;

impl Table {
    /// A table without rows: the columns' names, and the columns that may be cut, first to last.
    pub fn new(head: &[&'static str], shrink: &[usize]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
            shrink: shrink.to_vec(),
        }
    }

    /// Adds a row, a cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The table as lines. `width` columns at most, where cutting can do it; unlimited when `None`.
    pub fn render(&self, width: Option<usize>, colours: bool) -> String {
        let mut widths: Vec<usize> = self.head.iter().map(|name| name.len()).collect();
        for row in &self.rows {
            for (cell, width) in row.iter().zip(&mut widths) {
                *width = (*width).max(cell.text.width());
            }
        }
        let gaps = 2 * widths.len().saturating_sub(1);
        if let Some(limit) = width {
            for &column in &self.shrink {
                let total = widths.iter().sum::<usize>() + gaps;
                if let Some(width) = widths.get_mut(column) {
                    let over = total.saturating_sub(limit);
                    *width = width.saturating_sub(over).max(NARROWEST.min(*width));
                }
            }
        }
        let head: Vec<Cell> = self
            .head
            .iter()
            .map(|name| Cell::painted(name, Paint::Dim))
            .collect();
        let mut out = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let mut line = String::new();
            let mut owed = 0;
            for (cell, &width) in row.iter().zip(&widths) {
                line.extend(std::iter::repeat_n(' ', owed));
                let text = cut(&cell.text, width);
                owed = width - text.width().min(width) + 2;
                line.push_str(&cell.paint.on(colours && !text.is_empty(), &text));
            }
            out.push_str(&line);
            out.push('\n');
        }
        out
    }
}

/// The text in at most `width` columns; a cut one ends with `…`.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut out, mut used) = (String::new(), 0);
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > width {
            break;
        }
        out.push(c);
        used += w;
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_table_is_cut_to_the_terminal_and_not_below() {
        let mut table = Table::new(&["NAME", "COMMAND"], &[1]);
        table.row(vec![
            Cell::new("one"),
            Cell::new("a very long command line indeed"),
        ]);
        table.row(vec![Cell::new("二つ"), Cell::new("x")]);
        let text = table.render(Some(20), false);
        assert_eq!(text, "NAME  COMMAND\none   a very long c…\n二つ  x\n");
        assert!(table.render(Some(3), false).contains("a ver…"));
        assert!(table.render(None, false).contains("indeed"));
    }

    #[test]
    fn nothing_a_worker_is_called_can_speak_to_the_terminal() {
        let evil = "a\x1b]52;c;AAAA\x07\u{9b}2J\u{202e}b\n";
        let safe = escape(evil);
        assert!(
            !safe.chars().any(|c| c.is_control() || is_bidi(c)),
            "{safe:?}"
        );
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [age(3_000), age(130_000), age(7_200_000), age(259_200_000)],
            ["3s", "2m", "2h", "3d"]
        );
        assert_eq!(
            [bytes(12), bytes(2048), bytes(300 << 20), bytes(4 << 30)],
            ["12B", "2.0K", "300M", "4.0G"]
        );
        assert_eq!(
            [micros(7), micros(12_340), micros(2_000_000)],
            ["7µs", "12.3ms", "2.0s"]
        );
    }
}
