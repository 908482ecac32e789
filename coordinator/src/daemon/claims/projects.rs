//! Projects a person may choose from: folders of the engine's host, and those of the last claims.

use crate::daemon::Daemon;
use crate::{
    model::HostPath,
    store::ClaimRecord,
    wire::{ApiError, ErrorKind, Folders, RecentProjects},
};

/// Projects that are remembered.
const RECENT: usize = 20;

impl Daemon {
    /// What a path may be completed to.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for no absolute path, [`ErrorKind::Refused`] for what is in a folder
    /// where no project may be, or when nobody here sees the engine's host.
    pub async fn folders(&self, prefix: HostPath) -> Result<Folders, ApiError> {
        let hot = self.lock().hot.clone();
        if !hot.available {
            let reason = hot
                .reason
                .unwrap_or_else(|| "the mounter is not ready".to_owned());
            return Err(ApiError::new(
                ErrorKind::Refused,
                format!("the folders of the engine's host cannot be listed: {reason}"),
            )
            .hint("type the whole path; `podbay doctor` says what the mounter needs"));
        }
        let policy = self.policy();
        self.outside
            .mounter
            .folders(prefix, policy)
            .await
            .map_err(Into::into)
    }

    /// The projects of the last claims, newest first.
    #[must_use]
    pub fn recent_projects(&self) -> RecentProjects {
        let state = self.lock();
        let live = state.records.values().filter_map(|r| r.claim.as_ref());
        let finished = state.finished.values().map(|f| &f.claim);
        RecentProjects {
            recent: recent(live.chain(finished)),
        }
    }
}

fn recent<'a>(claims: impl Iterator<Item = &'a ClaimRecord>) -> Vec<HostPath> {
    let mut claimed: Vec<(i64, &HostPath)> = claims
        .filter_map(|claim| Some((claim.claimed_ns, claim.project.as_ref()?)))
        .collect();
    claimed.sort_by(|a, b| b.cmp(a));
    let mut projects: Vec<HostPath> = Vec::new();
    for (_, project) in claimed {
        if projects.len() == RECENT {
            break;
        }
        if !projects.contains(project) {
            projects.push(project.clone());
        }
    }
    projects
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(project: Option<&str>, claimed_ns: i64) -> ClaimRecord {
        let json = serde_json::json!({
            "id": "00000000000a", "name": "n", "profile": "p", "image": "i", "session": "s",
            "project": project, "project_dev": 0, "project_ino": 0, "isolation": "bind",
            "hot": true, "warm_start": true, "created_ms": 1, "claimed_ns": claimed_ns,
            "argv": ["sh"], "limits": { "memory_bytes": null, "nano_cpus": null, "pids": null },
            "uid": 1, "gid": 1, "remove": true
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn each_project_once_the_last_claimed_first_and_no_more_than_twenty() {
        let claims = [
            claim(Some("/a"), 1),
            claim(Some("/b"), 3),
            claim(None, 9),
            claim(Some("/a"), 5),
        ];
        let paths = [HostPath::new("/a"), HostPath::new("/b")];
        assert_eq!(recent(claims.iter()), paths);
        let many: Vec<_> = (0..50).map(|i| claim(Some(&format!("/{i}")), i)).collect();
        let found = recent(many.iter());
        assert_eq!(found.len(), 20);
        assert_eq!(found.first(), Some(&HostPath::new("/49")));
    }
}
