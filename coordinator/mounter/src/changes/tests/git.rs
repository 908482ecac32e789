//! Repositories, made by git itself: whatever is applied, no commit, object or reflog of the project's is lost.

use super::*;
use std::process::Command;

impl Case {
    /// A project with one commit on `main`.
    fn repository() -> Self {
        let case = Self::new(&["a", "b"]);
        case.git("project", &["init", "-q", "-b", "main"]);
        case.git("project", &["add", "."]);
        case.git("project", &["commit", "-qm", "first"]);
        Self {
            claimed: case.later(),
            ..case
        }
    }

    /// The same files are the worker's, as copy-on-write shows them.
    fn copied_up(&self) {
        fs::remove_dir(self.upper("")).unwrap();
        let copied = Command::new("cp")
            .arg("-a")
            .args([self.project(""), self.upper("")])
            .status();
        assert!(copied.unwrap().success());
    }

    fn git(&self, at: &str, args: &[&str]) -> String {
        let done = Command::new("git")
            .current_dir(self.dir.path().join(at))
            .args([
                "-c",
                "user.name=a",
                "-c",
                "user.email=a@b",
                "-c",
                "gc.auto=0",
            ])
            .args(["-c", "safe.directory=*"])
            .args(args)
            .output()
            .unwrap();
        assert!(done.status.success(), "{args:?}: {done:?}");
        self.owned();
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    fn owned(&self) {
        let all = format!("{OWNER}:{OWNER}");
        for at in [self.project(""), self.upper("")] {
            // No other: a new owner is a change of the file.
            let done = Command::new("chown")
                .args(["-R", "-h", "--from=0:0", &all])
                .arg(at)
                .status();
            assert!(done.unwrap().success());
        }
    }

    fn commit(&self, at: &str, file: &str) -> String {
        fs::write(self.dir.path().join(at).join(file), file).unwrap();
        self.git(at, &["add", file]);
        self.git(at, &["commit", "-qm", file]);
        self.git(at, &["rev-parse", "HEAD"])
    }

    fn assert_whole(&self) {
        let said = self.git("project", &["fsck", "--full"]);
        assert!(
            !said.contains("missing") && !said.contains("broken"),
            "{said}"
        );
    }
}

/// Another time of a file, which git has to look at then.
fn touched(path: &Path) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH).unwrap();
}

/// What the mounter notes beside a claim.
fn note_index(case: &Case) {
    let index = fs::File::open(case.project(".git/index")).unwrap();
    let staged = super::super::git::staged(index).unwrap().unwrap();
    fs::write(case.dir.path().join(super::super::git::INDEX_NOTE), staged).unwrap();
}

#[test]
fn an_index_that_stages_the_same_is_no_change_and_no_conflict() {
    if !root() {
        return;
    }
    let case = Case::repository();
    note_index(&case);
    case.copied_up();
    // `git status` in the worker: other inodes, owner, times.
    touched(&case.upper("a"));
    case.git("upper", &["update-index", "--refresh", "-q"]);
    assert_ne!(
        fs::read(case.upper(".git/index")).unwrap(),
        fs::read(case.project(".git/index")).unwrap()
    );
    assert_eq!(case.list(), []);
    // The host's own `git status`, and a commit of the worker's: applied, whole.
    touched(&case.project("b"));
    case.git("project", &["update-index", "--refresh", "-q"]);
    let commit = case.commit("upper", "worker");
    let result = case.apply(&[".git", "worker"], false);
    assert_eq!(reasons(&result.conflicts), "");
    assert_eq!(result.left, 0, "{result:?}");
    assert_eq!(case.git("project", &["rev-parse", "HEAD"]), commit);
    assert_eq!(case.git("project", &["status", "--porcelain"]), "");
    case.assert_whole();
}

#[test]
fn commits_of_both_sides_are_both_kept_whatever_is_forced() {
    if !root() {
        return;
    }
    let case = Case::repository();
    note_index(&case);
    case.copied_up();
    let ours = case.commit("upper", "worker");
    let users = case.commit("project", "user");
    let refused = case.apply(&[], false);
    assert!(refused.applied.is_empty());
    let why = reasons(&refused.conflicts);
    assert!(
        why.contains(&format!("the worker's commit is {ours}")),
        "{why}"
    );
    let forced = case.apply(&[], true);
    assert!(
        !forced.conflicts.is_empty() && forced.left > 0,
        "{forced:?}"
    );
    // The files are applied, the branch is the user's, and the worker's commit is there to be taken.
    assert!(case.project("worker").exists());
    assert_eq!(case.git("project", &["rev-parse", "HEAD"]), users);
    assert!(case.git("project", &["reflog"]).contains("user"));
    case.git("project", &["branch", "kept", &ours]);
    assert_eq!(
        case.git("project", &["rev-parse", "kept^"]),
        case.git("project", &["rev-parse", "HEAD^"])
    );
    case.assert_whole();
    // Also a staged file of the user's is no derived cache.
    fs::write(case.project("staged"), "x").unwrap();
    case.git("project", &["add", "staged"]);
    case.apply(&[".git"], true);
    assert!(
        case.git("project", &["diff", "--cached", "--name-only"])
            .contains("staged")
    );
}

