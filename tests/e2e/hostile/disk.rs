//! What a session keeps on the state volume, which all workers share: more than its profile allows,
//! hidden where it is hard to find, and until the volume is full.

use e2e::{
    instance::{self, Instance, SLOW, spawn, text},
    loopfs::{LoopFs, fill_to, make_room},
    processes,
    project::Project,
    wait,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{fs, path::Path};

/// Says how it is doing in its home, ten times a second.
const TICKS: &str = "n=0; while :; do n=$((n + 1)); echo $n >\"$HOME/tick\"; sleep 0.1; done";

fn on(disk: &LoopFs, config: &str) -> Instance {
    let instance = Instance::prepare_on(e2e::engine::Engine::default(), Some(&disk.path()), config);
    instance.up_or_panic(&[], &[]);
    instance
}

fn why(instance: &Instance, name: &str) -> String {
    let worker = instance.worker(name).unwrap_or_default();
    worker["why"].as_str().unwrap_or_default().to_owned()
}

/// Whether the engine says that a worker's container is paused.
fn is_paused(instance: &Instance, worker: &Value) -> bool {
    let container = worker["container"].as_str().expect("a container");
    let format = "{{.State.Status}}";
    let said = instance
        .engine
        .try_docker(&["inspect", "-f", format, container]);
    text(&said.stdout).trim() == "paused"
}

/// Waits until a worker is paused, and gives it as it is then.
fn wait_paused(instance: &Instance, name: &str, reason: &str) -> Value {
    wait::until(&format!("{name} to be paused"), SLOW, || {
        let worker = instance.worker(name)?;
        assert_eq!(worker["state"], "running", "{worker}");
        let told = worker["why"]
            .as_str()
            .is_some_and(|why| why.contains(reason));
        (told && is_paused(instance, &worker)).then_some(worker)
    })
}

fn tick(disk: &LoopFs, worker: &Value) -> u64 {
    let id = worker["id"].as_str().expect("an id");
    let file = disk.path().join("workers").join(id).join("home/tick");
    let text = fs::read_to_string(file).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

fn wait_ticking(disk: &LoopFs, worker: &Value) {
    let from = tick(disk, worker);
    wait::until_true("the session to go on", SLOW, || {
        tick(disk, worker) > from + 2
    });
}

fn overlay(instance: &Instance, name: &str, project: &Project, script: &str) {
    instance.overlay_session(name, project, &["bash", "-c", script]);
}

/// A new configuration, and the signal that has it read.
fn reload(instance: &Instance, config: &str) {
    fs::write(instance.config_file(), config).expect("writing the configuration");
    let coordinator = instance.coordinator().expect("a coordinator");
    processes::signal(coordinator, Signal::SIGHUP);
}

fn free(folder: &Path) -> u64 {
    let volume = nix::sys::statvfs::statvfs(folder).expect("a file system");
    volume.blocks_available() * volume.fragment_size()
}

#[test]
fn what_is_kept_above_the_limit_is_found_and_has_its_worker_paused_alone() {
    let disk = LoopFs::new(2_048);
    let config = |disk: &str| instance::config(2, 4) + &format!("disk = {disk:?}\n");
    let instance = on(&disk, &config("64m"));
    instance.wait_warm("default", 2);
    // As large as it looks to whoever does not know of holes and links: it is left alone.
    let innocent = "truncate -s 1T \"$HOME/hole\"; dd if=/dev/zero of=\"$HOME/one\" bs=1M count=20 \
                    status=none; for n in 1 2 3 4 5 6 7 8; do ln \"$HOME/one\" \"$HOME/n$n\"; done; ";
    instance.session("innocent", &["bash", "-c", &format!("{innocent}{TICKS}")]);
    let innocent = instance.wait_state("innocent", "running");
    // In a folder that nobody may enter, below a hundred others.
    let hoard = "cd \"$HOME\"; for n in $(seq 100); do mkdir -p d; cd d; done; dd if=/dev/zero \
                 of=big bs=1M count=200 status=none; chmod 0 .; cd /; ";
    instance.session("hoarder", &["bash", "-c", &format!("{hoard}{TICKS}")]);
    // In files that are in no folder any more.
    let ghost = |file: &str| {
        format!(
            "exec 3>{file}; rm {file}; dd if=/dev/zero bs=1M count=200 status=none >&3; {TICKS}"
        )
    };
    instance.session("ghost", &["bash", "-c", &ghost("\"$HOME/gone\"")]);
    let project = Project::new();
    overlay(&instance, "wraith", &project, &ghost("/workspace/gone"));
    let changer = "trap 'echo bye >/workspace/bye; exit 0' TERM; dd if=/dev/zero \
                   of=/workspace/big bs=1M count=200 status=none; ";
    overlay(&instance, "changer", &project, &format!("{changer}{TICKS}"));
    let allowed = "of the 64.0 MiB that profile default allows (disk)";
    let hoarder = wait_paused(&instance, "hoarder", allowed);
    let changer = wait_paused(&instance, "changer", allowed);
    let ghost = wait_paused(&instance, "ghost", allowed);
    let wraith = wait_paused(&instance, "wraith", allowed);
    for worker in [&hoarder, &changer, &ghost, &wraith] {
        let told = worker["paused"].as_str().unwrap();
        assert!(told.ends_with(allowed), "{told}");
        assert!(why(&instance, worker["name"].as_str().unwrap()).contains("raise `disk`"));
    }
    let listed = instance.ok(["ls"]);
    let row = listed.lines().find(|line| line.starts_with("hoarder"));
    assert!(row.is_some_and(|row| row.contains("paused")), "{listed}");
    // It is told to whoever wants something of it, at once.
    for args in [
        &["exec", "hoarder", "true"][..],
        &["attach", "hoarder"],
        &["restart", "hoarder"],
    ] {
        let output = instance.run(args);
        let said = text(&output.stderr);
        assert!(!output.status.success(), "{args:?}");
        assert!(
            said.contains("paused: it uses") && said.contains("SIGHUP"),
            "{args:?}: {said}"
        );
    }
    let warnings = instance.json(["status", "--json"])["warnings"].to_string();
    assert!(
        warnings.contains("4 of the workers are paused"),
        "{warnings}"
    );
    let audit = instance.ok(["audit", "--json"]);
    assert!(
        audit.contains("\"pause\"") && audit.contains("hoarder"),
        "{audit}"
    );
    // What it changed can be reviewed.
    let diff = instance.ok(["diff", "changer", "--json"]);
    assert!(diff.contains("big"), "{diff}");
    // Others go on, and new ones are served.
    wait_ticking(&disk, &innocent);
    assert_eq!(why(&instance, "innocent"), "");
    assert_eq!(
        instance.ok(spawn("after", &[], &["echo", "served"])).trim(),
        "served"
    );
    // The next coordinator neither lets it go on nor takes it for lost.
    let before = (tick(&disk, &hoarder), instance.coordinator());
    processes::signal(before.1.expect("a coordinator"), Signal::SIGKILL);
    wait::until_true("another coordinator", SLOW, || {
        let now = instance.coordinator();
        now.is_some() && now != before.1
    });
    for name in ["hoarder", "changer"] {
        wait_paused(&instance, name, allowed);
    }
    wait_ticking(&disk, &innocent);
    assert_eq!(tick(&disk, &hoarder), before.0, "it went on meanwhile");
    // A stop has it end as it would have.
    instance.ok(["stop", "changer"]);
    let left = instance.ok(["diff", "changer", "--json"]);
    assert!(left.contains("bye"), "it was not asked to stop: {left}");
    instance.ok(["discard", "changer", "--force"]);
    // A raised limit lets it go on, where it was.
    reload(&instance, &config("1g"));
    wait::until_true("the hoarder to go on", SLOW, || {
        why(&instance, "hoarder").is_empty() && tick(&disk, &hoarder) > before.0
    });
    let now = instance.wait_state("hoarder", "running");
    assert_eq!(
        (&now["pid"], &now["session"]),
        (&hoarder["pid"], &hoarder["session"])
    );
    assert_eq!(
        instance.ok(["exec", "hoarder", "echo", "here"]).trim(),
        "here"
    );
    let audit = instance.ok(["audit", "--json"]);
    assert!(audit.contains("\"resume\""), "{audit}");
}

#[test]
fn who_fills_the_volume_is_paused_before_it_is_full_and_goes_on_when_there_is_room() {
    let disk = LoopFs::new(1_024);
    let instance = on(&disk, &instance::config(2, 4));
    instance.wait_warm("default", 2);
    instance.session("bystander", &["bash", "-c", TICKS]);
    let bystander = instance.wait_state("bystander", "running");
    // Somebody else's, so that it does not take long.
    fill_to(&disk.path(), 500 << 20);
    let fills = "for n in $(seq 150); do dd if=/dev/zero of=\"$HOME/$n\" bs=1M count=4 status=none; \
                 sleep 0.1; done; ";
    instance.session("filler", &["bash", "-c", &format!("{fills}{TICKS}")]);
    let filler = wait_paused(&instance, "filler", "the state volume is nearly full");
    let left = free(&disk.path());
    println!("{} MiB were left when it was paused", left >> 20);
    assert!(left > 16 << 20, "{left} bytes were left");
    // There is room for others, and for what is kept of them.
    instance.session("later", &["bash", "-c", TICKS]);
    let later = instance.wait_state("later", "running");
    wait_ticking(&disk, &later);
    wait_ticking(&disk, &bystander);
    let id = later["id"].as_str().unwrap();
    let record = disk.path().join("workers").join(id).join("worker.json");
    wait::until_true("the claim's record", SLOW, || {
        let text = fs::read(&record).unwrap_or_default();
        serde_json::from_slice::<Value>(&text).is_ok()
    });
    for name in ["bystander", "later"] {
        assert_eq!(why(&instance, name), "", "{name}");
    }
    make_room(&disk.path());
    wait::until_true("it to go on to its end", 2 * SLOW, || {
        why(&instance, "filler").is_empty() && tick(&disk, &filler) > 2
    });
    let now = instance.wait_state("filler", "running");
    assert_eq!(now["pid"], filler["pid"]);
}
