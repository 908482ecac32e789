//! The guard's container, and what it is told: which uid is which worker, and where it may connect.
//!
//! Rules are in the kernel before a worker's first process, and nobody waits for them at a claim.

use crate::daemon::{Daemon, helpers::Pause, workers::record::Record};
use crate::{
    guard_client::{FIRST_UID, GuardReport, GuardRequest, Guarded, PROXY_PORT, UIDS},
    model::{Egress, WorkerId},
    runtime::Helper,
    wire::{ApiError, EgressDenied, ErrorKind, GuardView},
};
use std::{
    collections::{BTreeMap, HashMap},
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::Duration,
};

/// How often a guard that works is asked what was refused.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Ports a claim may call its own, from the first up.
pub(in crate::daemon) const PORTS_PER_WORKER: u16 = 20;
const FIRST_PORT: u16 = 20_000;
/// So many blocks of ports there are; with more workers they are shared.
const BLOCKS: u32 = 2_000;

/// The first of a worker's own ports.
pub(in crate::daemon) fn first_port(uid: u32) -> u16 {
    let block = u16::try_from(uid.saturating_sub(FIRST_UID) % BLOCKS).unwrap_or_default();
    FIRST_PORT + block * PORTS_PER_WORKER
}

/// What tells programs of the proxy: nothing where they connect directly.
pub(in crate::daemon) fn proxy_env(egress: &Egress) -> Vec<(&'static str, String)> {
    if egress.is_open() {
        return Vec::new();
    }
    let proxy = format!("http://127.0.0.1:{PROXY_PORT}");
    let own = "localhost,127.0.0.1,::1".to_owned();
    vec![
        ("HTTP_PROXY", proxy.clone()),
        ("http_proxy", proxy.clone()),
        ("HTTPS_PROXY", proxy.clone()),
        ("https_proxy", proxy),
        ("NO_PROXY", own.clone()),
        ("no_proxy", own),
        // Node's own fetch reads the others only then.
        ("NODE_USE_ENV_PROXY", "1".to_owned()),
    ]
}

/// Refuses what its rules would not hold: they go by the worker's own uid.
pub(in crate::daemon) fn holds(egress: &Egress, own_uid: u32, uid: u32) -> Result<(), ApiError> {
    if egress.is_open() || own_uid == uid {
        return Ok(());
    }
    let what = match uid {
        0 => "a root session".to_owned(),
        uid => format!("a session of uid {uid}, which is not the worker's own,"),
    };
    let message = format!("{what} cannot be kept to the profile's egress ({egress})");
    Err(ApiError::new(ErrorKind::Refused, message).hint(
        "rules go by the worker's uid: run it without root and with id-mapped mounts, or use a \
         profile with egress = \"open\"",
    ))
}

fn guarded(record: &Record) -> Option<Guarded> {
    let own = (FIRST_UID..FIRST_UID + UIDS).contains(&record.uid);
    (own && !record.unguarded).then(|| Guarded {
        uid: record.uid,
        egress: record.egress.clone(),
        ports: (first_port(record.uid), PORTS_PER_WORKER),
    })
}

impl Daemon {
    /// Makes the guard work before workers are made, or says why it does not.
    pub(in crate::daemon) async fn first_guard(self: &Arc<Self>) {
        self.prepare_guard(false).await;
    }

    /// Tells the guard of all workers that were found, before any is made. What it knew of them
    /// until then stays in force.
    pub(in crate::daemon) async fn brief_guard(self: &Arc<Self>) {
        self.prepare_guard(true).await;
    }

    async fn prepare_guard(self: &Arc<Self>, tell: bool) {
        if let Err(reason) = self.ensure_guard(tell).await {
            self.no_guard(reason);
        }
    }

