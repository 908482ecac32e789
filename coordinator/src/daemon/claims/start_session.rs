//! Putting a project and a session into a worker that was assigned.
//!
//! This is the claim's path: no engine call, no fsync. Mount, one frame to the agent, fork and
//! exec. The record on disk, the rename and the limits follow beside it.

use crate::daemon::{
    Daemon,
    claims::{
        placed::{FollowClaim, Placed, StartError, StartedSession},
        resolve::no_root,
        resolved::Resolved,
    },
    helpers::netguard,
    sessions::attached::{Attached, ClientPath},
    unix_ns,
};
use crate::{
    fleet::{ClaimId, Event, StartFault},
    model::{Isolation, Limits, WorkerId, WorkerName},
    mounter_client::{LeftOut, MountMode, MountRequest, Mounted, MounterError, MounterErrorKind},
    runtime::allows_root,
    store::ClaimRecord,
    wire::{ApiError, ErrorKind, SpawnResponse, Timings},
};
use podbay_protocol::{Reply, SHORTEST_REDACTED, ToAgentBody};
use std::sync::Arc;
use tokio::time::Instant;

impl Daemon {
    #[expect(clippy::too_many_arguments, reason = "the claim's parts, used once")]
    pub(in crate::daemon) async fn place(
        self: &Arc<Self>,
        claim: ClaimId,
        worker: WorkerId,
        warm: bool,
        resolved: &Resolved,
        name: WorkerName,
        client: Option<ClientPath>,
        began: Instant,
    ) -> Result<Placed, StartError> {
        let wait_us = micros(began);
        let result = self.try_place(&worker, warm, resolved, name, client).await;
        match result {
            Ok((record, mounted, attached, mut timings)) => {
                timings.wait_us = wait_us;
                timings.total_us = micros(began);
                self.feed(Event::Placed(claim));
                Ok(self.placed(&record, mounted, attached, timings, warm, resolved))
            }
            Err(fault) => {
                if fault.whose == StartFault::Unknown {
                    self.keep_unknown(&worker);
                } else if let Some(record) = self.lock().records.get_mut(&worker) {
                    record.claim = None;
                }
                self.feed(Event::PlaceFailed {
                    claim,
                    fault: fault.whose,
                    reason: fault.error.message.clone(),
                });
                Err(fault)
            }
        }
    }

    async fn try_place(
        self: &Arc<Self>,
        worker: &WorkerId,
        warm: bool,
        resolved: &Resolved,
        name: WorkerName,
        client: Option<ClientPath>,
    ) -> Result<(ClaimRecord, Option<Mounted>, Option<Attached>, Timings), StartError> {
        let mut timings = Timings::default();
        podbay_failpoints::failpoint!("claim.assigned");
        let mounting = Instant::now();
        let mounted = self.mount(worker, resolved).await?;
        timings.mount_us = micros(mounting);
        timings.mounter_us = mounted.as_ref().map_or(0, |mounted| mounted.took_us);
        podbay_failpoints::failpoint!("claim.mounted");
        let starting = Instant::now();
        let started = self
            .try_start(worker, warm, resolved, name, mounted.as_ref(), client)
            .await;
        timings.start_us = micros(starting);
        match started {
            Ok((record, started)) => {
                timings.exec_us = started.exec_us;
                Ok((record, mounted, started.attached, timings))
            }
            Err(mut fault) => {
                let clean = fault.whose == StartFault::Request;
                if clean && warm && mounted.is_some() && !self.empty_again(worker).await {
                    fault.whose = StartFault::Tainted;
                }
                Err(fault)
            }
        }
    }

    async fn try_start(
        self: &Arc<Self>,
        worker: &WorkerId,
        warm: bool,
        resolved: &Resolved,
        name: WorkerName,
        mounted: Option<&Mounted>,
        client: Option<ClientPath>,
    ) -> Result<(ClaimRecord, StartedSession), StartError> {
        let record = self.record_of(worker, warm, resolved, name, mounted)?;
        let start = self
            .start_message(&record, resolved)
            .map_err(StartError::request)?;
        podbay_failpoints::failpoint!("claim.starting");
        let started = self
            .start_session(worker, start, client.map(|path| (path, false)))
            .await?;
        podbay_failpoints::failpoint!("claim.started");
        Ok((record, started))
    }

    /// Takes the project out of a warm worker whose claim failed before anything ran there; whether
    /// its agent confirms that the worker is as it was.
    async fn empty_again(&self, worker: &WorkerId) -> bool {
        let pid = self.lock().records.get(worker).and_then(|r| r.pid);
        let Some(pid) = pid else { return false };
        if let Err(error) = self.outside.mounter.unmount(worker.as_str(), pid).await {
            tracing::debug!(%worker, %error, "a worker whose claim failed is replaced");
            return false;
        }
        match self.ask(worker, ToAgentBody::Describe).await {
            Ok(Reply::Described(it)) => !it.workspace_mounted && it.sessions.is_empty(),
            Ok(_) | Err(_) => false,
        }
    }

