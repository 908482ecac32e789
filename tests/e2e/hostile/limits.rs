//! What a hostile session uses up, and what it writes to whoever looks at it.

use e2e::{
    instance::{self, Instance, SLOW, text},
    wait,
};
use serde_json::Value;

/// Another worker's session goes on, and the coordinator that was there answers.
struct Bystander<'a> {
    instance: &'a Instance,
    before: Value,
    coordinator: Option<i32>,
}

impl<'a> Bystander<'a> {
    fn start(instance: &'a Instance) -> Self {
        instance.session("bystander", &["cat"]);
        Self {
            instance,
            before: instance.wait_state("bystander", "running"),
            coordinator: instance.coordinator(),
        }
    }

    fn is_unharmed(&self, after: &str) {
        let now = self.instance.worker("bystander").unwrap();
        assert_eq!(now["pid"], self.before["pid"], "after {after}: {now}");
        assert_eq!(now["state"], "running", "after {after}: {now}");
        assert_eq!(
            self.instance.coordinator(),
            self.coordinator,
            "after {after}"
        );
        let output = self
            .instance
            .direct(["exec", "bystander", "echo", "here"])
            .output();
        assert_eq!(text(&output.unwrap().stdout), "here\n", "after {after}");
    }
}

/// Starts what uses something up in a worker of its own; true once its sign is seen.
fn attack(instance: &Instance, name: &str, script: &str) {
    instance.session(name, &["bash", "-c", script]);
}

fn screen(instance: &Instance, name: &str) -> String {
    text(
        &instance
            .direct(["logs", name, "--tail", "20"])
            .output()
            .unwrap()
            .stdout,
    )
}

#[test]
fn what_a_session_uses_up_is_its_own() {
    let instance = Instance::start(&instance::config(2, 3));
    let bystander = Bystander::start(&instance);

    // 128 processes are allowed; the agent, which is one of them, still serves an end to it.
    attack(
        &instance,
        "forks",
        "bomb() { bomb | bomb & }; bomb; sleep 1000",
    );
    wait::until_true("the limit of processes to strike", SLOW, || {
        instance.worker("forks").is_some_and(|w| {
            w["readings"]["pids_refused"]
                .as_u64()
                .is_some_and(|n| n > 0)
        })
    });
    bystander.is_unharmed("the fork bomb");
    instance.ok(["stop", "forks"]);

    attack(
        &instance,
        "memory",
        "exec perl -e '$x .= \"x\" x 1e7 while 1'",
    );
    let ended = instance.wait_state("memory", "exited");
    assert_eq!(ended["oom"], true, "{ended}");
    bystander.is_unharmed("the memory hog");

    let open = "perl -e 'while (open(my $f, \"<\", \"/dev/null\")) { push @all, $f } \
                print scalar(@all), \" files, then: $!\\n\"; sleep 1000'";
    attack(&instance, "files", &format!("{open}; sleep 1000"));
    wait::until_true("the limit of open files to strike", SLOW, || {
        screen(&instance, "files").contains("files, then: Too many open files")
    });
    bystander.is_unharmed("many open files");
    instance.ok(["stop", "files"]);

    attack(&instance, "flood", "exec yes 'flood of output'");
    wait::until_true("the flood", SLOW, || {
        let worker = instance.worker("flood");
        worker.is_some_and(|w| w["state"] == "running")
            && screen(&instance, "flood").contains("flood of output")
    });
    bystander.is_unharmed("a flood of output");
    // What the flood may fill is bounded (see the recorder): asked for once it has turned over.
    let worker = instance.worker("flood").unwrap();
    let log = instance
        .state()
        .join("workers")
        .join(worker["id"].as_str().unwrap())
        .join("log");
    let recorded = || -> u64 {
        let entries = std::fs::read_dir(&log).unwrap();
        entries
            .map(|entry| entry.unwrap().metadata().map_or(0, |m| m.len()))
            .sum()
    };
    // Five files of 16 MiB, each with a head.
    const MAX_RECORDED: u64 = 81 << 20;
    let most = std::cell::Cell::new(0);
    wait::until_true("the recording to turn over", SLOW, || {
        let now = recorded();
        assert!(now < MAX_RECORDED, "{now}");
        // Less than before: the oldest file is gone. With fewer files nothing was thrown away.
        let full = most.get() > MAX_RECORDED / 5 * 4;
        let turned = full && now < most.get();
        most.set(most.get().max(now));
        turned
    });
    instance.ok(["stop", "flood"]);
    bystander.is_unharmed("it all");
}