    /// A worker that was found later than all others.
    pub(in crate::daemon) fn guard_adopted(self: &Arc<Self>, id: &WorkerId) {
        if self.lock().guard_boot.is_none() {
            return;
        }
        let (daemon, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            if let Err(error) = daemon.guard_worker(&id).await {
                tracing::warn!(worker = %id, error, "it reaches nothing for now");
            }
        });
    }

    /// Looks after the guard until the coordinator stops.
    pub(in crate::daemon) async fn keep_guard(self: Arc<Self>) {
        let mut wait = Pause::FIRST;
        loop {
            let works = self.lock().guard.available;
            tokio::time::sleep(if works { CHECK_INTERVAL } else { wait.get() }).await;
            match self.ensure_guard(true).await {
                Ok(()) => wait = Pause::FIRST,
                Err(reason) => {
                    self.no_guard(reason);
                    wait.grow();
                }
            }
        }
    }

    fn no_guard(&self, reason: String) {
        let mut state = self.lock();
        if state.guard.reason.as_ref() != Some(&reason) {
            tracing::warn!(reason, "where workers connect to is not kept");
        }
        state.guard = GuardView {
            available: false,
            reason: Some(reason),
        };
    }

    async fn ensure_guard(self: &Arc<Self>, tell: bool) -> Result<(), String> {
        let Err(reason) = self.probe_guard(tell).await else {
            return Ok(());
        };
        // One of another version may not know what it is asked for, and is replaced as well.
        tracing::info!(reason, "starting the guard");
        self.start_helper(Helper::Guard, |daemon| async move {
            daemon.probe_guard(tell).await
        })
        .await
    }

    /// Asks how the guard is; one that was started anew is told of all workers.
    async fn probe_guard(self: &Arc<Self>, tell: bool) -> Result<(), String> {
        let mut report = self.outside.guard.ask(&GuardRequest::Report).await?;
        let namespace = std::fs::metadata("/proc/self/ns/net").map_err(|e| e.to_string())?;
        if report.namespace != namespace.ino() {
            return Err("the guard is in a network of an earlier parent".to_owned());
        }
        let told = self.lock().guard_boot == Some(report.boot);
        if tell && (!report.ready || !told) {
            report = self.tell_all().await?;
        }
        self.lock().guard = GuardView {
            available: true,
            reason: report.proxy_down.clone().or(report.uncounted.clone()),
        };
        self.note_denied(&report);
        Ok(())
    }

    async fn tell_all(self: &Arc<Self>) -> Result<GuardReport, String> {
        let _turn = self.guard_lock.lock().await;
        let workers = {
            let state = self.lock();
            state.records.values().filter_map(guarded).collect()
        };
        let report = self.outside.guard.replace(workers).await?;
        self.lock().guard_boot = Some(report.boot);
        tracing::info!("the guard keeps the rules of all workers");
        Ok(report)
    }

    /// Puts a worker's rules into force: before its first process.
    ///
    /// # Errors
    /// Why they are not, for one whose profile does not say `open`.
    pub(in crate::daemon) async fn guard_worker(
        self: &Arc<Self>,
        id: &WorkerId,
    ) -> Result<(), String> {
        let added = {
            let _turn = self.guard_lock.lock().await;
            let worker = {
                let mut state = self.lock();
                let record = state.records.get_mut(id);
                record.and_then(|record| {
                    record.unguarded = false;
                    guarded(record)
                })
            };
            match worker {
                Some(worker) => self
                    .outside
                    .guard
                    .ask(&GuardRequest::Add(worker))
                    .await
                    .map(drop),
                None => Err("it has no uid of its own".to_owned()),
            }
        };
        let Err(error) = added else { return Ok(()) };
        self.tell_all_soon();
        let open = {
            let state = self.lock();
            state.records.get(id).is_none_or(|r| r.egress.is_open())
        };
        if open {
            tracing::debug!(worker = %id, error, "its siblings' ports are within its reach");
            Ok(())
        } else {
            Err(format!("its egress cannot be kept: {error}"))
        }
    }

    /// What the guard was told last may not be in effect: it is told of all workers at its next check.
    fn tell_all_soon(&self) {
        self.lock().guard_boot = None;
    }

    /// Takes a worker's rules away, once it has no process any more and before its uid is given on.
    pub(in crate::daemon) async fn unguard(&self, id: &WorkerId) {
        let _turn = self.guard_lock.lock().await;
        let uid = {
            let mut state = self.lock();
            let record = state.records.get_mut(id);
            record.and_then(|record| {
                let uid = guarded(record).map(|g| g.uid);
                // A full list for the guard that is made meanwhile must leave this one out.
                record.unguarded = true;
                uid
            })
        };
        let Some(uid) = uid else { return };
        if !self.lock().guard.available {
            // It may answer again as it was.
            self.tell_all_soon();
            return;
        }
        // What is left is replaced by the uid's next worker, or when all are told again.
        if let Err(error) = self.outside.guard.ask(&GuardRequest::Remove { uid }).await {
            self.tell_all_soon();
            tracing::debug!(worker = %id, error, "its rules are left for now");
        }
    }

    /// Whether a claim may rely on the guard.
    pub(in crate::daemon) fn check_guard(&self, egress: &Egress) -> Result<(), ApiError> {
        let guard = self.lock().guard.clone();
        if egress.is_open() || guard.available {
            return Ok(());
        }
        let reason = guard.reason.unwrap_or_else(|| "not ready yet".to_owned());
        let message = format!("the profile's egress ({egress}) cannot be kept: {reason}");
        Err(ApiError::new(ErrorKind::Refused, message)
            .hint("see `podbay doctor`; a profile with egress = \"open\" does not need the guard"))
    }

    /// Takes over what was refused, and tells clients of workers for which that is news.
    fn note_denied(self: &Arc<Self>, report: &GuardReport) {
        let denied: HashMap<u32, _> = report.denied.iter().map(|d| (d.uid, d)).collect();
        let mut news = BTreeMap::new();
        for record in self.lock().records.values_mut() {
            let Some(now) = denied.get(&record.uid) else {
                continue;
            };
            let fresh = now.count.checked_sub(record.denied_seen);
            // Fewer than before: the guard was started anew and counts from 0.
            let fresh = fresh.unwrap_or(now.count);
            record.denied_seen = now.count;
            if fresh == 0 {
                continue;
            }
            let total = record.denied.as_ref().map_or(0, |d| d.count);
            let told = EgressDenied {
                count: total.saturating_add(fresh),
                last: now.last.clone(),
            };
            record.denied = Some(told.clone());
            news.insert(record.id.clone(), told);
        }
        for (worker, told) in news {
            tracing::info!(%worker, count = told.count, last = told.last, "egress refused");
            self.tell_worker(&worker);
        }
    }

    /// Takes all rules away and removes the guard's container: a step of `down`.
    pub(in crate::daemon) async fn stop_guard(&self) -> Result<(), ApiError> {
        if let Err(error) = self.outside.guard.ask(&GuardRequest::Clear).await {
            tracing::debug!(error, "the rules go with the parent's network");
        }
        self.remove_helper(Helper::Guard).await
    }
}

/// What of the shared network a worker reaches, for people.
pub(in crate::daemon) fn egress_words(
    egress: &Egress,
    guard: &GuardView,
    denied: Option<&EgressDenied>,
) -> String {
    let mut words = format!("egress: {egress}");
    if guard.available {
        words.insert_str(0, "others' ports are out of reach; ");
    }
    if let Some(denied) = denied {
        words.push_str(&format!("; {} refused, last {}", denied.count, denied.last));
    }
    words
}
