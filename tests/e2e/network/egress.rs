//! Where workers may connect to: by profile, and never to each other.

use crate::daemon::survival::kill_coordinator;
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text, worker_image},
    wait,
};
use std::{
    fs::OpenOptions,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

/// Where the proxy listens in the workers' network.
const PROXY: &str = "127.0.0.1 19999";

/// Two servers on this machine: beyond the parent's gateway, as the internet is.
struct Outside {
    gateway: String,
    first: u16,
    second: u16,
    /// Connections that asked to be kept open.
    kept: mpsc::Receiver<TcpStream>,
}

impl Outside {
    fn open() -> Self {
        let (keep, kept) = mpsc::channel();
        let serve = |keep: mpsc::Sender<TcpStream>| {
            let listener = TcpListener::bind("0.0.0.0:0").expect("a port");
            let port = listener.local_addr().expect("its address").port();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let keep = keep.clone();
                    std::thread::spawn(move || answer(stream, &keep));
                }
            });
            port
        };
        let first = serve(keep.clone());
        let second = serve(keep);
        Self {
            gateway: engine::bridge_address(),
            first,
            second,
            kept,
        }
    }

    /// The gateway's names, in the file that the parent and its guard read.
    fn name(&self, instance: &Instance) {
        let hosts = engine::docker(&["inspect", "-f", "{{.HostsPath}}", &instance.name]);
        let mut file = OpenOptions::new().append(true).open(hosts).expect("hosts");
        for name in ["allowed.test", "denied.test", "a.wild.test", "wild.test"] {
            writeln!(file, "{} {name}", self.gateway).expect("writing hosts");
        }
        writeln!(file, "127.0.0.1 rebound.test").expect("writing hosts");
    }

    fn config(&self) -> String {
        let of = |name: &str, egress: &str| {
            let profile = instance::profile(name, &worker_image(), 1, 3);
            format!("{profile}egress = {egress}\n")
        };
        let (gateway, first) = (&self.gateway, self.first);
        let list = format!(
            "[\"allowed.test:{first}\", \"*.wild.test:{first}\", \"rebound.test:{first}\", \
             \"{gateway}:{first}\"]"
        );
        [
            of("default", "\"open\""),
            of("listed", &list),
            of("shut", "\"none\""),
        ]
        .concat()
    }
}

fn answer(mut stream: TcpStream, keep: &mpsc::Sender<TcpStream>) {
    let mut seen = Vec::new();
    let mut chunk = [0; 1024];
    while !seen.ends_with(b"\n\r\n") && !seen.ends_with(b"KEEP\n") {
        match stream.read(&mut chunk) {
            Ok(got) if got > 0 => seen.extend(&chunk[..got]),
            _ => return,
        }
    }
    if seen.ends_with(b"KEEP\n") {
        drop(keep.send(stream));
        return;
    }
    let first = String::from_utf8_lossy(&seen);
    let first = first.lines().next().unwrap_or_default();
    let body = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nserved <{first}>\n");
    drop(stream.write_all(body.as_bytes()));
}

fn spawn(instance: &Instance, profile: &str, name: &str) {
    let args = [
        "spawn",
        "-d",
        "-p",
        profile,
        "-n",
        name,
        "--isolation",
        "none",
    ];
    let command = ["--", "bash", "-c", "sleep 3600"];
    instance.ok(args.iter().chain(&command));
}

/// Runs a script in the worker; all it says.
fn run(instance: &Instance, name: &str, script: &str) -> String {
    let output = instance.run(["exec", name, "--", "bash", "-c", script]);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(
        !said.is_empty(),
        "{script}: {} and not a word",
        output.status
    );
    said
}

/// Connects by TCP, says something, and prints what comes back.
fn talk(instance: &Instance, name: &str, to: &str, say: &str) -> String {
    let (host, port) = to.split_once(' ').expect("host and port");
    let script = format!(
        "exec 3<>/dev/tcp/{host}/{port} && printf '{say}' >&3 && timeout 5 cat <&3; echo \"code $?\""
    );
    run(instance, name, &script)
}

