//! Temporary projects: what is claimed, and what is printed. Removed when dropped.

use coordinator::cli::Failure;
use std::{
    fmt::Write as _,
    fs::{self, DirBuilder},
    os::unix::fs::{DirBuilderExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Where projects are made: on a disk, and not in what many machines hold in memory.
const ROOT: &str = "/var/tmp";
/// An ordinary user's uid and gid.
const OWNER: u32 = 1000;
/// Files of the project that is claimed.
const FILES: usize = 10_000;
/// Files in one folder of it.
const PER_FOLDER: usize = 100;
/// Name of the file that is printed.
pub const TEXT: &str = "coloured.txt";

/// A folder of the bench's own.
#[derive(Debug)]
pub struct Scratch {
    root: TempDir,
}

impl Scratch {
    /// An empty one.
    pub fn new() -> Result<Self, Failure> {
        let root = tempfile::Builder::new()
            .prefix("podbay-bench-")
            .tempdir_in(ROOT)?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self { root })
    }

    /// A folder in it, made when it is not there.
    pub fn folder(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.root.path().join(name);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&path)?;
        Ok(path)
    }

    /// A project of 10,000 small files that belong to an ordinary user.
    pub fn project(&self) -> Result<PathBuf, Failure> {
        let project = self.folder("project")?;
        for number in 0..FILES {
            let folder = project.join(format!("folder{:03}", number / PER_FOLDER));
            if number.is_multiple_of(PER_FOLDER) {
                fs::create_dir(&folder)?;
                own(&folder)?;
            }
            let file = folder.join(format!("file{number:05}.txt"));
            fs::write(&file, format!("file {number} of the bench's project\n"))?;
            own(&file)?;
        }
        own(&project)?;
        Ok(project)
    }

    /// A project of one small file, of a name of its own.
    pub fn small(&self, name: &str) -> Result<PathBuf, Failure> {
        let project = self.folder(name)?;
        fs::write(project.join("file"), "of the bench\n")?;
        own(&project.join("file"))?;
        own(&project)?;
        Ok(project)
    }

    /// A project with one file of about so many megabytes of coloured text; its folder and size.
    pub fn text(&self, megabytes: usize) -> Result<(PathBuf, usize), Failure> {
        let project = self.folder("text")?;
        let block = coloured_lines();
        let copies = (megabytes << 20).div_ceil(block.len());
        let file = project.join(TEXT);
        fs::write(&file, block.repeat(copies))?;
        own(&file)?;
        own(&project)?;
        Ok((project, block.len() * copies))
    }
}

fn own(path: &Path) -> Result<(), Failure> {
    chown(path, Some(OWNER), Some(OWNER)).map_err(Failure::from)
}

/// A few hundred kilobytes of lines as compilers and test runners print them.
fn coloured_lines() -> String {
    const WORDS: [&str; 8] = [
        "compiling",
        "checking",
        "warning",
        "coordinator",
        "src/main.rs",
        "ok",
        "0.42s",
        "running",
    ];
    let mut out = String::new();
    for line in 0..4096_usize {
        // Writing to a string cannot fail.
        write!(out, "\x1b[1;32m{line:>6}\x1b[0m ").ok();
        for (place, word) in WORDS.iter().cycle().skip(line % 8).take(9).enumerate() {
            let colour = 31 + (line + place) % 7;
            write!(out, "\x1b[{colour}m{word}\x1b[39m ").ok();
        }
        writeln!(out, "\x1b[38;5;{}mdone\x1b[m", line % 256).ok();
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_text_has_colours_and_no_marker() {
        let text = super::coloured_lines();
        assert!(text.len() > 200_000 && !text.contains('@'));
        assert!(text.lines().all(|line| line.ends_with("\x1b[m")));
    }
}
