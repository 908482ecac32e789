//! What a hostile session makes others read or keep: recordings, titles, log lines, and clients that
//! do not read. It costs the coordinator a bounded amount, and nobody else anything.

use e2e::{
    instance::{self, Instance, SLOW, text},
    wait,
};
use serde_json::Value;
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    process::Command,
    sync::mpsc,
    time::Duration,
};

/// What the coordinator may grow by, in KB, whatever comes.
const MOST_GROWTH: u64 = 64 << 10;

/// One number of `/proc/PID/status`.
fn status(pid: i32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|l| l.split_whitespace().nth(1));
    number.unwrap().parse().unwrap()
}

/// The coordinator, before and after.
struct Coordinator<'a> {
    instance: &'a Instance,
    pid: i32,
    memory: u64,
}

impl<'a> Coordinator<'a> {
    fn of(instance: &'a Instance) -> Self {
        let pid = instance.coordinator().unwrap();
        // Its peak from here on: at its start it reads whole binaries. proc_pid_clear_refs(5).
        fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        let memory = status(pid, "VmRSS");
        Self {
            instance,
            pid,
            memory,
        }
    }

    /// It is the one that was there, answers, and its memory never grew by more than the bound.
    fn is_unharmed(&self, after: &str) {
        assert_eq!(self.instance.coordinator(), Some(self.pid), "after {after}");
        let output = self.instance.direct(["ls", "--json"]).output().unwrap();
        assert!(output.status.success(), "after {after}: {output:?}");
        let peak = status(self.pid, "VmHWM");
        println!("after {after}: {} KB, at most {peak} KB", self.memory);
        assert!(peak < self.memory + MOST_GROWTH, "after {after}: {peak} KB");
    }
}

fn root_session(instance: &Instance, name: &str, command: &[&str]) {
    let args = instance::spawn(name, &["-d", "--root"], command);
    instance.ok(args);
}

/// Sends a request to the API and reads nothing of what comes.
fn ask_and_read_nothing(instance: &Instance, path: &str) -> UnixStream {
    let mut stream = UnixStream::connect(instance.socket()).unwrap();
    stream.set_read_timeout(Some(SLOW)).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: podbay\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    stream
}

fn first_line(stream: &mut UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// `podbay logs`, bounded; what it printed.
fn logs(instance: &Instance, args: &[&str]) -> String {
    let mut command = Command::new("timeout");
    let logs = instance.direct(args.iter());
    command.arg("60");
    command.arg(logs.get_program()).args(logs.get_args());
    for (name, value) in logs.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(124), "{args:?} hangs");
    text(&output.stdout)
}

#[test]
fn whatever_stands_in_a_recordings_place_costs_a_bounded_amount_to_read() {
    let instance = Instance::start(&instance::config(2, 2));
    let swap = "cd /.podbay/log; echo said; read x; f=$(ls *.cast); rm -f $f; \
                case $x in giant) truncate -s 3G $f;; pipe) mkfifo $f;; \
                link) ln -s /.podbay/run/token $f;; zero) ln -s /dev/zero $f;; esac; \
                echo swapped >&2; touch /tmp/swapped; sleep 1000";
    for kind in ["giant", "pipe", "link", "zero"] {
        root_session(&instance, kind, &["bash", "-c", swap]);
        wait::until_true("it to say something", SLOW, || {
            logs(&instance, &["logs", kind]).contains("said")
        });
        let coordinator = Coordinator::of(&instance);
        let mut input = instance.direct(["exec", kind, "true"]);
        assert!(input.output().unwrap().status.success());
        let mut terminal = instance.direct_terminal(&["attach", kind], 80, 24);
        terminal.wait_for("said");
        terminal.send(format!("{kind}\n"));
        terminal.wait_for("swapped");
        drop(terminal);
        for args in [
            &["logs", kind][..],
            &["logs", kind, "--tail", "5"],
            &["logs", kind, "--since", "1h"],
        ] {
            let found = logs(&instance, args);
            assert!(found.contains("podbay: "), "{kind} {args:?}: {found:?}");
            assert!(found.len() < 10_000, "{kind} {args:?}: {}", found.len());
        }
        // Followed by many, none of whom reads.
        let path = format!("/v1/workers/{kind}/logs?follow=true");
        let followers: Vec<UnixStream> = (0..40)
            .map(|_| ask_and_read_nothing(&instance, &path))
            .collect();
        coordinator.is_unharmed(kind);
        drop(followers);
        instance.ok(["rm", "--force", kind]);
    }
}

