//! A hostile session in a worker, against a real instance: what it tries must fail.
//!
//! Each probe also runs in a container that is deliberately weak, where it has to succeed: what
//! cannot succeed anywhere proves nothing.

mod all_at_once;
mod boundary;
mod claims;
mod disk;
mod floods;
mod forged_records;
mod impostor;
mod keys;
mod limits;
mod lists;
mod names;
mod probes;
mod takers;
mod terminal_floods;

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    unique, wait,
};
use probes::{OPEN_TO_ROOT, PRELUDE, Probe};
use std::{
    collections::BTreeMap,
    io::Write,
    net::TcpListener,
    process::{Command, Stdio},
};

const PROFILES: [&str; 3] = ["strict", "build", "nested-sandbox"];
/// Who attacks: a session in a worker of each profile, and one that was started as root.
const ATTACKERS: [&str; 4] = ["strict", "build", "nested-sandbox", "root"];

/// How a probe ended: the first word, and what it said.
type Outcome = (bool, String);

fn config() -> String {
    let mut config = String::from("[defaults]\nprofile = \"strict\"\n");
    for (name, warm) in PROFILES.into_iter().zip([2, 1, 1]) {
        config += &instance::profile(name, &instance::worker_image(), warm, warm);
        config += &format!("security = {name:?}\n");
    }
    config
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// One shell script of all probes: a line `N BREACH …` or `N blocked …` each.
fn script(probes: &[Probe], variables: &[(&str, String)]) -> String {
    let mut script = String::new();
    for (name, value) in variables {
        script += &format!("export {name}={}\n", quote(value));
    }
    script += &format!("prelude={}\n", quote(PRELUDE));
    for (n, probe) in probes.iter().enumerate() {
        let body = quote(&probe.script);
        script += &format!(
            "printf '%s ' {n}; timeout -s KILL 10 perl -e \"$prelude\"{body} 2>&1 </dev/null || \
             echo \"failed with $?\"\n"
        );
    }
    script
}

/// Has a shell run a script from its stdin and reads the outcomes.
fn outcomes(mut command: Command, script: &str, probes: &[Probe]) -> Vec<Outcome> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(script.as_bytes()).unwrap();
    drop(stdin);
    let output = text(&child.wait_with_output().unwrap().stdout);
    let mut found = BTreeMap::new();
    for line in output.lines() {
        let mut words = line.splitn(3, ' ');
        let number = words.next().and_then(|n| n.parse::<usize>().ok());
        let verdict = words.next();
        let said = words.next().unwrap_or_default().to_owned();
        if let (Some(number), Some(verdict @ ("BREACH" | "blocked"))) = (number, verdict) {
            found.entry(number).or_insert((verdict == "BREACH", said));
        }
    }
    (0..probes.len())
        .map(|n| {
            let name = probes[n].name;
            let outcome = found.remove(&n);
            outcome.unwrap_or_else(|| panic!("{name}: it did not say how it ended:\n{output}"))
        })
        .collect()
}