    /// The command may run in this worker: its record says so until its agent tells.
    fn keep_unknown(self: &Arc<Self>, worker: &WorkerId) {
        if let Some(record) = self.lock().records.get_mut(worker) {
            record.unfollowed = true;
        }
        let (daemon, id) = (self.clone(), worker.clone());
        tokio::spawn(async move {
            if let Err(error) = daemon.write_claim(&id).await {
                tracing::error!(worker = %id, %error, "the claim's record is not on disk");
            }
            if let Some(handle) = daemon.registry.handle(&id) {
                daemon.describe_and_adopt(id, handle).await;
            }
        });
    }

    /// Mounts the project, unless there is none or the engine did it at the creation.
    pub(in crate::daemon) async fn mount(
        &self,
        worker: &WorkerId,
        resolved: &Resolved,
    ) -> Result<Option<Mounted>, StartError> {
        let Some(project) = &resolved.project else {
            return Ok(None);
        };
        let (pid, uid) = {
            let state = self.lock();
            let record = state
                .records
                .get(worker)
                .ok_or_else(|| StartError::worker("the worker is gone"))?;
            if record.engine_mounted {
                return Ok(None);
            }
            let pid = record
                .pid
                .ok_or_else(|| StartError::worker("the worker's process is not known"))?;
            (pid, if resolved.root { 0 } else { record.uid })
        };
        let request = MountRequest {
            worker: worker.to_string(),
            pid,
            project: project.clone(),
            mode: match resolved.isolation {
                Isolation::Overlay => MountMode::Overlay,
                Isolation::Bind | Isolation::None => MountMode::Bind,
            },
            uid,
            gid: uid,
            policy: self.policy(),
        };
        let mounted = self.outside.mounter.mount(request).await;
        if let Err(error) = &mounted
            && error.kind == MounterErrorKind::Unreachable
        {
            // This worker may have its mount or not, but nothing was sent to its agent; the next one
            // is to find a mounter.
            self.mounter_back().await;
        }
        mounted.map(Some).map_err(mount_fault)
    }

    pub(in crate::daemon) fn record_of(
        &self,
        worker: &WorkerId,
        warm: bool,
        resolved: &Resolved,
        name: WorkerName,
        mounted: Option<&Mounted>,
    ) -> Result<ClaimRecord, StartError> {
        let mut state = self.lock();
        let record = state
            .records
            .get_mut(worker)
            .ok_or_else(|| StartError::worker("the worker is gone"))?;
        let own = (record.uid, record.uid);
        let (uid, gid) = match (resolved.root, mounted, record.engine_mounted) {
            (true, _, _) => (0, 0),
            (_, Some(mounted), _) => (mounted.session_uid, mounted.session_gid),
            (_, None, true) => record.workspace_owner.unwrap_or(own),
            (_, None, false) => own,
        };
        if uid == 0 && !record.security.is_none_or(allows_root) {
            return Err(StartError::request(no_root()));
        }
        netguard::holds(&record.egress, record.uid, uid).map_err(StartError::request)?;
        let session = self.random_id().map_err(StartError::request)?;
        let mut claim = ClaimRecord {
            image: record.image.clone(),
            warm_start: warm,
            created_ms: record.created_ms,
            claimed_ns: unix_ns(),
            uid,
            gid,
            ..resolved.record(worker.clone(), name, session)
        };
        if let Some(mounted) = mounted {
            claim.hot = true;
            claim.project = Some(mounted.project.clone());
            (claim.project_dev, claim.project_ino) = (mounted.dev, mounted.ino);
            claim.project_fsid = mounted.fsid;
        }
        record.claim = Some(claim.clone());
        record.written = false;
        Ok(claim)
    }

    /// All that follows a successful claim, beside its path.
    fn placed(
        self: &Arc<Self>,
        record: &ClaimRecord,
        mounted: Option<Mounted>,
        attached: Option<Attached>,
        timings: Timings,
        warm: bool,
        resolved: &Resolved,
    ) -> Placed {
        let mut warnings: Vec<String> = resolved
            .secrets
            .iter()
            .filter(|(_, secret)| secret.value.reveal().trim_end().len() < SHORTEST_REDACTED)
            .map(|(name, _)| {
                format!(
                    "secret {name} is shorter than {SHORTEST_REDACTED} bytes: it is not looked for \
                     in the recording"
                )
            })
            .collect();
        if let Some(mounted) = &mounted {
            self.project_claimed(&record.profile, record.isolation, mounted);
        }
        warnings.extend(mounted.as_ref().and_then(left_out));
        if let Some(reason) = mounted.and_then(|m| m.idmap_reason) {
            warnings.push(format!(
                "not id-mapped, the session runs as uid {}: {reason}",
                record.uid
            ));
        }
        let (worker, limits_differ) = {
            let mut state = self.lock();
            if warm {
                state
                    .times
                    .entry(record.profile.clone())
                    .or_default()
                    .add(timings.total_us);
            }
            let differ = state
                .records
                .get_mut(&record.id)
                .is_some_and(|r| std::mem::replace(&mut r.limits, record.limits) != record.limits);
            (self.view(&state, &record.id), differ)
        };
        let follow = FollowClaim {
            daemon: self.clone(),
            worker: record.id.clone(),
            limits: limits_differ.then_some(record.limits),
        };
        let cold_reason = (!warm).then(|| {
            resolved
                .force_cold
                .clone()
                .unwrap_or_else(|| "no warm worker was there".to_owned())
        });
        Placed {
            response: SpawnResponse {
                worker: worker.unwrap_or_else(|| crate::daemon::workers::view::of_claim(record)),
                warm,
                cold_reason,
                timings,
                warnings,
            },
            attached,
            follow,
        }
    }

