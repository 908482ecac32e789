//! Text for the terminal: escaping what comes from workers, fitting it to columns, ages and sizes.
//! Names, titles and reasons come from programs that nobody trusts: nothing they send ever moves
//! the cursor, reorders a line, or makes two terminals disagree about its width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Longest cleaned text, in characters: a title of megabytes is not shown in full anyway.
const MAX_CHARS: usize = 1024;
/// Combining characters kept after one base character.
const MAX_COMBINING: usize = 2;

/// The text with control and bidirectional characters escaped, and with joiners and variation
/// selectors dropped (terminals disagree about the width of what they join).
pub fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_CHARS));
    let mut combining = 0;
    for c in text.chars().take(MAX_CHARS) {
        match c {
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() => out.extend(c.escape_default()),
            c if reorders(c) => out.extend(c.escape_unicode()),
            c if joins(c) => {}
            c if c.width() == Some(0) => {
                combining += 1;
                if combining <= MAX_COMBINING && !out.is_empty() {
                    out.push(c);
                }
                continue;
            }
            c => out.push(c),
        }
        combining = 0;
    }
    out
}

/// Characters that change the direction or the lines of text around them.
fn reorders(c: char) -> bool {
    matches!(c,
        '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{e0000}'..='\u{e007f}' | '\u{fff9}'..='\u{fffb}')
}

/// Characters without width of their own that merge or change their neighbours.
fn joins(c: char) -> bool {
    matches!(c,
        '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{00ad}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0100}'..='\u{e01ef}')
}

/// Columns a cleaned text takes: the sum of its characters' widths.
pub fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The cleaned text cut to `columns`, with `…` where something was left out.
pub fn fit(text: &str, columns: usize) -> String {
    let text = clean(text);
    if width(&text) <= columns {
        return text;
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > columns {
            break;
        }
        used += w;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// As [`fit`], filled up to `columns` with blanks in front.
pub fn pad_left(text: &str, columns: usize) -> String {
    let text = fit(text, columns);
    let blanks = columns.saturating_sub(width(&text));
    format!("{}{text}", " ".repeat(blanks))
}

/// Cuts a text into lines of at most `columns`, at blanks where it can.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in clean(text).split_whitespace() {
        if !line.is_empty() && width(&line) + 1 + width(word) > columns {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if width(&line) + c.width().unwrap_or(0) > columns && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// The unit in which an age is shown: minutes, then hours, then days. No seconds, so that an idle
/// dashboard has nothing to draw.
fn unit(age_ms: u64) -> u64 {
    match age_ms {
        0..HOUR => MINUTE,
        HOUR..DAY => HOUR,
        _ => DAY,
    }
}

/// An age in milliseconds as `<1m`, `12m`, `3h`, `5d`.
pub fn age(age_ms: u64) -> String {
    let unit = unit(age_ms);
    let count = age_ms / unit;
    match (count, unit) {
        (0, _) => "<1m".to_owned(),
        (_, MINUTE) => format!("{count}m"),
        (_, HOUR) => format!("{count}h"),
        _ => format!("{count}d"),
    }
}

/// Bytes as `512M`, `1.5G`, in powers of 1024 as limits are given.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "T"),
        (1 << 30, "G"),
        (1 << 20, "M"),
        (1 << 10, "K"),
    ];
    for (scale, unit) in UNITS {
        if bytes >= scale {
            let tenths = bytes / (scale / 10).max(1);
            return if tenths < 100 && scale >= 1 << 30 {
                format!("{}.{}{unit}", tenths / 10, tenths % 10)
            } else {
                format!("{}{unit}", bytes / scale)
            };
        }
    }
    format!("{bytes}B")
}

/// A number of things: `1 file`, `3 files`.
pub fn count(n: impl ToString, thing: &str) -> String {
    let n = n.to_string();
    let s = if n == "1" { "" } else { "s" };
    format!("{n} {thing}{s}")
}

/// Microseconds as `850µs`, `1.9ms`, `23ms`, `1.2s`.
pub fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us}µs"),
        1_000..10_000 => format!("{}.{}ms", us / 1_000, us % 1_000 / 100),
        10_000..1_000_000 => format!("{}ms", us / 1_000),
        _ => format!("{}.{}s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// Milliseconds until the minute of a Unix time in milliseconds ends.
pub fn until_minute(unix_ms: u64) -> u64 {
    MINUTE - unix_ms % MINUTE
}

/// Hours and minutes of a Unix time in milliseconds, UTC: `14:03`.
pub fn clock(unix_ms: u64) -> String {
    let m = unix_ms / MINUTE % 1_440;
    format!("{:02}:{:02}", m / 60, m % 60)
}

/// The last values as bars, the oldest first, filled up with blanks in front. `full` at least is
/// the height of a whole bar.
pub fn sparkline(values: &[u64], columns: usize, unicode: bool, full: u64) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const ASCII: [char; 8] = ['_', '.', ',', '-', '=', '+', '*', '#'];
    let bars = if unicode { BARS } else { ASCII };
    let last = values
        .get(values.len().saturating_sub(columns)..)
        .unwrap_or_default();
    let top = last.iter().copied().max().unwrap_or(0).max(full).max(1);
    let mut out = " ".repeat(columns.saturating_sub(last.len()));
    for value in last {
        let step = usize::try_from(value.saturating_mul(7) / top).unwrap_or(7);
        out.push(bars.get(step.min(7)).copied().unwrap_or(' '));
    }
    out
}

