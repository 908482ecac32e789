//! `podbay exec`: codes, pipes, terminals.

use e2e::{
    instance::{self, Instance, SLOW, text},
    processes, unique, wait,
};
use std::{
    io::{Read, Write},
    process::Stdio,
    time::Instant,
};

#[test]
fn exec_returns_the_commands_code_and_keeps_its_streams_apart_byte_for_byte() {
    let instance = Instance::start(&instance::config(1, 2));
    instance.session("box", &["sleep", "1000"]);
    for (script, code) in [("true", 0), ("exit 42", 42), ("kill -KILL $$", 137)] {
        let output = instance.run(["exec", "box", "sh", "-c", script]);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{script}: {}",
            text(&output.stderr)
        );
    }
    let both = instance.run([
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 5",
    ]);
    assert_eq!(
        (text(&both.stdout), text(&both.stderr)),
        ("out\n".into(), "err\n".into())
    );
    assert_eq!(both.status.code(), Some(5));

    // Every byte value, more than any buffer on the way holds, and the end of input.
    let data: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let mut child = instance
        .command(["exec", "box", "sh", "-c", "tee /dev/stderr; echo end"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let sent = data.clone();
    let writer = std::thread::spawn(move || stdin.write_all(&sent));
    let began = Instant::now();
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(began.elapsed() < SLOW);
    assert!(output.status.success(), "{}", output.status);
    assert_eq!(output.stdout.len(), data.len() + 4);
    assert!(output.stdout[..data.len()] == data && output.stdout.ends_with(b"end\n"));
    assert!(
        output.stderr == data,
        "{} bytes on stderr",
        output.stderr.len()
    );

    // A reader that begins when the program has long ended still gets all of it.
    let mark = unique("slow");
    let marked = format!("E2E_MARK={mark}");
    let script = "head -c 400000 /dev/zero; head -c 200000 /dev/zero >&2; exit 3";
    let mut late = instance.command(["exec", "-e", &marked, "box", "sh", "-c", script]);
    let mut late = late
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (late.stdout.take().unwrap(), late.stderr.take().unwrap());
    let first = |pipe: &mut dyn Read| {
        let mut byte = [1];
        pipe.read_exact(&mut byte).expect("a first byte");
        byte[0]
    };
    assert_eq!(first(&mut out), 0);
    wait::until_true("the program's end", SLOW, || {
        processes::marked("E2E_MARK", &mark).is_empty()
    });
    let rest = std::thread::spawn(move || {
        let mut all = Vec::new();
        err.read_to_end(&mut all).expect("reading stderr");
        all.len()
    });
    let mut all = Vec::new();
    out.read_to_end(&mut all).unwrap();
    assert_eq!((all.len(), rest.join().unwrap()), (399_999, 200_000));
    assert_eq!(late.wait().unwrap().code(), Some(3));

    let env = instance.ok([
        "exec",
        "-e",
        "GIVEN=x y",
        "box",
        "sh",
        "-c",
        "echo \"$GIVEN\"; pwd",
    ]);
    assert!(env.starts_with("x y\n"), "{env}");
    assert_eq!(instance.ok(["exec", "--root", "box", "id", "-u"]), "0\n");
    assert_ne!(instance.ok(["exec", "box", "id", "-u"]), "0\n");

    let missing = instance.run(["exec", "box", "no-such-program"]);
    assert_eq!(
        missing.status.code(),
        Some(127),
        "{}",
        text(&missing.stderr)
    );
    assert!(
        text(&missing.stderr).contains("no-such-program"),
        "{}",
        text(&missing.stderr)
    );
    let folder = instance.run(["exec", "box", "/etc/passwd"]);
    assert_eq!(folder.status.code(), Some(126), "{}", text(&folder.stderr));
    // None of it touched the worker's own session.
    assert_eq!(instance.worker("box").unwrap()["state"], "running");
}

#[test]
fn exec_with_a_terminal_gives_the_command_one_of_the_same_size() {
    let instance = Instance::start(&instance::config(1, 2));
    instance.session("box", &["sleep", "1000"]);
    let script = "tty; stty size; read line; echo \"got $line\"; \
                  until test \"$(stty size)\" = '30 70'; do sleep 0.05; done; stty size; exit 7";
    let mut terminal = instance.terminal(&["exec", "box", "sh", "-c", script], 91, 23);
    terminal.wait_for("23 91");
    assert!(
        terminal
            .rows()
            .iter()
            .any(|row| row.starts_with("/dev/pts/"))
    );
    terminal.resize(70, 30);
    terminal.send("typed\r");
    terminal.wait_for("got typed");
    assert_eq!(
        terminal.wait_exit().code(),
        Some(7),
        "{:?}",
        terminal.rows()
    );
    assert!(
        terminal.rows().iter().any(|row| row == "30 70"),
        "{:?}",
        terminal.rows()
    );

    // With -T, a terminal outside is none inside; with -t, pipes outside are a terminal inside.
    let mut terminal = instance.terminal(&["exec", "-T", "box", "tty"], 80, 24);
    terminal.wait_for("not a tty");
    terminal.wait_exit();
    assert!(
        instance
            .ok(["exec", "-t", "box", "tty"])
            .starts_with("/dev/pts/")
    );
}
