//! A whole coordinator in a world of which nothing is real but its sockets and files: engine, mounter,
//! guard and agents fail as they may, people do what they do, and the coordinator dies now and then.
//!
//! `PODBAY_WORLD_SEED=7 PODBAY_WORLD_STEPS=2000 cargo nextest run -p coordinator daemon::tests`
//! repeats one run. A run is the same each time: one thread, a clock that is held, one source of
//! chance.

mod agent;
mod checks;
mod clients;
mod dice;
mod engine;
mod fates;
mod happenings;
mod host;
mod mounter;
mod operations;
mod same;
mod scenes;
mod state;
mod things;

use super::{Daemon, DaemonParts, outside::Outside};
use crate::{
    agent::{AgentRegistry, ConnectionEvent},
    config::Config,
    mounter_client::MounterClient,
    runtime::PullPolicy,
    store::{AuditLog, ClaimKey, StateDir},
};
use operations::People;
use state::World;
use std::{
    cell::Cell,
    collections::BTreeMap,
    path::Path,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// Steps of the ordinary suite, over all parts and seeds; `PODBAY_WORLD_STEPS` is another number.
const STEPS: u64 = 100_000;
/// Parts that run side by side.
const PARTS: u64 = 4;
/// Steps of one seed's run.
const RUN: u64 = 2_500;
/// Steps between two quiet times.
const STORM: u64 = 200;
/// How long a quiet time is.
const QUIET: Duration = Duration::from_secs(180);

thread_local! {
    /// The world's time of day: when this life of the coordinator began, and what it was then.
    static WALL: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// Unix nanoseconds in the world that this thread runs, if it runs one.
pub(super) fn wall_clock() -> Option<i64> {
    let (began, ms) = WALL.get()?;
    let since = began.elapsed().as_nanos();
    i64::try_from(u128::from(ms) * 1_000_000 + since).ok()
}

/// The configuration; `pids` is something in it that a reload changes: 100 or 200.
pub fn config(pids: u32) -> Config {
    static READ: OnceLock<[Config; 2]> = OnceLock::new();
    let [few, many] = READ.get_or_init(|| [parse(100), parse(200)]);
    if pids == 100 { few } else { many }.clone()
}

fn parse(pids: u32) -> Config {
    let text = format!(
        "[engine]\nrelist_interval = \"5s\"\nmax_parallel = 3\n\
         [defaults]\nprofile = \"default\"\n\
         [profiles.default]\nimage = \"i\"\ncommand = [\"run\", \"command\"]\nmin_warm = 2\n\
         max_warm = 3\npids = {pids}\nready_timeout = \"10s\"\nstop_grace = \"2s\"\n\
         idle_timeout = \"20s\"\nmax_age = \"10m\"\n\
         [profiles.closed]\nimage = \"i\"\nmin_warm = 1\nmax_warm = 2\negress = \"none\"\n\
         ready_timeout = \"10s\"\n\
         [profiles.auto]\nimage = \"i\"\nmin_warm = 0\nmax_warm = 1\nrehome = \"auto\"\n\
         ready_timeout = \"10s\"\n"
    );
    crate::config::parse(Path::new("podbay.toml"), &text).unwrap()
}

/// What happened how often.
type Counts = BTreeMap<String, u64>;

/// One run of one seed; says what is wrong.
fn run(seed: u64, steps: u64) -> Result<Counts, String> {
    let (_dir, world) = world(seed);
    live(&world, steps);
    let inner = world.lock();
    if inner.wrong.is_empty() {
        return Ok(inner.counts.clone());
    }
    let log: Vec<&str> = inner.log.iter().map(String::as_str).collect();
    Err(format!(
        "{}\n\n{}\n\nafter {} steps; repeat with PODBAY_WORLD_SEED={seed} \
         PODBAY_WORLD_STEPS={steps} cargo nextest run -p coordinator daemon::tests",
        log.join("\n"),
        inner.wrong.join("\n"),
        inner.steps
    ))
}

fn world(seed: u64) -> (tempfile::TempDir, Arc<World>) {
    let parent = Some(Path::new("/dev/shm")).filter(|shm| shm.is_dir());
    let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
    let dir = tempfile::Builder::new()
        .prefix("w")
        .tempdir_in(parent)
        .unwrap();
    seccomp(dir.path());
    // Else it is made of the system's random numbers.
    let keys = dir.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::write(keys.join("claims.key"), [7; 32]).unwrap();
    let world = World::new(seed, dir.path());
    (dir, world)
}

/// Life after life, until there were so many steps or something is wrong.
fn live(world: &Arc<World>, steps: u64) {
    while world.lock().steps < steps && world.lock().wrong.is_empty() {
        let runtime = paused_runtime();
        runtime.block_on(life(world, steps));
        {
            // Still in this life's time.
            let _entered = runtime.enter();
            happenings::between_lives(world);
        }
        WALL.set(None);
        drop(runtime);
    }
}

/// Small lists: reading the real ones takes longer than all else.
fn seccomp(dir: &Path) {
    let folder = dir.join("seccomp");
    std::fs::create_dir(&folder).unwrap();
    for name in ["strict", "build", "nested-sandbox"] {
        let list = "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"syscalls\":[]}";
        std::fs::write(folder.join(format!("{name}.json")), list).unwrap();
    }
}

fn start(world: &Arc<World>) -> Arc<Daemon> {
    let (daemon, heard) = asleep(world);
    daemon.background("come up", daemon.clone().startup("agent".into(), heard));
    daemon
}

/// One that has not begun to work.
fn asleep(world: &Arc<World>) -> (Arc<Daemon>, tokio::sync::mpsc::Receiver<ConnectionEvent>) {
    let state_dir = StateDir::open(&world.dir).unwrap();
    let (notices, heard) = tokio::sync::mpsc::channel(1024);
    let reviews = MounterClient::connect(world.dir.join("run/mounter.sock"));
    let daemon = Daemon::new(DaemonParts {
        outside: Outside {
            engine: Arc::new(engine::FakeEngine(world.clone())),
            mounter: Arc::new(mounter::FakeMounter(world.clone())),
            reviews,
            guard: Arc::new(mounter::FakeGuard(world.clone())),
            store: Arc::new(mounter::FakeStore(world.clone(), state_dir.clone())),
            host: Arc::new(host::FakeHost(world.clone())),
        },
        registry: AgentRegistry::new(state_dir.join("workers"), notices),
        claim_key: ClaimKey::open(&state_dir).unwrap(),
        audit: AuditLog::open(state_dir.join("logs")).unwrap(),
        config: config(100),
        pull: PullPolicy::WhenNeeded,
        seed: world.lock().dice.next(),
        state_dir,
    });
    (daemon, heard)
}

fn paused_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
}

/// The world's time goes on.
fn begin_life(world: &World) {
    let mut inner = world.lock();
    inner.life.began = Some(Instant::now());
    WALL.set(Some((Instant::now(), inner.wall_ms)));
}

/// One life of the coordinator, from its start to its death.
async fn life(world: &Arc<World>, steps: u64) {
    begin_life(world);
    world.lock().step("the coordinator starts", "");
    let daemon = start(world);
    agent::resume(world);
    let mut people = People::new(world, &daemon);
    let mut quiet_at = world.lock().steps + STORM;
    pass(world, Duration::from_millis(50)).await;
    loop {
        let (act, wait) = {
            let inner = &mut *world.lock();
            if inner.down || !inner.wrong.is_empty() {
                break;
            }
            (inner.dice.chance(650), inner.dice.below(20))
        };
        if act {
            people.act();
        } else {
            happenings::happen(world);
        }
        let wait = {
            let dice = &mut world.lock().dice;
            match wait {
                0..=9 => dice.millis(0, 200),
                10..=18 => dice.millis(100, 3_000),
                _ if dice.chance(500) => dice.millis(1_000, 12_000),
                _ => dice.millis(5_000, 40_000),
            }
        };
        pass(world, wait).await;
        checks::always(world, &daemon);
        let over = world.lock().steps >= steps;
        if (world.lock().steps >= quiet_at || over) && !world.lock().down {
            quiet(world, &daemon, &mut people).await;
            quiet_at = world.lock().steps + STORM;
            if over || world.lock().dice.chance(300) {
                break;
            }
        }
    }
    daemon.stop();
}

/// Nothing fails for some minutes: then all must be as it is to be.
async fn quiet(world: &Arc<World>, daemon: &Arc<Daemon>, people: &mut People) {
    world.lock().step("a quiet time", "");
    happenings::heal(world);
    operations::resume_pools(daemon);
    pass(world, QUIET).await;
    checks::always(world, daemon);
    let unbroken = !world.lock().down;
    assert!(unbroken, "nothing kills a coordinator in a quiet time");
    checks::settled(world, daemon, people.wait());
    world.lock().calm = false;
}

/// Time passes, unless the coordinator dies.
async fn pass(world: &World, time: Duration) {
    tokio::select! {
        biased;
        () = world.crashed.notified() => {}
        () = sleep(time) => {}
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// One of the parts that run side by side: each has every fourth seed.
fn keeps_its_word(part: u64) {
    let steps = number("PODBAY_WORLD_STEPS");
    if let Some(seed) = number("PODBAY_WORLD_SEED") {
        if seed % PARTS == part {
            show(&run(seed, steps.unwrap_or(RUN)).unwrap_or_else(|wrong| panic!("{wrong}")));
        }
        return;
    }
    let seeds = steps.unwrap_or(STEPS).div_ceil(RUN);
    let mut all = Counts::new();
    for seed in (0..seeds).filter(|seed| seed % PARTS == part) {
        for (what, times) in run(seed, RUN).unwrap_or_else(|wrong| panic!("{wrong}")) {
            *all.entry(what).or_default() += times;
        }
    }
    show(&all);
    if seeds * RUN < STEPS {
        return;
    }
    let absent: Vec<String> = kinds()
        .into_iter()
        .filter(|kind| !all.contains_key(kind))
        .collect();
    assert!(absent.is_empty(), "never happened: {absent:?}");
}

#[test]
fn whatever_fails_the_coordinator_keeps_its_word() {
    keeps_its_word(0);
}

#[test]
fn whatever_people_do_the_coordinator_keeps_its_word() {
    keeps_its_word(1);
}

#[test]
fn whenever_it_dies_the_coordinator_keeps_its_word() {
    keeps_its_word(2);
}

#[test]
fn whoever_lies_the_coordinator_keeps_its_word() {
    keeps_its_word(3);
}

/// All that has to happen in a run that is worth something.
fn kinds() -> Vec<String> {
    let operations = operations::OPERATIONS.iter().map(|(_, what)| *what);
    let happenings = happenings::WHILE_IT_LIVES.iter().map(|(_, what)| *what);
    let outcomes = [
        "a warm claim",
        "a cold claim",
        "a claim that may run",
        "a claim that fails",
        "a restart that works",
        "a restart that fails",
        "a client goes away",
        "a quiet time",
        "agent describe very late",
        "fate store.write_claim fail",
        "fate store.write_claim crash",
        "fate store.write_finished crash",
    ];
    let all = operations
        .chain(happenings)
        .chain(happenings::MEANWHILE)
        .chain(outcomes);
    let mut all: Vec<String> = all.map(str::to_owned).collect();
    for call in [
        "creating a container",
        "removing a container",
        "mounter.mount",
        "guard.order",
    ] {
        for fate in ["fail", "lost", "crash before", "crash after"] {
            all.push(format!("fate {call} {fate}"));
        }
    }
    for fate in [
        "drop before",
        "drop after",
        "late",
        "answered late",
        "crash after",
    ] {
        all.push(format!("agent start {fate}"));
    }
    all
}

fn show(counts: &Counts) {
    for (what, times) in counts {
        println!("{times:>8} {what}");
    }
}
