//! Rows 11 and 12: the parent is started again, or removed and made again.
//!
//! A running worker keeps its processes and loses its network. What must hold: it is noticed, warm
//! workers are replaced, and claimed ones come back as their profile says, with all they had.

use crate::process::kit::{Who, order};
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    measured,
    project::Project,
    promised, unique, wait,
};
use std::{
    fmt::Write,
    time::{Duration, Instant},
};

/// A profile with a policy.
fn profile(name: &str, min_warm: u32, rest: &str) -> String {
    let mut text = instance::profile(name, &instance::worker_image(), min_warm, 8);
    writeln!(text, "{rest}").unwrap();
    text
}

fn logs(instance: &Instance, args: &[&str]) -> String {
    let output = instance.direct(["logs"].iter().chain(args)).output();
    text(&output.expect("running podbay").stdout)
}

fn wait_logs(instance: &Instance, args: &[&str], needle: &str) {
    wait::until_true(&format!("{needle:?} from {args:?}"), SLOW, || {
        logs(instance, args).contains(needle)
    });
}

/// Inode of the network namespace of a worker's first process, and of the parent's.
fn networks(instance: &Instance, name: &str) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let of = |container: &str| {
        let pid = engine::docker(&["inspect", "-f", "{{.State.Pid}}", container]);
        std::fs::metadata(format!("/proc/{pid}/ns/net")).map_or(0, |m| m.ino())
    };
    let worker = instance.worker(name).expect("a worker");
    (
        of(worker["container"].as_str().unwrap()),
        of(&instance.name),
    )
}

/// Runs for ever, saying what it was started with and in which run.
const SCRIPT: &str = "echo run-$(cat ~/runs 2>/dev/null | wc -l) of $GIVEN in $(pwd); \
                      echo x >> ~/runs; echo changed >> hello.txt; sleep 1000";

fn spawn(instance: &Instance, name: &str, profile: &str, isolation: &str, project: &str) {
    let mut args = vec!["spawn", "-d", "-n", name, "-p", profile, "-e", "GIVEN=kept"];
    args.extend([
        "--isolation",
        isolation,
        project,
        "--",
        "bash",
        "-c",
        SCRIPT,
    ]);
    instance.ok(args);
    wait_logs(instance, &[name], "run-0 of kept in /workspace");
}

fn is_lost(instance: &Instance, name: &str) -> bool {
    instance.worker(name).is_some_and(|w| {
        w["state"] == "lost" && w["why"].as_str().is_some_and(|w| w.contains("network"))
    })
}

#[test]
fn row_11_after_a_restart_of_the_parent_workers_come_back_as_their_profile_says() {
    let config = profile("default", 6, "rehome = \"ask\"")
        + &profile("auto", 0, "rehome = \"auto\"")
        + &profile("never", 0, "rehome = \"never\"")
        + &profile(
            "resumes",
            0,
            "rehome = \"auto\"\nresume = [\"bash\", \"-c\", \"echo resumed with $GIVEN; sleep 1000\"]",
        );
    let instance = Instance::start(&config);
    let project = Project::new();
    let folder = project.text();
    spawn(&instance, "ask", "default", "overlay", &folder);
    spawn(&instance, "auto", "auto", "overlay", &folder);
    spawn(&instance, "never", "never", "overlay", &folder);
    spawn(&instance, "resumes", "resumes", "overlay", &folder);
    instance.wait_warm("default", 6);
    let warm = instance.warm();

    engine::docker(&["restart", "-t", "5", &instance.name]);
    let began = Instant::now();
    wait::until_true("the coordinator to answer", SLOW, || {
        !instance.workers().is_empty()
    });
    let answers = began.elapsed();
    wait::until_true("the loss to be noticed", SLOW, || {
        is_lost(&instance, "ask") && is_lost(&instance, "never")
    });
    let noticed = began.elapsed();
    for name in ["auto", "resumes"] {
        wait::until_true("it to come back by itself", SLOW, || {
            instance
                .worker(name)
                .is_some_and(|w| w["state"] == "running" && w["restarts"] == 1)
        });
    }
    wait::until_true("a pool of workers with a network", SLOW, || {
        let now = instance.warm();
        now.len() == 6 && now.iter().all(|id| !warm.contains(id))
    });
    let joined = began.elapsed();
    measured(
        11,
        format!(
            "from the parent's restart: API {answers:.1?}, loss shown {noticed:.1?}, 6 warm and 2 claimed joined {joined:.1?}"
        ),
    );
    promised("loss shown", noticed, Duration::from_secs(4));
    promised("joined again", joined, Duration::from_secs(15));

    // The environment, the home and the changes are there again; the former screen is readable.
    wait_logs(&instance, &["auto"], "run-1 of kept in /workspace");
    assert!(logs(&instance, &["--previous", "auto"]).contains("run-0 of kept"));
    wait_logs(&instance, &["resumes"], "resumed with kept");
    for name in ["auto", "resumes"] {
        let (own, parents) = networks(&instance, name);
        assert_eq!(own, parents, "{name} has another network than the parent");
    }
    let diff = instance.ok(["diff", "auto"]);
    assert_eq!(diff.matches("+changed").count(), 2, "{diff}");
    assert!(!project.read("hello.txt").unwrap().contains("changed"));

    // The one that asks moves when it is told to, the one that never does says so.
    let (own, parents) = networks(&instance, "ask");
    assert_ne!(own, parents);
    instance.ok(["restart", "ask"]);
    wait_logs(&instance, &["ask"], "run-1 of kept in /workspace");
    let refused = instance.run(["restart", "never"]);
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("rehome"), "{refused:?}");
    assert!(is_lost(&instance, "never"));
    instance.ok(["stop", "--all"]);
}