#[test]
fn what_a_session_prints_neither_asks_the_terminal_nor_speaks_for_another_session() {
    let instance = Instance::start(&instance::config(2, 2));
    instance.session(
        "quiet",
        &["bash", "-c", "read line; echo \"got $line\"; sleep 1000"],
    );
    let victim = instance.wait_state("quiet", "running");
    let session = victim["session"].as_str().unwrap();

    // As a terminal's answers would be typed into the session: a title report, the clipboard,
    // a setting, the answerback.
    let asks =
        "read line; printf 'begin\\033[21t\\033]52;c;?\\007\\033P$qm\\033\\\\\\005\\033[20tend\\n'";
    // In the name of another session, with a hook's words: the agent's own program says it.
    let speaks = format!(
        "env PODBAY_SESSION={session} \"$PODBAY_AGENT\" hook \
         '{{\"hook_event_name\":\"Notification\",\"message\":\"forged\"}}'; echo spoken"
    );
    instance.session(
        "loud",
        &["bash", "-c", &format!("{asks}; {speaks}; sleep 1000")],
    );
    let mut terminal = instance.terminal(&["attach", "loud"], 80, 24);
    terminal.send("\n");
    terminal.wait_for("spoken");
    let raw = terminal.raw();
    let shown = text(&raw);
    assert!(
        shown.contains("begin") && shown.contains("end"),
        "{shown:?}"
    );
    for question in ["\u{1b}[21t", "\u{1b}[20t", "]52;c;?", "\u{1b}P$q", "\u{5}"] {
        assert!(!shown.contains(question), "{question:?} in {shown:?}");
    }
    let after = instance.worker("quiet").unwrap();
    let why = after["activity"]["why"].as_str().unwrap_or_default();
    assert!(!why.contains("forged") && !why.contains("hook"), "{after}");
    assert_eq!(after["pid"], victim["pid"]);
}

