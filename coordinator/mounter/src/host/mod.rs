//! What the mounter holds open: the state volume, the engine's mount namespace, a private one for
//! staging; and [`Place`], where a thread is among them. Owns all changes of namespace. Never changes
//! the main thread's: every [`Place`] belongs to a thread that has its own root and working folder.

mod busy;
mod idmap;
mod prepared;
mod table;
mod wall_clock;

pub(crate) use busy::{Busy, Turn};
pub(crate) use idmap::{IdPair, SessionIds};
pub(crate) use prepared::PreparedOverlay;
pub(crate) use table::named;
pub(crate) use wall_clock::{watch, watch_on};

use crate::{
    clock::Clock,
    error::{bad_target, system, unsupported},
    tree::{Meta, Tree},
    wire::{MounterError, MounterErrorKind},
};
use idmap::IdMaps;
use nix::sched::{CloneFlags, setns, unshare};
use prepared::PreparedOverlays;
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat, openat2},
    mount::{MountPropagationFlags, mount_change},
    process::{Pid, PidfdFlags, pidfd_open},
};
use std::{
    io::Read,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};
use table::MountTable;
use wall_clock::WallClock;

type Result<T> = std::result::Result<T, MounterError>;

/// Opened once, shared by all threads.
pub(crate) struct Host {
    /// The state volume.
    pub(crate) state: Tree,
    /// Where it is in our own mount namespace, and so in the staging one.
    pub(crate) state_path: PathBuf,
    /// Our own `/proc`, with the host's processes.
    proc: OwnedFd,
    /// The engine's mount namespace and its root, or why it cannot be reached.
    engine: std::result::Result<Engine, String>,
    /// Copy of our own mount namespace in which lower folders of overlays are put, or why not.
    staging: std::result::Result<OwnedFd, String>,
    /// User namespaces for id-maps.
    idmaps: IdMaps,
    /// When the wall clock was set.
    clock: WallClock,
    /// Who changes which worker's mount.
    pub(crate) mounts: Arc<Busy>,
    /// What is mounted where the engine is.
    pub(crate) table: MountTable,
    /// Overlays made ahead of their claims.
    pub(crate) prepared: PreparedOverlays,
}

struct Engine {
    namespace: OwnedFd,
    root: OwnedFd,
    /// Its list of mounts, where that can be read.
    mountinfo: Option<OwnedFd>,
}

