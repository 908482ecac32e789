//! The audit log: `logs/audit.jsonl`, and `audit.1.jsonl` … behind it.
//!
//! Owns: a bounded queue and the thread that writes. Whoever records never waits: over the bound,
//! or while the disk takes nothing, entries are counted, and the next one that is written says how
//! many were lost.

mod files;
mod reader;

pub use reader::AuditReader;

use crate::wire::AuditEntry;
use files::{KEEP, MAX_ENTRY, path};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant, SystemTime},
};

/// Entries that may wait to be written.
const QUEUE: usize = 1024;
/// A file is rotated before it grows over so many bytes.
const ROTATE_AT: u64 = 8 << 20;
/// After a failure the file is not tried again for so long.
const PAUSE: Duration = Duration::from_secs(1);

enum Job {
    Entry(Box<AuditEntry>),
    Flush(SyncSender<()>),
}

/// Takes entries.
#[derive(Debug, Clone)]
pub struct AuditLog {
    jobs: SyncSender<Job>,
    lost: Arc<AtomicU64>,
    folder: PathBuf,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl AuditLog {
    /// A log in that folder. Files are opened when there is something to write.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            folder: folder.clone(),
            lost: Arc::clone(&lost),
            file: None,
            written: 0,
            rotate_at: ROTATE_AT,
            failed: None,
        };
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&queue))?;
        Ok(Self { jobs, lost, folder })
    }

    /// Takes an entry, or counts it as lost.
    pub fn record(&self, entry: AuditEntry) {
        if self.jobs.try_send(Job::Entry(Box::new(entry))).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until all that was recorded before is written, or given up. Blocks; whether it was.
    #[must_use]
    pub fn flush(&self, patience: Duration) -> bool {
        let (done, waiting) = sync_channel(1);
        let until = Instant::now() + patience;
        let mut job = Job::Flush(done);
        loop {
            match self.jobs.try_send(job) {
                Ok(()) => break,
                Err(std::sync::mpsc::TrySendError::Full(back)) if Instant::now() < until => {
                    job = back;
                    std::thread::yield_now();
                }
                Err(_) => return false,
            }
        }
        waiting
            .recv_timeout(until.saturating_duration_since(Instant::now()))
            .is_ok()
    }

    /// Reads the entries that are there, the oldest first: those younger than `since`, and of them
    /// the last `tail`. Blocks.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn reader(&self, since: Option<SystemTime>, tail: Option<u64>) -> io::Result<AuditReader> {
        AuditReader::open(&self.folder, since, tail)
    }
}

struct Writer {
    folder: PathBuf,
    lost: Arc<AtomicU64>,
    file: Option<File>,
    written: u64,
    rotate_at: u64,
    /// When the file last took nothing; said once for each such time.
    failed: Option<Instant>,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Job>) {
        while let Ok(job) = queue.recv() {
            match job {
                Job::Entry(entry) => self.take(*entry),
                // Whoever waited may have given up.
                Job::Flush(done) => drop(done.try_send(())),
            }
        }
    }

    fn take(&mut self, mut entry: AuditEntry) {
        if self.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        entry.lost = self.lost.swap(0, Ordering::Relaxed);
        let line = serde_json::to_vec(&entry).map_err(io::Error::other);
        let written = line.and_then(|mut line| {
            line.push(b'\n');
            if line.len() > MAX_ENTRY {
                return Err(io::Error::other("an entry is too long"));
            }
            self.append(&line)
        });
        match written {
            Ok(()) => {
                if self.failed.take().is_some() {
                    tracing::info!(lost = entry.lost, "the audit log is written again");
                }
            }
            Err(error) => {
                self.lost.fetch_add(entry.lost + 1, Ordering::Relaxed);
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(%error, "the audit log cannot be written; entries are counted");
                }
            }
        }
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.file.is_some() && self.written + line.len() as u64 > self.rotate_at {
            self.file = None;
            for number in (0..KEEP).rev() {
                let moved = fs::rename(path(&self.folder, number), path(&self.folder, number + 1));
                // A gap in the numbers is no reason to stop: only the newest must move.
                if number == 0 {
                    moved?;
                }
            }
        }
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let (file, length) = open(&path(&self.folder, 0))?;
                self.written = length;
                empty.insert(file)
            }
        };
        match file.write_all(line) {
            Ok(()) => {
                self.written += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half a line would swallow the next one. Should this fail, opening mends it.
                drop(file.set_len(self.written));
                self.file = None;
                Err(error)
            }
        }
    }
}

