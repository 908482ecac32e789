//! A root session at its worker's own socket, token in hand: the most that a session can be. What it
//! sends there may cost it its worker, and nothing else.

use e2e::{
    instance::{self, Instance, SLOW, text},
    wait,
};
use std::fs;

/// Says `NAME: closed` for each connection that the coordinator ended, `NAME: open` for one that it
/// did not end in time.
const IMPOSTOR: &str = r#"
use Socket; $| = 1; $SIG{PIPE} = 'IGNORE';
my ($other) = @ARGV;
open(my $f, '<', '/.podbay/run/token') or die "token: $!";
my $token = <$f>; chomp $token;
my $own = $ENV{PODBAY_WORKER};
sub dial {
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
    connect($s, pack_sockaddr_un('/.podbay/run/agent.sock')) or die "connect: $!";
    return $s;
}
sub frame { my $json = shift; pack('N', length $json) . $json }
sub hello {
    my ($worker, $token, $purpose) = @_;
    frame(qq({"protocol":1,"build":"0","worker":"$worker","token":"$token","purpose":$purpose}));
}
sub ended {
    my ($name, $s, $patience) = @_;
    my $end = time + $patience;
    while (time < $end) {
        my $in = ''; vec($in, fileno($s), 1) = 1;
        next unless select($in, undef, undef, 1);
        my $n = sysread($s, my $got, 65536);
        if (!$n) { print "$name: closed\n"; return }
    }
    print "$name: open\n";
}
my $control = '{"kind":"control"}';
my %said = (
    'wrong token' => hello($own, '0' x 64, $control),
    'no token' => hello($own, '', $control),
    'another worker' => hello($other, $token, $control),
    'a stream nobody expects' => hello($own, $token, '{"kind":"stream","stream":"0000"}'),
    'oversize' => pack('N', 0xffffffff) . 'x' x 65536,
    'no JSON' => frame("{\"protocol\":\xff\xfe"),
    'half a frame' => pack('N', 1000) . '{',
);
for my $name (sort keys %said) {
    my $s = dial();
    syswrite($s, $said{$name});
    ended($name, $s, 20);
}
my @silent = map { dial() } 1 .. 18;
ended('silence', $_, 40) for @silent;
# In the agent's name, about a session of another worker; then more than a frame may be.
my $s = dial();
syswrite($s, hello($own, $token, $control));
for (1 .. 20000) {
    my $event = qq({"kind":"event","event":"title","session":"$other","title":"forged"});
    defined syswrite($s, frame($event)) or last;
}
my $exit = qq({"kind":"event","event":"exited","session":"$other","status":{"how":"code","value":7},"oom":false});
syswrite($s, frame($exit));
syswrite($s, pack('N', 0x7fffffff) . 'x' x 65536);
ended('forged events', $s, 20);
print "all said\n";
sleep 1000;
"#;

/// Peak of a process's memory in KB.
fn peak_kb(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|l| l.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

#[test]
fn whoever_speaks_in_an_agents_name_harms_its_own_worker_at_most() {
    let instance = Instance::start(&instance::config(2, 3));
    instance.session("bystander", &["sleep", "1000"]);
    let before = instance.worker("bystander").unwrap();
    let coordinator = instance.coordinator().unwrap();
    let memory = peak_kb(coordinator);
    let other = before["id"].as_str().unwrap();
    instance.ok([
        "spawn",
        "-d",
        "-n",
        "impostor",
        "--root",
        "--isolation",
        "none",
        "--",
        "perl",
        "-e",
        IMPOSTOR,
        other,
    ]);
    // The recording: the coordinator may think what it likes of this worker.
    let id = instance.worker("impostor").unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let log = instance.state().join("workers").join(&id).join("log");
    let said = || {
        let files = fs::read_dir(&log).into_iter().flatten().flatten();
        files
            .map(|file| text(&fs::read(file.path()).unwrap_or_default()))
            .collect::<String>()
    };
    wait::until_true("everything is said", SLOW * 2, || {
        said().contains("all said")
    });
    let said = said();
    println!("{}", said.replace("\\r\\n", "\n"));
    for name in [
        "wrong token",
        "no token",
        "another worker",
        "a stream nobody expects",
        "oversize",
        "no JSON",
        "half a frame",
        "silence",
        "forged events",
    ] {
        assert!(said.contains(&format!("{name}: closed")), "{name}: {said}");
    }
    assert!(!said.contains(": open"), "{said}");

    assert_eq!(
        instance.coordinator(),
        Some(coordinator),
        "the coordinator died"
    );
    let grown = peak_kb(coordinator).saturating_sub(memory);
    println!("the coordinator's peak grew by {grown} KB");
    assert!(grown < 64 << 10, "the coordinator took {grown} KB more");
    let after = instance.worker("bystander").unwrap();
    for key in ["state", "pid", "session", "title", "exit"] {
        assert_eq!(before[key], after[key], "{key} of the bystander");
    }
    assert!(instance.run(["exec", "bystander", "true"]).status.success());
    instance.session("next", &["sleep", "1000"]);
    // Its own worker can be got rid of, whatever it came to.
    drop(instance.run(["stop", "impostor"]));
    wait::until_true("the impostor is gone", SLOW, || {
        instance
            .worker("impostor")
            .is_none_or(|w| w["container"].is_null() || w["state"] != "running")
    });
}
