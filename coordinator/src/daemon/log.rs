//! Reading a session's recording back as the bytes it wrote.

use super::Daemon;
use crate::{
    model::WorkerId,
    wire::{ApiError, ErrorKind, LogsQuery},
};
use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Seek, SeekFrom},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use worker_agent::playback;

/// Bytes of the recording handed out at once.
const CHUNK: usize = 64 * 1024;
/// How often a followed recording is looked at.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// Bytes kept while looking for the last lines.
const TAIL_LIMIT: usize = 8 << 20;

/// Reads one session's recording.
#[derive(Debug)]
pub struct LogReader {
    daemon: Arc<Daemon>,
    worker: WorkerId,
    folder: PathBuf,
    session: String,
    current: Option<BufReader<File>>,
    inode: u64,
    rest: Vec<u8>,
    first: Option<Vec<u8>>,
    follow: bool,
}

impl Daemon {
    /// Opens a session's recording.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for no such worker or no recording.
    pub fn logs(self: &Arc<Self>, name: &str, query: &LogsQuery) -> Result<LogReader, ApiError> {
        let id = self.find(name)?;
        let claim = self.claim_of(&id).ok_or_else(|| {
            ApiError::new(
                ErrorKind::Conflict,
                "the worker has no session: it is not claimed",
            )
        })?;
        let folder = self.state_dir.worker(&id).log();
        let session = if query.previous {
            let recorded = |session: &String| playback::path(&folder, session, 0).exists();
            claim.earlier_sessions().find(recorded).ok_or_else(|| {
                let message = format!("{} has no session before this one", claim.name);
                ApiError::new(ErrorKind::NotFound, message)
            })?
        } else {
            claim.session
        };
        let mut reader = LogReader {
            daemon: self.clone(),
            worker: id,
            folder,
            session,
            current: None,
            inode: 0,
            rest: Vec::new(),
            first: None,
            follow: query.follow,
        };
        let earlier = reader.read_earlier(query).map_err(|e| {
            ApiError::new(
                ErrorKind::Internal,
                format!("the recording cannot be read: {e}"),
            )
        })?;
        reader.first = Some(earlier);
        Ok(reader)
    }
}

impl LogReader {
    fn path(&self, rotation: u32) -> PathBuf {
        playback::path(&self.folder, &self.session, rotation)
    }

    /// All that is there now, cut to what was asked for.
    fn read_earlier(&mut self, query: &LogsQuery) -> std::io::Result<Vec<u8>> {
        let start = recorded_start(&self.path(0));
        let mut out = Tail::new(query.tail);
        for rotation in (0..=playback::OLDEST).rev() {
            let Some(mut file) = open(&self.path(rotation))? else {
                continue;
            };
            let inode = file.metadata()?.ino();
            let since = query.since_s.map(|s| Since::new(s, start));
            let mut reader = BufReader::new(&mut file);
            let used = decode(&mut reader, since, |bytes| out.push(bytes))?;
            if rotation == 0 {
                file.seek(SeekFrom::Start(used))?;
                self.inode = inode;
                self.current = Some(BufReader::new(file));
            }
        }
        Ok(out.finish())
    }