/// The file to append to, and its length; a line that was torn is ended.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let mut length = file.metadata()?.len();
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(length - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            length += 1;
        }
    }
    Ok((file, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Who;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn entry(what: &str) -> AuditEntry {
        AuditEntry {
            time: humantime::format_rfc3339_millis(SystemTime::now()).to_string(),
            who: Who::Coordinator,
            what: what.to_owned(),
            worker: None,
            profile: None,
            project: None,
            detail: None,
            result: "ok".to_owned(),
            duration_ms: 0,
            lost: 0,
        }
    }

    fn all(log: &AuditLog) -> Vec<AuditEntry> {
        assert!(log.flush(Duration::from_secs(10)));
        read(log, None, None)
    }

    fn read(log: &AuditLog, since: Option<SystemTime>, tail: Option<u64>) -> Vec<AuditEntry> {
        let mut reader = log.reader(since, tail).unwrap();
        let mut found = Vec::new();
        while let Some(piece) = reader.read().unwrap() {
            assert!(piece.len() < 130 << 10, "a bounded piece");
            let lines = piece.split(|b| *b == b'\n').filter(|line| !line.is_empty());
            found.extend(lines.map(|line| serde_json::from_slice(line).unwrap()));
        }
        found
    }

    #[test]
    fn entries_come_back_in_order_from_a_file_of_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let log = AuditLog::open(folder.path().to_owned()).unwrap();
        log.record(entry("one"));
        log.record(entry("two"));
        let whats: Vec<String> = all(&log).into_iter().map(|e| e.what).collect();
        assert_eq!(whats, ["one", "two"]);
        let mode = fs::metadata(path(folder.path(), 0)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(read(&log, Some(later), None), [], "nothing is that young");
    }

    #[test]
    fn a_torn_line_costs_itself_alone() {
        let folder = tempfile::tempdir().unwrap();
        let whole = serde_json::to_string(&entry("before")).unwrap();
        for cut in 0..=whole.len() {
            let torn = whole.get(..cut).unwrap();
            fs::write(path(folder.path(), 0), format!("{whole}\n{torn}")).unwrap();
            let log = AuditLog::open(folder.path().to_owned()).unwrap();
            log.record(entry("after"));
            let found = all(&log);
            assert_eq!(found.first().unwrap().what, "before", "cut at {cut}");
            assert_eq!(found.last().unwrap().what, "after", "cut at {cut}");
        }
    }

    #[test]
    fn what_a_full_disk_costs_is_counted_and_said_later() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/dev/full", path(folder.path(), 0)).unwrap();
        let log = AuditLog::open(folder.path().to_owned()).unwrap();
        for _ in 0..10 {
            log.record(entry("lost"));
        }
        assert!(log.flush(Duration::from_secs(10)));
        fs::remove_file(path(folder.path(), 0)).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        let mut more = 0;
        loop {
            log.record(entry("after"));
            more += 1;
            assert!(log.flush(Duration::from_secs(10)));
            if path(folder.path(), 0).exists() {
                break;
            }
            assert!(Instant::now() < until, "never written again");
            std::thread::yield_now();
        }
        assert_eq!(all(&log).first().unwrap().lost, 10 + more - 1);
    }

    #[test]
    fn the_files_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer {
            folder: folder.path().to_owned(),
            lost: Arc::default(),
            file: None,
            written: 0,
            rotate_at: 2000,
            failed: None,
        };
        for n in 0..200 {
            writer.take(entry(&format!("n{n}")));
        }
        let mut files: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|e| e.unwrap())
            .collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        assert_eq!(files.len(), KEEP as usize + 1);
        assert!(files.iter().all(|f| f.metadata().unwrap().len() <= 2000));
        let log = AuditLog::open(folder.path().to_owned()).unwrap();
        let whats: Vec<String> = all(&log).into_iter().map(|e| e.what).collect();
        assert_eq!(whats.last().unwrap(), "n199");
        let last = read(&log, None, Some(12)).into_iter().map(|e| e.what);
        let wanted: Vec<String> = (188..200).map(|n| format!("n{n}")).collect();
        assert_eq!(last.collect::<Vec<_>>(), wanted, "over files");
        assert_eq!(read(&log, None, Some(0)), []);
        assert_eq!(read(&log, None, Some(1 << 40)).len(), whats.len());
        assert!(whats.len() > 20 && whats.is_sorted_by_key(|w| w[1..].parse::<u32>().unwrap()));
    }
}
