//! What can be known before anything is assigned, ended or removed for a request.

use crate::daemon::{
    Daemon,
    claims::{resolve::configured, resolved::Resolved},
};
use crate::{
    config::Profile,
    model::{FIRST_UID, MAX_NAME, WorkerId, WorkerName},
    mounter_client::CheckedProject,
    runtime::RuntimeError,
    store::ClaimRecord,
    wire::{ApiError, ErrorKind},
};
use podbay_protocol::{
    Attach, AttachMode, MAX_FRAME, SessionIo, StartSession, ToAgent, ToAgentBody,
};

/// Room in a start's frame for what is not known before there is a worker: a project's canonical
/// path (PATH_MAX, 4096 bytes, escaped), ids, times.
const MARGIN: usize = 32 << 10;
/// Bytes that JSON may make of one.
const WORST_ESCAPE: usize = 6;

impl Daemon {
    /// Refuses a start that does not fit into one frame to the agent.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with the size, the bound and what is large.
    pub(in crate::daemon) fn check_size(&self, resolved: &Resolved) -> Result<(), ApiError> {
        let command: usize = resolved.argv.iter().map(|word| word.len() + 3).sum();
        let secrets = resolved.secrets.iter();
        let secrets: usize = secrets
            .map(|(name, secret)| name.len() + secret.value.reveal().len() + 60)
            .sum();
        let image = self.image_env(&resolved.profile);
        let config = self.config();
        let profile = config.profiles.get(&*resolved.profile).map(|p| &p.env);
        let variables = image.iter().chain(profile.into_iter().flatten());
        let variables: usize = variables
            .chain(&resolved.env)
            .map(|(key, value)| key.len() + value.len() + 6)
            .sum();
        // The command is in the claim's record, too, which the agent carries.
        if (2 * command + secrets + variables) * WORST_ESCAPE + MARGIN <= MAX_FRAME {
            return Ok(());
        }
        // A command that is too large by itself is not encoded only to say by how much.
        let size = if 2 * command > MAX_FRAME {
            format!("more than {}", 2 * command)
        } else {
            let start = self.start_message(&stand_in(resolved)?, resolved)?;
            let size = encoded(start)?;
            if size + MARGIN <= MAX_FRAME {
                return Ok(());
            }
            size.to_string()
        };
        let most = MAX_FRAME - MARGIN;
        let message = format!(
            "the command's start is too large: {size} bytes, at most {most}; the command has \
             {command} bytes and counts twice, the environment {variables}, the secrets {secrets}"
        );
        Err(ApiError::new(ErrorKind::Invalid, message).hint(
            "put what is large into a file of the project, or send it to the command's input",
        ))
    }

    /// Whether a worker for a claim that was served before could be created and would find its
    /// project: asked before the worker that there is ends.
    ///
    /// # Errors
    /// What is missing or refused now; nothing was changed.
    pub(in crate::daemon) async fn check_replacement(
        &self,
        former: &ClaimRecord,
        resolved: &Resolved,
    ) -> Result<(), ApiError> {
        let config = self.config();
        let profile = configured(&config, &former.profile)?;
        self.check_image(&former.profile, profile).await?;
        self.read_seccomp().await;
        let seccomp = self.seccomp_of(profile.security);
        seccomp.map_err(|e| ApiError::new(ErrorKind::Engine, e))?;
        let Some(found) = self.check_project(former, resolved).await? else {
            return Ok(());
        };
        same_folder(former, (found.dev, found.ino), found.fsid)
    }

    async fn check_image(&self, name: &str, profile: &Profile) -> Result<(), ApiError> {
        let engine = |e: RuntimeError| ApiError::new(ErrorKind::Engine, e.to_string());
        // Not the one that was seen last: it may have been removed since.
        if self
            .outside
            .engine
            .image(&profile.image)
            .await
            .map_err(engine)?
            .is_some()
        {
            return Ok(());
        }
        self.lock().images.remove(name);
        self.image_for(name, profile).await.map_err(engine)?;
        Ok(())
    }

