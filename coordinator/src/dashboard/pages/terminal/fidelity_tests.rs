//! What is painted of real programs, cell by cell, against what tmux shows of the same bytes.
//!
//! The recordings are those of the agent's screen tests.

use super::paint;
use crate::{
    dashboard::{
        io::live::terminal_model::TerminalModel,
        widgets::{pen::Pen, theme::scheme::Theme},
    },
    needs,
};
use podbay_protocol::Size;
use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier},
};
use std::{fmt::Write, path::Path, process::Command};
use unicode_width::UnicodeWidthStr;

/// Recordings of real programs: name, columns, rows.
const PROGRAMS: [(&str, u16, u16); 11] = [
    ("vim_80x24", 80, 24),
    ("vim_120x40", 120, 40),
    ("less_60x15", 60, 15),
    ("man_80x24", 80, 24),
    ("gitlog_70x20", 70, 20),
    ("top_80x24", 80, 24),
    ("htop_100x30", 100, 30),
    ("bash_50x12", 50, 12),
    ("claude_100x30", 100, 30),
    ("codex_100x30", 100, 30),
    ("opencode_100x30", 100, 30),
];

/// A cell as both sides can say it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ShownCell {
    text: String,
    fg: Color,
    bg: Color,
    attributes: Modifier,
}

impl ShownCell {
    fn blank() -> Self {
        Self {
            text: " ".to_owned(),
            fg: Color::Reset,
            bg: Color::Reset,
            attributes: Modifier::empty(),
        }
    }
}

/// All cells; behind a wide character there is an empty one. What tmux leaves out at the end of a
/// row is not there.
type Rows = Vec<Vec<ShownCell>>;

fn painted(bytes: &[u8], cols: u16, rows: u16) -> Rows {
    let mut model = TerminalModel::new(Size { cols, rows }, 100);
    model.process(bytes);
    let (picture, _) = model.picture();
    let area = Rect::new(0, 0, cols, rows);
    let mut buffer = Buffer::empty(area);
    paint(
        &picture.unwrap(),
        area,
        true,
        &mut Pen::new(&mut buffer, Theme::default()),
    );
    let shown = |x, y| {
        let cell = &buffer[(x, y)];
        let behind = x > 0 && buffer[(x - 1, y)].symbol().width() == 2;
        ShownCell {
            text: if behind {
                String::new()
            } else {
                cell.symbol().to_owned()
            },
            fg: cell.fg,
            bg: cell.bg,
            attributes: cell.modifier,
        }
    };
    (0..rows)
        .map(|y| (0..cols).map(|x| shown(x, y)).collect())
        .collect()
}

/// DEC's line drawing, as tmux writes it between SO and SI.
fn drawn(c: char) -> char {
    const GLYPHS: &str = "┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·";
    match c {
        'j'..='~' => GLYPHS.chars().nth(c as usize - 'j' as usize).unwrap_or(c),
        '`' => '◆',
        'a' => '▒',
        'f' => '°',
        'g' => '±',
        c => c,
    }
}

/// Reads what `capture-pane -e` gives: text, SGR, shifts, links.
fn captured(text: &str, cols: u16, rows: u16) -> Rows {
    let mut pen = ShownCell::blank();
    let mut all: Rows = Vec::new();
    let mut shifted = false;
    for line in text.lines().take(rows.into()) {
        let mut row: Vec<ShownCell> = Vec::new();
        let mut rest = line;
        while let Some(c) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\x1b[") {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).unwrap();
                let (parameters, after) = sequence.split_at(end);
                assert!(after.starts_with('m'), "{rest:?}");
                set(&mut pen, parameters);
                rest = &after[1..];
                continue;
            }
            if let Some(link) = rest.strip_prefix("\x1b]8;") {
                rest = &link[link.find("\x1b\\").unwrap() + 2..];
                continue;
            }
            rest = &rest[c.len_utf8()..];
            match c {
                '\x0e' => shifted = true,
                '\x0f' => shifted = false,
                c => {
                    let c = if shifted { drawn(c) } else { c };
                    let width = c.to_string().width();
                    if width == 0 {
                        if let Some(last) = row.iter_mut().rfind(|cell| !cell.text.is_empty()) {
                            last.text.push(c);
                        }
                        continue;
                    }
                    let cell = ShownCell {
                        text: c.to_string(),
                        ..pen.clone()
                    };
                    row.push(cell.clone());
                    if width == 2 {
                        row.push(ShownCell {
                            text: String::new(),
                            ..cell
                        });
                    }
                }
            }
        }
        row.truncate(cols.into());
        all.push(row);
    }
    all.resize(rows.into(), Vec::new());
    all
}