/// Speaks in its agent's place: `ARGS` are the number of frames and the JSON of each, with `SIZE`
/// letters where it says `@`.
const FORGER: &str = r#"
use Socket; $| = 1; $SIG{PIPE} = 'IGNORE';
my ($count, $size, @events) = @ARGV;
open(my $f, '<', '/.podbay/run/token') or die "token: $!";
my $token = <$f>; chomp $token;
my ($own, $session) = @ENV{'PODBAY_WORKER', 'PODBAY_SESSION'};
my $long = 'x' x $size;
sub frame { my $json = shift; pack('N', length $json) . $json }
sub dial {
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
    connect($s, pack_sockaddr_un('/.podbay/run/agent.sock')) or return;
    my $hello = qq({"protocol":1,"build":"0","worker":"$own","token":"$token","purpose":{"kind":"control"}});
    syswrite($s, frame($hello));
    return $s;
}
my $sent = 0;
my $s;
while ($sent < $count) {
    if (!$s) { $s = dial(); if (!$s) { select(undef, undef, undef, 0.05); next } }
    my $json = $events[$sent % @events];
    $json =~ s/\@N/$sent/g; $json =~ s/SESSION/$session/g; $json =~ s/\@/$long/g;
    my $bytes = frame($json);
    while (length $bytes) {
        my $n = syswrite($s, $bytes);
        if (!defined $n) { undef $s; last }
        substr($bytes, 0, $n, '');
    }
    $sent++;
}
print "all sent\n";
sleep 1000;
"#;

/// Events of the stream, as they come.
fn events(instance: &Instance) -> mpsc::Receiver<Value> {
    let stream = ask_and_read_nothing(instance, "/v1/events");
    stream.set_read_timeout(None).unwrap();
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            let Ok(line) = line else { return };
            let event = line.find("{\"seq\"").map(|at| &line[at..]);
            let event = event.and_then(|json| serde_json::from_str::<Value>(json).ok());
            if event.is_some_and(|event| sender.send(event).is_err()) {
                return;
            }
        }
    });
    receiver
}

#[test]
fn titles_of_a_megabyte_in_a_loop_are_neither_kept_nor_push_others_out() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session(
        "bystander",
        &[
            "bash",
            "-c",
            "while read x; do echo -ne \"\\e]2;t$x\\a\"; done",
        ],
    );
    instance.wait_state("bystander", "running");
    let coordinator = Coordinator::of(&instance);
    let slow: Vec<UnixStream> = (0..8)
        .map(|_| ask_and_read_nothing(&instance, "/v1/events"))
        .collect();
    let heard = events(&instance);
    let title = r#"{"kind":"event","event":"title","session":"SESSION","title":"@N@"}"#;
    let notice = r#"{"kind":"event","event":"notification","session":"SESSION","text":"@N@"}"#;
    let reason = r#"{"kind":"event","event":"screen_rebuilt","session":"SESSION","reason":"@N@"}"#;
    let forge = [
        "perl", "-e", FORGER, "200", "1000000", title, notice, reason,
    ];
    root_session(&instance, "forger", &forge);
    wait::until_true("all to be sent", SLOW * 2, || {
        let worker = instance.worker("forger");
        worker.is_some() && logs(&instance, &["logs", "forger"]).contains("all sent")
    });
    coordinator.is_unharmed("200 megabytes of titles");
    // The other's event comes through to whoever reads.
    let mut terminal = instance.direct_terminal(&["attach", "bystander"], 80, 24);
    terminal.send("seen\n");
    let is_it = |event: &Value| {
        let views = event["workers"].as_array().cloned().unwrap_or_default();
        let mut views = views.into_iter().chain([event["worker"].clone()]);
        views.any(|w| w["name"] == "bystander" && w["title"] == "tseen")
    };
    let mut largest = 0;
    wait::until_true("the bystander's title", SLOW, || {
        let event = heard.recv_timeout(Duration::from_secs(1));
        let event = event.unwrap_or(Value::Null);
        largest = largest.max(event.to_string().len());
        is_it(&event)
    });
    assert!(largest < 64 << 10, "an event of {largest} bytes");
    drop(slow);
}

#[test]
fn lines_that_a_worker_provokes_are_a_few_however_often_it_does() {
    let instance = Instance::start(&instance::config(1, 1));
    let coordinator = Coordinator::of(&instance);
    let logged = || -> String {
        let files = fs::read_dir(instance.state().join("logs")).unwrap();
        files
            .map(|file| file.unwrap().path())
            .filter(|path| path.to_string_lossy().contains("coordinator"))
            .map(|path| text(&fs::read(path).unwrap_or_default()))
            .collect()
    };
    let before = logged().len();
    let rebuilt = r#"{"kind":"event","event":"screen_rebuilt","session":"SESSION","reason":"@N@"}"#;
    let refused =
        "for (1..3000) { my $s = dial0() or next; syswrite($s, pack('N', 9) . '{\"a\":1}  ') }";
    let dial = "sub dial0 { socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
                connect($s, pack_sockaddr_un('/.podbay/run/agent.sock')) or return; $s }";
    let script = format!(
        "{}\n{dial}\n{refused}\nprint \"refused\\n\"; sleep 1000;",
        FORGER.replace("sleep 1000;", "")
    );
    let forge = ["perl", "-e", &script, "10000", "500", rebuilt];
    root_session(&instance, "loud", &forge);
    wait::until_true("all to be said", SLOW * 2, || {
        logs(&instance, &["logs", "loud"]).contains("refused")
    });
    // What is said once was said: then the flood is through.
    wait::until_true("a line about it", SLOW, || {
        let logged = logged();
        logged.contains("rebuilt") && logged.contains("refused a connection")
    });
    coordinator.is_unharmed("a flood of log lines");
    let logged = logged();
    for kind in ["screen model was rebuilt", "refused a connection"] {
        let lines = logged.matches(kind).count();
        println!("{kind}: {lines} lines");
        assert!((1..=5).contains(&lines), "{kind}: {lines} lines");
    }
    let grown = logged.len() - before;
    assert!(grown < 64 << 10, "{grown} bytes of log");
    let docker = instance.parent_log();
    let lines = docker.matches("screen model was rebuilt").count();
    assert!(lines <= 5, "{lines} lines in the engine's log");
}