    /// Does again what follows a claim: the coordinator that placed it may have died meanwhile.
    pub(in crate::daemon) fn follow_adopted(self: &Arc<Self>, claim: ClaimRecord) {
        let config = self.config();
        let made_with = config.profiles.get(&claim.profile).map(|p| p.limits);
        let limits = (made_with != Some(claim.limits)).then_some(claim.limits);
        let daemon = self.clone();
        tokio::spawn(async move { daemon.after_claim(claim.id, limits).await });
    }

    pub(in crate::daemon) async fn after_claim(
        self: Arc<Self>,
        worker: WorkerId,
        limits: Option<Limits>,
    ) {
        podbay_failpoints::failpoint!("claim.placed");
        if self.write_claim(&worker).await.is_err() {
            tracing::debug!(%worker, "the claim's record is tried again");
        }
        podbay_failpoints::failpoint!("claim.written");
        let container = {
            let state = self.lock();
            let found = state.records.get(&worker).filter(|r| !r.underway.removes());
            found.and_then(|r| r.container.clone())
        };
        let Some(container) = container else { return };
        if let Some(limits) = limits
            && let Err(error) = self.outside.engine.update_limits(&container, limits).await
            && !error.is_gone()
        {
            tracing::warn!(%worker, %error, "the limits asked for are not in force");
            self.note_limits_failure(&worker, &error);
        }
        podbay_failpoints::failpoint!("claim.limited");
        self.name_container(&worker).await;
        podbay_failpoints::failpoint!("claim.named");
    }
}

/// What a copy-on-write worker does not show of its project.
fn left_out(mounted: &Mounted) -> Option<String> {
    let name = |mount: &LeftOut| match mount.file {
        true => format!("{} (a file)", mount.path),
        false => mount.path.to_string(),
    };
    let mut names: Vec<String> = mounted.left_out.iter().map(name).collect();
    if mounted.left_out_more {
        names.push("and more".to_owned());
    }
    (!names.is_empty()).then(|| {
        format!(
            "copy-on-write leaves out what is mounted below the project: {}; it shows what lies under \
             them; use --isolation bind to have them",
            names.join(", ")
        )
    })
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

fn mount_fault(error: MounterError) -> StartError {
    match error.kind {
        MounterErrorKind::NotAFolder | MounterErrorKind::NoChange => {
            StartError::request(ApiError::new(ErrorKind::Invalid, error.message))
        }
        MounterErrorKind::Refused | MounterErrorKind::Unsupported => {
            StartError::request(ApiError::new(ErrorKind::Refused, error.message))
        }
        MounterErrorKind::Busy => {
            StartError::request(ApiError::new(ErrorKind::Exhausted, error.message))
        }
        // The mount itself may have failed half-way.
        MounterErrorKind::System | MounterErrorKind::TooMany => {
            StartError::tainted(ApiError::new(ErrorKind::Internal, error.message))
        }
        MounterErrorKind::BadTarget | MounterErrorKind::Unreachable => {
            StartError::worker(error.message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HostPath;
    use serde_json::json;

    #[test]
    fn what_copy_on_write_leaves_out_is_said_and_only_then() {
        // As an older mounter answers.
        let mut mounted: Mounted = serde_json::from_value(json!({
            "project": "/p", "dev": 1, "ino": 2, "owner_uid": 3, "owner_gid": 3, "session_uid": 4,
            "session_gid": 4, "idmapped": true, "idmap_reason": null, "took_us": 1
        }))
        .unwrap();
        assert_eq!(left_out(&mounted), None);
        for (path, file) in [("data", false), ("conf", true)] {
            let path = HostPath::new(path);
            mounted.left_out.push(LeftOut { path, file });
        }
        assert_eq!(
            left_out(&mounted).unwrap(),
            "copy-on-write leaves out what is mounted below the project: data, conf (a file); it \
             shows what lies under them; use --isolation bind to have them"
        );
        mounted.left_out_more = true;
        assert!(
            left_out(&mounted)
                .unwrap()
                .contains("conf (a file), and more; ")
        );
    }
}
