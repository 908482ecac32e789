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
const ACCESS_LIST: &str = "system.posix_acl_access";
const CAPABILITIES: &str = "security.capability";
const LINKED: &str = "it had other names (hard links), which keep the former content";
const NO_CAPABILITIES: &str = "its file capabilities are gone, as after any change of a program";

/// What the project's own file has.
pub(super) struct Kept {
    own: Option<File>,
    group: Option<u32>,
    links: bool,
}

impl Kept {
    /// Of the file that is replaced; nothing where there is none, or one of somebody else's.
    pub(super) fn of(review: &Review, entry: &Entry) -> io::Result<Self> {
        let found = entry
            .lower
            .filter(|lower| lower.is_file() && lower.uid == review.owner.0);
        let Some(lower) = found else {
            return Ok(Self {
                own: None,
                group: None,
                links: false,
            });
        };
        Ok(Self {
            own: Some(review.lower.file(&entry.path)?),
            group: Some(lower.gid).filter(|gid| *gid != review.owner.1),
            links: lower.links > 1,
        })
    }

    /// As the owner, who may set these.
    pub(super) fn put_attributes(&self, worker: &File, target: &File) -> io::Result<()> {
        // The worker's file has those of the project's, unless the worker changed them.
        for name in names_of(worker)? {
            if name.starts_with("user.") {
                copy_attribute(&name, worker, target)?;
            }
        }
        match &self.own {
            Some(own) => copy_attribute(ACCESS_LIST, own, target),
            None => Ok(()),
        }
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
        let capable = self
            .own
            .as_ref()
            .is_some_and(|own| matches!(attribute(CAPABILITIES, own), Ok(Some(_))));
        [
            self.links.then_some(LINKED),
            capable.then_some(NO_CAPABILITIES),
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

fn copy_attribute(name: &str, from: &File, to: &File) -> io::Result<()> {
    match attribute(name, from)? {
        Some(value) => match fsetxattr(to, name, &value, XattrFlags::empty()) {
            // The project's file system has none.
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(e) => Err(e.into()),
        },
        None => Ok(()),
    }
}