#[test]
fn row_12_after_the_parent_was_made_again_workspaces_homes_and_names_are_kept() {
    let config = profile("default", 2, "rehome = \"auto\"");
    let instance = Instance::start(&config);
    let project = Project::new();
    let folder = project.text();
    let bound = Project::new();
    spawn(&instance, "over", "default", "overlay", &folder);
    spawn(&instance, "bind", "default", "bind", &bound.text());
    instance.wait_warm("default", 2);
    let warm = instance.warm();
    engine::docker(&["rm", "-f", &instance.name]);
    let began = Instant::now();
    let again = instance.up(&[]);
    assert!(again.status.success(), "{}", text(&again.stderr));
    for name in ["over", "bind"] {
        wait::until_true("it to come back by itself", SLOW, || {
            instance
                .worker(name)
                .is_some_and(|w| w["state"] == "running" && w["restarts"] == 1)
        });
        wait_logs(&instance, &[name], "run-1 of kept in /workspace");
        let (own, parents) = networks(&instance, name);
        assert_eq!(own, parents, "{name} has another network than the parent");
    }
    wait::until_true("a pool of workers with a network", SLOW, || {
        let now = instance.warm();
        now.len() == 2 && now.iter().all(|id| !warm.contains(id))
    });
    measured(
        12,
        format!(
            "2 claimed and 2 warm workers re-created {:.1?} after `up` began",
            began.elapsed()
        ),
    );
    assert_eq!(
        bound.read("hello.txt").unwrap().matches("changed").count(),
        2
    );
    let diff = instance.ok(["diff", "over"]);
    assert_eq!(diff.matches("+changed").count(), 2, "{diff}");
    assert_eq!(engine::containers(&instance.name, "worker").len(), 4);
    instance.ok(["stop", "--all"]);
}

/// Failpoints of the move.
pub const MOVES: [&str; 2] = ["recreate.container.gone", "recreate.started"];

/// Uids of all workers' containers, by their labels.
fn uids(instance: &Instance) -> Vec<String> {
    let format = "{{index .Config.Labels \"dev.podbay.uid\"}}";
    let containers = engine::containers(&instance.name, "worker");
    let of = |id: &String| engine::docker(&["inspect", "-f", format, id]);
    containers.iter().map(of).collect()
}

fn all_differ(instance: &Instance) {
    let mut found = uids(instance);
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), count, "two containers have one uid: {found:?}");
}

/// A coordinator that dies at any point of the move leaves a worker that a restart brings back. The
/// pool is filled again meanwhile, and no two containers have one uid.
#[test]
fn row_12_a_move_that_is_cut_short_is_taken_up_again() {
    let config = profile("default", 4, "rehome = \"ask\"");
    let image = instance::faults_image();
    let instance = Instance::start_of(&config, &image);
    let project = Project::new();
    for (n, point) in MOVES.iter().enumerate() {
        let name = unique("move");
        spawn(&instance, &name, "default", "overlay", &project.text());
        engine::docker(&["restart", "-t", "5", &instance.name]);
        wait::until_true("the loss to be noticed", SLOW, || is_lost(&instance, &name));
        instance.wait_warm("default", 4);
        // The next coordinator does not know of the pause: it fills the pool as it comes up.
        instance.ok(["pool", "pause"]);
        for container in instance.warm() {
            engine::docker(&["rm", "-f", &container]);
        }
        order(&instance, Who::Coordinator, &format!("{point}=return"));
        // It is read at the point itself, or at one before it.
        let cut = instance.run(["restart", &name]);
        assert!(!cut.status.success(), "{point} was not reached: {cut:?}");
        if n == 0 {
            wait::until_true("it to be lost", SLOW, || {
                instance.worker(&name).is_some_and(|w| w["state"] == "lost")
            });
            instance.wait_warm("default", 4);
            instance.ok(["restart", &name]);
        }
        wait::until_true("it to run", SLOW, || {
            instance
                .worker(&name)
                .is_some_and(|w| w["state"] == "running")
        });
        wait_logs(&instance, &[&name], "run-1 of");
        instance.wait_warm("default", 4);
        all_differ(&instance);
        let diff = instance.ok(["diff", &name]);
        assert_eq!(diff.matches("+changed").count(), 2, "{diff}");
        instance.ok(["stop", &name]);
    }
}

