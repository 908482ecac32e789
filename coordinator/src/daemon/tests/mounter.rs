//! A mounter, a guard and a state volume in memory; the state volume's files are real.

use super::{
    dice::Fate,
    state::World,
    things::{Container, Mount},
};
use crate::{
    daemon::outside::{Guard, Installed, Mounter, Store},
    fleet::Held,
    guard_client::{GuardReport, GuardRequest, Guarded},
    model::{FIRST_UID, HostPath, UIDS, WorkerId},
    mounter_client::{
        CheckedProject, MountFacts, MountMode, MountRequest, Mounted, MounterCaps, MounterError,
        MounterErrorKind, OverlayRequest, Policy, PrepareRequest, ReviewClaim, Usage, UsageRequest,
    },
    store::{ClaimRecord, FinishedRecord, StateDir},
    wire::{ChangeCount, Folders},
};
use futures_util::future::BoxFuture;
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Device of all projects.
const DEV: u64 = 7;

#[derive(Debug)]
pub struct FakeMounter(pub Arc<World>);

type Answer<T> = Result<T, MounterError>;

fn error<T>(kind: MounterErrorKind, message: &str) -> Answer<T> {
    Err(MounterError {
        kind,
        message: message.to_owned(),
    })
}

impl FakeMounter {
    fn away<T>(&self) -> Answer<T> {
        self.0.missed.notify_one();
        error(MounterErrorKind::Unreachable, "the mounter is away")
    }

    async fn call<T>(
        &self,
        what: &str,
        often: bool,
        work: impl FnOnce(&World) -> Answer<T> + Send,
    ) -> Answer<T> {
        if !self.0.lock().mounter_up {
            return self.away();
        }
        let fate = self.0.begin(what, often).await;
        if !self.0.lock().mounter_up {
            return self.away();
        }
        if fate == Fate::Fail {
            return error(MounterErrorKind::System, "chance");
        }
        let value = work(&self.0);
        self.0.end(what, fate).await;
        if fate == Fate::Lost {
            return self.away();
        }
        value
    }
}

fn find(world: &World, project: &Path) -> Answer<(u64, bool)> {
    match world.lock().projects.get(project) {
        Some(found) if found.there => Ok((found.ino, found.idmapped)),
        _ if project.starts_with("/refused") => {
            error(MounterErrorKind::Refused, "a rule refuses it")
        }
        _ => error(MounterErrorKind::NotAFolder, "there is no such folder"),
    }
}

fn put(world: &World, request: &MountRequest) -> Answer<Mounted> {
    world.note(|| format!("to be mounted: {request:?}"));
    let project = request.project.as_path().to_owned();
    let (ino, idmapped) = find(world, &project)?;
    let uid = if idmapped { request.uid } else { 1000 };
    let mut inner = world.lock();
    let now_ms = inner.now_ms();
    let found = inner.containers.values_mut();
    let mut found = found.filter(|c| c.worker == request.worker && c.pid == request.pid);
    let Some(container) = found.next().filter(|c| c.running) else {
        return error(MounterErrorKind::BadTarget, "no such worker");
    };
    let former = container.mount.replace(Mount {
        project: project.clone(),
        dev: DEV,
        ino,
        mode: request.mode,
        uid,
    });
    if former.is_some() || container.main().is_some() {
        let worker = request.worker.clone();
        inner.wrong(format!(
            "{worker} gets a project and has something of another claim"
        ));
    }
    drop(inner);
    let facts = MountFacts {
        worker: request.worker.clone(),
        project: request.project.clone(),
        dev: DEV,
        ino,
        fsid: Some(DEV + 1),
        mode: request.mode,
        uid,
        gid: uid,
        claimed_ns: i64::try_from(now_ms).unwrap() * 1_000_000,
    };
    let file = world.dir.join("workers").join(&request.worker);
    let noted = std::fs::write(
        file.join(MountFacts::FILE),
        serde_json::to_vec(&facts).unwrap(),
    );
    if noted.is_err() {
        return error(MounterErrorKind::System, "its folder is gone");
    }
    Ok(Mounted {
        project: request.project.clone(),
        dev: DEV,
        ino,
        fsid: Some(DEV + 1),
        owner_uid: 1000,
        owner_gid: 1000,
        session_uid: uid,
        session_gid: uid,
        idmapped,
        idmap_reason: (!idmapped).then(|| "an old file system".to_owned()),
        prepared: (request.mode == MountMode::Overlay).then_some(false),
        left_out: Vec::new(),
        left_out_more: false,
        took_us: 1,
    })
}

