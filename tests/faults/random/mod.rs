//! Random faults under random work, from fixed seeds: what holds always, holds after each step.
//!
//! A step is work (spawn, stop, rename, exec), a fault, or both at once. After it the instance
//! settles, the invariants are checked, and every session that nobody ended is the same process as
//! before. A failure prints the seed and the steps, which are the same in the next run.

mod faults;

use crate::{
    engine::kit::{COUNTER, on_behind},
    seeds,
};
use e2e::{
    instance::{Instance, SLOW, text},
    invariants, measured,
    private_engine::PrivateEngine,
    processes,
    project::Project,
    proxy::Proxy,
    times, unique, wait,
};
use faults::{FAULTS, Fault};
use std::{
    collections::BTreeMap,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// Sessions at a time.
const MOST: usize = 5;
/// An operation that has not ended by then hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// SplitMix64: the same steps for the same seed on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

/// A session that ought to live.
#[derive(Debug)]
struct Session {
    mark: String,
    pid: i32,
    /// A fault was made that ends it.
    doomed: bool,
}

struct Run {
    engine: PrivateEngine,
    proxy: Proxy,
    instance: Instance,
    project: Project,
    dice: Dice,
    sessions: BTreeMap<String, Session>,
    steps: Vec<String>,
    made: u32,
    /// Containers that were warm when a fault struck them.
    struck: Vec<(String, Fault)>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let engine = PrivateEngine::live_restoring();
        let proxy = Proxy::start(&engine.socket());
        let instance = on_behind(&engine, &proxy, 2, 3);
        Self {
            engine,
            proxy,
            instance,
            project: Project::new(),
            dice: Dice(seed),
            sessions: BTreeMap::new(),
            steps: Vec::new(),
            made: 0,
            struck: Vec::new(),
        }
    }

    fn say(&mut self, step: String) {
        self.steps.push(step);
    }

    /// A running session of the model, by chance.
    fn any(&mut self) -> Option<String> {
        let live = self.sessions.iter().filter(|(_, s)| !s.doomed);
        let names: Vec<String> = live.map(|(name, _)| name.clone()).collect();
        let at = self.dice.below(names.len());
        names.get(at).cloned()
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.instance.direct(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("running podbay")
    }

    /// Its exit code and what it said; an operation that hangs fails the test.
    fn finish(&self, mut child: Child, what: &str) -> (bool, String) {
        wait::until_true(&format!("{what} to end"), PATIENCE, || {
            child.try_wait().expect("waiting for podbay").is_some()
        });
        let output = child.wait_with_output().expect("reading from podbay");
        (
            output.status.success(),
            text(&output.stderr) + &text(&output.stdout),
        )
    }

    fn step(&mut self) {
        let fault = (self.dice.below(3) > 0).then(|| FAULTS[self.dice.below(FAULTS.len())]);
        let work = self.dice.below(5);
        let both = self.dice.below(2) == 0;
        match (fault, both) {
            (Some(fault), false) => self.fault(fault),
            (Some(fault), true) => self.work(work, Some(fault)),
            (None, _) => self.work(work, None),
        }
    }

    /// An operation, with a fault while it is under way.
    fn work(&mut self, kind: usize, fault: Option<Fault>) {
        let full = self.sessions.len() >= MOST;
        match (kind, self.any()) {
            (2, Some(name)) => self.stop(&name, fault),
            (3, Some(name)) => self.rename(&name, fault),
            (4, Some(name)) => self.exec(&name, fault),
            (_, Some(name)) if full => self.stop(&name, fault),
            _ => self.spawn(fault),
        }
    }

    fn meanwhile(&mut self, fault: Option<Fault>) {
        if let Some(fault) = fault {
            wait::pause(Duration::from_millis(self.dice.below(150) as u64));
            self.fault(fault);
        }
    }

    fn spawn(&mut self, fault: Option<Fault>) {
        self.made += 1;
        let (name, mark) = (format!("s{}", self.made), unique("random"));
        let marked = format!("E2E_MARK={mark}");
        let isolation = ["none", "bind", "overlay"][self.dice.below(3)];
        let folder = self.project.text();
        let mut args = vec![
            "spawn",
            "-d",
            "-n",
            &name,
            "-e",
            &marked,
            "--isolation",
            isolation,
        ];
        if isolation != "none" {
            args.push(&folder);
        }
        args.extend(["--", "sh", "-c", COUNTER]);
        self.steps
            .push(format!("spawn {name} {isolation}, meanwhile {fault:?}"));
        let child = self.start(&args);
        self.meanwhile(fault);
        let (done, said) = self.finish(child, &format!("spawning {name}"));
        self.say(format!("  spawned: {done} {}", said.trim()));
        let session = Session {
            mark,
            pid: 0,
            doomed: !done,
        };
        self.sessions.insert(name, session);
    }

    fn stop(&mut self, name: &str, fault: Option<Fault>) {
        self.say(format!("stop {name}, meanwhile {fault:?}"));
        self.doom(name);
        let child = self.start(&["stop", name]);
        self.meanwhile(fault);
        let (done, said) = self.finish(child, &format!("stopping {name}"));
        self.say(format!("  stopped: {done} {}", said.trim()));
    }

    fn rename(&mut self, name: &str, fault: Option<Fault>) {
        self.made += 1;
        let next = format!("r{}", self.made);
        self.say(format!("rename {name} {next}, meanwhile {fault:?}"));
        let child = self.start(&["rename", name, &next]);
        self.meanwhile(fault);
        let (done, said) = self.finish(child, &format!("renaming {name}"));
        self.say(format!("  renamed: {done} {}", said.trim()));
        // Told or not, it has one of the two names.
        wait::until_true("the renamed worker under either name", SLOW, || {
            self.instance.worker(&next).is_some() || self.instance.worker(name).is_some()
        });
        let session = self.sessions.remove(name).expect("a session");
        let renamed = self.instance.worker(&next).is_some();
        assert!(renamed || !done, "{name} is not {next}, as was said");
        let name = if renamed { next } else { name.to_owned() };
        self.sessions.insert(name, session);
    }

    fn exec(&mut self, name: &str, fault: Option<Fault>) {
        self.say(format!("exec in {name}, meanwhile {fault:?}"));
        let child = self.start(&["exec", name, "--", "sh", "-c", "echo there"]);
        self.meanwhile(fault);
        let (done, said) = self.finish(child, &format!("exec in {name}"));
        self.say(format!("  exec: {done} {}", said.trim()));
    }

    fn doom(&mut self, name: &str) {
        if let Some(session) = self.sessions.get_mut(name) {
            session.doomed = true;
        }
    }

    /// What must hold after each step.
    fn check(&mut self) {
        let what = self.steps.last().cloned().unwrap_or_default();
        self.after_strikes();
        self.retire();
        invariants::settle(&self.instance, SLOW, &what);
        for (name, session) in &mut self.sessions {
            let worker = self.instance.worker(name).unwrap_or_else(|| {
                panic!("{name} is gone, and nobody ended it");
            });
            assert_eq!(
                worker["state"], "running",
                "{name}, which nobody ended: {worker}"
            );
            let pids = processes::marked("E2E_MARK", &session.mark);
            if session.pid == 0 {
                // What it starts has the mark as well, and may have a lower number.
                let shell =
                    |pid: &&i32| processes::argv(**pid).get(1).is_some_and(|arg| arg == "-c");
                session.pid = pids.iter().find(shell).copied().unwrap_or_default();
            }
            assert!(
                session.pid != 0 && pids.contains(&session.pid),
                "{name}: process {} is not among {pids:?}",
                session.pid
            );
        }
    }

    /// Removes what was to end, whatever became of it; nothing of it may stay.
    fn retire(&mut self) {
        let doomed = self.sessions.iter().filter(|(_, s)| s.doomed);
        let doomed: Vec<String> = doomed.map(|(name, _)| name.clone()).collect();
        for name in doomed {
            let began = Instant::now();
            wait::until_true(&format!("{name} to be removed"), PATIENCE, || {
                let output = self.instance.direct(["rm", "--force", &name]).output();
                let output = output.expect("running podbay");
                let gone = self.instance.ask(["ls", "-a", "--json"]).is_some()
                    && self.instance.worker(&name).is_none();
                if !gone && began.elapsed() > SLOW {
                    eprintln!("rm {name}: {}", text(&output.stderr));
                }
                gone
            });
            let session = self.sessions.remove(&name).expect("a session");
            let none = || processes::marked("E2E_MARK", &session.mark).is_empty();
            wait::until_true(&format!("{name}'s processes to end"), SLOW, none);
        }
    }
}

fn run(seed: u64) {
    seeds::each([seed], steps_of);
}

fn steps_of(seed: u64) {
    let began = Instant::now();
    let steps = times(200, 8);
    let mut run = Run::new(seed);
    invariants::settle(&run.instance, SLOW, "the start");
    let weight = |run: &Run| {
        let pid = run.instance.coordinator().expect("a coordinator");
        invariants::weight(pid)
    };
    let before = weight(&run);
    for _ in 0..steps {
        let worked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            run.step();
            run.check();
        }));
        if let Err(panic) = worked {
            for (n, step) in run.steps.iter().enumerate() {
                eprintln!("{n:4} {step}");
            }
            std::panic::resume_unwind(panic);
        }
    }
    let after = weight(&run);
    // Figures of the same words replace each other in the table.
    let words = ["one", "two", "three", "four", "five"];
    let Some(word) = words.get((seed as usize).wrapping_sub(1)) else {
        return;
    };
    measured(
        24,
        format!(
            "seed {word}: {steps} steps in {:.0?}, all invariants after each; coordinator {} \
             descriptors and {} KiB first, {} and {} last",
            began.elapsed(),
            before.0,
            before.1,
            after.0,
            after.1
        ),
    );
}

#[test]
fn row_24_random_faults_of_seed_1() {
    run(1);
}

#[test]
fn row_24_random_faults_of_seed_2() {
    run(2);
}

#[test]
fn row_24_random_faults_of_seed_3() {
    run(3);
}

#[test]
fn row_24_random_faults_of_seed_4() {
    run(4);
}

#[test]
fn row_24_random_faults_of_seed_5() {
    run(5);
}