/// The time of day of a Unix time in milliseconds, UTC: `14:03:05 UTC`.
pub fn utc_time(unix_ms: u64) -> String {
    let s = unix_ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02} UTC", s / 3_600, s / 60 % 60, s % 60)
}

/// Splits a command line into words as a shell does, with quotes and backslashes but without
/// expansions.
///
/// # Errors
/// Says which quote is not closed.
pub fn split_words(line: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        None => return Err(format!("the quote {c} is not closed")),
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match chars.next() {
                            Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                            Some(next) => word.extend(['\\', next]),
                            None => return Err(format!("the quote {c} is not closed")),
                        },
                        Some(inner) => word.push(inner),
                    }
                }
            }
            '\\' => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => return Err("nothing follows the last backslash".to_owned()),
            },
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The text of one cell of a grid: its character, with what combines with it where that is safe.
pub fn clean_cell(text: &str) -> String {
    let unsafe_here = |c: char| c.is_control() || reorders(c) || joins(c);
    let mut out = String::new();
    for (i, c) in text.chars().filter(|c| !unsafe_here(*c)).enumerate() {
        if i > MAX_COMBINING || i > 0 && c.width() != Some(0) {
            break;
        }
        out.push(c);
    }
    match out.chars().next().and_then(UnicodeWidthChar::width) {
        Some(1 | 2) => out,
        _ => " ".to_owned(),
    }
}

/// Columns of a symbol as the terminal sees it, for grid cells.
pub fn symbol_width(symbol: &str) -> usize {
    UnicodeWidthStr::width(symbol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_title_cannot_move_the_cursor_or_reorder_the_line() {
        assert_eq!(clean("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(clean("x\u{202e}y\u{9b}z"), "x\\u{202e}y\\u{9b}z");
        assert_eq!(clean("two\nlines"), "two lines");
    }

    #[test]
    fn ages_are_coarse() {
        assert_eq!(age(59_999), "<1m");
        assert_eq!(age(60_000), "1m");
        assert_eq!(age(59 * MINUTE), "59m");
        assert_eq!(age(HOUR), "1h");
        assert_eq!(age(49 * HOUR), "2d");
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(bytes(512 << 20), "512M");
        assert_eq!(bytes(3 << 29), "1.5G");
        assert_eq!(bytes(12 << 30), "12G");
        assert_eq!(micros(1_930), "1.9ms");
        assert_eq!(utc_time(50_585_000), "14:03:05 UTC");
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        let split = |line| split_words(line).unwrap();
        assert_eq!(
            split(r#"claude -p "fix it" a\ b ''"#),
            ["claude", "-p", "fix it", "a b", ""]
        );
        assert!(split("   ").is_empty());
        assert!(split_words("sh -c 'x").unwrap_err().contains("not closed"));
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn fitted_text_never_is_wider_and_never_controls(text in "\\PC*|.{0,40}", columns in 0usize..40) {
            for fitted in [fit(&text, columns), pad_left(&text, columns)] {
                prop_assert!(width(&fitted) <= columns, "{fitted:?}");
                prop_assert!(!fitted.chars().any(|c| c.is_control() || reorders(c)));
            }
            prop_assert_eq!(width(&pad_left(&text, columns)), columns);
        }
    }
}
