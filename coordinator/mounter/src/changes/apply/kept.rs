//! What a file of the project keeps when a worker's content takes its place: group, access control list and
//! the attributes of users. Owns what is said of the rest. Never keeps what gives rights to a program: the
//! content is a worker's.

use super::super::{entry::Entry, review::Review};
use rustix::{
    fs::{Gid, XattrFlags, fchown, fgetxattr, flistxattr, fsetxattr},
    io::Errno,
};
use std::{fs::File, io, os::fd::AsFd};

/// The most of one attribute, and of all names, in bytes: as much as Linux takes (xattr(7)).
const MAX_ATTRIBUTE: usize = 64 << 10;
/// The most of all attributes of a file, in bytes.
const MAX_ATTRIBUTES: usize = 1 << 20;
const ACCESS_LIST: &str = "system.posix_acl_access";
const CAPABILITIES: &str = "security.capability";
const LINKED: &str = "it had other names (hard links), which keep the former content";
const NO_CAPABILITIES: &str = "its file capabilities are gone, as after any change of a program";

/// What the file gets.
#[derive(Default)]
pub(super) struct Kept {
    attributes: Vec<(String, Vec<u8>)>,
    group: Option<u32>,
    links: bool,
    capable: bool,
}

impl Kept {
    /// Of the file that is replaced, where there is one of the owner's, and of the worker's file. As root:
    /// the owner may not read what is the worker's.
    ///
    /// # Errors
    /// What the kernel says, and `OutOfMemory` for more attributes than [`MAX_ATTRIBUTES`].
    pub(super) fn of(review: &Review, entry: &Entry, worker: &File) -> io::Result<Self> {
        let mut kept = Self::default();
        let mut room = MAX_ATTRIBUTES;
        let mut keep = |name: String, value: Option<Vec<u8>>| {
            let Some(value) = value else {
                return Ok(None);
            };
            room = room
                .checked_sub(name.len() + value.len())
                .ok_or(io::ErrorKind::OutOfMemory)?;
            io::Result::Ok(Some((name, value)))
        };
        // The worker's file has those of the project's, unless the worker changed them.
        for name in names_of(worker)? {
            if name.starts_with("user.") {
                let value = attribute(&name, worker)?;
                kept.attributes.extend(keep(name, value)?);
            }
        }
        let found = entry
            .lower
            .filter(|lower| lower.is_file() && lower.uid == review.owner.0);
        if let Some(lower) = found {
            let own = review.lower.file(&entry.path)?;
            let list = attribute(ACCESS_LIST, &own)?;
            kept.attributes.extend(keep(ACCESS_LIST.to_owned(), list)?);
            kept.group = Some(lower.gid).filter(|gid| *gid != review.owner.1);
            kept.links = lower.links > 1;
            kept.capable = matches!(attribute(CAPABILITIES, &own), Ok(Some(_)));
        }
        Ok(kept)
    }

    /// As the owner, who may set these.
    pub(super) fn put_attributes(&self, target: &File) -> io::Result<()> {
        for (name, value) in &self.attributes {
            match fsetxattr(target, name.as_str(), value, XattrFlags::empty()) {
                // The project's file system has none.
                Ok(()) | Err(Errno::OPNOTSUPP) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// As root: the owner need not be in the group.
    pub(super) fn put_group(&self, target: &File) -> io::Result<()> {
        match self.group {
            Some(group) => Ok(fchown(target, None, Some(Gid::from_raw(group)))?),
            None => Ok(()),
        }
    }

    /// What is not as before.
    pub(super) fn lost(&self) -> impl Iterator<Item = &'static str> {
        [
            self.links.then_some(LINKED),
            self.capable.then_some(NO_CAPABILITIES),
        ]
        .into_iter()
        .flatten()
    }
}

fn names_of(file: &File) -> io::Result<Vec<String>> {
    let mut names = vec![0; MAX_ATTRIBUTE];
    let length = match flistxattr(file, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(e) => return Err(e.into()),
    };
    let names = names.get(..length).unwrap_or_default();
    let names = names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty());
    // A name that is no text belongs to nobody.
    Ok(names
        .filter_map(|name| String::from_utf8(name.to_vec()).ok())
        .collect())
}

fn attribute(name: &str, file: impl AsFd) -> io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; MAX_ATTRIBUTE];
    match fgetxattr(file, name, &mut value[..]) {
        Ok(length) => {
            value.truncate(length);
            Ok(Some(value))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(e) => Err(e.into()),
    }
}
