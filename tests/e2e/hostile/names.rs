//! What a session leaves in its folders so that looking at them harms somebody else: the mounter of
//! all workers, or claims made meanwhile.

use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    wait,
};
use std::{
    fs,
    path::PathBuf,
    process::{Child, Output, Stdio},
    time::Duration,
};

/// The most memory of the mounter, in kB.
const MAX_MOUNTER_KB: u64 = 96 << 10;
/// Bound for a folder that takes long to make.
const LONG: Duration = Duration::from_secs(240);

/// The mounter of an instance, as it was before an attack.
struct Mounter<'a> {
    instance: &'a Instance,
    pid: i32,
}

impl<'a> Mounter<'a> {
    fn of(instance: &'a Instance) -> Self {
        Self {
            instance,
            pid: Self::pid(instance),
        }
    }

    fn pid(instance: &Instance) -> i32 {
        let container = engine::containers(&instance.name, "mounter").concat();
        let pid = engine::docker(&["inspect", "-f", "{{.State.Pid}}", &container]);
        pid.trim().parse().unwrap()
    }

    /// It is the one that was there, and never took much memory.
    fn is_unharmed(&self, after: &str) {
        assert_eq!(
            Self::pid(self.instance),
            self.pid,
            "another mounter after {after}"
        );
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak: u64 = peak
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        println!("{after}: mounter's peak {peak} kB");
        assert!(peak < MAX_MOUNTER_KB, "{peak} kB after {after}");
    }
}

fn attack(instance: &Instance, name: &str, project: &Project, script: &str) {
    instance.overlay_session(name, project, &["bash", "-c", script]);
    wait::until_true("the attack to be made", LONG, || {
        text(&instance.direct(["logs", name]).output().unwrap().stdout).contains("made")
    });
}

/// Claims a worker with a project, warm, and lets it go.
fn claim(instance: &Instance, name: &str, project: &Project) {
    instance.wait_warm("default", 2);
    let folder = project.text();
    let args = ["spawn", "-n", name, &folder, "--", "cat", "hello.txt"];
    let output = instance.direct(args).output().unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success() && out.contains("hello"),
        "{out}{err}"
    );
    assert!(!err.contains("cold start"), "{err}");
}

/// Where the session's files are. They are put there from outside: in a worker of the tests' size it
/// takes minutes to make so many.
fn upper(instance: &Instance, name: &str) -> PathBuf {
    let worker = instance.worker(name).unwrap();
    let id = worker["id"].as_str().unwrap();
    instance
        .state()
        .join("workers")
        .join(id)
        .join("changes/upper")
}