    /// Opens the project as a mount would; `None` where there is none, or only the engine can: a
    /// mounter that mounted it once is away for a while at most, and is waited for.
    async fn check_project(
        &self,
        former: &ClaimRecord,
        resolved: &Resolved,
    ) -> Result<Option<CheckedProject>, ApiError> {
        let Some(project) = &resolved.project else {
            return Ok(None);
        };
        if resolved.force_cold.is_some() && !former.hot {
            return Ok(None);
        }
        let mounter = &self.outside.mounter;
        let check = || mounter.check(project.clone(), self.policy());
        Ok(Some(self.repeated(check).await?))
    }
}

/// Refuses another folder than the one whose changes the worker has.
pub(in crate::daemon) fn same_folder(
    former: &ClaimRecord,
    (dev, ino): (u64, u64),
    fsid: Option<u64>,
) -> Result<(), ApiError> {
    // Nobody looked, or the same device; a file system that is mounted again may be on another one.
    let known = fsid.is_some() && fsid == former.project_fsid;
    let on_same = dev == former.project_dev || known;
    let same = former.project_ino == 0 || (ino == former.project_ino && on_same);
    if !former.isolation.is_reviewed() || same {
        return Ok(());
    }
    let message = "the project's folder is another one than at the claim: its changes do not fit";
    Err(ApiError::new(ErrorKind::Conflict, message))
}

/// A record of the size that the claim's will have.
fn stand_in(resolved: &Resolved) -> Result<ClaimRecord, ApiError> {
    let longest = WorkerName::new("n".repeat(MAX_NAME));
    let name = longest.map_err(|e| ApiError::new(ErrorKind::Internal, e.to_string()))?;
    let id = WorkerId::from_bits(u64::MAX);
    let session = id.to_string();
    Ok(ClaimRecord {
        project_dev: u64::MAX,
        project_ino: u64::MAX,
        project_fsid: Some(u64::MAX),
        hot: true,
        warm_start: true,
        created_ms: u64::MAX,
        claimed_ns: i64::MAX,
        uid: FIRST_UID,
        gid: FIRST_UID,
        ..resolved.record(id, name, session)
    })
}

/// Bytes of the frame that starts it, with a client.
fn encoded(mut start: StartSession) -> Result<usize, ApiError> {
    let id = "0".repeat(32);
    start.attach = Some(Attach {
        session: start.session.clone(),
        stream: id.clone(),
        error_stream: Some(id),
        mode: AttachMode::Takeover,
        size: match start.io {
            SessionIo::Pty { size } => Some(size),
            SessionIo::Pipes => None,
        },
        restore: false,
        handed: false,
        silent: false,
    });
    let body = ToAgentBody::StartWithSecrets(Box::new(start));
    let frame = serde_json::to_vec(&ToAgent { id: u64::MAX, body })
        .map_err(|e| ApiError::new(ErrorKind::Internal, format!("the start's frame: {e}")))?;
    Ok(frame.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_folder_is_known_by_its_file_system_where_the_device_has_another_number() {
        let mut former: ClaimRecord = serde_json::from_value(json!({
            "id": "0123456789ab", "name": "n", "profile": "p", "image": "i", "session": "s",
            "project": "/p", "project_dev": 1, "project_ino": 2, "isolation": "overlay",
            "hot": true, "warm_start": true, "created_ms": 1, "claimed_ns": 2, "argv": ["sh"],
            "limits": { "memory_bytes": null, "nano_cpus": null, "pids": null },
            "uid": 200_001, "gid": 200_001, "remove": false
        }))
        .unwrap();
        let same = |former: &ClaimRecord, id, fsid| same_folder(former, id, fsid).is_ok();
        // A record of an older version has no more than the numbers.
        assert!(same(&former, (1, 2), Some(7)) && same(&former, (1, 2), None));
        assert!(!same(&former, (9, 2), Some(7)) && !same(&former, (9, 2), None));
        former.project_fsid = Some(7);
        assert!(same(&former, (9, 2), Some(7)) && same(&former, (1, 2), None));
        assert!(!same(&former, (9, 3), Some(7)));
        assert!(!same(&former, (9, 2), Some(8)) && !same(&former, (9, 2), None));
    }
}
