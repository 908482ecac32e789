//! Row 18: the coordinator or an agent runs out of descriptors, and the others do not notice.

use crate::{
    process::kill::{counter, last_number},
    process::kit::{
        Running, audit, descriptors, direct, insist, pid_of_worker, start, wait_answer,
    },
};
use e2e::{
    instance::{self, Instance, SLOW, text},
    processes,
    terminal::Terminal,
    wait,
};
use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Sets how many descriptors a process may have; the hard limit stays, only it can be gone back to.
fn limit_descriptors(pid: i32, most: usize) {
    let (pid, most) = (pid.to_string(), format!("--nofile={most}:"));
    let status = Command::new("prlimit")
        .args(["--pid", &pid, &most])
        .status();
    assert!(status.expect("running prlimit").success());
}

/// How many descriptors a process may have now.
fn descriptor_limit(pid: i32) -> usize {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    soft.expect("a limit")
}

/// A counting session that is watched, beside a process that has hardly a descriptor to spare.
struct Starved {
    mark: String,
    session: i32,
    client: Terminal,
    pid: i32,
    before: usize,
    limit: usize,
    instance: Instance,
}

impl Starved {
    /// Everything is there, and nothing starved yet; `who` picks the process.
    fn new(who: impl FnOnce(&Instance) -> i32) -> Self {
        let instance = start(&instance::config(2, 2));
        let mark = counter(&instance, "kept");
        let client = instance.terminal(&["attach", "kept"], 80, 24);
        client.wait_for("n=");
        let pid = who(&instance);
        Self {
            session: processes::marked("E2E_MARK", &mark)[0],
            mark,
            client,
            pid,
            before: descriptors(pid),
            limit: descriptor_limit(pid),
            instance,
        }
    }

    /// Leaves it no descriptor, one or two.
    fn starve(&self, round: u32) {
        limit_descriptors(self.pid, descriptors(self.pid) + round as usize % 3);
    }

    fn feed(&self) {
        limit_descriptors(self.pid, self.limit);
    }

    /// What is attached goes on.
    fn news(&self) {
        let seen = last_number(&self.client);
        wait::until_true("news", SLOW, || last_number(&self.client) > seen + 20);
    }

    /// Nobody is taken for dead.
    fn unharmed(&self) {
        let marked = processes::marked("E2E_MARK", &self.mark);
        assert_eq!(marked[0], self.session);
        self.instance.wait_state("kept", "running");
    }

    /// It comes back to what it had open, and not so many more.
    fn closed(&self, more: usize) {
        wait::until_true("the descriptors to be closed", SLOW, || {
            descriptors(self.pid) <= self.before + more
        });
    }
}

#[test]
fn row_18_a_coordinator_without_descriptors_pauses_and_comes_back() {
    let rounds = e2e::times(20, 2);
    let starved = Starved::new(|instance| instance.coordinator().expect("a coordinator"));
    let instance = &starved.instance;
    instance.wait_warm("default", 2);
    let warm = instance.warm();
    let mut slowest = Duration::ZERO;
    for round in 0..rounds {
        starved.starve(round);
        let asked: Vec<Running> = (0..12)
            .map(|_| {
                let mut ask = instance.direct(["status", "--json"]);
                Running::start(ask.stdout(Stdio::null()))
            })
            .collect();
        for _ in 0..5 {
            starved.news();
        }
        starved.feed();
        let began = Instant::now();
        wait_answer(instance);
        slowest = slowest.max(began.elapsed());
        drop(asked);
        assert_eq!(
            instance.coordinator(),
            Some(starved.pid),
            "another coordinator"
        );
        starved.unharmed();
        wait::until_true("the same warm workers", SLOW, || instance.warm() == warm);
    }
    instance.session("next", &["sleep", "1000"]);
    insist(instance, &["stop", "--grace", "0s", "next"]);
    audit(instance, 2);
    starved.closed(4);
    e2e::measured(
        18,
        format!(
            "coordinator, {rounds} rounds: no session lost, answers again within {slowest:.0?}"
        ),
    );
}

#[test]
fn row_18_an_agent_without_descriptors_keeps_its_session() {
    let rounds = e2e::times(20, 2);
    let starved = Starved::new(|instance| pid_of_worker(&instance.wait_state("kept", "running")));
    let instance = &starved.instance;
    for round in 0..rounds {
        starved.starve(round);
        for _ in 0..3 {
            let output = direct(instance, &["exec", "-T", "kept", "--", "true"]);
            let err = text(&output.stderr);
            assert!(output.status.success() || !err.is_empty(), "no word of why");
        }
        starved.news();
        starved.feed();
        assert_eq!(
            insist(instance, &["exec", "-T", "kept", "--", "echo", "fine"]),
            "fine\n"
        );
        starved.unharmed();
    }
    starved.closed(2);
    e2e::measured(
        18,
        format!("agent, {rounds} rounds: session kept, exec served again"),
    );
}