impl Mounter for FakeMounter {
    fn probe(&self) -> BoxFuture<'_, Answer<MounterCaps>> {
        Box::pin(self.call("mounter.probe", true, |_| {
            Ok(MounterCaps {
                bind: true,
                overlay: true,
                idmap: true,
                reasons: Vec::new(),
            })
        }))
    }

    fn prepare(&self, request: PrepareRequest) -> BoxFuture<'_, Answer<()>> {
        Box::pin(self.call("mounter.prepare", false, move |world| {
            if !world.dir.join("workers").join(&request.worker).is_dir() {
                return error(MounterErrorKind::BadTarget, "no such folder");
            }
            world.lock().homes.insert(request.worker, request.uid);
            Ok(())
        }))
    }

    fn prepare_overlay(&self, request: OverlayRequest) -> BoxFuture<'_, Answer<()>> {
        let mut inner = self.0.lock();
        let found = inner.containers.values();
        let claimed = |c: &Container| c.worker == request.worker && c.mount.is_some();
        // Nothing is known to have been mounted there; a claim may have come meanwhile.
        let claimed = found.filter(|c| claimed(c)).count();
        inner.count(if claimed > 0 {
            "an overlay ahead, late"
        } else {
            "an overlay ahead"
        });
        Box::pin(async { Ok(()) })
    }

    fn mount(&self, request: MountRequest) -> BoxFuture<'_, Answer<Mounted>> {
        Box::pin(self.call("mounter.mount", false, move |world| put(world, &request)))
    }

    fn unmount<'a>(&'a self, worker: &'a str, pid: i32) -> BoxFuture<'a, Answer<()>> {
        Box::pin(self.call("mounter.unmount", false, move |world| {
            let mut inner = world.lock();
            let found = inner.containers.values_mut();
            let mut found = found.filter(|c| c.worker == worker && c.pid == pid);
            if let Some(container) = found.next() {
                container.mount = None;
                // None is no error.
                std::fs::remove_file(folder(world, worker).join(MountFacts::FILE)).ok();
            }
            Ok(())
        }))
    }

    fn refresh<'a>(&'a self, worker: &'a str, pid: i32) -> BoxFuture<'a, Answer<()>> {
        Box::pin(self.call("mounter.refresh", true, move |world| {
            let mut inner = world.lock();
            let found = inner.containers.values();
            let mut found = found.filter(|c| c.worker == worker && c.pid == pid);
            let overlay = |m: &Mount| m.mode == MountMode::Overlay;
            if !found.any(|c| c.mount.as_ref().is_some_and(overlay)) {
                return error(MounterErrorKind::BadTarget, "no overlay is mounted there");
            }
            inner.count("an overlay refreshed");
            Ok(())
        }))
    }

    fn check(&self, project: HostPath, _: Policy) -> BoxFuture<'_, Answer<CheckedProject>> {
        Box::pin(self.call("mounter.check", false, move |world| {
            let (ino, _) = find(world, project.as_path())?;
            Ok(CheckedProject {
                project,
                dev: DEV,
                ino,
                fsid: Some(DEV + 1),
            })
        }))
    }

    fn folders(&self, _: HostPath, _: Policy) -> BoxFuture<'_, Answer<Folders>> {
        Box::pin(async { error(MounterErrorKind::Refused, "nobody asks in this world") })
    }

    fn engine_socket<'a>(&'a self, _: i32, _: &'a Path, _: &'a Path) -> BoxFuture<'a, Answer<()>> {
        Box::pin(async { error(MounterErrorKind::Refused, "nobody asks in this world") })
    }

    fn any_changes(&self, target: ReviewClaim) -> BoxFuture<'_, Answer<bool>> {
        Box::pin(self.call("mounter.any_changes", false, move |world| {
            Ok(world.lock().changed.contains(&target.target.worker))
        }))
    }

    fn count(&self, target: ReviewClaim, _: u64) -> BoxFuture<'_, Answer<Option<ChangeCount>>> {
        Box::pin(self.call("mounter.count", true, move |world| {
            let files = u64::from(world.lock().changed.contains(&target.target.worker));
            Ok(Some(ChangeCount {
                files,
                added: files,
                removed: 0,
            }))
        }))
    }

    fn usage(&self, _: UsageRequest) -> BoxFuture<'_, Answer<Usage>> {
        Box::pin(self.call("mounter.usage", true, |_| {
            Ok(Usage {
                bytes: 4096,
                entries: 1,
                complete: true,
            })
        }))
    }

    fn remove_worker<'a>(&'a self, worker: &'a str) -> BoxFuture<'a, Answer<()>> {
        Box::pin(self.call("mounter.remove_worker", false, move |world| {
            let folder = world.dir.join("workers").join(worker);
            if let Err(error) = std::fs::remove_dir_all(&folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                panic!("{}: {error}", folder.display());
            }
            let mut inner = world.lock();
            inner.homes.remove(worker);
            let dropped = inner
                .permits
                .get(worker)
                .is_some_and(|permit| permit.drops > 0);
            if inner.changed.remove(worker) && !dropped {
                inner.wrong(format!("what {worker} changed is lost"));
            }
            Ok(())
        }))
    }

    fn missed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.missed.notified())
    }
}

