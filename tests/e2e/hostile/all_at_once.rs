//! One worker does everything at once that fills something up. What the others pay is measured.

use e2e::{
    instance::{self, Instance, SLOW},
    processes,
    project::Project,
    times, wait,
};
use std::{
    fs,
    process::{Child, Command, Stdio},
};

/// Files with names of 247 bytes in one folder.
const NAMES: u32 = 600_000;
/// Connections to the coordinator's end of the worker's socket.
const CONNECTIONS: u32 = 20_000;
/// Bytes of a recording's only line.
const LINE: u64 = 3 << 30;
/// Bytes of terminal queries whose replies nobody reads.
const REPLIES: u32 = 100_000_000;

const MAX_COORDINATOR_KB: u64 = 64 << 10;
const MAX_MOUNTER_KB: u64 = 96 << 10;

/// The session: names first, then queries, then titles without an end. It is root in its worker.
fn script() -> String {
    format!(
        r#"
use strict; use Socket; $| = 1; $SIG{{PIPE}} = 'IGNORE';
system('stty raw -echo');
open(my $t, '<', '/.podbay/run/token') or die "token: $!"; my $token = <$t>; chomp $token;
mkdir 'names'; my $pad = 'n' x 240;
for (1 .. {NAMES}) {{ open(my $f, '>', sprintf('names/%s%07d', $pad, $_)) or die "name $_: $!" }}
for my $file (glob '/.podbay/log/*') {{
    open(my $f, '>', "$file.new") or next; truncate($f, {LINE}); close $f; rename("$file.new", $file);
}}
open(my $ready, '>', '/workspace/ready') or die; close $ready;
if (!fork) {{
    my $hello = qq({{"protocol":1,"build":"0","worker":"$ENV{{PODBAY_WORKER}}","token":"$token","purpose":{{"kind":"control"}}}});
    my @open;
    for (1 .. {CONNECTIONS}) {{
        socket(my $s, AF_UNIX, SOCK_STREAM, 0) or do {{ @open = (); next }};
        setsockopt($s, SOL_SOCKET, SO_SNDTIMEO, pack('qq', 0, 20000));
        connect($s, pack_sockaddr_un('/.podbay/run/agent.sock')) or next;
        syswrite($s, pack('N', length $hello) . $hello);
        push @open, $s;
    }}
    open(my $done, '>', '/workspace/connected') or die; close $done;
    sleep 1 while 1;
}}
my $queries = "\e[6n" x 2500;
for (1 .. {REPLIES} / 10000) {{ syswrite(STDOUT, $queries) }}
open(my $asked, '>', '/workspace/asked') or die; close $asked;
my $title = "\e]0;" . ('x' x 1_000_000) . "\a";
while (1) {{ syswrite(STDOUT, $title) }}
"#
    )
}

/// A command that is started again whenever it ends, until this is dropped.
struct Loop(Child);

impl Loop {
    fn start(command: &Command) -> Self {
        let words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .collect();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", "while :; do \"$@\"; done", "sh"])
            .args(words);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let quiet = shell.stdin(Stdio::null()).stdout(Stdio::null());
        let child = std::os::unix::process::CommandExt::process_group(quiet, 0)
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(self.0.id().cast_signed());
        nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL).ok();
        drop(self.0.wait());
    }
}

