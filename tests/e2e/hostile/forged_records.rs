//! A record of its own claim that a root session forges: it leads to no other folder and no other limits.

use super::boundary::{field, folder, script};
use e2e::{
    engine,
    instance::{self, Instance, SLOW, text},
    processes,
    project::Project,
    wait,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::MetadataExt,
    process::{Child, Stdio},
};

/// Describes its worker as a file says.
const DESCRIBER: &str = r#"
while (1) {
    my $s = control() or do { nap(0.02); next };
    receive($s) // next;
    my $netns = (stat '/proc/self/ns/net')[1];
    while (defined(my $request = receive($s))) {
        my ($id) = $request =~ /"id":(\d+)/ or last;
        my $reply = '{"reply":"done"}';
        if ($request =~ /"op":"describe"/) {
            my $session = slurp('/.podbay/log/forged');
            $reply = qq({"reply":"described","worker":"$own","build":"0","uptime_ms":1,"netns":$netns,"workspace_dev":1,"workspace_ino":1,"workspace_mounted":true,"sessions":[$session],"readings":{}});
        }
        defined syswrite($s, frame(qq({"kind":"response","id":$id,"result":{"Ok":$reply}}))) or last;
    }
}
"#;

/// A copy-on-write worker whose agent sleeps, and a root session that speaks for it.
struct Forgery<'a> {
    instance: &'a Instance,
    worker: Value,
    client: Child,
}

impl<'a> Forgery<'a> {
    fn start(instance: &'a Instance, project: &Project, claim: impl FnOnce(&mut Value)) -> Self {
        let makes = "mkdir .ssh; echo key > .ssh/authorized_keys; echo made; sleep 1000";
        let args = ["spawn", "-d", "-n", "forge", "--isolation", "overlay"];
        instance.ok(args
            .into_iter()
            .chain([project.text().as_str(), "--", "sh", "-c", makes]));
        let worker = instance.wait_state("forge", "running");
        let own = folder(instance, &worker);
        wait::until_true("the changes and the record", SLOW, || {
            own.join("changes/upper/.ssh/authorized_keys").exists()
                && own.join("worker.json").exists()
        });
        let record = fs::read(own.join("worker.json")).unwrap();
        let mut record: Value = serde_json::from_slice(&record).unwrap();
        let session = record["session"].clone();
        claim(&mut record);
        let described = json!({
            "session": session, "argv": ["x"], "pid": 5, "started_ms": 1, "primary": true,
            "size": null, "title": "", "clients": 0, "output_bytes": 0, "exit": null,
            "activity": { "state": "idle", "why": "", "seq": 1, "since_ms": 1 },
            "recording": null, "claim": record,
        });
        fs::write(own.join("log/forged"), described.to_string()).unwrap();
        let id = field(&worker, "id");
        let client = instance
            .direct([
                "exec",
                "--root",
                "forge",
                "perl",
                "-e",
                &script(DESCRIBER),
                &id,
            ])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        // It speaks once the agent's own connection is replaced; then the agent sleeps, as one that
        // is slow to dial would.
        let marked = || {
            let all = processes::all().into_iter();
            all.filter(|pid| processes::argv(*pid).last() == Some(&id))
                .count()
        };
        wait::until_true("the script to run", SLOW, || marked() > 1);
        let container = field(&worker, "container");
        let pid = engine::docker(&["inspect", "-f", "{{.State.Pid}}", &container]);
        assert!(processes::signal(
            pid.trim().parse().unwrap(),
            Signal::SIGSTOP
        ));
        Self {
            instance,
            worker,
            client,
        }
    }

    /// The coordinator dies without these files of the worker's folder ever having been written;
    /// the next one's view of the worker.
    fn adopted_without(&self, files: &[&str]) -> Value {
        let own = folder(self.instance, &self.worker);
        for file in files {
            drop(fs::remove_file(own.join(file)));
        }
        let before = self.instance.coordinator().unwrap();
        assert!(processes::signal(before, Signal::SIGKILL));
        let id = field(&self.worker, "id");
        wait::until("the worker to be adopted", SLOW, || {
            let now = self.instance.coordinator().filter(|pid| *pid != before);
            let all = self
                .instance
                .ask(["ls", "--json"])
                .filter(|_| now.is_some())?;
            let all = all.as_array()?.clone();
            all.into_iter()
                .find(|w| field(w, "id") == id && !w["session"].is_null())
        })
    }

    fn memory(&self) -> String {
        let container = field(&self.worker, "container");
        engine::docker(&["inspect", "-f", "{{.HostConfig.Memory}}", &container])
    }
}

impl Drop for Forgery<'_> {
    fn drop(&mut self) {
        drop(self.client.kill());
        drop(self.client.wait());
    }
}

#[test]
fn a_forged_record_leads_to_no_other_folder_and_to_no_other_limits() {
    let instance = Instance::start(&instance::config(1, 3));
    let (project, victim) = (Project::new(), Project::new());
    let meta = fs::metadata(victim.path()).unwrap();
    let forgery = Forgery::start(&instance, &project, |record| {
        record["project"] = json!(victim.text());
        record["project_dev"] = json!(meta.dev());
        record["project_ino"] = json!(meta.ino());
        record["name"] = json!("crown");
        record["argv"] = json!(["sh", "-c", "forged"]);
        record["limits"]["memory_bytes"] = json!(8_u64 << 30);
        record["uid"] = json!(0);
        // A MAC is there, and is not the coordinator's.
        record["mac"] = json!("00".repeat(32));
    });
    let id = field(&forgery.worker, "id");
    let memory = forgery.memory();

    // The mounter noted which project it is.
    let adopted = forgery.adopted_without(&["worker.json"]);
    let apply = instance.run(["apply", &id]);
    println!("apply: {} {}", text(&apply.stdout), text(&apply.stderr));
    assert!(
        !victim.path().join(".ssh").exists(),
        "the victim was written to"
    );
    assert_eq!(field(&adopted, "project"), project.text(), "{adopted}");
    assert_eq!(adopted["argv"], json!([]), "{adopted}");
    assert_ne!(field(&adopted, "name"), "crown", "{adopted}");
    assert_eq!(adopted["uid"], forgery.worker["uid"], "{adopted}");
    assert!(
        field(&adopted, "why").contains("record was missing"),
        "{adopted}"
    );
    assert_eq!(
        project.read(".ssh/authorized_keys").as_deref(),
        Some("key\n")
    );
    wait::until_true("its record to be written", SLOW, || {
        folder(&instance, &adopted).join("worker.json").exists()
    });
    assert_eq!(forgery.memory(), memory, "the container's limit");

    // Nobody noted anything: it is shown, with the reason, and nothing of it is reviewed.
    let adopted = forgery.adopted_without(&["worker.json", "mount.json"]);
    assert!(adopted["project"].is_null(), "{adopted}");
    assert!(
        field(&adopted, "why").contains("its project is not known"),
        "{adopted}"
    );
    for command in [&["apply"][..], &["diff"], &["discard", "-y"]] {
        let output = instance.run(command.iter().copied().chain([id.as_str()]));
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let err = text(&output.stderr);
        assert!(
            err.contains("its project is not known"),
            "{command:?}: {err}"
        );
        assert!(err.contains("rm --force"), "{command:?}: {err}");
    }
    assert!(
        !victim.path().join(".ssh").exists(),
        "the victim was written to"
    );
    assert_eq!(forgery.memory(), memory, "the container's limit");
    instance.ok(["rm", "--force", &id]);
    assert!(instance.worker(&id).is_none());
}