impl Host {
    /// Opens everything; what cannot be had is kept as the reason and told by `Probe`.
    pub(crate) fn open(state_path: &Path) -> std::io::Result<Arc<Self>> {
        let state = Tree::new(rustix::fs::open(
            state_path,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?);
        let proc = rustix::fs::open(
            "/proc",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let mut engine = Self::find_engine(&proc).map_err(|e| {
            format!(
                "the engine's mount namespace cannot be reached ({e}); the mounter needs \
                 --pid=host, SYS_PTRACE, SYS_ADMIN and SYS_CHROOT"
            )
        });
        let staging = elsewhere(|| {
            unshare(CloneFlags::CLONE_NEWNS)?;
            mount_change(
                "/",
                MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
            )?;
            Ok(rustix::fs::open(
                "/proc/thread-self/ns/mnt",
                OFlags::RDONLY | OFlags::CLOEXEC,
                Mode::empty(),
            )?)
        })
        .map_err(|e| format!("no mount namespace for staging overlays ({e})"));
        let mountinfo = engine.as_mut().ok().and_then(|e| e.mountinfo.take());
        let host = Self {
            state,
            state_path: state_path.to_owned(),
            proc,
            engine,
            staging,
            idmaps: IdMaps::default(),
            clock: WallClock::default(),
            mounts: Arc::default(),
            table: MountTable::new(mountinfo),
            prepared: PreparedOverlays::default(),
        };
        host.clock.begin(&host.state, host.boot_id());
        Ok(Arc::new(host))
    }

    /// The shim that is our parent runs where the engine resolves bind sources.
    fn find_engine(proc: &OwnedFd) -> std::io::Result<Engine> {
        let parent = rustix::process::getppid().ok_or(rustix::io::Errno::SRCH)?;
        let open = |name: &str| {
            let path = format!("{}/{name}", parent.as_raw_nonzero());
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            openat(proc, path.as_str(), flags, Mode::empty())
        };
        let namespace = open("ns/mnt")?;
        let mountinfo = open("mountinfo").ok();
        let root = elsewhere(|| {
            setns(&namespace, CloneFlags::CLONE_NEWNS)?;
            Ok(rustix::fs::open(
                "/",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )?)
        })?;
        Ok(Engine {
            namespace,
            root,
            mountinfo,
        })
    }

    /// The root folder of the engine's mount namespace.
    pub(crate) fn engine_root(&self) -> Result<&OwnedFd> {
        self.engine
            .as_ref()
            .map(|e| &e.root)
            .map_err(|why| unsupported(why.clone()))
    }

    /// Opens something below our own `/proc`.
    pub(crate) fn proc(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        openat(&self.proc, path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    /// The path of an open descriptor, as seen from where this thread is.
    pub(crate) fn path_of(&self, fd: impl AsFd) -> rustix::io::Result<PathBuf> {
        use std::os::{fd::AsRawFd, unix::ffi::OsStringExt};
        let link = format!("self/fd/{}", fd.as_fd().as_raw_fd());
        let path = rustix::fs::readlinkat(&self.proc, link.as_str(), Vec::new())?;
        Ok(PathBuf::from(std::ffi::OsString::from_vec(
            path.into_bytes(),
        )))
    }

    /// Start time of a process in clock ticks since boot: with the pid it names a process.
    pub(crate) fn start_time(&self, pid: i32) -> Option<u64> {
        let fd = self.proc(&format!("{pid}/stat"), OFlags::RDONLY).ok()?;
        let mut text = Vec::new();
        std::fs::File::from(fd)
            .take(4096)
            .read_to_end(&mut text)
            .ok()?;
        let text = String::from_utf8_lossy(&text);
        // proc(5): field 22; the command's name, in parentheses, may hold anything.
        text.rsplit_once(')')?
            .1
            .split_ascii_whitespace()
            .nth(19)?
            .parse()
            .ok()
    }

    /// This boot, so that a pid from before a reboot is not taken for one of now.
    pub(crate) fn boot_id(&self) -> String {
        let mut text = String::new();
        let read = self
            .proc("sys/kernel/random/boot_id", OFlags::RDONLY)
            .map_err(std::io::Error::from)
            .and_then(|fd| std::fs::File::from(fd).take(64).read_to_string(&mut text));
        match read {
            Ok(_) => text.trim().to_owned(),
            Err(_) => String::new(),
        }
    }

    /// The user namespace that maps the ids of a pair, made now if need be (about 1 ms).
    pub(crate) fn id_map(&self, pair: IdPair) -> std::io::Result<Arc<OwnedFd>> {
        self.idmaps.get(&self.proc, pair)
    }

    /// Makes the user namespaces that a worker will most likely need.
    pub(crate) fn prepare_id_maps(&self, worker: (u32, u32)) {
        self.idmaps.prepare(&self.proc, worker);
    }

    /// Looks whether the wall clock was set.
    pub(crate) fn look_at_clock(&self) {
        self.clock.look(&self.state);
    }

    /// What is after a claim at this time, Unix nanoseconds.
    pub(crate) fn since(&self, claimed: i64) -> Clock {
        self.clock.since(&self.state, claimed)
    }

    /// Where a worker's `changes/` is in our own mount namespace, and so in the staging one.
    pub(crate) fn changes_path(&self, worker: &str) -> PathBuf {
        self.state_path.join("workers").join(worker).join("changes")
    }

    /// A worker's folder in the state volume.
    pub(crate) fn worker(&self, id: &str) -> Result<Tree> {
        let path = Path::new("workers").join(valid_id(id)?);
        self.state.sub(&path).map_err(|e| {
            bad_target(format!(
                "worker {id} has no folder in the state volume ({e}); prepare it first"
            ))
        })
    }
}

/// A worker's id: 12 hexadecimal digits, so that it is a file name and nothing else.
pub(crate) fn valid_id(id: &str) -> Result<&str> {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if id.len() == 12 && id.bytes().all(hex) {
        Ok(id)
    } else {
        Err(bad_target(format!(
            "{id:?} is not a worker's id: 12 hexadecimal digits"
        )))
    }
}

/// Runs something in a thread with its own root, so that it may change namespaces.
fn elsewhere<T: Send>(f: impl FnOnce() -> std::io::Result<T> + Send) -> std::io::Result<T> {
    let body = move || {
        unshare(CloneFlags::CLONE_FS)?;
        f()
    };
    std::thread::scope(|scope| match scope.spawn(body).join() {
        Ok(result) => result,
        Err(_) => Err(std::io::Error::other("the thread panicked")),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Own,
    Engine,
    Staging,
    Worker,
}

/// Where a pool thread is. Must be made and used on one thread only.
pub(crate) struct Place {
    pub(crate) host: Arc<Host>,
    at: At,
    /// Keeps it on its thread.
    _thread: std::marker::PhantomData<*const ()>,
}

impl Place {
    /// Makes this thread one that can change namespaces.
    pub(crate) fn new(host: Arc<Host>) -> std::io::Result<Self> {
        unshare(CloneFlags::CLONE_FS)?;
        // The groups of the process that started us must not open a project's files to a worker's owner.
        rustix::thread::set_thread_groups(&[])?;
        rustix::process::umask(Mode::empty());
        Ok(Self {
            host,
            at: At::Own,
            _thread: std::marker::PhantomData,
        })
    }

    /// To the engine's mount namespace; nothing to do when there already.
    pub(crate) fn enter_engine(&mut self) -> Result<()> {
        if self.at == At::Engine {
            return Ok(());
        }
        let engine = match &self.host.engine {
            Ok(engine) => engine,
            Err(why) => return Err(unsupported(why.clone())),
        };
        setns(&engine.namespace, CloneFlags::CLONE_NEWNS)
            .map_err(|e| system("entering the engine's mount namespace", e))?;
        self.at = At::Engine;
        Ok(())
    }

    /// To the private mount namespace where overlays are put together.
    pub(crate) fn enter_staging(&mut self) -> Result<()> {
        let staging = match &self.host.staging {
            Ok(staging) => staging,
            Err(why) => return Err(unsupported(why.clone())),
        };
        setns(staging, CloneFlags::CLONE_NEWNS)
            .map_err(|e| system("entering the staging mount namespace", e))?;
        self.at = At::Staging;
        Ok(())
    }

    /// To a worker's mount namespace, after which `/.podbay/run` there is compared with the
    /// worker's own folder. The pidfd names the process for good, so a reused pid cannot fool us.
    pub(crate) fn enter_worker(&mut self, pidfd: &OwnedFd, worker: &Tree) -> Result<()> {
        setns(pidfd, CloneFlags::CLONE_NEWNS).map_err(|e| {
            bad_target(format!(
                "the worker's mount namespace cannot be entered ({e}); is it still running?"
            ))
        })?;
        self.at = At::Worker;
        let there = open_plain(podbay_protocol::paths::RUN, OFlags::PATH).and_then(Meta::of);
        let ours = worker.meta(Path::new("run"));
        match (there, ours) {
            (Ok(there), Ok(Some(ours))) if (there.dev, there.ino) == (ours.dev, ours.ino) => Ok(()),
            _ => Err(bad_target(
                "the process is not in the container of this worker".into(),
            )),
        }
    }

    /// To the parent's mount namespace, known by the state volume that is mounted there where it is
    /// mounted here.
    pub(crate) fn enter_parent(&mut self, pidfd: &OwnedFd) -> Result<()> {
        setns(pidfd, CloneFlags::CLONE_NEWNS)
            .map_err(|e| bad_target(format!("the parent's mounts cannot be entered ({e})")))?;
        self.at = At::Worker;
        let path = self.host.state_path.to_string_lossy();
        let there = open_plain(&path, OFlags::PATH).and_then(Meta::of);
        match (there, self.host.state.meta(Path::new(""))) {
            (Ok(there), Ok(Some(ours))) if (there.dev, there.ino) == (ours.dev, ours.ino) => Ok(()),
            _ => Err(bad_target("the process is not in the parent".into())),
        }
    }
}

/// Opens a folder by absolute path where this thread is, following no link at all.
pub(crate) fn open_plain(path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    openat2(
        rustix::fs::CWD,
        path,
        flags | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
    )
}

/// A process, held so that its id cannot be reused for another.
pub(crate) fn hold(pid: i32) -> Result<OwnedFd> {
    let gone = |why: String| MounterError {
        kind: MounterErrorKind::BadTarget,
        message: format!("there is no process {pid} ({why}); the worker is gone"),
    };
    let pid = (pid > 0)
        .then(|| Pid::from_raw(pid))
        .flatten()
        .ok_or_else(|| gone("not a process id".into()))?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|e| gone(e.to_string()))
}

#[cfg(test)]
#[path = "host_tests.rs"]
mod tests;