    /// The next bytes; `None` at the end. Waits while following a session that goes on.
    ///
    /// # Errors
    /// The recording cannot be read.
    pub async fn next(&mut self) -> Option<std::io::Result<Vec<u8>>> {
        if let Some(first) = self.first.take()
            && !first.is_empty()
        {
            return Some(Ok(first));
        }
        if !self.follow {
            return None;
        }
        loop {
            let over = self.over();
            match self.read_more() {
                Ok(bytes) if !bytes.is_empty() => return Some(Ok(bytes)),
                Ok(_) if over => return None,
                Ok(_) => tokio::time::sleep(FOLLOW_INTERVAL).await,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn over(&self) -> bool {
        let state = self.daemon.lock();
        match state.records.get(&self.worker) {
            Some(record) => {
                record.session.exit.is_some() || record.removing || !record.is_main(&self.session)
            }
            None => true,
        }
    }

    fn read_more(&mut self) -> std::io::Result<Vec<u8>> {
        let mut out = Vec::new();
        if let Some(reader) = &mut self.current {
            read_lines(reader, &mut self.rest, &mut out)?;
        }
        if out.is_empty() {
            let path = self.path(0);
            let rotated = std::fs::symlink_metadata(&path).is_ok_and(|m| m.ino() != self.inode);
            if rotated && let Some(file) = open(&path)? {
                self.inode = file.metadata()?.ino();
                self.rest.clear();
                let reader = self.current.insert(BufReader::new(file));
                read_lines(reader, &mut self.rest, &mut out)?;
            }
        }
        Ok(out)
    }
}

/// Never through a link: the folder belongs to the worker's root.
fn open(path: &Path) -> std::io::Result<Option<File>> {
    let no_follow = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    match OpenOptions::new()
        .read(true)
        .custom_flags(no_follow)
        .open(path)
    {
        Ok(file) if file.metadata()?.is_file() => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Unix seconds of the recording's start, from its header.
fn recorded_start(path: &Path) -> Option<f64> {
    let mut line = String::new();
    BufReader::new(open(path).ok()??)
        .take(1 << 16)
        .read_line(&mut line)
        .ok()?;
    playback::parse_header(&line)
}

/// Only what was written in the last seconds.
struct Since {
    /// Seconds from the recording's start.
    from: f64,
}

impl Since {
    fn new(seconds: u64, start: Option<f64>) -> Self {
        let now = super::unix_ms() as f64 / 1000.0;
        let start = start.unwrap_or(now);
        Self {
            from: now - seconds as f64 - start,
        }
    }
}

/// Decodes whole lines; says how many bytes of the file they were.
fn decode(
    reader: &mut impl BufRead,
    since: Option<Since>,
    mut take: impl FnMut(&[u8]),
) -> std::io::Result<u64> {
    let mut used = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let n = reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            return Ok(used);
        }
        used += n as u64;
        if let Some((at, bytes)) = playback::parse_output(&line)
            && since.as_ref().is_none_or(|s| at >= s.from)
        {
            take(&bytes);
        }
    }
}

fn read_lines(
    reader: &mut BufReader<File>,
    rest: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> std::io::Result<()> {
    while out.len() < CHUNK {
        let n = reader.read_until(b'\n', rest)?;
        if n == 0 || rest.last() != Some(&b'\n') {
            return Ok(());
        }
        if let Some((_, bytes)) = playback::parse_output(rest) {
            out.extend_from_slice(&bytes);
        }
        rest.clear();
    }
    Ok(())
}

/// Keeps all, or the last lines.
struct Tail {
    lines: Option<u64>,
    bytes: VecDeque<u8>,
}

impl Tail {
    fn new(lines: Option<u64>) -> Self {
        Self {
            lines,
            bytes: VecDeque::new(),
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        if self.lines.is_some() && self.bytes.len() > TAIL_LIMIT {
            self.bytes.drain(..self.bytes.len() - TAIL_LIMIT);
        }
    }

    fn finish(self) -> Vec<u8> {
        let bytes = Vec::from(self.bytes);
        let Some(lines) = self.lines else {
            return bytes;
        };
        let wanted = usize::try_from(lines).unwrap_or(usize::MAX);
        if wanted == 0 {
            return Vec::new();
        }
        let body = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let ends = body.iter().enumerate().rev().filter(|(_, b)| **b == b'\n');
        let start = ends.map(|(i, _)| i + 1).nth(wanted - 1).unwrap_or(0);
        bytes.get(start..).unwrap_or_default().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;

    #[test]
    fn the_last_lines_with_and_without_a_final_newline() {
        let tail = |lines, text: &str| {
            let mut tail = Tail::new(lines);
            tail.push(text.as_bytes());
            String::from_utf8(tail.finish()).unwrap()
        };
        assert_eq!(tail(None, "a\nb\n"), "a\nb\n");
        assert_eq!(tail(Some(1), "a\nb\n"), "b\n");
        assert_eq!(tail(Some(2), "a\nb\nc"), "b\nc");
        assert_eq!(tail(Some(9), "a\nb\nc"), "a\nb\nc");
        assert_eq!(tail(Some(0), "a\n"), "");
    }
}
