//! The account files of an image.
//!
//! A worker with a read-only root has copies of its own, to which its agent adds the session's user
//! (node, ssh and git fail for a uid without an entry). Owns reading them out of an image that may
//! have no program to print them with.

use super::{Docker, RuntimeError, container::labels, helper::under_a_free_name};
use bollard::{
    models::{ContainerCreateBody, HostConfig},
    query_parameters::{CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder},
};
use futures_util::StreamExt;
use std::collections::HashMap;

/// The value of [`labels::ROLE`], and the end of the container's name.
const ROLE: &str = "accounts";
/// A block of a tar archive, and the most that is read of one.
const BLOCK: usize = 512;
const MOST: usize = 1 << 20;

/// `/etc/passwd` and `/etc/group` of an image; empty where it has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: Vec<u8>,
    /// `/etc/group`.
    pub group: Vec<u8>,
}

impl Docker {
    /// Reads them out of a container that is created for it and never started. Those that a
    /// coordinator left when it died are removed first: callers take turns.
    ///
    /// # Errors
    /// [`RuntimeError`] of any of the calls.
    pub async fn accounts(&self, image: &str, instance: &str) -> Result<Accounts, RuntimeError> {
        self.remove_role(instance, ROLE, None).await?;
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec!["/".to_owned()]),
            cmd: Some(Vec::new()),
            labels: Some(HashMap::from([
                label(labels::INSTANCE, instance),
                label(labels::ROLE, ROLE),
            ])),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let create = |name: String| {
            let body = body.clone();
            async move {
                let options = CreateContainerOptionsBuilder::default().name(&name).build();
                let create = self.api().create_container(Some(options), body);
                self.call("creating a container to read account files", create)
                    .await
            }
        };
        let created = under_a_free_name(format!("{instance}-{ROLE}"), create).await?;
        let container = created.id;
        let passwd = self.file_of(&container, "/etc/passwd").await;
        let group = self.file_of(&container, "/etc/group").await;
        self.remove(&container).await?;
        Ok(Accounts {
            passwd: passwd?,
            group: group?,
        })
    }

    async fn file_of(&self, container: &str, path: &str) -> Result<Vec<u8>, RuntimeError> {
        const DOING: &str = "reading account files of an image";
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(path)
            .build();
        let mut stream = self.api().download_from_container(container, Some(options));
        let archive = async {
            let mut archive = Vec::new();
            while let Some(chunk) = stream.next().await {
                archive.extend_from_slice(&chunk?);
                if archive.len() > MOST {
                    break;
                }
            }
            Ok(archive)
        };
        match self.call(DOING, archive).await {
            Ok(archive) => Ok(first_file(&archive).unwrap_or_default().to_vec()),
            Err(RuntimeError::Refused { status: 404, .. } | RuntimeError::NoContainer(_)) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

/// The content of a tar archive's first entry, when that is a plain file (POSIX.1-1988 header).
fn first_file(archive: &[u8]) -> Option<&[u8]> {
    let header = archive.get(..BLOCK)?;
    if !matches!(header.get(156)?, b'0' | 0) {
        return None;
    }
    let digits = header
        .get(124..136)?
        .split(|b| matches!(b, 0 | b' '))
        .next()?;
    let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?;
    archive.get(BLOCK..BLOCK.checked_add(size)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_file_is_taken_out_and_anything_else_is_none() {
        let mut archive = vec![0u8; 1024];
        archive[124..136].copy_from_slice(b"00000000005\0");
        archive[156] = b'0';
        archive[512..517].copy_from_slice(b"root:");
        assert_eq!(first_file(&archive), Some(&b"root:"[..]));
        assert_eq!(first_file(&archive[..514]), None);
        archive[156] = b'2';
        assert_eq!(first_file(&archive), None);
        assert_eq!(first_file(b""), None);
    }
}
