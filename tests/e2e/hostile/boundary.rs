//! What a root session can do in its agent's name, at its worker's own socket: forge, list, crowd.
//! It may cost it its own worker. Each attack is judged by what it does to others.

use e2e::{
    instance::{self, Instance, SLOW, text},
    wait,
};
use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Stdio,
};

/// Begins every script: the worker's id is its first argument.
const AGENT: &str = r#"
use Socket; $| = 1; $SIG{PIPE} = 'IGNORE';
my $own = shift @ARGV;
open(my $f, '<', '/.podbay/run/token') or die "token: $!";
my $token = <$f>; chomp $token;
sub frame { my $json = shift; pack('N', length $json) . $json }
sub dial {
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or return;
    connect($s, pack_sockaddr_un('/.podbay/run/agent.sock')) or return;
    return $s;
}
sub control {
    my $s = dial() or return;
    my $hello = qq({"protocol":1,"build":"0","worker":"$own","token":"$token","purpose":{"kind":"control"}});
    defined syswrite($s, frame($hello)) or return;
    return $s;
}
sub slurp { open(my $f, '<', shift) or return ''; local $/; my $text = <$f>; $text // '' }
sub nap { select(undef, undef, undef, shift) }
sub whole {
    my ($s, $length) = @_; my $got = '';
    while (length $got < $length) {
        sysread($s, $got, $length - length $got, length $got) or return;
    }
    return $got;
}
sub receive { my $s = shift; my $head = whole($s, 4) // return; whole($s, unpack('N', $head)) }
"#;

/// Tells again and again that the sessions named in a file have ended, and thousands of others.
const FORGER: &str = r#"
my $rounds = 0;
while (1) {
    my $s = control() or do { nap(0.05); next };
    my $there = 1;
    while ($there) {
        my @named = split ' ', slurp('/.podbay/log/targets');
        for my $session (@named, map { "invented-$rounds-$_" } 1 .. 300) {
            my $event = qq({"kind":"event","event":"exited","session":"$session","status":{"how":"code","value":7},"oom":false});
            $there = defined syswrite($s, frame($event)) or last;
        }
        $rounds++ if $there;
        print "round $rounds of " . scalar(@named) . ".\n";
        nap(0.02);
    }
}
"#;

pub(super) fn script(body: &str) -> String {
    format!("{AGENT}{body}")
}

pub(super) fn field(worker: &Value, name: &str) -> String {
    worker[name].as_str().unwrap_or_default().to_owned()
}

pub(super) fn folder(instance: &Instance, worker: &Value) -> PathBuf {
    instance.state().join("workers").join(field(worker, "id"))
}

/// Starts a worker whose session is root and runs a script in the agent's name.
fn attacker(instance: &Instance, name: &str, body: &str) -> Value {
    let id = "\"$PODBAY_WORKER\"";
    let run = format!("exec perl -e \"$0\" {id}");
    let args = [
        "spawn",
        "-d",
        "-n",
        name,
        "--root",
        "--isolation",
        "none",
        "--",
        "bash",
        "-c",
        &run,
        &script(body),
    ];
    instance.ok(args);
    instance.worker(name).unwrap()
}

/// All that a worker's sessions printed so far.
fn printed(instance: &Instance, worker: &Value) -> String {
    let files = fs::read_dir(folder(instance, worker).join("log")).into_iter();
    let casts = files.flatten().flatten().map(|file| file.path());
    casts
        .filter(|path| path.to_string_lossy().contains(".cast"))
        .map(|path| text(&fs::read(path).unwrap_or_default()))
        .collect()
}

#[test]
fn nobody_ends_another_workers_session_by_saying_so() {
    let instance = Instance::start(&instance::config(2, 6));
    let handler = "trap 'sleep 2; echo cleaned up; exit 0' TERM; echo ready; \
                   while :; do sleep 0.1; done";
    instance.session("bystander", &["bash", "-c", handler]);
    let forger = attacker(&instance, "forger", FORGER);
    let waits = "while [ ! -e $HOME/go ]; do sleep 0.1; done; exit 5";
    let mut client = instance
        .command([
            "spawn",
            "-n",
            "job",
            "--isolation",
            "none",
            "--",
            "bash",
            "-c",
            waits,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let job = instance.wait_state("job", "running");
    let bystander = instance.wait_state("bystander", "running");
    let mut targets = String::new();
    for worker in [&bystander, &job] {
        targets += &format!("{} {} ", field(worker, "id"), field(worker, "session"));
    }
    fs::write(folder(&instance, &forger).join("log/targets"), &targets).unwrap();
    let forged = || printed(&instance, &forger).matches("of 4.").count();
    wait::until_true("the ends of others to be told", SLOW, || forged() > 4);

    // An attached client hears how its session ended, not what was said of it.
    fs::write(folder(&instance, &job).join("home/go"), "").unwrap();
    assert_eq!(
        client.wait().unwrap().code(),
        Some(5),
        "the client's exit code"
    );
    // What ended a moment ago is not pushed out by what others invent.
    for n in 0..10 {
        let code = instance
            .run(["exec", "bystander", "sh", "-c", "exit 3"])
            .status
            .code();
        assert_eq!(code, Some(3), "exec {n}");
    }
    // A stop waits for the session's own end.
    wait::until_true("the handler to be set", SLOW, || {
        printed(&instance, &bystander).contains("ready")
    });
    instance.ok(["stop", "--grace", "30s", "bystander"]);
    let said = printed(&instance, &bystander);
    assert!(
        said.contains("cleaned up"),
        "its TERM handler was cut short: {said}"
    );
    let now = forged();
    println!("{now} rounds were told");
    instance.ok(["rm", "--force", "forger"]);
}

/// Reads names from stdin and says where in its worker they are to be seen.
const SEEKER: &str = r#"
my @sought = split ' ', do { local $/; <STDIN> };
my @files = grep { -f || /^\/proc/ } (
    glob('/proc/net/* /proc/net/*/* /proc/* /proc/sysvipc/* /etc/* /dev/shm/* /run/* /.podbay/*/*'),
    map { glob("$_/{mountinfo,mounts,cgroup,environ,cmdline,comm,maps,status,limits,net/unix}") }
        glob('/proc/[0-9]* /proc/self /proc/1'),
    glob('/sys/fs/cgroup/* /sys/fs/cgroup/*/*'));
my $seen = 0;
for my $path (@files) {
    next if $path =~ m{/(kmsg|kcore|kpage\w+|sysrq-trigger|pagemap|token)$} || -d $path;
    my $text = "$path\n";
    if (open(my $f, '<', $path)) {
        local $SIG{ALRM} = sub { die }; alarm 2;
        eval { while (sysread($f, my $got, 65536)) { $text .= $got; last if length $text > 8 << 20 } };
        alarm 0;
    }
    $seen++;
    for (@sought) { print "SEES $_ in $path\n" if index($text, $_) >= 0 }
}
print "looked at ", $seen > 100 ? 'many' : "only $seen", "\n";
"#;

#[test]
fn no_id_of_another_worker_is_to_be_seen_in_a_worker() {
    let instance = Instance::start(&instance::config(2, 4));
    instance.session("bystander", &["sleep", "1000"]);
    instance.session("seeker", &["sleep", "1000"]);
    instance.wait_warm("default", 2);
    let mut sought = String::new();
    for worker in instance.workers() {
        if field(&worker, "name") != "seeker" {
            sought += &format!("{} {}\n", field(&worker, "id"), field(&worker, "session"));
        }
    }
    assert!(sought.lines().count() >= 3, "{sought}");
    for user in [None, Some("--root")] {
        let args = ["exec"].into_iter().chain(user);
        let mut child = instance
            .direct(args.chain(["seeker", "perl", "-e", SEEKER]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(sought.as_bytes()).unwrap();
        drop(stdin);
        let said = text(&child.wait_with_output().unwrap().stdout);
        assert!(said.contains("looked at many"), "{user:?}: {said}");
        assert!(!said.contains("SEES"), "{user:?}: {said}");
    }
}

/// Two processes that connect 10,000 times each and hold what they get.
const CROWD: &str = r#"
fork; my (@held, $tried);
while ($tried < 10000) {
    my $s = control();
    $tried++ if $s;
    push @held, $s if $s;
    if (!$s) { splice(@held, 0, 100); nap(0.005) }
}
print "tried $tried.\n";
sleep 1000;
"#;

fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// Resident memory of a process, in KB.
fn resident(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

#[test]
fn a_crowd_of_connections_of_one_worker_shuts_nobody_else_out() {
    let instance = Instance::start(&instance::config(2, 4));
    instance.session("bystander", &["sleep", "1000"]);
    let coordinator = instance.coordinator().unwrap();
    let (files, memory) = (descriptors(coordinator), resident(coordinator));
    let crowd = attacker(&instance, "crowd", CROWD);
    let tried = || printed(&instance, &crowd).matches("tried 10000.").count();
    let (mut rounds, mut most_files, mut most_memory) = (0, 0, 0);
    // At least so often, and until all connections were tried.
    while rounds < 4 || tried() < 2 {
        rounds += 1;
        assert!(rounds < 200, "the crowd does not get done");
        let name = format!("other-{rounds}");
        let spawn = [
            "spawn",
            "-d",
            "-n",
            &name,
            "--isolation",
            "none",
            "--",
            "sleep",
            "1000",
        ];
        let spawned = instance.run(spawn);
        assert!(spawned.status.success(), "{}", text(&spawned.stderr));
        let listed = instance.json(["ls", "--json"]);
        assert!(listed.as_array().unwrap().len() >= 3, "{listed}");
        assert!(instance.run(["exec", "bystander", "true"]).status.success());
        assert!(instance.run(["rm", "--force", &name]).status.success());
        most_files = most_files.max(descriptors(coordinator));
        most_memory = most_memory.max(resident(coordinator));
    }
    println!(
        "{rounds} rounds; descriptors {files} -> {most_files}, memory {memory} -> {most_memory} KB"
    );
    assert_eq!(instance.coordinator(), Some(coordinator));
    assert!(most_files < files + 150, "{most_files} descriptors");
    assert!(most_memory < memory + (24 << 10), "{most_memory} KB");
    // The worker's own agent finds its place again.
    wait::until_true("the crowd's own agent to be back", SLOW, || {
        instance.run(["exec", "crowd", "true"]).status.success()
    });
    instance.ok(["rm", "--force", "crowd"]);
}

/// A WebSocket that attaches to watch.
struct Watch(UnixStream);

impl Watch {
    fn open(instance: &Instance, name: &str) -> Self {
        let mut socket = UnixStream::connect(instance.socket()).unwrap();
        socket.set_read_timeout(Some(SLOW)).unwrap();
        let request = format!(
            "GET /v1/workers/{name}/attach?mode=read_only HTTP/1.1\r\nHost: podbay\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", text(&head));
        Self(socket)
    }

    /// Sends a short message of this kind (RFC 6455), masked with zeros.
    fn say(&mut self, kind: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).unwrap();
        let mut frame = vec![0x80 | kind, 0x80 | length, 0, 0, 0, 0];
        frame.extend(payload);
        // It may be cut off for what it said before.
        drop(self.0.write_all(&frame));
    }

    /// Until all that was said is taken: an answer to a ping, or the end.
    fn taken(&mut self) {
        self.say(9, b"");
        let mut last = [0; 2];
        let mut byte = [0];
        while self.0.read(&mut byte).is_ok_and(|n| n == 1) {
            last = [last[1], byte[0]];
            if last == [0x8a, 0] {
                return;
            }
        }
    }
}

#[test]
fn a_client_that_was_noted_as_watching_neither_types_nor_signals() {
    let instance = Instance::start(&instance::config(1, 2));
    let echoes = "while read line; do echo \"got $line\"; done";
    instance.session("quiet", &["bash", "-c", echoes]);
    let before = instance.wait_state("quiet", "running");
    let type_in = |line: &str| {
        let mut curl = instance.curl("/v1/workers/quiet/input");
        let sent = curl
            .args(["-X", "POST", "--data-binary", line])
            .output()
            .unwrap();
        assert!(sent.status.success(), "{}", text(&sent.stderr));
        let line = line.trim_end().to_owned();
        wait::until_true("what is typed to arrive", SLOW, || {
            printed(&instance, &before).contains(&format!("got {line}"))
        });
    };
    let mut watch = Watch::open(&instance, "quiet");
    watch.say(1, br#"{"type":"takeover"}"#);
    watch.say(2, b"smuggled\n");
    watch.taken();
    type_in("first\n");
    let mut watch = Watch::open(&instance, "quiet");
    watch.say(2, b"smuggled\n");
    watch.say(1, br#"{"type":"signal","signal":9}"#);
    watch.taken();
    type_in("second\n");
    let said = printed(&instance, &before);
    assert!(!said.contains("got smuggled"), "{said}");
    let now = instance.wait_state("quiet", "running");
    assert_eq!(now["pid"], before["pid"]);
    let audit = instance.ok(["audit"]);
    assert!(audit.contains("read_only"), "{audit}");
}
