//! Projects to work on.

use std::{fs, os::unix::fs::chown, path::Path, process::Command};

/// A folder with a few files, owned by an ordinary user, outside of every refused place.
#[derive(Debug)]
pub struct Project(tempfile::TempDir);

/// The uid and gid that own test projects.
pub const OWNER: u32 = 1234;

impl Project {
    /// A fresh project: `hello.txt`, `src/main.c`, `run.sh`.
    ///
    /// # Panics
    /// The folder cannot be made.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("podbay-project-")
            .tempdir_in("/var/tmp")
            .expect("a temporary folder");
        let project = Self(folder);
        project.write("hello.txt", "hello\n");
        project.write("src/main.c", "int main(void) { return 0; }\n");
        project.write("run.sh", "#!/bin/sh\necho ran\n");
        project.own();
        project
    }

    /// Its folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its folder as text.
    #[must_use]
    pub fn text(&self) -> String {
        self.path().to_string_lossy().into_owned()
    }

    /// Writes a file as the owner.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("making folders");
        fs::write(&path, content).expect("writing a file");
        self.own();
    }

    /// Reads a file; `None` when it is not there.
    #[must_use]
    pub fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path().join(name)).ok()
    }

    /// Makes it a git repository with one commit.
    ///
    /// # Panics
    /// git fails.
    pub fn git(&self) {
        for args in [
            &["init", "-q"][..],
            &["-c", "safe.directory=*", "add", "-A"],
            &[
                "-c",
                "safe.directory=*",
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@example.org",
                "commit",
                "-qm",
                "first",
            ],
        ] {
            let status = Command::new("git")
                .current_dir(self.path())
                .args(args)
                .status()
                .expect("running git");
            assert!(status.success(), "git {args:?}");
        }
        self.own();
    }

    fn own(&self) {
        own(self.path());
    }
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

fn own(path: &Path) {
    std::os::unix::fs::lchown(path, Some(OWNER), Some(OWNER)).expect("changing the owner");
    if path.is_dir() && !path.is_symlink() {
        chown(path, Some(OWNER), Some(OWNER)).expect("changing the owner");
        for entry in fs::read_dir(path).expect("reading the project") {
            own(&entry.expect("an entry").path());
        }
    }
}
