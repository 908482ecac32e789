//! The tracked files, and what a rule says about them.
//!
//! Rules read a [`Tree`] and nothing else, so that each is tested with a small bad one.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// One tracked file.
pub struct File {
    /// Relative to the checkout, with `/`.
    pub path: String,
    /// Its text; what is no UTF-8 is replaced.
    pub text: String,
    /// Whether its owner may execute it.
    pub executable: bool,
}

impl File {
    /// Its lines with their numbers, from 1.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text
            .lines()
            .enumerate()
            .map(|(at, line)| (at + 1, line))
    }

    /// Whether it is only compiled for tests.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
            || self.path.ends_with("_tests.rs")
    }
}

/// All tracked files, by path.
#[derive(Default)]
pub struct Tree {
    /// Sorted by path.
    pub files: Vec<File>,
}

impl Tree {
    /// The checkout this test was built in.
    pub fn of_checkout() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut files = Vec::new();
        for path in tracked(&root)? {
            let full = root.join(&path);
            // A deleted file stays in the index until that is staged; a link is another file's text.
            let Ok(meta) = fs::symlink_metadata(&full) else {
                continue;
            };
            if meta.is_file() {
                files.push(File {
                    text: String::from_utf8_lossy(&fs::read(&full)?).into_owned(),
                    executable: meta.permissions().mode() & 0o100 != 0,
                    path,
                });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(Self { files })
    }

    /// A tree for a test of a rule; scripts are executable.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| File {
                    path: (*path).to_owned(),
                    text: (*text).to_owned(),
                    executable: true,
                })
                .collect(),
        }
    }

    /// The Rust files.
    pub fn rust(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// Whether there is such a file, or a folder with files.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        self.files.iter().any(|file| {
            file.path
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

/// What git tracks; without git, what is there except build output.
fn tracked(root: &Path) -> io::Result<Vec<String>> {
    let output = Command::new("git")
        .args(["-c", "safe.directory=*", "ls-files", "-z", "--cached"])
        .current_dir(root)
        .output();
    if let Ok(output) = output
        && output.status.success()
    {
        let list = String::from_utf8_lossy(&output.stdout);
        return Ok(list
            .split('\0')
            .filter(|path| !path.is_empty())
            .map(str::to_owned)
            .collect());
    }
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder))? {
            let entry = entry?;
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if folder.as_os_str().is_empty() && (text == ".git" || text.starts_with("target")) {
                continue;
            }
            let path = folder.join(&name);
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    Ok(found)
}

/// One thing that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where: `path:line`, or a path.
    pub place: String,
    /// What is wrong, and what the rule is for.
    pub why: String,
}

impl Finding {
    /// At a line, counted from 1.
    pub fn at(file: &File, line: usize, why: impl Into<String>) -> Self {
        Self {
            place: format!("{}:{line}", file.path),
            why: why.into(),
        }
    }

    /// About a path as a whole.
    pub fn about(path: &str, why: impl Into<String>) -> Self {
        Self {
            place: path.to_owned(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.why)
    }
}