#[test]
fn a_new_branch_of_the_workers_comes_beside_commits_of_the_project() {
    if !root() {
        return;
    }
    let case = Case::repository();
    note_index(&case);
    case.copied_up();
    case.git("upper", &["checkout", "-q", "-b", "feature"]);
    let ours = case.commit("upper", "worker");
    let users = case.commit("project", "user");
    case.apply(&[], true);
    assert_eq!(case.git("project", &["rev-parse", "feature"]), ours);
    assert_eq!(case.git("project", &["rev-parse", "main"]), users);
    assert_eq!(
        case.git("project", &["rev-parse", "HEAD"]),
        users,
        "HEAD is the user's"
    );
    case.assert_whole();
}

#[test]
fn what_the_worker_pruned_rewrote_or_deleted_of_the_repository_stays() {
    if !root() {
        return;
    }
    let case = Case::repository();
    let lost = case.commit("project", "later");
    case.git("project", &["branch", "topic"]);
    case.git("project", &["reset", "-q", "--hard", "HEAD~"]);
    let case = Case {
        claimed: case.later(),
        ..case
    };
    note_index(&case);
    let count = || fs::read_dir(case.project(".git/objects")).unwrap().count();
    let before = count();
    // As an overlay has it: what was removed is a whiteout.
    for gone in [
        ".git/logs/HEAD",
        ".git/refs/heads/topic",
        ".git/logs/refs/heads/topic",
    ] {
        case.whiteout(gone);
    }
    let object = format!(".git/objects/{}/{}", &lost[..2], &lost[2..]);
    case.whiteout(&object);
    case.put(case.upper(".git/logs/refs/heads/main"), "rewritten\n");
    case.owned();
    let result = case.apply(&[], true);
    assert_eq!(
        (reasons(&result.conflicts), result.left),
        (String::new(), 0)
    );
    assert!(
        reasons(&result.notes).contains("git branch -d"),
        "{result:?}"
    );
    assert_eq!(count(), before);
    assert_eq!(case.git("project", &["rev-parse", "topic"]), lost);
    assert!(case.git("project", &["reflog", "main"]).contains("first"));
    case.assert_whole();
    // The repository as a whole.
    let case = Case::repository();
    case.whiteout(".git");
    let result = case.apply(&[], true);
    assert!(
        reasons(&result.conflicts).contains("never deleted"),
        "{result:?}"
    );
    case.assert_whole();
}

#[test]
fn a_repository_that_the_worker_made_is_applied_whole() {
    if !root() {
        return;
    }
    let case = Case::new(&["a"]);
    fs::create_dir_all(case.upper("sub/inner")).unwrap();
    case.git("upper/sub/inner", &["init", "-q", "-b", "main"]);
    let commit = case.commit("upper/sub/inner", "x");
    let result = case.apply(&[], false);
    assert_eq!(
        (reasons(&result.conflicts), result.left),
        (String::new(), 0)
    );
    assert_eq!(
        case.git("project/sub/inner", &["rev-parse", "HEAD"]),
        commit
    );
}

#[test]
fn references_are_not_applied_when_an_object_was_not() {
    if !root() {
        return;
    }
    let case = Case::repository();
    note_index(&case);
    case.copied_up();
    let before = case.git("project", &["rev-parse", "HEAD"]);
    case.commit("upper", "worker");
    // Nobody but root may write there, so the worker's objects cannot be.
    chown(case.project(".git/objects"), Some(0), Some(0)).unwrap();
    let result = case.apply(&[".git"], false);
    let why = reasons(&result.conflicts);
    assert!(
        why.contains(".git/refs/heads/main: not applied: objects"),
        "{why}"
    );
    assert_eq!(case.git("project", &["rev-parse", "HEAD"]), before);
    case.assert_whole();
}
