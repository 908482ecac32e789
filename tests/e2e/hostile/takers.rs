//! A root session in its agent's place that is handed clients' sockets: it keeps, floods, stalls, or forges
//! on them. A client can always leave, believes nothing that only the coordinator may say, and nobody
//! else notices.

use e2e::{
    instance::{self, Instance, SLOW, text},
    terminal::Terminal,
    wait,
};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

/// Says `took a client` for each socket that it is handed, and deals with it in the way of its name.
const TAKER: &str = r##"
use Socket; use POSIX (); $| = 1; $SIG{PIPE} = 'IGNORE'; $SIG{CHLD} = 'IGNORE';
my ($way) = @ARGV;
open(my $f, '<', '/.podbay/run/token') or die "token: $!";
my $token = <$f>; chomp $token;
my $recvmsg = (POSIX::uname())[4] eq 'aarch64' ? 212 : 47;
sub frame { my $json = shift; pack('N', length $json) . $json }
sub say_ { my ($s, $bytes) = @_; while (length $bytes) { my $n = syswrite($s, $bytes) or return 0; substr($bytes, 0, $n) = '' } 1 }
sub words { my $json = shift; pack('CN', 0, length $json) . $json }
sub out { my $text = shift; pack('CN', 1, length $text) . $text }
sub read_all {
    my $s = shift;
    my ($data, $room) = ("\0" x 65536, "\0" x 64);
    my $iov = pack('P Q', $data, length $data);
    my $head = pack('Q L x4 P Q P Q l x4', 0, 0, $iov, 1, $room, length $room, 0);
    my $n = syscall($recvmsg, fileno($s), $head, 0);
    return if $n <= 0;
    my $got = unpack('Q', substr($head, 40, 8));
    return (substr($data, 0, $n), $got >= 20 ? unpack('l', substr($room, 16, 4)) : undef);
}
my $attached = words('{"type":"attached","writer":true,"pipes":true}');
sub take {
    my $c = shift;
    if ($way eq 'floods') {
        say_($c, $attached);
        my $flood = out("flood\r\n\e]52;c;Zm9yZ2Vk\a" x 2000);
        1 while say_($c, $flood);
    } elsif ($way eq 'stalls') {
        say_($c, $attached . out('ready'));
    } elsif ($way eq 'forges') {
        my $error = words('{"type":"error","kind":"internal","message":"do as I say"}');
        say_($c, words('{"type":"spawned"}') . $error . $attached . out('forged') . "\x09\0\0\0\1x");
    }
    sleep 1000;
}
while (1) {
    socket(my $s, AF_UNIX, SOCK_STREAM, 0) or die "socket: $!";
    my $hello = qq({"protocol":1,"build":"0","worker":"$ENV{PODBAY_WORKER}","token":"$token",)
        . '"purpose":{"kind":"control"},"takes_clients":true}';
    my $there = connect($s, pack_sockaddr_un('/.podbay/run/agent.sock')) && say_($s, frame($hello));
    my ($buffer, @sockets) = ('');
    while ($there and my ($data, $socket) = read_all($s)) {
        push @sockets, $socket if defined $socket;
        $buffer .= $data;
        while (length $buffer >= 4 and length $buffer >= 4 + unpack('N', $buffer)) {
            my $json = substr($buffer, 4, unpack('N', $buffer));
            substr($buffer, 0, 4 + length $json) = '';
            my ($id) = $json =~ /"id":(\d+)/ or next;
            my ($op) = $json =~ /"op":"(\w+)"/;
            next if $op eq 'describe';
            my $reply = $op eq 'attach' ? '"reply":"attached","writer":true' : '"reply":"done"';
            say_($s, frame(qq({"kind":"response","id":$id,"result":{"Ok":{$reply}}})));
            if ($op eq 'hand' and defined(my $fd = shift @sockets)) {
                open(my $c, '+<&=', $fd) or die "client: $!";
                print "took a client\n";
                fork or take($c);
                # The way that keeps it never closes it.
            }
        }
    }
    select(undef, undef, undef, 0.2);
}
"##;

/// Keys that detach.
const DETACH: &[u8] = b"\x10\x11";

/// Descriptors of the coordinator.
fn descriptors(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

/// How often the taker in this worker has said that it took a client.
fn taken(instance: &Instance, id: &str) -> usize {
    let log = instance.state().join("workers").join(id).join("log");
    let files = fs::read_dir(log).into_iter().flatten().flatten();
    files
        .map(|file| text(&fs::read(file.path()).unwrap_or_default()))
        .map(|said| said.matches("took a client").count())
        .sum()
}

/// A client whose socket the taker has: its agent dials too, and is the newest now and then.
fn attach(instance: &Instance, name: &str) -> Terminal {
    let id = instance.worker(name).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let until = Instant::now() + SLOW * 2;
    while Instant::now() < until {
        let before = taken(instance, &id);
        let client = instance.direct_terminal(&["attach", name], 80, 24);
        for _ in 0..20 {
            wait::pause(Duration::from_millis(50));
            if taken(instance, &id) > before {
                return client;
            }
        }
    }
    panic!("the agent of {name} kept its place");
}

#[test]
fn whoever_takes_an_agents_place_gets_clients_that_leave_when_they_like() {
    let instance = Instance::start(&instance::config(2, 5));
    instance.session("bystander", &["bash", "-c", "echo here; sleep 1000"]);
    let before = instance.worker("bystander").unwrap();
    let bystander = instance.direct_terminal(&["attach", "bystander"], 80, 24);
    bystander.wait_for("here");
    let coordinator = instance.coordinator().unwrap();
    let held = descriptors(coordinator);
    for way in ["keeps", "floods", "stalls", "forges"] {
        let flags = ["-d", "--root"];
        instance.ok(instance::spawn(way, &flags, &["perl", "-e", TAKER, way]));
        let mut client = attach(&instance, way);
        match way {
            "keeps" => {
                // Nothing was said yet: the terminal is as it was.
                client.send(b"\x03");
                let status = client.wait_exit();
                assert!(!status.success() || status.signal().is_some(), "{status}");
            }
            "floods" => {
                client.wait_output("flood");
                client.send(DETACH);
                assert_eq!(client.wait_exit().code(), Some(0));
                let raw = client.raw();
                let clipboard = b"\x1b]52;";
                let found = raw.windows(clipboard.len()).any(|part| part == clipboard);
                assert!(
                    !found,
                    "it wrote the clipboard: it was taken for one on pipes"
                );
            }
            "stalls" => {
                client.wait_output("ready");
                // More than is ever taken.
                for _ in 0..100 {
                    client.send([b'x'; 1000]);
                }
                client.send(DETACH);
                assert_eq!(client.wait_exit().code(), Some(0));
            }
            _ => {
                assert_eq!(client.wait_exit().code(), Some(1));
                let said = text(&client.raw());
                assert!(said.contains("forged"), "{said}");
                assert!(said.contains("no frames of kind 9"), "{said}");
                assert!(!said.contains("do as I say"), "{said}");
            }
        }
        instance.ok(["rm", "--force", way]);
    }
    assert_eq!(instance.coordinator(), Some(coordinator), "it died");
    wait::until_true("the descriptors to be given back", SLOW, || {
        descriptors(coordinator) <= held + 8
    });
    let after = instance.worker("bystander").unwrap();
    for key in ["state", "pid", "session", "exit"] {
        assert_eq!(before[key], after[key], "{key} of the bystander");
    }
    assert_eq!(after["clients"], 1);
    drop(bystander);
}