fn begin(instance: &Instance, args: &[&str]) -> Child {
    let mut command = instance.direct(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

fn ended(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

#[test]
fn six_hundred_thousand_long_names_cost_one_request_and_no_claim() {
    let instance = Instance::start(&instance::config(2, 3));
    let (project, other) = (Project::new(), Project::new());
    let mounter = Mounter::of(&instance);
    // It prints, so it is counted again and again.
    attack(
        &instance,
        "names",
        &project,
        "mkdir d; echo made; while sleep 1; do echo on; done",
    );
    let folder = upper(&instance, "names").join("d");
    let long = "x".repeat(241);
    let mut first = PathBuf::new();
    for n in 0..600_000 {
        let file = folder.join(format!("{long}{n:06}"));
        // A file system takes 65,000 names of one file.
        if n % 50_000 == 0 {
            fs::File::create(&file).unwrap();
            first = file;
        } else {
            fs::hard_link(&first, file).unwrap();
        }
    }
    wait::until_true("the session to be counted, in vain", LONG, || {
        let worker = instance.worker("names").unwrap();
        worker["changes"].is_null() && worker["activity"]["state"] == "working"
    });
    mounter.is_unharmed("600,000 names, counted while they were made");

    // Two reviews at once, and a claim meanwhile.
    let reviews = [
        begin(&instance, &["diff", "--json", "names"]),
        begin(&instance, &["diff", "--stat", "names"]),
    ];
    claim(&instance, "beside", &other);
    let [diff, stat] = reviews.map(ended);
    mounter.is_unharmed("two reviews at once");
    assert_eq!(diff.status.code(), Some(1), "{}", text(&diff.stderr));
    assert!(
        text(&diff.stderr).contains("not all of them"),
        "{}",
        text(&diff.stderr)
    );
    let said = text(&stat.stdout);
    // On a slow machine it counts for a minute, and says so.
    let counted = said.contains("d/  600001 changed") || said.contains("at least ");
    assert!(stat.status.success() && counted, "{said}");

    // Discarded while it runs, then removed with all it has.
    instance.ok(["discard", "-y", "names"]);
    assert_eq!(instance.ok(["diff", "--name-only", "names", "d"]), "");
    mounter.is_unharmed("a discard of all while it runs");
    let id = instance.worker("names").unwrap()["id"].clone();
    instance.ok(["rm", "--force", "names"]);
    let folder = instance.state().join("workers").join(id.as_str().unwrap());
    wait::until_true("its folder to go", LONG, || !folder.exists());
    mounter.is_unharmed("its removal");
}

#[test]
fn many_and_deep_folders_are_reviewed_and_removed() {
    let instance = Instance::start(&instance::config(2, 3));
    let project = Project::new();
    let mounter = Mounter::of(&instance);
    let script = "mkdir wide; perl -e 'for (1..2000) { mkdir \"d\"; chdir \"d\" or die $! } \
                  print \"made\\n\"'; sleep 1000";
    attack(&instance, "trees", &project, script);
    let (folder, long) = (upper(&instance, "trees").join("wide"), "y".repeat(200));
    for n in 0..60_000 {
        fs::create_dir(folder.join(format!("{long}{n}"))).unwrap();
    }
    let sums = instance.json(["diff", "--stat", "--json", "trees"]);
    let folders = sums[0]["folders"].as_array().unwrap();
    let wide = folders.iter().find(|row| row["path"] == "wide").unwrap();
    assert_eq!(wide["changes"], 60_001);
    assert!(
        !instance
            .ok(["diff", "--name-only", "trees", "d"])
            .is_empty()
    );
    mounter.is_unharmed("reviews of many and deep folders");
    instance.ok(["stop", "--grace", "0s", "trees"]);
    instance.ok(["discard", "trees", "d", "wide"]);
    assert_eq!(instance.ok(["diff", "--name-only", "trees"]), "");
    mounter.is_unharmed("their discard");
    instance.ok(["rm", "trees"]);
}

#[test]
fn a_flood_of_reviews_is_answered_as_busy_and_claims_go_on() {
    let instance = Instance::start(&instance::config(2, 3));
    let (project, other) = (Project::new(), Project::new());
    let mounter = Mounter::of(&instance);
    // Every look at these compares 8 GB with the project's own.
    for n in 0..8 {
        let name = format!("big{n}");
        project.write(&name, "");
        let file = fs::File::options()
            .write(true)
            .open(project.path().join(name));
        file.unwrap().set_len(1 << 30).unwrap();
    }
    let script = "for f in big*; do chmod +x $f; chmod -x $f; done; echo made; sleep 1000";
    attack(&instance, "slow", &project, script);
    let flood: Vec<Child> = (0..80)
        .map(|_| begin(&instance, &["diff", "slow"]))
        .collect();
    wait::until_true("reviews to run", SLOW, || {
        !processes::children(mounter.pid).is_empty()
    });
    claim(&instance, "beside", &other);
    // All but those that run and wait are told so at once.
    let mut flood = flood;
    let mut busy = Vec::new();
    wait::until_true("the others to be refused", SLOW, || {
        let (over, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut flood).into_iter().partition_map_ended();
        busy.extend(over);
        flood = left;
        busy.len() >= 60
    });
    for output in busy {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("reviews") && said.contains("try again"),
            "{said}"
        );
    }
    // Those that are given up leave the queue, and the next one is served.
    for mut review in flood {
        review.kill().unwrap();
        review.wait().unwrap();
    }
    instance.ok(["diff", "--name-only", "slow", "src"]);
    mounter.is_unharmed("a flood of reviews");
}

/// Children that ended, with what they said, and those that did not.
trait PartitionEnded {
    fn partition_map_ended(self) -> (Vec<Output>, Vec<Child>);
}

impl<I: Iterator<Item = Child>> PartitionEnded for I {
    fn partition_map_ended(self) -> (Vec<Output>, Vec<Child>) {
        let (mut over, mut left) = (Vec::new(), Vec::new());
        for mut child in self {
            match child.try_wait().unwrap() {
                Some(_) => over.push(ended(child)),
                None => left.push(child),
            }
        }
        (over, left)
    }
}

#[test]
fn folders_that_change_while_they_are_read_lead_nowhere() {
    let instance = Instance::start(&instance::config(2, 3));
    let (project, other) = (Project::new(), Project::new());
    let mounter = Mounter::of(&instance);
    other.write("secret.txt", "victim's own words\n");
    let target = other.text();
    // A folder and a link that leads out take each other's place, and files come and go.
    let script = format!(
        "mkdir a; echo mine > a/secret.txt; ln -s '{target}' l; echo made; \
         while :; do mv a b; mv l a; mv a l; mv b a; touch a/n; rm a/n; done"
    );
    attack(&instance, "swaps", &project, &script);
    for _ in 0..25 {
        let output = instance.run(["diff", "swaps"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(!said.contains("victim's own words"), "{said}");
        instance.ok(["diff", "--stat", "swaps"]);
    }
    instance.run(["apply", "--force", "swaps"]);
    assert_eq!(
        other.read("secret.txt").as_deref(),
        Some("victim's own words\n")
    );
    instance.run(["discard", "-y", "swaps"]);
    assert_eq!(
        other.read("secret.txt").as_deref(),
        Some("victim's own words\n")
    );
    mounter.is_unharmed("swaps");
}
