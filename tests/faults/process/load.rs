//! Rows 13, 14 and 15: a worker or the coordinator runs out of memory, processes or time, and the
//! others do not notice.

use crate::{
    process::kill::{answering, counter, echoes, last_number, percentile},
    process::kit::{
        Running, audit, descriptors, direct, insist, pid_of, pid_of_worker, start, status_of,
    },
};
use e2e::{
    instance::{self, Instance, SLOW, text},
    processes, unique, wait,
};
use std::{
    process::Stdio,
    time::{Duration, Instant},
};

/// Runs a command as an exec session; its exit code, stdout and stderr.
fn exec(instance: &Instance, name: &str, script: &str) -> (Option<i32>, String, String) {
    let output = direct(instance, &["exec", "-T", name, "--", "sh", "-c", script]);
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn row_13_the_session_that_runs_out_of_memory_is_blamed_and_no_other() {
    // Three kills each: 102 in all.
    let rounds = e2e::times(34, 2);
    let instance = start(&instance::config(2, 2));
    for round in 0..rounds {
        let (name, hog) = (format!("both-{round}"), format!("hog-{round}"));
        instance.session(&name, &["sh", "-c", "echo said; exec sleep 1000"]);
        let before = instance.wait_state(&name, "running");
        let agent = pid_of(before["container"].as_str().unwrap());

        // An exec session is killed; the main one goes on and is not blamed.
        let (code, _, err) = exec(&instance, &name, "exec tail /dev/zero");
        assert_eq!(code, Some(137), "{err}");
        assert!(err.contains("out of memory"), "{err}");
        let blame = |name: &str| {
            let worker = instance.worker(name).expect("the worker");
            (worker["state"].clone(), worker["oom"].clone())
        };
        assert_eq!(blame(&name), ("running".into(), false.into()));

        // A child of a session is killed, which the session survives. Who is killed later by
        // something else is not blamed for it.
        let (code, out, err) = exec(&instance, &name, "tail /dev/zero; echo survived");
        assert_eq!((code, out.as_str()), (Some(0), "survived\n"), "{err}");
        wait::until_true("the readings to show both", SLOW, || {
            let worker = instance.worker(&name).expect("the worker");
            worker["readings"]["oom_kills"].as_u64() >= Some(2)
        });
        // The kill is an old one once the next reading has shown it again: the one that says
        // another processor time.
        let used = |instance: &Instance| {
            let worker = instance.worker(&name).expect("the worker");
            worker["readings"]["cpu_us"].as_u64()
        };
        let before_reading = used(&instance);
        wait::until_true("the next reading", SLOW, || {
            exec(&instance, &name, "true");
            used(&instance) != before_reading
        });
        let (code, _, err) = exec(&instance, &name, "kill -9 $$");
        assert_eq!(code, Some(137), "{err}");
        assert!(!err.contains("out of memory"), "{err}");

        let now = instance.wait_state(&name, "running");
        assert_eq!((&now["pid"], pid_of_worker(&now)), (&before["pid"], agent));
        insist(&instance, &["stop", "--grace", "0s", &name]);
        assert_eq!(instance.wait_state(&name, "exited")["oom"], false);

        // The main one is killed: `ls` says so, while the worker is there and afterwards.
        let args = instance::spawn(&hog, &["-d", "--no-rm"], &["tail", "/dev/zero"]);
        insist(&instance, &args);
        let worker = instance.wait_state(&hog, "exited");
        assert_eq!(
            (&worker["oom"], &worker["exit"]["value"]),
            (&true.into(), &9.into())
        );
        assert!(insist(&instance, &["ls", "-a"]).contains("exited oom"));
        insist(&instance, &["stop", &hog]);
        assert_eq!(instance.wait_state(&hog, "exited")["oom"], true);
        instance.wait_warm("default", 2);
    }
    audit(&instance, 2);
    e2e::measured(
        13,
        format!(
            "{} runs out of memory: agent alive, the right session blamed each time",
            3 * rounds
        ),
    );
}

#[test]
fn row_14_a_fork_bomb_is_stopped_and_the_others_do_not_notice() {
    let rounds = e2e::times(100, 2);
    let instance = start(&instance::config(2, 2));
    let mut other = answering(&instance, "other");
    let (mut took, mut echo) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (name, mark) = (format!("bomb-{round}"), unique("mark"));
        let marked = format!("E2E_MARK={mark}");
        let bomb = ["bash", "-c", "b() { b | b & }; b; sleep 1000"];
        let args = instance::spawn(&name, &["-d", "-e", &marked], &bomb);
        insist(&instance, &args);
        wait::until_true("the bomb to reach its limit", SLOW, || {
            let worker = instance.worker(&name).expect("the worker");
            worker["readings"]["pids_refused"].as_u64() > Some(0)
        });
        echo.extend(echoes(&mut other, 10));
        let worker = instance.wait_state(&name, "running");
        let agent = pid_of_worker(&worker);
        assert!(!processes::argv(agent).is_empty(), "the agent is gone");
        let began = Instant::now();
        let stopping = Running::start(&mut instance.direct(["stop", "--grace", "0s", &name]));
        wait::until_true("all of it to be gone", SLOW, || {
            processes::marked("E2E_MARK", &mark).is_empty()
        });
        took.push(began.elapsed());
        wait::until_true("its end on record", SLOW, || {
            instance
                .worker(&name)
                .is_some_and(|w| w["container"].is_null())
        });
        drop(stopping);
        instance.wait_warm("default", 2);
    }
    audit(&instance, 2);
    took.sort();
    echo.sort();
    let worst = percentile(&took, 100);
    e2e::measured(
        14,
        format!(
            "{rounds} bombs: stopped p50 {:.0?} max {worst:.0?}; line typed to answer in another \
             worker p99 {:.0?}",
            percentile(&took, 50),
            percentile(&echo, 99)
        ),
    );
    // Required: 1 s.
    e2e::promised("the bomb stopped", worst, Duration::from_secs(3));
}