fn connect(target: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\\r\\n\\r\\nGET /in HTTP/1.1\\r\\n\\r\\n")
}

fn plain(target: &str) -> String {
    format!("GET http://{target}/plain HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
}

fn denied(instance: &Instance, name: &str) -> (u64, String) {
    let worker = instance.worker(name).expect("the worker");
    let told = &worker["egress_denied"];
    let count = told["count"].as_u64().unwrap_or_default();
    (count, told["last"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn each_profile_reaches_what_it_may_and_refusals_are_told() {
    let outside = Outside::open();
    let instance = Instance::start(&outside.config());
    outside.name(&instance);
    let (gateway, first, second) = (&outside.gateway, outside.first, outside.second);
    for (profile, name) in [("default", "free"), ("listed", "some"), ("shut", "none")] {
        spawn(&instance, profile, name);
    }

    // Open: directly, wherever it likes, but the metadata address.
    let direct = |name: &str, port: u16| {
        let say = "GET /d HTTP/1.1\\r\\n\\r\\n";
        talk(&instance, name, &format!("{gateway} {port}"), say)
    };
    assert!(
        direct("free", first).contains("served <GET /d"),
        "{}",
        direct("free", first)
    );
    assert!(direct("free", second).contains("served <GET /d"));
    let metadata = talk(&instance, "free", "169.254.169.254 80", "x");
    assert!(metadata.contains("refused"), "{metadata}");
    assert!(
        run(&instance, "free", "env")
            .lines()
            .all(|l| !l.starts_with("HTTPS_PROXY="))
    );

    // A list: by name through the proxy, addresses directly, and nothing else.
    let env = run(&instance, "some", "env");
    for variable in ["HTTP_PROXY", "https_proxy", "HTTPS_PROXY"] {
        assert!(
            env.contains(&format!("{variable}=http://127.0.0.1:19999")),
            "{env}"
        );
    }
    let proxied = |name: &str, say: &str| talk(&instance, name, PROXY, say);
    for target in ["allowed.test", "a.wild.test", "ALLOWED.test."] {
        let got = proxied("some", &connect(&format!("{target}:{first}")));
        assert!(
            got.contains(" 200 ") && got.contains("served <GET /in"),
            "{target}: {got}"
        );
    }
    let got = proxied("some", &plain(&format!("allowed.test:{first}")));
    assert!(got.contains("served <GET /plain HTTP/1.1>"), "{got}");
    for target in [
        format!("denied.test:{first}"),
        format!("wild.test:{first}"),
        format!("allowed.test:{second}"),
        format!("rebound.test:{first}"),
        format!("127.0.0.1:{first}"),
        "203.0.113.9:443".to_owned(),
    ] {
        for say in [connect(&target), plain(&target)] {
            let got = proxied("some", &say);
            assert!(
                got.contains(" 403 ") && got.contains("egress: "),
                "{target}: {got}"
            );
        }
    }
    let (count, last) = denied_after(&instance, "some", 12);
    assert_eq!(
        (count, last.as_str()),
        (12, "203.0.113.9:443 (not on the profile's list)")
    );
    assert!(direct("some", first).contains("served"));
    assert!(direct("some", second).contains("refused"));
    let (_, last) = denied_after(&instance, "some", 13);
    assert_eq!(last, format!("tcp {gateway}:{second}"));

    // Nobody asks a resolver but who is free to.
    let ask = format!("echo q > /dev/udp/{gateway}/53; echo \"code $?\"");
    assert!(run(&instance, "free", &ask).contains("code 0"));
    for name in ["some", "none"] {
        assert!(
            run(&instance, name, &ask).contains("not permitted"),
            "{name}"
        );
        assert!(talk(&instance, name, &format!("{gateway} 53"), "q").contains("refused"));
    }

    // None: its own loopback.
    assert!(direct("none", first).contains("refused"));
    let got = proxied("none", &connect(&format!("allowed.test:{first}")));
    assert!(
        got.contains(" 403 ") && got.contains("egress is none"),
        "{got}"
    );

    // What was refused is in the list, the metrics and the log; who was not refused has none.
    let listed = instance.ok(["ls"]);
    assert!(listed.contains("REFUSED"), "{listed}");
    assert_eq!(denied(&instance, "free").1, "tcp 169.254.169.254:80");
    let status = instance.json(["status", "--json"]);
    assert_eq!(status["guard"]["available"], true, "{status}");

    // Root sessions take another uid: refused, not let through.
    for args in [
        &[
            "spawn",
            "-d",
            "-p",
            "listed",
            "--root",
            "--isolation",
            "none",
            "--",
            "true",
        ][..],
        &["exec", "--root", "some", "--", "true"],
    ] {
        let output = instance.run(args);
        let said = text(&output.stderr);
        if said.contains("unexpected argument") {
            continue;
        }
        assert_eq!(output.status.code(), Some(6), "{args:?}: {said}");
        assert!(said.contains("egress"), "{said}");
    }

    // Nothing is left.
    instance.ok(["down", "--force", "--volumes"]);
    assert!(engine::containers(&instance.name, "netguard").is_empty());
}

fn denied_after(instance: &Instance, name: &str, least: u64) -> (u64, String) {
    wait::until(&format!("{least} refusals of {name}"), SLOW, || {
        let told = denied(instance, name);
        (told.0 >= least).then_some(told)
    })
}

/// A listener of this uid in the workers' network, which is entered from here: the workers' image
/// has nothing that listens.
fn listen_in(instance: &Instance, uid: u32, at: &str) -> std::process::Child {
    let parent = engine::docker(&["inspect", "-f", "{{.State.Pid}}", &instance.name]);
    let script = "import socket,os,sys\n\
        os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[1]))\n\
        host,port=sys.argv[2].rsplit(':',1)\n\
        s=socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET)\n\
        s.bind((host,int(port))); s.listen(); print('up',flush=True)\n\
        while True:\n c,_=s.accept(); c.sendall(b'hello\\n'); c.close()\n";
    let uid = uid.to_string();
    let mut child = std::process::Command::new("nsenter")
        .args(["-t", &parent, "-n", "python3", "-c", script, &uid, at])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("nsenter and python3");
    let mut up = [0; 3];
    child
        .stdout
        .as_mut()
        .expect("its stdout")
        .read_exact(&mut up)
        .expect("a listener");
    child
}

#[test]
fn siblings_do_not_reach_each_others_ports_in_any_profile() {
    let outside = Outside::open();
    let instance = Instance::start(&outside.config());
    spawn(&instance, "default", "one");
    spawn(&instance, "default", "two");
    spawn(&instance, "shut", "three");
    let uid = |name: &str| {
        let worker = instance.worker(name).expect("the worker");
        u32::try_from(worker["uid"].as_u64().expect("a uid")).expect("a uid")
    };
    let format = "{{.NetworkSettings.IPAddress}}";
    let own = engine::docker(&["inspect", "-f", format, &instance.name]);
    // The engine gives containers no IPv6 unless asked; the rules' own tests have it.
    for (n, at) in ["127.0.0.1", &own].into_iter().enumerate() {
        let port = 30_000 + n;
        let mut listener = listen_in(&instance, uid("one"), &format!("{at}:{port}"));
        for (name, reached) in [("one", true), ("two", false), ("three", false)] {
            let got = talk(&instance, name, &format!("{at} {port}"), "x");
            assert_eq!(got.contains("hello"), reached, "{name} at {at}: {got}");
            assert_eq!(got.contains("refused"), !reached, "{name} at {at}: {got}");
        }
        listener.kill().expect("ending the listener");
        listener.wait().expect("the listener's end");
        let mut parents = listen_in(&instance, 0, &format!("{at}:{port}"));
        let got = talk(&instance, "one", &format!("{at} {port}"), "x");
        assert!(got.contains("refused"), "the parent's at {at}: {got}");
        parents.kill().expect("ending the listener");
        parents.wait().expect("the listener's end");
    }
}

#[test]
fn rules_and_connections_outlive_the_coordinator_and_rules_the_guard_and_the_parent() {
    let outside = Outside::open();
    let instance = Instance::start(&outside.config());
    outside.name(&instance);
    let (gateway, first, second) = (&outside.gateway, outside.first, outside.second);
    spawn(&instance, "listed", "some");
    let holds = |name: &str| {
        let got = talk(&instance, name, &format!("{gateway} {second}"), "x");
        assert!(got.contains("refused"), "{got}");
        let got = talk(
            &instance,
            name,
            PROXY,
            &connect(&format!("denied.test:{first}")),
        );
        assert!(got.contains(" 403 "), "{got}");
        let got = talk(
            &instance,
            name,
            PROXY,
            &connect(&format!("allowed.test:{first}")),
        );
        assert!(got.contains("served"), "{got}");
    };
    holds("some");

    // A connection through the proxy does not notice that the coordinator was killed.
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/19999; \
         printf 'CONNECT allowed.test:{first} HTTP/1.1\\r\\n\\r\\nKEEP\\n' >&3; \
         while read -r line <&3; do echo \"heard $line\"; done; echo over"
    );
    let mut args = vec![
        "spawn",
        "-d",
        "-p",
        "listed",
        "-n",
        "long",
        "--isolation",
        "none",
    ];
    args.extend(["--", "bash", "-c", &script]);
    instance.ok(args);
    let mut kept = outside.kept.recv_timeout(SLOW).expect("a connection");
    kept.write_all(b"before\n").expect("writing");
    kill_coordinator(&instance);
    kept.write_all(b"after\n").expect("writing");
    wait::until_true("the word after the kill", SLOW, || {
        let output = instance.run(["logs", "long"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains("over"), "{said}");
        said.contains("heard after")
    });
    holds("some");

    // The guard: rules hold while it is away, names are back soon.
    let guard = engine::containers(&instance.name, "netguard");
    assert_eq!(guard.len(), 1);
    engine::docker(&["kill", &guard[0]]);
    let began = Instant::now();
    let got = talk(&instance, "some", &format!("{gateway} {second}"), "x");
    assert!(got.contains("refused"), "{got}");
    wait::until_true("another guard", SLOW, || {
        let now = engine::containers(&instance.name, "netguard");
        !now.is_empty() && now != guard
    });
    wait::until_true("the proxy", SLOW, || {
        talk(
            &instance,
            "some",
            PROXY,
            &connect(&format!("allowed.test:{first}")),
        )
        .contains("served")
    });
    eprintln!(
        "names are back {:?} after the guard was killed",
        began.elapsed()
    );
    holds("some");

    // The parent: another network, and rules in it before any worker is.
    engine::docker(&["restart", "-t", "1", &instance.name]);
    outside.name(&instance);
    wait::until_true("a warm worker", SLOW, || {
        instance
            .pool("listed")
            .is_some_and(|p| p["warm"].as_u64() >= Some(1))
    });
    let again = || {
        let args = [
            "spawn",
            "-d",
            "-p",
            "listed",
            "-n",
            "again",
            "--isolation",
            "none",
        ];
        let command = ["--", "bash", "-c", "sleep 3600"];
        let output = instance.run(args.iter().chain(&command));
        output.status.success()
    };
    wait::until_true("a claim after the restart", SLOW, again);
    holds("again");
    assert!(began.elapsed() < Duration::from_secs(300));
}
