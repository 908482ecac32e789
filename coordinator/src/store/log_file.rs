//! A log file that is rotated by size: `NAME.log`, and `NAME.1.log` … behind it.
//!
//! What it may hold in all is bounded, whatever is written. Used by one thread, which may block.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// A file is rotated before it grows over this many bytes.
pub const MAX_LOG_FILE: u64 = 8 << 20;

/// Files of a former version are kept for so long.
const FORMER_KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Appends whole lines, each by one write.
#[derive(Debug)]
pub struct LogFile {
    folder: PathBuf,
    name: &'static str,
    /// Files that are kept, the one being written included.
    keep: u32,
    rotate_at: u64,
    file: Option<File>,
    written: u64,
}

impl LogFile {
    /// A log of at most `keep` files (at least one) in that folder; the file is made at once.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(folder: PathBuf, name: &'static str, keep: u32) -> io::Result<Self> {
        let mut log = Self {
            folder,
            name,
            keep: keep.max(1),
            rotate_at: MAX_LOG_FILE,
            file: None,
            written: 0,
        };
        log.file()?;
        log.sweep();
        Ok(log)
    }

    fn path(&self, number: u32) -> PathBuf {
        self.folder.join(match number {
            0 => format!("{}.log", self.name),
            n => format!("{}.{n}.log", self.name),
        })
    }

    /// Removes files of this name beyond those that are kept: fewer are kept than before. Those of
    /// a former version, which had the day in their names, go once they are old.
    fn sweep(&self) {
        let kept: Vec<PathBuf> = (0..self.keep).map(|n| self.path(n)).collect();
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for path in entries.map(|entry| entry.path()) {
            let name = path.file_name().and_then(|n| n.to_str());
            let rest = name.and_then(|n| n.strip_prefix(self.name)?.strip_prefix('.'));
            let Some(part) = rest.and_then(|rest| rest.strip_suffix(".log")) else {
                continue;
            };
            let numbered = part.bytes().all(|b| b.is_ascii_digit());
            let over = if numbered {
                !kept.contains(&path)
            } else {
                is_old(&path)
            };
            if over && let Err(error) = fs::remove_file(&path) {
                tracing::debug!(path = %path.display(), %error, "an old log file is left over");
            }
        }
    }

    fn file(&mut self) -> io::Result<&mut File> {
        match &mut self.file {
            Some(file) => Ok(file),
            empty => {
                let file = open(&self.folder.join(format!("{}.log", self.name)))?;
                self.written = file.metadata()?.len();
                Ok(empty.insert(file))
            }
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        if self.keep == 1 {
            return fs::remove_file(self.path(0));
        }
        for number in (0..self.keep - 1).rev() {
            let moved = fs::rename(self.path(number), self.path(number + 1));
            // A gap in the numbers is no reason to stop: only the newest must move.
            if number == 0 {
                moved?;
            }
        }
        Ok(())
    }
}

fn is_old(path: &Path) -> bool {
    let written = fs::metadata(path).and_then(|m| m.modified());
    written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > FORMER_KEPT))
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o640).open(path)
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.written > 0 && self.written + line.len() as u64 > self.rotate_at {
            self.rotate()?;
        }
        let written = self.file()?.write(line)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    #[test]
    fn the_files_are_bounded_and_the_newest_lines_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        for old in [
            "test.2025-01-01.log",
            "test.2025-01-02.log",
            "test.9.log",
            "other.log",
            "testing.log",
        ] {
            fs::write(folder.path().join(old), "x").unwrap();
        }
        let old = fs::File::open(folder.path().join("test.2025-01-01.log")).unwrap();
        old.set_modified(SystemTime::now() - 2 * FORMER_KEPT)
            .unwrap();
        let mut log = LogFile::open(folder.path().to_owned(), "test", 3).unwrap();
        log.rotate_at = 1000;
        for n in 0..1000 {
            writeln!(log, "line {n}").unwrap();
        }
        let mut names: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expected = [
            "other.log",
            "test.1.log",
            "test.2.log",
            "test.2025-01-02.log",
            "test.log",
            "testing.log",
        ];
        assert_eq!(names, expected);
        let mut all = String::new();
        for number in [2, 1, 0] {
            let text = fs::read_to_string(log.path(number)).unwrap();
            assert!(text.len() <= 1000);
            all += &text;
        }
        assert!(all.ends_with("line 998\nline 999\n") && all.len() > 2000);
        // What is there counts.
        let mut again = LogFile::open(folder.path().to_owned(), "test", 3).unwrap();
        again.rotate_at = 1000;
        again.write_all(&[b'x'; 990]).unwrap();
        assert_eq!(fs::metadata(again.path(0)).unwrap().len(), 990);
    }
}