/// The worker that is attacked: a listener, an abstract socket, a secret in its environment, its
/// home and its shared memory.
fn victim(instance: &Instance, secret: &str) -> serde_json::Value {
    let program = "use Socket; $| = 1;
        open(my $f, '>', \"$ENV{HOME}/secret\"); print $f 'x'; close $f;
        syscall($ARGV[1], 0x50424259, 4096, 01666);
        socket(my $t, AF_INET, SOCK_STREAM, 0);
        bind($t, pack_sockaddr_in($ENV{PORT}, inet_aton('127.0.0.1'))) or die $!; listen($t, 5);
        socket(my $u, AF_UNIX, SOCK_STREAM, 0);
        bind($u, pack_sockaddr_un(\"\\0\" . $ARGV[0])) or die $!; listen($u, 5);
        print \"listening\\n\"; sleep 1 while 1;";
    let number = nix::libc::SYS_shmget.to_string();
    let secret_variable = format!("PROBED_SECRET={secret}");
    let args = [
        "spawn",
        "-d",
        "-n",
        "victim",
        "--isolation",
        "none",
        "-e",
        &secret_variable,
        "--",
        "perl",
        "-e",
        program,
        secret,
        &number,
    ];
    assert_eq!(instance.ok(args).trim(), "victim");
    wait::until_true("the victim to listen", SLOW, || {
        instance
            .worker("victim")
            .is_some_and(|w| w["ports"].as_array().is_some_and(|p| !p.is_empty()))
    });
    instance.worker("victim").unwrap()
}

/// A container that is allowed nearly everything, beside the workers: what it has in common with
/// them is the network and what is mounted.
struct Weak(String);

impl Weak {
    fn start(instance: &Instance, attacker: &str, secret: &str) -> Self {
        let name = unique("podbay-t-weak");
        let state = instance.state();
        let own = state.join("workers").join(attacker);
        let network = format!("container:{}", instance.name);
        let secret = format!("PROBED_SECRET={secret}");
        let label = format!("dev.podbay.instance={}", instance.name);
        let mut args: Vec<String> = [
            "run", "-d", "--name", &name, "--label", &label, "--user", "0",
        ]
        .map(str::to_owned)
        .to_vec();
        args.extend(
            [
                "--network",
                &network,
                "--env",
                &secret,
                "--cgroupns",
                "host",
            ]
            .map(str::to_owned),
        );
        for option in [
            "seccomp=unconfined",
            "apparmor=unconfined",
            "systempaths=unconfined",
        ] {
            args.extend(["--security-opt".to_owned(), option.to_owned()]);
        }
        // All that this engine may hand out itself.
        for capability in nix_capabilities() {
            args.extend(["--cap-add".to_owned(), capability]);
        }
        for (source, target) in [
            (state.as_path(), "/var/lib/podbay"),
            (&own.join("run"), "/.podbay/run"),
            (&own.join("log"), "/.podbay/log"),
            (&state.join("bin"), "/.podbay/bin"),
            ("/var/run/docker.sock".as_ref(), "/var/run/docker.sock"),
        ] {
            args.extend(["-v".to_owned(), format!("{}:{target}", source.display())]);
        }
        let program = "mount -o remount,rw /sys; mount -o remount,bind,rw /sys/fs/cgroup/memory \
                       || mount -o remount,bind,rw /sys/fs/cgroup; \
                       perl -e 'syscall(shift, 0x50424259, 4096, 01666)' \"$0\"; sleep 1000 & wait";
        args.extend([
            instance::worker_image(),
            "bash".into(),
            "-c".into(),
            program.into(),
        ]);
        args.push(nix::libc::SYS_shmget.to_string());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        engine::docker(&args);
        Self(name)
    }

    /// Listens for what workers must not reach in the network they share, and gives the port of a
    /// listener of the parent's.
    fn listen(&self) -> u16 {
        let program = String::from(
            "use Socket;
             socket(my $i, AF_INET, SOCK_DGRAM, 0);
             for my $step ([0x8916, 'S', inet_aton('169.254.169.254')]) {
                 my $request = pack('a16 a16', 'lo:1', pack_sockaddr_in(0, $step->[2]));
                 ioctl($i, $step->[0], $request . \"\\0\" x 8) or warn \"address: $!\";
             }
             my @keep;
             for my $at (['169.254.169.254', 80], ['127.0.0.1', 7417]) {
                 socket(my $s, AF_INET, SOCK_STREAM, 0);
                 setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
                 bind($s, pack_sockaddr_in($at->[1], inet_aton($at->[0]))) or warn \"bind: $!\";
                 listen($s, 5); push @keep, $s;
             }
             sleep 1 while 1;",
        );
        engine::docker(&["exec", "-d", &self.0, "perl", "-e", &program]);
        wait::until_true("the parent's listener", SLOW, || {
            let listening = engine::docker(&["exec", &self.0, "cat", "/proc/net/tcp"]);
            listening.contains("0100007F:1CF9") && listening.contains("FEA9FEA9:0050")
        });
        7417
    }
}

impl Drop for Weak {
    fn drop(&mut self) {
        drop(engine::try_docker(&["rm", "-f", "-v", &self.0]));
    }
}

/// The capabilities that this machine's root has.
fn nix_capabilities() -> Vec<String> {
    let names = [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
    ];
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let bits = status
        .lines()
        .find_map(|l| l.strip_prefix("CapBnd:"))
        .unwrap();
    let bits = u64::from_str_radix(bits.trim(), 16).unwrap();
    let has = |(n, _): &(usize, &str)| bits & (1 << n) != 0;
    names
        .into_iter()
        .enumerate()
        .filter(has)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// Address of this machine on the engine's bridge, where the parent is.
fn gateway(instance: &Instance) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}";
    engine::docker(&["inspect", "-f", format, &instance.name])
}

#[test]
fn nothing_of_what_a_hostile_session_tries_succeeds() {
    let instance = Instance::start(&config());
    let secret = unique("secret");
    let victim = victim(&instance, &secret);
    for profile in PROFILES {
        let program = ["bash", "-c", "echo recorded; sleep 1000"];
        instance.ok(instance::spawn(profile, &["-d", "-p", profile], &program));
    }
    let attacker = instance.worker("strict").unwrap();
    let weak = Weak::start(&instance, attacker["id"].as_str().unwrap(), &secret);
    let on_host = TcpListener::bind("0.0.0.0:0").unwrap();
    let variables = [
        ("VICTIM_ID", victim["id"].as_str().unwrap().to_owned()),
        (
            "VICTIM_SESSION",
            victim["session"].as_str().unwrap().to_owned(),
        ),
        ("VICTIM_PORT", victim["ports"][0]["port"].to_string()),
        ("VICTIM_ABSTRACT", secret.clone()),
        ("PARENT_PORT", weak.listen().to_string()),
        ("GATEWAY", gateway(&instance)),
        (
            "GATEWAY_PORT",
            on_host.local_addr().unwrap().port().to_string(),
        ),
    ];
    let coordinator = instance.coordinator();
    let probes = probes::all();
    let script = script(&probes, &variables);

    let with_own = |worker: &serde_json::Value| {
        let [id, session] = ["id", "session"].map(|key| worker[key].as_str().unwrap());
        format!("export OWN_ID={id} OWN_SESSION={session}\n{script}")
    };
    let attack = |attacker: &&str| {
        let (name, more) = match *attacker {
            "root" => ("strict", &["--root"][..]),
            profile => (profile, &[][..]),
        };
        let mut command = instance.direct(["exec"]);
        command.args(more).args([name, "--", "bash"]);
        let worker = instance.worker(name).unwrap();
        outcomes(command, &with_own(&worker), &probes)
    };
    let by_attacker: Vec<Vec<Outcome>> = ATTACKERS.iter().map(attack).collect();
    let mut command = Command::new("docker");
    command.args(["exec", "-i", &weak.0, "bash"]);
    let own = with_own(&attacker);
    let control = outcomes(command, &own, &probes);

    let mut wrong = Vec::new();
    let row = |name: &str, words: [&str; 4], control: &str| {
        let [strict, build, nested, root] = words;
        println!("{name:<42}{strict:<10}{build:<10}{nested:<16}{root:<10}{control}");
    };
    row("probe", ATTACKERS, "control");
    for (n, probe) in probes.iter().enumerate() {
        let word = |a: usize| if by_attacker[a][n].0 { "BREACH" } else { "-" };
        let (possible, said) = &control[n];
        let control = if *possible { "succeeds" } else { said };
        row(probe.name, [0, 1, 2, 3].map(word), control);
        for (profile, found) in ATTACKERS.iter().zip(&by_attacker) {
            let (breach, said) = &found[n];
            let expected = match *profile {
                "root" => OPEN_TO_ROOT.contains(&probe.name),
                profile => probe.residual.contains(&profile),
            };
            if *breach && !expected {
                wrong.push(format!("{}: {profile}: {said}", probe.name));
            }
        }
        if !possible && !probe.may_be_absent {
            wrong.push(format!(
                "{}: not even the weak container can: {said}",
                probe.name
            ));
        }
    }
    let able = control.iter().filter(|(possible, _)| *possible).count();
    let blocked = by_attacker[0].iter().filter(|(breach, _)| !breach).count();
    println!(
        "{} probes, {able} succeed in the weak container, {blocked} fail in strict",
        probes.len()
    );
    assert!(
        probes.len() >= 40 && able >= 40,
        "{able} of {}",
        probes.len()
    );
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert_eq!(
        instance.coordinator(),
        coordinator,
        "the coordinator was restarted"
    );
    let after = instance.worker("victim").unwrap();
    assert_eq!(
        (&after["state"], &after["pid"]),
        (&victim["state"], &victim["pid"])
    );
}