#[derive(Debug)]
pub struct FakeGuard(pub Arc<World>);

impl FakeGuard {
    async fn call(
        &self,
        often: bool,
        work: impl FnOnce(&World) + Send,
    ) -> Result<GuardReport, String> {
        if self.0.lock().guard.is_none() {
            return Err("no guard answers".to_owned());
        }
        let what = if often { "guard.report" } else { "guard.order" };
        let fate = self.0.begin(what, often).await;
        let Some(boot) = self.0.lock().guard else {
            return Err("the guard is gone".to_owned());
        };
        if fate == Fate::Fail {
            return Err("chance".to_owned());
        }
        work(&self.0);
        self.0.end(what, fate).await;
        if fate == Fate::Lost {
            return Err("the answer is lost".to_owned());
        }
        Ok(GuardReport {
            boot,
            namespace: self.0.netns,
            ready: self.0.lock().guard_ready,
            error: None,
            uncounted: None,
            proxy_down: None,
            denied: Vec::new(),
        })
    }
}

impl Guard for FakeGuard {
    fn ask<'a>(&'a self, request: &'a GuardRequest) -> BoxFuture<'a, Result<GuardReport, String>> {
        let often = matches!(request, GuardRequest::Report);
        Box::pin(self.call(often, move |world| {
            world.note(|| format!("the guard is asked {request:?}"));
            let rules = &mut world.lock().rules;
            match request {
                GuardRequest::Add(worker) => drop(rules.insert(worker.uid, worker.clone())),
                GuardRequest::Remove { uid } => drop(rules.remove(uid)),
                GuardRequest::Clear => rules.clear(),
                _ => {}
            }
        }))
    }

    fn replace(&self, workers: Vec<Guarded>) -> BoxFuture<'_, Result<GuardReport, String>> {
        Box::pin(self.call(false, move |world| {
            let mut inner = world.lock();
            inner.note(|| format!("the guard is told {workers:?}"));
            inner.rules = workers.into_iter().map(|w| (w.uid, w)).collect();
            inner.guard_ready = true;
        }))
    }
}

/// The real folder, which may be full, and whose homes have owners although nobody is root.
#[derive(Debug)]
pub struct FakeStore(pub Arc<World>, pub StateDir);

impl FakeStore {
    /// A write; of what is written while the coordinator dies nothing is there, or all.
    fn write<T>(&self, what: &str, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let full = |text| Err(io::Error::new(io::ErrorKind::StorageFull, text));
        let after = {
            let mut inner = self.0.lock();
            if inner.down {
                return full("the coordinator is dead");
            }
            if inner.disk_full {
                return full("no space left");
            }
            let roll = if inner.calm { 0 } else { inner.dice.below(250) };
            inner.note(|| format!("{what}: {roll}"));
            match roll {
                1..4 => {
                    inner.faults += 1;
                    inner.step(&format!("fate {what} fail"), "");
                    return full("chance");
                }
                4 => {
                    inner.faults += 1;
                    inner.step(&format!("fate {what} crash"), "");
                    inner.dice.chance(500)
                }
                _ => {
                    drop(inner);
                    return work();
                }
            }
        };
        let done = after.then(work);
        self.0.crash();
        done.unwrap_or_else(|| full("the coordinator is dead"))
    }
}

