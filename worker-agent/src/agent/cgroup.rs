//! Readings of the worker's own cgroup, version 1 and version 2.
//!
//! Owns: the names and formats of the kernel's files (`Documentation/admin-guide/cgroup-v1/`
//! and `cgroup-v2.rst`). A missing file is `None`, never an error.

use podbay_protocol::Readings;
use std::path::{Path, PathBuf};

/// A limit of version 1 this high means none (the kernel rounds `LONG_MAX` to pages).
const UNLIMITED: u64 = 1 << 62;

/// Where the cgroup's files are.
#[derive(Debug, Clone)]
pub struct Cgroup {
    root: PathBuf,
    unified: bool,
}

impl Cgroup {
    /// The cgroup as a container sees it, under `/sys/fs/cgroup`.
    #[must_use]
    pub fn own() -> Self {
        Self::at(Path::new("/sys/fs/cgroup"))
    }

    /// The cgroup file system at `root`; its version is known by `cgroup.controllers`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            unified: root.join("cgroup.controllers").exists(),
        }
    }

    /// All readings, now.
    #[must_use]
    pub fn readings(&self) -> Readings {
        if self.unified {
            Readings {
                memory_bytes: self.number("memory.current"),
                memory_limit_bytes: self.number("memory.max"),
                cpu_us: self.keyed("cpu.stat", "usage_usec"),
                pids: self.number("pids.current"),
                pids_refused: self.keyed("pids.events", "max"),
                oom_kills: self.oom_kills(),
            }
        } else {
            Readings {
                memory_bytes: self.number("memory/memory.usage_in_bytes"),
                memory_limit_bytes: self
                    .number("memory/memory.limit_in_bytes")
                    .filter(|limit| *limit < UNLIMITED),
                cpu_us: self
                    .number("cpuacct/cpuacct.usage")
                    .or_else(|| self.number("cpu,cpuacct/cpuacct.usage"))
                    .map(|nanoseconds| nanoseconds / 1000),
                pids: self.number("pids/pids.current"),
                pids_refused: self.keyed("pids/pids.events", "max"),
                oom_kills: self.oom_kills(),
            }
        }
    }

    /// How often the OOM killer struck.
    #[must_use]
    pub fn oom_kills(&self) -> Option<u64> {
        let file = if self.unified {
            "memory.events"
        } else {
            "memory/memory.oom_control"
        };
        self.keyed(file, "oom_kill")
    }

    fn read(&self, file: &str) -> Option<String> {
        std::fs::read_to_string(self.root.join(file)).ok()
    }

    /// A file of one number; `max` is `None`.
    fn number(&self, file: &str) -> Option<u64> {
        self.read(file)?.trim().parse().ok()
    }

    /// One value of a file of `key value` lines.
    fn keyed(&self, file: &str, key: &str) -> Option<u64> {
        self.read(file)?.lines().find_map(|line| {
            let (name, value) = line.split_once(' ')?;
            (name == key).then(|| value.trim().parse().ok())?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn version_2() {
        let dir = tree(&[
            ("cgroup.controllers", "memory pids"),
            ("memory.current", "4096\n"),
            ("memory.max", "max\n"),
            ("cpu.stat", "usage_usec 17\nuser_usec 3\n"),
            ("pids.current", "5\n"),
            ("pids.events", "max 2\n"),
            ("memory.events", "low 0\noom 3\noom_kill 1\n"),
        ]);
        let expected = Readings {
            memory_bytes: Some(4096),
            memory_limit_bytes: None,
            cpu_us: Some(17),
            pids: Some(5),
            pids_refused: Some(2),
            oom_kills: Some(1),
        };
        assert_eq!(Cgroup::at(dir.path()).readings(), expected);
    }

    #[test]
    fn version_1() {
        let dir = tree(&[
            ("memory/memory.usage_in_bytes", "8192\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "memory/memory.oom_control",
                "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
            ),
            ("cpuacct/cpuacct.usage", "5000\n"),
            ("pids/pids.current", "1\n"),
            ("pids/pids.events", "max 0\n"),
        ]);
        let expected = Readings {
            memory_bytes: Some(8192),
            memory_limit_bytes: None,
            cpu_us: Some(5),
            pids: Some(1),
            pids_refused: Some(0),
            oom_kills: Some(4),
        };
        assert_eq!(Cgroup::at(dir.path()).readings(), expected);
    }

    #[test]
    fn nothing_there() {
        let dir = tree(&[]);
        assert_eq!(Cgroup::at(dir.path()).readings(), Readings::default());
    }
}
