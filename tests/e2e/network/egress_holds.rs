//! Where workers may connect to: rules by uid, and the proxy that knows names.
//!
//! The "internet" is a server of the test on the engine's own bridge; names are in the parent's
//! hosts file, which is what the proxy resolves with.

use crate::daemon::survival::kill_coordinator;
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    wait,
};
use serde_json::Value;
use std::{
    fs::OpenOptions,
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Nothing is there; the name that leads there is listed, the address is not.
const INSIDE: &str = "10.255.255.1";
/// A refusal that is not waited for: the next packet after the kernel learned whose port it is.
const PROMPT: Duration = Duration::from_secs(10);

/// Listens on its own port and on one that the kernel chose, and says so in its home.
const SERVER: &str = r#"
use IO::Socket::INET;
open(E, ">", "$ENV{HOME}/env"); print E map { "$_=$ENV{$_}\n" } keys %ENV; close E;
my $own = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => $ENV{PORT}, Listen => 5, ReuseAddr => 1) or die $!;
my $any = IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 5) or die $!;
open(P, ">", "$ENV{HOME}/port"); print P $any->sockport; close P;
print "listening\n"; $| = 1;
my $it = fork() ? $own : $any;
while (my $c = $it->accept) { print $c "mine\n"; close $c; }
"#;

/// A server that anyone outside would be.
struct Outside {
    ip: String,
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Outside {
    fn start(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("listening on the engine's bridge");
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                let n = stream.read(&mut request).unwrap_or(0);
                let first = String::from_utf8_lossy(&request[..n]).replace("\r\n", "|");
                let body = format!("outside heard {first}");
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                drop(stream.write_all(format!("{head}{body}").as_bytes()));
            }
        });
        Self {
            ip: ip.to_owned(),
            port,
            asked,
        }
    }
}

/// An instance with a profile of each kind, two servers outside, and names for the first.
struct Bay {
    instance: Instance,
    outside: Outside,
    other: Outside,
    bay_ip: String,
}

impl Bay {
    fn start() -> Self {
        let bridge = engine::bridge_address();
        let (outside, other) = (Outside::start(&bridge), Outside::start(&bridge));
        let port = outside.port;
        let listed = format!(
            "egress = [\"allowed.test:{port}\", \"*.below.test:{port}\", \"inside.test:{port}\", \
             \"{bridge}:{port}\"]"
        );
        let mut config = instance::config(1, 1);
        for (name, egress) in [("listed", listed.as_str()), ("none", "egress = \"none\"")] {
            let image = instance::worker_image();
            config += &instance::profile(name, &image, 1, 1);
            config += egress;
            config += "\n";
        }
        let instance = Instance::start(&config);
        let bay = Self {
            bay_ip: String::new(),
            instance,
            outside,
            other,
        };
        bay.settle()
    }

    /// After the parent was started: its address, and names in its hosts file.
    fn settle(mut self) -> Self {
        let name = &self.instance.name;
        let format = "{{.NetworkSettings.IPAddress}}";
        self.bay_ip = engine::docker(&["inspect", "-f", format, name]);
        let hosts = engine::docker(&["inspect", "-f", "{{.HostsPath}}", name]);
        let names = format!(
            "{ip} allowed.test\n{ip} a.b.below.test\n{ip} below.test\n{ip} denied.test\n{INSIDE} inside.test\n",
            ip = self.outside.ip
        );
        let mut file = OpenOptions::new()
            .append(true)
            .open(hosts)
            .expect("the hosts file");
        file.write_all(names.as_bytes()).expect("naming hosts");
        for profile in ["default", "listed", "none"] {
            self.instance.wait_warm(profile, 1);
        }
        self
    }

    fn spawn(&self, name: &str, profile: &str) {
        let args = [
            "spawn",
            "-d",
            "-n",
            name,
            "-p",
            profile,
            "--isolation",
            "none",
            "--",
        ];
        self.instance.ok(args.iter().chain(&["perl", "-e", SERVER]));
        wait::until_true("its listeners", SLOW, || {
            self.sh(name, "test -s ~/port && echo there") == "there"
        });
    }

    /// What a script in the worker prints, errors included.
    fn sh(&self, worker: &str, script: &str) -> String {
        let args = ["exec", worker, "--", "bash", "-c", script];
        let output = self.instance.direct(args).output().expect("running podbay");
        (text(&output.stdout) + &text(&output.stderr))
            .trim()
            .to_owned()
    }