impl Store for FakeStore {
    fn install(&self, _: &Path) -> io::Result<Installed> {
        Ok(Installed {
            agent: "worker-agent-1".to_owned(),
            podbay: "podbay-1".to_owned(),
        })
    }

    fn sweep(&self) -> io::Result<()> {
        self.1.sweep()
    }

    fn workers(&self) -> io::Result<Vec<WorkerId>> {
        // As a folder lists them: in no order that means anything, but the same one each time.
        let mut found = self.1.workers()?;
        found.sort_unstable_by_key(|id| id.as_str().bytes().rev().collect::<Vec<_>>());
        Ok(found)
    }

    fn worker_uids(&self) -> io::Result<Vec<(WorkerId, u32)>> {
        let workers = self.workers()?.into_iter();
        Ok(workers
            .filter_map(|id| Some((id.clone(), self.own_uid(&id)?)))
            .collect())
    }

    fn own_uid(&self, worker: &WorkerId) -> Option<u32> {
        let home = self.0.lock().homes.get(worker.as_str()).copied();
        let of_workers = |uid: &u32| (FIRST_UID..FIRST_UID + UIDS).contains(uid);
        home.or_else(|| self.claim(worker).map(|claim| claim.uid).filter(of_workers))
    }

    fn create(&self, worker: &WorkerId, token: &str, open_home: bool) -> io::Result<()> {
        self.write("store.create", || {
            Store::create(&self.1, worker, token, open_home)
        })
    }

    fn renew(&self, worker: &WorkerId, token: &str) -> io::Result<()> {
        self.write("store.renew", || Store::renew(&self.1, worker, token))
    }

    fn remove(&self, worker: &WorkerId) -> io::Result<()> {
        self.write("store.remove", || {
            if self.0.lock().homes.contains_key(worker.as_str()) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Store::remove(&self.1, worker)
        })
    }

    fn token(&self, worker: &WorkerId) -> Option<String> {
        Store::token(&self.1, worker)
    }

    fn write_accounts(&self, worker: &WorkerId, passwd: &[u8], group: &[u8]) -> io::Result<()> {
        Store::write_accounts(&self.1, worker, passwd, group)
    }

    fn claim(&self, worker: &WorkerId) -> Option<ClaimRecord> {
        Store::claim(&self.1, worker)
    }

    fn write_claim(&self, record: &ClaimRecord) -> io::Result<()> {
        self.0.note(|| format!("{record:?}"));
        self.write("store.write_claim", || Store::write_claim(&self.1, record))
    }

    fn mount_facts(&self, worker: &WorkerId) -> Option<MountFacts> {
        Store::mount_facts(&self.1, worker)
    }

    fn hold(&self, worker: &WorkerId) -> Option<Held> {
        Store::hold(&self.1, worker)
    }

    fn write_hold(&self, worker: &WorkerId, held: &Held) -> io::Result<()> {
        self.write("store.write_hold", || {
            Store::write_hold(&self.1, worker, held)
        })
    }

    fn remove_hold(&self, worker: &WorkerId) -> io::Result<()> {
        self.write("store.remove_hold", || Store::remove_hold(&self.1, worker))
    }

    fn finished(&self) -> io::Result<Vec<FinishedRecord>> {
        let mut found = self.1.finished()?;
        found.sort_unstable_by(|a, b| a.claim.id.cmp(&b.claim.id));
        Ok(found)
    }

    fn write_finished(&self, record: &FinishedRecord) -> io::Result<()> {
        self.0.note(|| format!("{record:?}"));
        self.write("store.write_finished", || {
            Store::write_finished(&self.1, record)
        })
    }

    fn remove_finished(&self, worker: &WorkerId) -> io::Result<()> {
        self.write("store.remove_finished", || {
            Store::remove_finished(&self.1, worker)
        })
    }
}

/// A folder of the state volume.
pub fn folder(world: &World, worker: &str) -> PathBuf {
    world.dir.join("workers").join(worker)
}
