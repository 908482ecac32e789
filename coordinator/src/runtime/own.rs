//! Finding the container that the coordinator itself runs in.

use super::{Docker, RuntimeError};
use bollard::{models::MountPoint, query_parameters::InspectContainerOptions};
use std::path::{Path, PathBuf};

/// What the coordinator learns of itself by inspecting its own container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// The parent's full container id.
    pub id: String,
    /// Its name, which is the instance's name.
    pub name: String,
    /// The image it runs.
    pub image: String,
    /// The state volume's folder on the engine's host.
    pub state_on_host: PathBuf,
    /// The engine's socket on the engine's host, when it is mounted here as a file.
    pub engine_socket: Option<PathBuf>,
    /// Process id of the parent's PID 1 as the host counts.
    pub pid: i32,
}

/// Inspects the own container; the state volume may be a named volume or a bind.
///
/// # Errors
/// [`RuntimeError`] when the engine does not know this container, or nothing is mounted at
/// `state_dir`.
pub async fn own_container(docker: &Docker, state_dir: &Path) -> Result<Own, RuntimeError> {
    let candidates = own_id_candidates();
    let mut last = RuntimeError::Other {
        doing: "finding the own container",
        message: "not in a container: no container id in /proc/self/mountinfo or /proc/self/cgroup"
            .to_owned(),
    };
    for id in candidates {
        match docker.inspect_own(&id, state_dir).await {
            Ok(own) => return Ok(own),
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Docker {
    async fn inspect_own(&self, id: &str, state: &Path) -> Result<Own, RuntimeError> {
        const DOING: &str = "inspecting the own container";
        let call = self
            .api()
            .inspect_container(id, None::<InspectContainerOptions>);
        let found = self.call(DOING, call).await?;
        let mounts = found.mounts.unwrap_or_default();
        let mounted_at = |path: &Path| {
            let there = |m: &&MountPoint| m.destination.as_deref().map(Path::new) == Some(path);
            let source = mounts.iter().find(there)?.source.clone()?;
            Some(PathBuf::from(source))
        };
        let pid = found.state.and_then(|s| s.pid).unwrap_or_default();
        let state_on_host = mounted_at(state).ok_or_else(|| RuntimeError::Other {
            doing: DOING,
            message: format!(
                "nothing is mounted at {}: start the parent with a volume or a folder there",
                state.display()
            ),
        })?;
        Ok(Own {
            id: found.id.unwrap_or_default(),
            name: found
                .name
                .unwrap_or_default()
                .trim_start_matches('/')
                .to_owned(),
            image: found.image.unwrap_or_default(),
            state_on_host,
            engine_socket: mounted_at(self.socket()),
            pid: i32::try_from(pid).unwrap_or_default(),
        })
    }
}

/// Whether the socket that is mounted at `path` was removed where it came from: a mounted file
/// whose source is gone has no link left.
#[must_use]
pub fn replaced_socket(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).is_ok_and(|meta| meta.nlink() == 0)
}

fn own_id_candidates() -> Vec<String> {
    let mut found = Vec::new();
    for file in ["/proc/self/mountinfo", "/proc/self/cgroup"] {
        if let Ok(text) = std::fs::read_to_string(file) {
            found.extend(container_ids(&text));
        }
    }
    if let Ok(name) = std::fs::read_to_string("/etc/hostname") {
        found.push(name.trim().to_owned());
    }
    found.dedup();
    found.retain(|id| !id.is_empty());
    found
}

/// Container ids (64 hexadecimal digits as a path component) in the order of their first mention.
fn container_ids(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(['/', ' ', '\n', ':', '-', '.']) {
        if word.len() == 64
            && word.bytes().all(|b| b.is_ascii_hexdigit())
            && !found.iter().any(|f| f == word)
        {
            found.push(word.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::container_ids;

    #[test]
    fn the_id_is_found_in_both_cgroup_versions() {
        let id = "a".repeat(64);
        let v1 = format!("12:pids:/docker/{id}\n11:memory:/docker/{id}\n");
        assert_eq!(container_ids(&v1), std::slice::from_ref(&id));
        let v2 = format!(
            "1 2 8:1 /var/lib/docker/containers/{id}/hostname /etc/hostname rw - ext4 /dev/vda rw"
        );
        assert_eq!(container_ids(&v2), std::slice::from_ref(&id));
        let systemd = format!("0::/system.slice/docker-{id}.scope");
        assert_eq!(container_ids(&systemd), [id]);
        assert!(container_ids("0::/user.slice").is_empty());
    }
}