    /// A TCP connection from a worker, `reached` with what is said first, or why not.
    fn connect(&self, worker: &str, to: &str) -> String {
        let script = format!(
            "perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(PeerAddr => \"{to}\", \
             Proto => \"tcp\", Timeout => 8); print $s ? \"reached\" : \"no: $!\"'"
        );
        self.sh(worker, &script)
    }

    fn refused(&self, worker: &str, to: &str) {
        let began = Instant::now();
        let said = self.connect(worker, to);
        assert!(said.starts_with("no: "), "{worker} to {to}: {said}");
        assert!(
            began.elapsed() < PROMPT,
            "{worker} to {to} took {:?}",
            began.elapsed()
        );
    }

    fn reached(&self, worker: &str, to: &str) {
        assert_eq!(self.connect(worker, to), "reached", "{worker} to {to}");
    }

    /// A request through the proxy that the session was told of.
    fn fetch(&self, worker: &str, request: &str) -> String {
        let script = format!(
            "p=$(sed -n 's/^HTTP_PROXY=//p' ~/env); p=${{p#http://}}; p=${{p%/}}; \
             exec 3<>/dev/tcp/${{p%:*}}/${{p##*:}} && \
             printf '{request} HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' >&3 && \
             timeout 20 cat <&3"
        );
        self.sh(worker, &script)
    }

    fn port(&self, worker: &str) -> String {
        self.sh(worker, "sed -n 's/^PORT=//p' ~/env")
    }

    fn denied(&self, worker: &str) -> Value {
        self.instance.worker(worker).expect("a worker")["egress_denied"].clone()
    }

    /// What must hold at all times for a worker of each profile.
    fn check(&self, open: &str, listed: &str, none: &str) {
        let (ip, port, other) = (&self.outside.ip, self.outside.port, self.other.port);
        self.reached(open, &format!("{ip}:{port}"));
        self.reached(open, &format!("{ip}:{other}"));
        let answer = self.fetch(listed, &format!("GET http://allowed.test:{port}/page"));
        assert!(
            answer.contains("outside heard GET /page HTTP/1.1"),
            "{answer}"
        );
        let answer = self.fetch(listed, &format!("CONNECT denied.test:{port}"));
        assert!(
            answer.contains(" 403 ") && answer.contains("denied.test"),
            "{answer}"
        );
        for worker in [listed, none] {
            self.refused(worker, &format!("{ip}:{other}"));
            self.refused(worker, &format!("{ip}:53"));
        }
        self.refused(none, &format!("{ip}:{port}"));
        let workers = [open, listed, none];
        for from in workers {
            self.refused(from, "169.254.169.254:80");
            for to in workers {
                let own = self.port(to);
                for address in ["127.0.0.1", &self.bay_ip] {
                    let at = format!("{address}:{own}");
                    if from == to {
                        self.reached(from, &at);
                    } else {
                        self.refused(from, &at);
                    }
                }
            }
        }
    }
}

