//! Reviews of what a worker changed, through the mounter.

use crate::support::{self, Stage, UID};
use coordinator::{
    model::HostPath,
    mounter_client::{MountMode, MounterErrorKind},
    wire::{ApplyRequest, ChangeCount, ChangeKind, DiscardRequest},
};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

#[tokio::test]
async fn an_overlay_is_reviewed_and_applied_and_leaves_the_project_alone_until_then() {
    use ChangeKind::{Added, Deleted, Modified};
    let stage = stage!();
    let worker = stage.worker().await;
    let project = stage.project("overlay", 1234);
    for (file, text) in [("edit", "one\ntwo\n"), ("delete", "x\n"), ("keep", "k\n")] {
        fs::write(project.join(file), text).unwrap();
        support::own(&project.join(file), 1234);
    }
    let mounted = stage
        .mount(&worker, &project, MountMode::Overlay)
        .await
        .unwrap();
    assert!(mounted.idmapped, "{:?}", mounted.idmap_reason);
    let target = stage.target(&worker, &mounted);
    let log = worker.sh(
        "cd /workspace && echo three >> edit && rm delete && mkdir -p new/deep && \
         echo n > new/deep/file && ln -s ../edit new/link && touch keep && stat -c %u edit new",
    );
    assert_eq!(log, format!("{UID}\n{UID}\n"));
    let edit = || fs::read_to_string(project.join("edit")).unwrap();
    assert_eq!(edit(), "one\ntwo\n");
    assert!(project.join("delete").exists() && !project.join("new").exists());

    let changes = stage.client.changes(target.clone()).await.unwrap();
    let seen: Vec<_> = changes
        .entries
        .iter()
        .map(|c| (c.path.to_string(), c.kind, c.conflict))
        .collect();
    let expected = [
        ("delete", Deleted),
        ("edit", Modified),
        ("new", Added),
        ("new/deep", Added),
        ("new/deep/file", Added),
        ("new/link", Added),
    ];
    assert_eq!(
        seen,
        expected.map(|(path, kind)| (path.to_owned(), kind, false))
    );
    let count = stage.client.count(target.clone(), 6).await.unwrap();
    let expected = ChangeCount {
        files: 4,
        added: 2,
        removed: 1,
    };
    assert_eq!(count, Some(expected));
    let too_many = stage.client.count(target.clone(), 5).await.unwrap();
    assert_eq!(too_many, None);
    let path = Some(HostPath::new("edit"));
    let diff = stage.client.diff(target.clone(), path).await.unwrap();
    let hunk = "@@ -1,2 +1,3 @@\n one\n two\n+three\n";
    assert!(diff[0].unified.contains(hunk), "{diff:?}");

    let apply = || stage.client.apply(target.clone(), ApplyRequest::default());
    let result = apply().await.unwrap();
    let counts = (result.applied.len(), result.conflicts.len(), result.left);
    assert_eq!(counts, (6, 0, 0), "{result:?}");
    assert_eq!(edit(), "one\ntwo\nthree\n");
    assert!(!project.join("delete").exists());
    let link = project.join("new/link");
    assert_eq!(fs::read_link(&link).unwrap(), Path::new("../edit"));
    for path in [link, project.join("new/deep/file"), project.join("edit")] {
        let owner = fs::symlink_metadata(path).unwrap();
        assert_eq!((owner.uid(), owner.gid()), (1234, 1234));
    }
    let again = apply().await.unwrap();
    assert!(again.applied.is_empty() && again.left == 0, "{again:?}");

    // The worker goes on; what it changes after that is listed, and is no conflict.
    worker.sh("echo four >> /workspace/edit");
    let changes = stage.client.changes(target.clone()).await.unwrap();
    assert_eq!(changes.entries.len(), 1, "{changes:?}");
    assert!(!changes.entries[0].conflict);
    // Now somebody else changes the same file.
    fs::write(project.join("edit"), "mine\n").unwrap();
    let refused = apply().await.unwrap();
    assert!(
        refused.applied.is_empty() && refused.conflicts.len() == 1,
        "{refused:?}"
    );
    assert_eq!(edit(), "mine\n");

    // Once the worker is gone the upper folder is emptied, and the folders can go.
    worker.remove();
    let force = ApplyRequest {
        paths: Vec::new(),
        force: true,
    };
    let forced = stage.client.apply(target.clone(), force).await.unwrap();
    assert_eq!((forced.applied.len(), forced.left), (1, 0), "{forced:?}");
    let folder = stage.state.join("workers").join(&worker.id);
    assert!(!folder.join("changes/upper/edit").exists());
    stage.client.remove_worker(&worker.id).await.unwrap();
    assert!(!folder.exists());
}