fn peak_kb(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

fn mounter(instance: &Instance) -> i32 {
    let containers = instance.engine.containers(&instance.name, "mounter");
    let id = containers.first().expect("a mounter").clone();
    let pid = instance
        .engine
        .docker(&["inspect", "-f", "{{.State.Pid}}", &id]);
    pid.trim().parse().unwrap()
}

/// Milliseconds of warm claims, from the request to the answer, as the coordinator counts them.
fn claims(instance: &Instance, project: &str, count: u32, prefix: &str) -> Vec<f64> {
    let one = |n: u32| {
        instance.wait_warm("default", 2);
        let name = format!("{prefix}{n}");
        let args = [
            "spawn", project, "-d", "--json", "-n", &name, "--", "sleep", "1000",
        ];
        let answer = instance.ask(args).expect("a claim");
        instance.ok(["rm", "--force", &name]);
        assert_eq!(answer["warm"], true, "{answer}");
        answer["timings"]["total_us"].as_f64().unwrap() / 1000.0
    };
    let mut found: Vec<f64> = (0..count).map(one).collect();
    found.sort_by(f64::total_cmp);
    found
}

fn p99(sorted: &[f64]) -> f64 {
    sorted[(sorted.len() * 99).div_ceil(100) - 1]
}

/// Prints what claims took, and how many times their p99 without a disturbance that is.
fn report(when: &str, claims: &[f64], undisturbed: &[f64]) {
    let (p50, p99, quiet) = (claims[claims.len() / 2], p99(claims), p99(undisturbed));
    let (count, times) = (claims.len(), p99 / quiet);
    println!("{count} warm claims {when}: p50 {p50:.2} ms, p99 {p99:.2} ms ({times:.2} times)");
}

#[test]
fn everything_at_once_costs_the_others_little() {
    let instance = Instance::start(&instance::config(2, 2));
    let project = Project::new();
    instance.session("bystander", &["sleep", "1000"]);
    let bystander = instance.wait_state("bystander", "running");
    let coordinator = instance.coordinator().unwrap();
    let mounter = mounter(&instance);
    let count = times(200, 30);
    let before = claims(&instance, &project.text(), count, "before");

    let script = script();
    let attacked = project.text();
    let args = [
        "spawn",
        &attacked,
        "-d",
        "-n",
        "attacker",
        "--root",
        "--isolation",
        "overlay",
        "--",
        "perl",
        "-e",
        &script,
    ];
    instance.ok(args);
    let id = instance.worker("attacker").unwrap()["id"].clone();
    let worker = instance.state().join("workers").join(id.as_str().unwrap());
    let upper = worker.join("changes").join("upper");
    let has = |name: &str| upper.join(name).exists();
    wait::until_true("the names and the recording", SLOW * 5, || has("ready"));

    let alone = claims(&instance, &project.text(), count, "alone");
    let mut events = instance.curl("/v1/events");
    events.args(["--limit-rate", "1k"]);
    let loops = [
        Loop::start(&instance.direct(["diff", "attacker"])),
        Loop::start(&instance.direct(["diff", "attacker", "--stat"])),
        Loop::start(&instance.direct(["logs", "attacker"])),
        Loop::start(&instance.direct(["logs", "attacker", "--tail", "10"])),
        Loop::start(&events),
    ];
    let during = claims(&instance, &project.text(), count, "during");
    wait::until_true("all connections were tried", SLOW * 5, || has("connected"));
    wait::until_true("all queries were printed", SLOW * 5, || has("asked"));
    drop(loops);

    report("undisturbed", &before, &before);
    report("beside the worker alone", &alone, &before);
    report("beside it and five clients of it", &during, &before);
    let memory = [peak_kb(coordinator), peak_kb(mounter)];
    println!(
        "coordinator {} KB, mounter {} KB at most",
        memory[0], memory[1]
    );
    assert_eq!(instance.coordinator(), Some(coordinator));
    assert_eq!(
        self::mounter(&instance),
        mounter,
        "the mounter was replaced"
    );
    assert!(
        memory[0] <= MAX_COORDINATOR_KB,
        "coordinator {} KB",
        memory[0]
    );
    assert!(memory[1] <= MAX_MOUNTER_KB, "mounter {} KB", memory[1]);
    let after = instance.wait_state("bystander", "running");
    assert_eq!(after["pid"], bystander["pid"]);
    assert!(!processes::argv(coordinator).is_empty());
    instance.ok(["rm", "--force", "attacker"]);
    assert!(!worker.exists(), "its folder is left over");
}