#[test]
fn readers_that_do_not_read_hold_neither_threads_nor_others_up() {
    let instance = Instance::start(&instance::config(1, 2));
    let flood = "head -c 3000000 /dev/zero | tr '\\0' x | fold -w 70; echo ended; sleep 1000";
    instance.session("talker", &["bash", "-c", flood]);
    wait::until_true("the flood", SLOW, || {
        logs(&instance, &["logs", "talker", "--tail", "1"]).contains("ended")
    });
    // More entries than a socket takes.
    let line = r#"{"time":"2026-01-01T00:00:00.000Z","who":{"by":"coordinator"},"what":"spawn","result":"ok","duration_ms":1}"#;
    let entries = format!("{line}\n").repeat(60_000);
    fs::write(instance.state().join("logs/audit.1.jsonl"), entries).unwrap();
    let coordinator = Coordinator::of(&instance);
    let threads = status(coordinator.pid, "Threads");
    let audit: Vec<UnixStream> = (0..200)
        .map(|_| ask_and_read_nothing(&instance, "/v1/audit"))
        .collect();
    let logs_of: Vec<UnixStream> = (0..200)
        .map(|_| ask_and_read_nothing(&instance, "/v1/workers/talker/logs"))
        .collect();
    let mut answers = std::collections::BTreeMap::<String, usize>::new();
    let mut kept = Vec::new();
    for mut stream in audit.into_iter().chain(logs_of) {
        *answers.entry(first_line(&mut stream)).or_default() += 1;
        kept.push(stream);
    }
    println!("{answers:?}");
    assert_eq!(answers.get("HTTP/1.1 200 OK\r\n"), Some(&(16 + 64)));
    assert_eq!(
        answers.get("HTTP/1.1 503 Service Unavailable\r\n"),
        Some(&(400 - 16 - 64))
    );
    // A thread for each of the 80 readers would be too many; pieces are read by a few.
    let more = status(coordinator.pid, "Threads").saturating_sub(threads);
    assert!(more < 40, "{more} threads more");
    coordinator.is_unharmed("400 readers that do not read");
    let refused = instance.direct(["logs", "talker"]).output().unwrap();
    let why = text(&refused.stderr);
    assert!(why.contains("64 clients read logs already"), "{why}");
    // The slowest of them all still gets everything, and its place is free then.
    drop(kept);
    wait::until_true("a place", SLOW, || {
        logs(&instance, &["logs", "talker", "--tail", "1"]).contains("ended")
    });
    let mut whole = Vec::new();
    let mut curl = instance.curl("/v1/audit");
    let mut child = curl.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_end(&mut whole).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(text(&whole).lines().count() >= 60_000);
}

#[test]
fn workers_that_answer_nothing_hold_nobodys_meters_up() {
    let instance = Instance::start(&instance::config(1, 5));
    let stuck = ["stuck1", "stuck2", "stuck3", "stuck4"];
    for name in stuck {
        instance.session(name, &["cat"]);
    }
    let busy = "x=; while :; do x=$x$(head -c 3000000 /dev/zero | tr '\\0' x); sleep 0.5; \
                [ ${#x} -gt 60000000 ] && x=; done; true";
    instance.session("busy", &["bash", "-c", busy]);
    instance.wait_state("busy", "running");
    for name in stuck {
        let worker = instance.worker(name).unwrap();
        let container = worker["container"].as_str().unwrap();
        instance.engine.docker(&["pause", container]);
    }
    let mut seen = std::collections::BTreeSet::new();
    // Each that is stuck would hold a round up by five seconds.
    wait::until_true("ten readings", Duration::from_secs(60), || {
        let worker = instance.worker("busy").unwrap();
        seen.insert(worker["readings"]["memory_bytes"].as_u64());
        seen.len() >= 10
    });
    for name in stuck {
        let worker = instance.worker(name).unwrap();
        let container = worker["container"].as_str().unwrap();
        instance.engine.docker(&["unpause", container]);
    }
}