#[tokio::test]
async fn long_diffs_arrive_whole_and_roots_files_can_be_read() {
    let stage = stage!();
    let worker = stage.worker().await;
    let project = stage.project("mixed", 1234);
    fs::write(project.join("roots"), "root\n").unwrap();
    let mounted = stage
        .mount(&worker, &project, MountMode::Overlay)
        .await
        .unwrap();
    let again = stage.mount(&worker, &project, MountMode::Overlay).await;
    assert!(again.unwrap_err().message.contains("unmount it before"));
    assert_eq!(worker.sh("cat /workspace/roots"), "root\n");
    worker.sh(
        "cd /workspace; x=0123456789abcdef; while [ ${#x} -lt 500000 ]; do x=$x$x; done; \
         for i in 1 2 3 4 5; do echo $x > big$i; done; rm roots; echo mine > roots",
    );
    let target = stage.target(&worker, &mounted);
    let diff = stage.client.diff(target.clone(), None).await.unwrap();
    assert_eq!(diff.len(), 6);
    let total: usize = diff.iter().map(|d| d.unified.len()).sum();
    assert!(total > 2_500_000, "{total}");
    let result = stage
        .client
        .apply(target, ApplyRequest::default())
        .await
        .unwrap();
    assert_eq!((result.applied.len(), result.left), (6, 0), "{result:?}");
    let owner = fs::metadata(project.join("roots")).unwrap().uid();
    assert_eq!(owner, 1234);
}

#[tokio::test]
async fn a_review_is_judged_by_the_whole_policy_again() {
    use MounterErrorKind::Refused;
    let stage = stage!();
    let worker = stage.worker().await;
    let project = stage.project("judged", 1234);
    let mounted = stage
        .mount(&worker, &project, MountMode::Overlay)
        .await
        .unwrap();
    worker.sh("echo x > /workspace/new");
    let good = stage.target(&worker, &mounted);
    let mut elsewhere = good.clone();
    elsewhere.target.policy.roots = vec![HostPath::new("/srv")];
    let mut state = good.clone();
    state.target.policy.refuse = vec![(HostPath::new(stage.dir.path()), "state volume".into())];
    // A record that names another folder, with all that is true of that folder.
    let mut forged = good.clone();
    let etc = fs::metadata("/etc").unwrap();
    (forged.target.project, forged.target.dev, forged.target.ino) =
        (HostPath::new("/etc"), etc.dev(), etc.ino());
    let all = ApplyRequest::default();
    for target in [elsewhere, state, forged] {
        let refused = [
            stage.client.changes(target.clone()).await.err(),
            stage.client.diff(target.clone(), None).await.err(),
            stage.client.apply(target.clone(), all.clone()).await.err(),
            stage
                .client
                .discard(target.clone(), Default::default())
                .await
                .err(),
        ];
        for error in refused {
            assert_eq!(error.map(|e| e.kind), Some(Refused), "{target:?}");
        }
    }
    assert!(!project.join("new").exists() && !Path::new("/etc/new").exists());
    let applied = stage.client.apply(good, all).await.unwrap();
    assert_eq!(applied.applied.len(), 1);
    assert!(project.join("new").exists());
}

#[tokio::test]
async fn changes_of_a_project_that_is_gone_are_shown_and_can_be_thrown_away() {
    use MounterErrorKind::{NotAFolder, Refused};
    let stage = stage!();
    let worker = stage.worker().await;
    let project = stage.project("leaves", 1234);
    for file in ["edit", "delete"] {
        fs::write(project.join(file), "before\n").unwrap();
        support::own(&project.join(file), 1234);
    }
    let mounted = stage
        .mount(&worker, &project, MountMode::Overlay)
        .await
        .unwrap();
    worker.sh("cd /workspace && echo after > edit && rm delete && echo x > new");
    let target = stage.target(&worker, &mounted);
    let away = project.with_file_name("away");
    fs::rename(&project, &away).unwrap();
    // First it is gone, then another folder is at its path.
    for kind in [NotAFolder, Refused] {
        let changes = stage.client.changes(target.clone()).await.unwrap();
        assert!(changes.project_missing);
        let seen: Vec<_> = changes
            .entries
            .iter()
            .map(|c| (c.path.to_string(), c.kind))
            .collect();
        let added = ["edit", "new"].map(|path| (path.to_owned(), ChangeKind::Added));
        assert_eq!(seen, added);
        let diff = stage.client.diff(target.clone(), None).await.unwrap();
        assert!(diff[0].unified.contains("+after"), "{diff:?}");
        assert!(stage.client.any_changes(target.clone()).await.unwrap());
        // Nothing that depends on what the project has is done.
        let paths = vec![HostPath::new("new")];
        let refused = [
            stage
                .client
                .apply(target.clone(), ApplyRequest::default())
                .await
                .err(),
            stage
                .client
                .discard(target.clone(), DiscardRequest { paths })
                .await
                .err(),
            stage.client.count(target.clone(), 10).await.err(),
        ];
        for error in refused {
            let error = error.unwrap();
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains("podbay discard"), "{error}");
        }
        fs::create_dir_all(&project).unwrap();
    }
    // Back where it was, it is as before.
    fs::remove_dir(&project).unwrap();
    fs::rename(&away, &project).unwrap();
    let changes = stage.client.changes(target.clone()).await.unwrap();
    assert_eq!((changes.entries.len(), changes.project_missing), (3, false));
    assert_eq!(
        fs::read_to_string(project.join("edit")).unwrap(),
        "before\n"
    );
    // As a whole, changes can be thrown away without it.
    fs::rename(&project, &away).unwrap();
    let left = stage.client.discard(target.clone(), Default::default());
    assert_eq!(left.await.unwrap().entries, []);
    fs::rename(&away, &project).unwrap();
    // What was deleted could not be seen without it.
    let changes = stage.client.changes(target).await.unwrap();
    let seen = changes.entries.iter().map(|c| (c.path.to_string(), c.kind));
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [("delete".to_owned(), ChangeKind::Deleted)]
    );
}
