//! The screen against two other terminals: tmux, and the plain crate.

#[path = "../../tests/support/needs.rs"]
mod needs;
mod streams;

use std::process::Command;

use alacritty_terminal::event::VoidListener;
use alacritty_terminal::index::Line;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::term::test::TermSize;
use alacritty_terminal::term::{Config, Term};
use alacritty_terminal::vte::ansi::Processor;
use streams::{RECORDINGS, Recording, screen_of};

/// Feeds restore strings to tmux, an independent terminal, and compares the text.
#[test]
fn tmux_shows_the_same_text_after_a_restore() {
    if !needs::program("tmux") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let settings = folder.path().join("settings");
    std::fs::write(&settings, "set -g status off\nset -g escape-time 0\n").expect("written");
    let tmux = |arguments: &[&str]| {
        let mut command = Command::new("tmux");
        command
            .arg("-u")
            .arg("-S")
            .arg(&socket)
            .arg("-f")
            .arg(&settings)
            .args(arguments);
        let output = command
            .env("LANG", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .expect("tmux runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let mut lines = 0;
    for recording in RECORDINGS {
        for percent in [30, 62, 100] {
            let name = format!("{}-{percent}", recording.name);
            let mut screen = screen_of(recording.size);
            screen.process(&recording.bytes[..recording.bytes.len() * percent / 100]);
            let file = folder.path().join(&name);
            std::fs::write(&file, screen.restore()).expect("written");
            let (cols, rows) = (recording.size.0.to_string(), recording.size.1.to_string());
            // The pane tells when it has written all; tmux may still be reading it then.
            let (file, socket) = (file.display(), socket.display());
            let script = format!(
                "stty raw -echo; cat '{file}'; tmux -S '{socket}' wait-for -S {name}; exec sleep 60"
            );
            tmux(&[
                "new-session",
                "-d",
                "-s",
                &name,
                "-x",
                &cols,
                "-y",
                &rows,
                &script,
            ]);
            tmux(&["wait-for", &name]);
            // tmux joins some emoji sequences into one cell.
            let keep = |line: &str| !line.contains('\u{200d}') && !line.contains('🏳');
            let expected: Vec<String> = screen.text().into_iter().filter(|l| keep(l)).collect();
            let mut shown = Vec::new();
            for _ in 0..100 {
                let capture = tmux(&["capture-pane", "-p", "-t", &name]);
                let trimmed = capture
                    .lines()
                    .map(|line| line.trim_end_matches(' ').to_owned());
                shown = trimmed.filter(|line| keep(line)).collect();
                shown.resize(expected.len(), String::new());
                if shown == expected {
                    break;
                }
            }
            assert_eq!(shown, expected, "{name}");
            lines += shown.iter().filter(|line| !line.is_empty()).count();
        }
    }
    tmux(&["kill-server"]);
    assert!(lines > 200, "only {lines} lines were compared");
}

fn plain_text(recording: &Recording, bytes: &[u8]) -> Vec<String> {
    let (columns, rows) = recording.size;
    let size = TermSize::new(usize::from(columns), usize::from(rows));
    let mut term = Term::new(Config::default(), &size, VoidListener);
    let mut parser: Processor = Processor::new();
    parser.advance(&mut term, bytes);
    parser.stop_sync(&mut term);
    let row = |line: i32| {
        let mut text = String::new();
        for cell in &term.grid()[Line(line)] {
            if !cell.flags.contains(Flags::WIDE_CHAR_SPACER) {
                text.push(if cell.c == '\t' { ' ' } else { cell.c });
                text.extend(cell.zerowidth().into_iter().flatten());
            }
        }
        text.trim_end_matches(' ').to_owned()
    };
    (0..i32::from(rows)).map(row).collect()
}

/// The short way for text and our own cutting change nothing for real programs.
#[test]
fn programs_look_as_the_plain_crate_shows_them() {
    // The made-up streams tear wide characters apart, which the crate does not clean up.
    let made_up = |name: &str| name.starts_with("modes") || name.starts_with("unicode");
    for recording in RECORDINGS
        .iter()
        .filter(|recording| !made_up(recording.name))
    {
        for percent in 1..=100 {
            let bytes = &recording.bytes[..recording.bytes.len() * percent / 100];
            let mut screen = screen_of(recording.size);
            screen.process(bytes);
            assert_eq!(
                screen.text(),
                plain_text(recording, bytes),
                "{} at {percent} %",
                recording.name
            );
        }
    }
}