#[test]
fn each_profile_reaches_what_it_may_and_nothing_else() {
    let bay = Bay::start();
    let port = bay.outside.port;
    for (name, profile) in [("o", "default"), ("l", "listed"), ("n", "none")] {
        bay.spawn(name, profile);
    }
    bay.check("o", "l", "n");

    // Names: wildcards, and what must not be reached by one.
    let below = bay.fetch("l", &format!("GET http://a.b.BELOW.test:{port}/"));
    assert!(below.contains("outside heard GET / "), "{below}");
    let asked = bay.outside.asked.load(Ordering::SeqCst);
    let tunnel = bay.fetch("l", &format!("CONNECT allowed.test:{port}"));
    assert!(tunnel.contains(" 200 "), "{tunnel}");
    assert_eq!(bay.outside.asked.load(Ordering::SeqCst), asked + 1);
    for (target, why) in [
        (format!("below.test:{port}"), "below.test"),
        (format!("allowed.test:{}", bay.other.port), "allowed.test"),
        (format!("inside.test:{port}"), INSIDE),
        (format!("{}:{}", bay.outside.ip, bay.other.port), "403"),
        (format!("127.0.0.1:{}", bay.port("o")), "403"),
        (format!("localhost:{port}"), "localhost"),
    ] {
        let answer = bay.fetch("l", &format!("CONNECT {target}"));
        assert!(
            answer.contains(" 403 ") && answer.contains(why),
            "{target}: {answer}"
        );
    }
    assert_eq!(bay.outside.asked.load(Ordering::SeqCst), asked + 1);
    assert_eq!(
        bay.other.asked.load(Ordering::SeqCst),
        1,
        "only the open worker came by"
    );

    // Names are not asked for in other ways, by nobody but the open one.
    for worker in ["l", "n"] {
        for to in ["192.0.2.53/53", "127.0.0.11/53", "127.0.0.1/53"] {
            let said = bay.sh(worker, &format!("echo x > /dev/udp/{to} && echo sent"));
            assert!(!said.contains("sent"), "{worker}: {said}");
        }
    }
    assert_eq!(
        bay.sh("o", "echo x > /dev/udp/192.0.2.53/53 && echo sent"),
        "sent"
    );

    // A port that the kernel chose is its own worker's as well.
    for (from, to) in [("o", "l"), ("l", "n"), ("n", "o"), ("n", "n"), ("o", "o")] {
        let at = format!("127.0.0.1:{}", bay.sh(to, "cat ~/port"));
        if from == to {
            bay.reached(from, &at);
        } else {
            bay.refused(from, &at);
        }
    }

    // The attempts are counted, and the last one is named.
    wait::until_true("refusals to be counted", SLOW, || {
        ["l", "n"]
            .iter()
            .all(|worker| bay.denied(worker)["count"].as_u64() > Some(3))
    });
    bay.fetch("l", &format!("CONNECT denied.test:{port}"));
    wait::until_true("the last one", SLOW, || {
        bay.denied("l")
            .to_string()
            .contains(&format!("denied.test:{port}"))
    });
    let metrics = bay.instance.curl("/v1/metrics").output();
    let metrics = metrics.expect("running curl");
    assert!(
        text(&metrics.stdout).contains("egress"),
        "no metric of egress"
    );
}

#[test]
fn the_rules_outlive_whoever_made_them() {
    let bay = Bay::start();
    for (name, profile) in [("o", "default"), ("l", "listed"), ("n", "none")] {
        bay.spawn(name, profile);
    }
    kill_coordinator(&bay.instance);
    bay.check("o", "l", "n");

    // The guard goes: nothing opens up, and it comes back.
    let guard = || {
        let all = engine::docker(&[
            "ps",
            "--filter",
            &format!("label=dev.podbay.instance={}", bay.instance.name),
            "--format",
            "{{.ID}} {{.Label \"dev.podbay.role\"}}",
        ]);
        all.lines().find_map(|line| {
            let (id, role) = line.split_once(' ')?;
            (!["parent", "worker", "mounter"].contains(&role)).then(|| id.to_owned())
        })
    };
    let before = guard().expect("a guard");
    engine::docker(&["kill", &before]);
    bay.refused("n", &format!("{}:{}", bay.outside.ip, bay.outside.port));
    bay.refused("l", &format!("{}:{}", bay.outside.ip, bay.other.port));
    bay.refused("o", &format!("127.0.0.1:{}", bay.port("n")));
    bay.reached("o", &format!("{}:{}", bay.outside.ip, bay.outside.port));
    wait::until_true("another guard", SLOW, || {
        guard().is_some_and(|guard| guard != before)
            && bay
                .fetch(
                    "l",
                    &format!("GET http://allowed.test:{}/", bay.outside.port),
                )
                .contains("outside heard")
    });
    bay.check("o", "l", "n");

    // A new network namespace, and all in it anew.
    engine::docker(&["restart", "-t", "5", &bay.instance.name]);
    wait::until_true("the coordinator", SLOW, || {
        bay.instance.ask(["status", "--json"]).is_some()
    });
    let bay = bay.settle();
    for (name, profile) in [("o2", "default"), ("l2", "listed"), ("n2", "none")] {
        bay.spawn(name, profile);
    }
    bay.check("o2", "l2", "n2");
}

#[test]
fn what_cannot_be_kept_is_not_promised() {
    let mut config = instance::profile("shut", &instance::worker_image(), 0, 1);
    config += "egress = \"none\"\n";
    config = instance::config(0, 1) + &config;
    let instance = Instance::start(&config);
    // Rules go by the uid, and root's is everybody's.
    let args = [
        "spawn",
        "-d",
        "-p",
        "shut",
        "--root",
        "--isolation",
        "none",
        "--",
        "true",
    ];
    let refused = instance.run(args);
    assert_eq!(refused.status.code(), Some(6), "{}", text(&refused.stderr));
    assert!(
        text(&refused.stderr).contains("egress"),
        "{}",
        text(&refused.stderr)
    );
}
