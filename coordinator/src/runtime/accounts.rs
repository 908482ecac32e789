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
const DOING: &str = "reading account files of an image";
/// A block of a tar archive.
const BLOCK: usize = 512;
/// Largest account file, in bytes.
const MAX_FILE: usize = 4 << 20;
/// Bytes of an archive besides its file.
const MAX_HEADS: usize = 64 << 10;
/// Links that are followed, one to the next.
const MAX_LINKS: usize = 16;

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

    /// A file of a container that does not run; empty where there is none. Links are followed by
    /// asking for what they name: the engine keeps every such path inside of the container.
    async fn file_of(&self, container: &str, path: &str) -> Result<Vec<u8>, RuntimeError> {
        let refused = |why: &str| RuntimeError::Other {
            doing: DOING,
            message: format!("the image's {path} {why}"),
        };
        let mut at = path.to_owned();
        for _ in 0..MAX_LINKS {
            match self.archive_of(container, &at).await? {
                Found::Nothing => return Ok(Vec::new()),
                Found::File(content) => return Ok(content),
                Found::Link(to) if to.starts_with('/') => at = to,
                Found::Link(to) => {
                    let folder = at.rsplit_once('/').map_or("", |(folder, _)| folder);
                    at = format!("{folder}/{to}");
                }
                Found::TooLarge => {
                    let most = MAX_FILE >> 20;
                    return Err(refused(&format!("is larger than {most} MiB")));
                }
                Found::Other => return Err(refused("is neither a file nor a link to one")),
            }
        }
        Err(refused("is a chain of too many links"))
    }

    async fn archive_of(&self, container: &str, path: &str) -> Result<Found, RuntimeError> {
        let options = DownloadFromContainerOptionsBuilder::default()
            .path(path)
            .build();
        let mut stream = self.api().download_from_container(container, Some(options));
        let archive = async {
            let mut archive = Vec::new();
            while let Some(chunk) = stream.next().await {
                archive.extend_from_slice(&chunk?);
                if archive.len() > MAX_FILE + MAX_HEADS {
                    break;
                }
            }
            Ok(archive)
        };
        match self.call(DOING, archive).await {
            Ok(archive) => Ok(first_entry(&archive)),
            Err(RuntimeError::Refused { status: 404, .. } | RuntimeError::NoContainer(_)) => {
                Ok(Found::Nothing)
            }
            Err(error) => Err(error),
        }
    }
}

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    Nothing,
    File(Vec<u8>),
    Link(String),
    TooLarge,
    Other,
}

/// The first entry of a tar archive (POSIX.1-1988 headers), behind those that describe it further.
fn first_entry(mut archive: &[u8]) -> Found {
    while let Some(header) = archive.get(..BLOCK).filter(|h| h.iter().any(|b| *b != 0)) {
        let rest = archive.get(BLOCK..).unwrap_or_default();
        let size = field(header, 124..136).and_then(|digits| usize::from_str_radix(digits, 8).ok());
        match (header.get(156), size) {
            (Some(b'0' | 0), Some(size)) if size <= MAX_FILE => {
                let content = rest.get(..size).map(<[u8]>::to_vec);
                return content.map_or(Found::Other, Found::File);
            }
            (Some(b'0' | 0), _) => return Found::TooLarge,
            (Some(b'2'), _) => {
                let to = field(header, 157..257).filter(|to| !to.is_empty());
                return to.map_or(Found::Other, |to| Found::Link(to.to_owned()));
            }
            // Attributes and long names of the next one.
            (Some(b'x' | b'g' | b'L' | b'K'), Some(size)) => {
                let length = size.div_ceil(BLOCK).saturating_mul(BLOCK);
                archive = rest.get(length..).unwrap_or_default();
            }
            _ => return Found::Other,
        }
    }
    Found::Nothing
}

/// A field's text up to its NUL or blank.
fn field(header: &[u8], place: std::ops::Range<usize>) -> Option<&str> {
    let bytes = header.get(place)?.split(|b| matches!(b, 0 | b' ')).next()?;
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: u8, size: usize, link: &str, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0u8; BLOCK];
        block[..6].copy_from_slice(b"passwd");
        block[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link.as_bytes());
        block.extend_from_slice(content);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    #[test]
    fn a_file_is_taken_out_a_link_is_told_and_nothing_counts_as_empty_by_mistake() {
        let file = entry(b'0', 5, "", b"root:");
        assert_eq!(first_entry(&file), Found::File(b"root:".to_vec()));
        let described = [entry(b'x', 9, "", b"19 a=b\nxx"), file.clone()].concat();
        assert_eq!(first_entry(&described), Found::File(b"root:".to_vec()));
        let link = entry(b'2', 0, "../usr/etc/passwd", b"");
        assert_eq!(
            first_entry(&link),
            Found::Link("../usr/etc/passwd".to_owned())
        );
        let large = vec![b'x'; MAX_FILE];
        let largest = entry(b'0', MAX_FILE, "", &large);
        assert_eq!(first_entry(&largest), Found::File(large));
        assert_eq!(
            first_entry(&entry(b'0', MAX_FILE + 1, "", b"")),
            Found::TooLarge
        );
        assert_eq!(first_entry(&entry(b'5', 0, "", b"")), Found::Other);
        assert_eq!(first_entry(&file[..514]), Found::Other, "cut short");
        assert_eq!(first_entry(b""), Found::Nothing);
        assert_eq!(first_entry(&[0; 1024]), Found::Nothing);
    }
}