fn set(pen: &mut ShownCell, parameters: &str) {
    let mut codes = parameters.split(';').map(|code| {
        let number = code.split(':').next().unwrap_or("");
        (number.parse::<u8>().unwrap_or(0), code.ends_with(":0"))
    });
    while let Some((code, off)) = codes.next() {
        let attribute = |n| match n {
            1 | 22 => Modifier::BOLD,
            2 => Modifier::DIM,
            3 | 23 => Modifier::ITALIC,
            4 | 24 => Modifier::UNDERLINED,
            5 | 25 => Modifier::SLOW_BLINK,
            7 | 27 => Modifier::REVERSED,
            8 | 28 => Modifier::HIDDEN,
            _ => Modifier::CROSSED_OUT,
        };
        let mut colour = || match codes.next() {
            Some((5, _)) => Color::Indexed(codes.next().unwrap().0),
            _ => {
                let mut part = || codes.next().unwrap().0;
                Color::Rgb(part(), part(), part())
            }
        };
        match code {
            0 => {
                *pen = ShownCell {
                    text: String::new(),
                    ..ShownCell::blank()
                }
            }
            4 if off => pen.attributes.remove(Modifier::UNDERLINED),
            1..=9 => pen.attributes.insert(attribute(code)),
            22 => pen.attributes.remove(Modifier::BOLD | Modifier::DIM),
            23..=29 => pen.attributes.remove(attribute(code)),
            30..=37 => pen.fg = Color::Indexed(code - 30),
            38 => pen.fg = colour(),
            39 => pen.fg = Color::Reset,
            40..=47 => pen.bg = Color::Indexed(code - 40),
            48 => pen.bg = colour(),
            49 => pen.bg = Color::Reset,
            90..=97 => pen.fg = Color::Indexed(code - 90 + 8),
            100..=107 => pen.bg = Color::Indexed(code - 100 + 8),
            _ => {}
        }
    }
}

/// A tmux server of its own, which ends with this.
struct Tmux(tempfile::TempDir);

impl Tmux {
    fn run(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .arg("-u")
            .arg("-S")
            .arg(self.0.path().join("socket"))
            .arg("-f")
            .arg(self.0.path().join("settings"))
            .args(arguments)
            .env("LANG", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Shows bytes in a new session, and waits until all of them are written.
    fn show(&self, name: &str, bytes: &[u8], cols: u16, rows: u16) {
        let file = self.0.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let socket = self.0.path().join("socket");
        let (file, socket) = (file.display(), socket.display());
        let script = format!(
            "stty raw -echo; cat '{file}'; tmux -S '{socket}' wait-for -S {name}; exec sleep 60"
        );
        let (x, y) = (cols.to_string(), rows.to_string());
        self.run(&["new-session", "-d", "-s", name, "-x", &x, "-y", &y, &script]);
        self.run(&["wait-for", name]);
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

/// Every cell that differs, one a line. What was erased at the end of a row tmux 3.3 leaves out,
/// also when it was erased with a background: there, ours has to be blank.
fn differences(ours: &Rows, theirs: &Rows) -> Vec<String> {
    let mut all = Vec::new();
    for (y, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        for (x, ours) in ours.iter().enumerate() {
            let same = match theirs.get(x) {
                Some(theirs) => ours == theirs,
                None => ours.text == " " && ours.attributes.is_empty(),
            };
            if !same {
                let theirs = theirs.get(x);
                all.push(format!("row {y} column {x}: {ours:?}, tmux {theirs:?}"));
            }
        }
    }
    all
}

#[test]
fn real_programs_look_as_in_tmux() {
    if !needs::program("tmux") {
        return;
    }
    let tmux = Tmux(tempfile::tempdir().unwrap());
    std::fs::write(
        tmux.0.path().join("settings"),
        "set -g status off\nset -g escape-time 0\nset -g default-terminal tmux-256color\n",
    )
    .unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../worker-agent/tests/data");
    let (mut cells, mut coloured, mut report) = (0, 0, String::new());
    for (program, cols, rows) in PROGRAMS {
        let bytes = std::fs::read(data.join(program).with_extension("bin")).unwrap();
        for percent in [20, 45, 70, 100] {
            let bytes = &bytes[..bytes.len() * percent / 100];
            let name = format!("{program}-{percent}");
            tmux.show(&name, bytes, cols, rows);
            let ours = painted(bytes, cols, rows);
            let mut found = Vec::new();
            // tmux may still be reading.
            for _ in 0..50 {
                let text = tmux.run(&["capture-pane", "-e", "-N", "-p", "-t", &name]);
                found = differences(&ours, &captured(&text, cols, rows));
                if found.is_empty() {
                    break;
                }
            }
            cells += ours.iter().flatten().count();
            coloured += ours
                .iter()
                .flatten()
                .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
                .count();
            if !found.is_empty() {
                writeln!(report, "{name}: {} cells differ", found.len()).unwrap();
                for line in found.iter().take(12) {
                    writeln!(report, "  {line}").unwrap();
                }
            }
        }
    }
    println!("{cells} cells compared, {coloured} of them with a colour");
    assert!(cells > 50_000 && coloured > 1_000, "{cells} {coloured}");
    assert!(report.is_empty(), "{report}");
}