#[test]
fn row_15_floods_cost_neither_memory_nor_the_keys_of_others() {
    let floods = e2e::times(8, 3);
    let instance = start(&instance::config(2, 2));
    let mut typed = answering(&instance, "typed");
    let alone = echoes(&mut typed, 30);
    let coordinator = instance.coordinator().expect("a coordinator");
    let count = e2e::times(500, 60);
    // As many that only compute: what a processor shared with them costs is no fault of a flood.
    for number in 0..floods {
        let name = format!("busy-{number}");
        instance.session(&name, &["sh", "-c", "exec yes > /dev/null"]);
    }
    let computing = echoes(&mut typed, count);
    for number in 0..floods {
        insist(
            &instance,
            &["stop", "--grace", "0s", &format!("busy-{number}")],
        );
    }
    instance.wait_warm("default", 2);
    let before = status_of(coordinator, "VmRSS");
    forget_peak(coordinator);
    // On a terminal with nobody attached, on one with a client, and on pipes.
    let mut clients = Vec::new();
    let mut watched = Vec::new();
    for number in 0..floods {
        let name = format!("flood-{number}");
        match number % 3 {
            0 => {
                let mut spawn = instance.direct(instance::spawn(&name, &[], &["yes"]));
                clients.push(Running::start(spawn.stdout(Stdio::null())));
            }
            1 => {
                instance.session(&name, &["yes"]);
                let terminal = instance.terminal(&["attach", &name, "--read-only"], 80, 24);
                terminal.discard();
                watched.push(terminal);
            }
            _ => instance.session(&name, &["yes"]),
        }
        instance.wait_state(&name, "running");
    }
    let flooded = echoes(&mut typed, count);
    let during = status_of(coordinator, "VmHWM");
    assert_eq!(
        instance.coordinator(),
        Some(coordinator),
        "another coordinator"
    );
    let of = |sorted: &[Duration]| {
        let (p50, p99) = (percentile(sorted, 50), percentile(sorted, 99));
        format!("{p50:.1?}/{p99:.1?}")
    };
    e2e::measured(
        15,
        format!(
            "{floods} floods: coordinator {} MiB before, {} MiB at most; line typed to answer in \
             another worker p50/p99 {}, with as many that compute and print nothing {}, alone {}",
            before / 1024,
            during / 1024,
            of(&flooded),
            of(&computing),
            of(&alone)
        ),
    );
    drop((clients, watched));
    insist(&instance, &["stop", "--all", "--grace", "0s"]);
    audit(&instance, 2);
    assert!(during < 128 << 10, "{during} KiB");
    let p99 = percentile(&flooded, 99);
    e2e::promised("p99 of an echo", p99, Duration::from_secs(2));
}

