//! The path of a new user who knows tmux and nothing of Podbay, by the hints on the screen alone:
//! spawn two workers, see which one waits, answer it, review and apply a change, stop both.
//!
//! `UPDATE_RECORDINGS=1` keeps what the terminal showed as an asciicast in `tests/recordings`, and
//! the README's pictures of it.

use e2e::{
    cast,
    instance::{self, Instance, SLOW},
    project::Project,
    root,
    terminal::Terminal,
    wait,
};
use std::{ffi::OsStr, fs};

/// What works like an agent: it shows what it is about, asks, and edits a file.
const AGENT: &str = r#"#!/bin/bash
printf '\033]0;agent: greeting\007'
printf '\033[1m* Looking at hello.txt\033[0m\n\n'
printf '  The greeting is not friendly. I would make it:\n\n'
printf '  \033[31m- hello\033[0m\n  \033[32m+ hello, world\033[0m\n\n'
printf 'May I edit hello.txt? [y/n] \033]9;permission to edit hello.txt\007'
read -r answer
case $answer in
  y*) echo 'hello, world' >hello.txt; printf '\n\033[1m* Done.\033[0m hello.txt is friendly now.\n' ;;
  *) printf '\n* Left as it was.\n' ;;
esac
printf '\033]9;4;0\007'
exec sleep 600
"#;

/// What is busy for long.
const TESTS: &str = r#"#!/bin/bash
for i in $(seq 1 500); do
  printf 'test case_%03d ... \033[32mok\033[0m\n' "$i"
  sleep 1
done
"#;

fn has(rows: &[String], words: &[&str]) -> bool {
    rows.iter()
        .any(|row| words.iter().all(|word| row.contains(word)))
}

fn walk(cols: u16, rows: u16) -> cast::Cast {
    let config = instance::config(3, 4) + "isolation = \"overlay\"\n";
    let instance = Instance::start(&config);
    let project = Project::new();
    project.write("agent.sh", AGENT);
    project.write("tests.sh", TESTS);
    let folder = project.text();
    let exec = ["docker", "exec", "-it", &instance.name, "dashboard"];
    let mut terminal = Terminal::start(&exec.map(OsStr::new), &[], cols, rows);
    let wide = cols >= 60;

    terminal.wait_for("Press n to spawn");
    terminal.mark("first");
    for (name, command) in [("greeting", "bash agent.sh"), ("tests", "bash tests.sh")] {
        terminal.send("n");
        terminal.wait_for("Spawn a worker");
        // The form may have the last project in it.
        terminal.send(format!("\x15{folder}"));
        terminal.send(format!("\t{name}\t\t\t\x15{command}"));
        if name == "greeting" {
            terminal.mark("form");
        }
        terminal.send("\r");
        terminal.wait_until("the worker in the list", |rows| has(rows, &[name]));
    }
    // Which one waits is said in words, and g goes there.
    terminal.wait_until("who waits", |rows| {
        has(rows, &["greeting"]) && has(rows, &["needs you"])
    });
    if wide {
        terminal.wait_until("what it is about", |rows| {
            has(rows, &["permission to edit"])
        });
    }
    terminal.send("g");
    if wide {
        terminal.wait_for("May I edit hello.txt?");
    }
    terminal.mark("waits");
    // r answers it without leaving the list.
    terminal.send("r");
    terminal.wait_for("Answer greeting");
    terminal.wait_until("its question above the answer", |rows| {
        has(rows, &["May I edit hello.txt?"])
    });
    terminal.send("y");
    terminal.mark("answer");
    terminal.send("\r");
    wait::until_true("the change", SLOW, || {
        instance
            .worker("greeting")
            .is_some_and(|w| w["changes"]["files"] == 1)
    });
    assert_eq!(project.read("hello.txt").as_deref(), Some("hello\n"));
    // Review: the change is shown before it is written.
    terminal.send("d");
    terminal.wait_until("the difference", |rows| {
        has(rows, &["hello.txt"]) && has(rows, &["+", "hello, world"])
    });
    terminal.mark("changes");
    terminal.send("a");
    terminal.wait_for("1 path written to the project");
    assert_eq!(project.read("hello.txt").as_deref(), Some("hello, world\n"));
    terminal.mark("applied");
    terminal.send("q");
    let in_list = |rows: &[String]| rows.last().is_some_and(|row| row.contains("Enter type"));
    terminal.wait_until("the list", in_list);
    if wide {
        terminal.send("t");
        terminal.wait_until("both at once", |rows| {
            has(rows, &["greeting"]) && has(rows, &["case_001"])
        });
        terminal.mark("tiles");
        terminal.send("t");
        terminal.wait_until("the list", |rows| has(rows, &["3 Logs"]));
    }
    // Both are marked and stopped.
    terminal.send("\x1b[H  x");
    terminal.wait_for("Stop 2 workers?");
    terminal.mark("stop");
    terminal.send("y");
    for name in ["greeting", "tests"] {
        instance.wait_state(name, "exited");
    }
    terminal.wait_until("that they have ended", |rows| {
        rows.iter()
            .filter(|r| r.contains("greeting") || r.contains("tests"))
            .count()
            >= 2
            && has(rows, &["stopped"])
    });
    terminal.mark("stopped");
    let cast = terminal.cast();
    terminal.send("q");
    assert_eq!(terminal.wait_exit().code(), Some(0));
    cast
}

/// Moments of the wide recording that the README shows.
const PICTURES: [&str; 4] = ["waits", "answer", "changes", "tiles"];

#[test]
fn a_new_user_finds_the_way_at_three_sizes() {
    for (cols, rows) in [(120, 40), (80, 24), (40, 12)] {
        let cast = walk(cols, rows).to_lines();
        if std::env::var_os("UPDATE_RECORDINGS").is_none() {
            continue;
        }
        let folder = root().join("tests/recordings");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("walk-{cols}x{rows}.cast")), &cast).unwrap();
        if cols == 120 {
            for (name, svg) in cast::pictures(&cast) {
                if PICTURES.contains(&name.as_str()) {
                    fs::write(folder.join(format!("{name}.svg")), svg).unwrap();
                }
            }
        }
    }
}

#[test]
fn the_readmes_pictures_are_of_the_recording() {
    let folder = root().join("tests/recordings");
    let cast = fs::read_to_string(folder.join("walk-120x40.cast")).unwrap();
    let pictures = cast::pictures(&cast);
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for name in PICTURES {
        let (_, svg) = pictures.iter().find(|(n, _)| n == name).unwrap();
        let file = format!("{name}.svg");
        assert_eq!(
            &fs::read_to_string(folder.join(&file)).unwrap(),
            svg,
            "{file} is not of the recording: UPDATE_RECORDINGS=1 makes both"
        );
        assert!(readme.contains(&file), "the README does not show {file}");
    }
}