#[test]
fn programs_work_as_the_profile_says() {
    let mut config = instance::config(1, 1) + "read_only = true\n";
    for (name, more) in [
        ("build", "security = \"build\"\n"),
        ("nested", "security = \"nested-sandbox\"\n"),
        ("alone", "network = \"isolated\"\n"),
        ("silent", "network = \"none\"\n"),
        ("other", "runtime = \"no-such-runtime\"\n"),
        ("unused", "security = \"build\"\n"),
    ] {
        config += &instance::profile(name, &instance::worker_image(), 0, 2);
        config += more;
    }
    let instance = Instance::start(&config);
    let listener = "use Socket; socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
                    bind($s, pack_sockaddr_un(\"\\0own-$ENV{PODBAY_NAME}\")) or die $!; listen($s, 5); sleep 1 while 1";
    for profile in ["default", "build", "nested", "alone", "silent"] {
        let program = ["perl", "-e", listener];
        instance.ok(instance::spawn(profile, &["-d", "-p", profile], &program));
    }
    let run = |name: &str, script: &str| {
        let output = instance
            .direct(["exec", name, "--", "bash", "-c", script])
            .output()
            .unwrap();
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let works = |name: &str, script: &str| {
        let (ok, said) = run(name, script);
        assert!(ok, "{name}: {script}\n{said}");
        said
    };

    // A read-only root, and all the same a name for the user, git, and free ports to listen on.
    let listen = |port: &str| {
        format!(
            "perl -MSocket -e 'socket(my $s, AF_INET, SOCK_STREAM, 0); \
             bind($s, pack_sockaddr_in({port}, INADDR_LOOPBACK)) or die \"$!\\n\"; listen($s, 1)'"
        )
    };
    for script in [
        "! touch /etc/new /usr/new /new 2>/dev/null",
        "touch /tmp/x /var/tmp/x ~/x && cp /bin/true /tmp/true && /tmp/true",
        "test \"$(getent passwd \"$(id -u)\" | cut -d: -f6)\" = /home/podbay && id -un",
        "cd /tmp && git init -q r && cd r && touch a && git add a && \
         git -c user.name=a -c user.email=a@b commit -qm x && mkdir d && git mv a d/b",
        &listen("0"),
        "for f in cores:-c files:-n; do test \"$(ulimit -H ${f#*:})\" != unlimited || exit 1; done",
        "sleep 100 & kill $! && wait $!; test $? = 143",
    ] {
        works("default", script);
    }
    let (ok, said) = run("default", &listen("7418"));
    assert!(!ok && said.contains("Permission denied"), "{said}");
    // Programs of one worker reach each other, from whichever session they were started.
    let connect = "perl -MSocket -e 'socket(my $s, AF_UNIX, SOCK_STREAM, 0); \
                   connect($s, pack_sockaddr_un(\"\\0own-default\")) or die $!' && kill -0 \"$(pgrep perl)\"";
    works("default", connect);

    // Packages are installed and set-uid programs gain privileges.
    let apt = instance.direct([
        "exec", "--root", "build", "--", "bash", "-c",
        "mkdir -p /tmp/p/DEBIAN && printf 'Package: probe\\nVersion: 1\\nArchitecture: all\\n\
         Maintainer: a <a@b>\\nDescription: x\\n' >/tmp/p/DEBIAN/control && mkdir -p /tmp/p/opt/probe && \
         chown 1:1 /tmp/p/opt/probe && dpkg-deb -b /tmp/p /tmp/p.deb && apt-get install -y /tmp/p.deb",
    ]);
    let output = { apt }.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let said = works("build", &listen("7418"));
    assert!(!said.contains("denied"), "{said}");

    // A sandbox of the session's own.
    let sandbox =
        "bwrap --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp --unshare-all --die-with-parent";
    let said = works(
        "nested",
        &format!("{sandbox} bash -c 'echo $$; ls /tmp | wc -l; touch /tmp/x'"),
    );
    assert_eq!(said.lines().last(), Some("0"), "{said}");
    let (ok, said) = run("default", &format!("{sandbox} true"));
    assert!(!ok, "{said}");
    let refused = instance.run(["exec", "--root", "nested", "--", "id"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("nested-sandbox has no root sessions"));

    // Networks of their own, each with nobody else in it.
    let interfaces = |name: &str| works(name, "tail -n +3 /proc/net/dev | cut -d: -f1 | xargs");
    assert_eq!(interfaces("silent").trim(), "lo");
    assert_eq!(interfaces("alone").trim(), "lo eth0");
    works("alone", &listen("7418"));
    works(
        "alone",
        "test -s /etc/resolv.conf && ! touch /etc/hosts 2>/dev/null",
    );
    let of = |name: &str, key: &str| {
        instance.worker(name).unwrap()[key]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(of("alone", "network").contains("no other worker is reached"));
    assert_eq!(of("silent", "network"), "none");
    assert!(of("default", "network").contains("shared"));
    assert!(of("default", "security").contains("seccomp list strict; Landlock"));
    assert!(of("build", "security").contains("new privileges"));
    assert!(of("nested", "security").contains("namespaces and mounts of its own"));

    let refused = |profile: &str, why: &str| {
        let refused = instance.run(instance::spawn("no", &["-d", "-p", profile], &["true"]));
        let said = text(&refused.stderr);
        assert!(!refused.status.success() && said.contains(why), "{said}");
        said
    };
    let said = refused("other", "no runtime \"no-such-runtime\"");
    assert!(said.contains("runc"), "{said}");

    // A broken list is named, and nothing runs without one.
    let list = instance.state().join("seccomp/build.json");
    std::fs::write(&list, "{").unwrap();
    refused("unused", "seccomp/build.json: no JSON");

    // Workers on the instance's own network leave nothing behind.
    instance.ok(["down", "--force", "--volumes"]);
    let label = format!("label=dev.podbay.instance={}", instance.name);
    assert_eq!(
        e2e::engine::docker(&["network", "ls", "-q", "--filter", &label]),
        ""
    );
}