/// Makes `VmHWM` begin anew: what a process needed to start is not meant.
fn forget_peak(pid: i32) {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("resetting the peak");
}

/// What a coordinator uses now: KiB of memory, descriptors.
fn uses(instance: &Instance) -> (u64, usize) {
    let pid = instance.coordinator().expect("a coordinator");
    (status_of(pid, "VmRSS"), descriptors(pid))
}

#[test]
fn cycles_of_spawn_and_stop_leak_nothing() {
    let cycles = e2e::times(2000, 20);
    let instance = start(&instance::config(2, 2));
    let cycle = |number: u32| {
        let name = format!("cycle-{number}");
        if number.is_multiple_of(2) {
            let ends = instance::spawn(&name, &[], &["echo", "fine"]);
            assert_eq!(insist(&instance, &ends), "fine\n");
        } else {
            let stays = instance::spawn(&name, &["-d"], &["sleep", "1000"]);
            insist(&instance, &stays);
            insist(&instance, &["stop", "--grace", "0s", &name]);
        }
        wait::until_true("its end on record", SLOW, || {
            instance
                .worker(&name)
                .is_some_and(|w| w["container"].is_null())
        });
    };
    // The first ones fill what is kept: connections, finished sessions.
    let warm_up = e2e::times(250, 5);
    (0..warm_up).for_each(cycle);
    audit(&instance, 2);
    let first = uses(&instance);
    (warm_up..warm_up + cycles).for_each(cycle);
    audit(&instance, 2);
    wait::until_true("the descriptors to be closed", SLOW, || {
        uses(&instance).1 <= first.1 + 4
    });
    let last = uses(&instance);
    let kept = instance.workers().len();
    e2e::measured(
        2,
        format!(
            "{cycles} cycles: no container, folder, record, uid, mount or descriptor leaked; \
             coordinator {} KiB and {} descriptors first, {} KiB and {} last; {kept} listed",
            first.0, first.1, last.0, last.1
        ),
    );
    assert!(kept <= 202, "{kept} are kept");
    assert!(last.0 < first.0 + (16 << 10), "{first:?} {last:?}");
}

#[test]
fn many_workers_and_clients_for_a_long_time() {
    let workers = e2e::times(64, 6);
    let time = Duration::from_secs(u64::from(e2e::times(30 * 60, 20)));
    // With the limits that workers have by default.
    let config = instance::config(2, 4);
    let unlimited = config.lines().filter(|line| {
        let key = line.split(' ').next().unwrap_or_default();
        !matches!(key, "memory" | "cpus" | "pids")
    });
    let instance = start(&unlimited.collect::<Vec<_>>().join("\n"));
    let names: Vec<String> = (0..workers).map(|n| format!("soak-{n}")).collect();
    let mut clients = Vec::new();
    for name in &names {
        counter(&instance, name);
        clients.push(instance.terminal(&["attach", name], 80, 24));
    }
    for client in &clients {
        client.wait_for("n=");
    }
    let first = uses(&instance);
    let mut most = first;
    let began = Instant::now();
    // As long as it takes, every client goes on seeing its worker count.
    while began.elapsed() < time {
        for client in &clients {
            let seen = last_number(client);
            wait::until_true("news", SLOW, || last_number(client) > seen);
        }
        let now = uses(&instance);
        most = (most.0.max(now.0), most.1.max(now.1));
    }
    drop(clients);
    e2e::measured(
        15,
        format!(
            "{workers} workers and clients for {time:.0?}: coordinator {} MiB and {} descriptors \
             first, {} MiB and {} at most",
            first.0 / 1024,
            first.1,
            most.0 / 1024,
            most.1
        ),
    );
    for name in &names {
        instance.wait_state(name, "running");
    }
    insist(&instance, &["stop", "--all", "--grace", "0s"]);
    assert!(most.0 < 64 << 10, "{} KiB", most.0);
    assert!(most.1 <= first.1 + 16, "{first:?} {most:?}");
}