/// An image of the parent whose coordinator is another file that does the same.
fn another_version(instance: &Instance) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("podbay");
    let mut content = std::fs::read(e2e::podbay()).unwrap();
    // What follows an executable's last section is not looked at.
    content.extend_from_slice(instance.name.as_bytes());
    std::fs::write(&file, content).unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let tag = format!("podbay/parent:{}", instance.name);
    let made = engine::docker(&["create", &instance::parent_image()]);
    engine::docker(&[
        "cp",
        &file.to_string_lossy(),
        &format!("{made}:/bin/podbay"),
    ]);
    engine::docker(&["commit", &made, &tag]);
    engine::docker(&["rm", &made]);
    tag
}

struct Untag(String);

impl Drop for Untag {
    fn drop(&mut self) {
        drop(engine::try_docker(&["rmi", "-f", &self.0]));
    }
}

#[test]
fn row_10_another_version_of_the_coordinator_leaves_sessions_network_and_clients_alone() {
    let instance = Instance::start(&instance::config(2, 3));
    let tag = Untag(another_version(&instance));
    let count = "i=0; while :; do echo n-$((i+=1)); sleep 0.05; done";
    instance.session("counts", &["bash", "-c", count]);
    let session = instance.worker("counts").unwrap();
    let before = instance.coordinator().expect("a coordinator");
    let client = instance.terminal(&["attach", "counts"], 80, 24);
    client.wait_for("n-");
    let warm = instance.warm();
    let parent = engine::docker(&["inspect", "-f", "{{.State.StartedAt}}", &instance.name]);

    let refused = instance.run(["upgrade", &instance::worker_image()]);
    assert!(!refused.status.success());
    assert_eq!(
        instance.coordinator(),
        Some(before),
        "nothing was to happen"
    );

    let began = Instant::now();
    let upgraded = instance.run(["upgrade", &tag.0]);
    assert!(upgraded.status.success(), "{}", text(&upgraded.stderr));
    let in_force = began.elapsed();
    let after = instance.coordinator().expect("a coordinator");
    assert_ne!(after, before);
    // The client carries on by itself, in the same session, without a gap in the record of it.
    let mark = logs(&instance, &["counts"])
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned();
    let number: u64 = mark.trim().trim_start_matches("n-").parse().unwrap_or(0);
    client.wait_for(&format!("n-{}", number + 40));
    let now = instance.worker("counts").unwrap();
    assert_eq!(now["pid"], session["pid"]);
    assert_eq!(now["container"], session["container"]);
    let all = logs(&instance, &["counts"]);
    let numbers: Vec<u64> = all
        .lines()
        .filter_map(|line| line.trim().strip_prefix("n-")?.parse().ok())
        .collect();
    let gaps = numbers
        .windows(2)
        .filter(|pair| pair[1] != pair[0] + 1)
        .count();
    assert_eq!(gaps, 0, "numbers are missing");
    assert_eq!(
        engine::docker(&["inspect", "-f", "{{.State.StartedAt}}", &instance.name]),
        parent
    );
    // Warm workers are of the former agent: they serve until their successors are there.
    wait::until_true("a full pool", SLOW, || instance.warm().len() == 2);
    measured(
        10,
        format!(
            "in force {in_force:.1?} after the command; {} numbers of a session and 0 missing; {} of 2 warm workers kept",
            numbers.len(),
            instance
                .warm()
                .iter()
                .filter(|id| warm.contains(id))
                .count(),
        ),
    );
    let again = instance.run(["upgrade", &tag.0]);
    assert!(
        text(&again.stderr).contains("in force already"),
        "{again:?}"
    );
    // The coordinator's death does not take the upgrade back.
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(after),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    wait::until_true("the same version again", SLOW, || {
        instance
            .ask(["status", "--json"])
            .is_some_and(|s| s["binary"] == running(&instance))
    });
    instance.ok(["stop", "counts"]);
}

/// Name of the binary that the state volume says is in force.
fn running(instance: &Instance) -> String {
    let text = std::fs::read_to_string(instance.state().join("bin/upgrade.json")).unwrap();
    let upgrade: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(upgrade["confirmed"], true, "{upgrade}");
    upgrade["podbay"].as_str().unwrap().to_owned()
}
