//! Names for user ids: node, ssh and git fail for a uid without an entry.
//!
//! Owns: appending to the worker's passwd and group files. It never changes an entry that is
//! there, and a read-only root is no error.

use std::{
    collections::HashSet,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// The worker's account files.
#[derive(Debug)]
pub struct Accounts {
    /// Folder of `passwd` and `group`; `None` leaves them alone.
    folder: Option<PathBuf>,
    checked: HashSet<(u32, u32)>,
}

impl Accounts {
    /// The files in `folder`.
    #[must_use]
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self {
            folder,
            checked: HashSet::new(),
        }
    }

    /// Makes the entries of the user that `home` belongs to, before a session asks for them. The
    /// first change of an image's file copies it up to the disk, which is nothing for a claim to
    /// wait for. Gives the user's ids; a home of root's names no user.
    pub fn precreate_account(&mut self, home: &Path, user: &str) -> Option<(u32, u32)> {
        let owner = std::fs::metadata(home).ok()?;
        let ids = (owner.uid(), owner.gid());
        if ids.0 == 0 || self.folder.is_none() {
            return None;
        }
        self.ensure(ids.0, ids.1, user, &home.to_string_lossy());
        Some(ids)
    }

    /// Makes sure that both ids have an entry. Looks only once for each pair.
    pub fn ensure(&mut self, uid: u32, gid: u32, user: &str, home: &str) {
        let Some(folder) = &self.folder else {
            return;
        };
        if !self.checked.insert((uid, gid)) {
            return;
        }
        let shell = if Path::new("/bin/bash").exists() {
            "/bin/bash"
        } else {
            "/bin/sh"
        };
        let home = clean(home);
        append(&folder.join("passwd"), uid, user, |name| {
            format!("{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n")
        });
        append(&folder.join("group"), gid, user, |name| {
            format!("{name}:x:{gid}:\n")
        });
    }
}

fn clean(field: &str) -> String {
    field
        .chars()
        .filter(|c| *c != ':' && !c.is_control())
        .collect()
}

/// Appends the line that `entry` makes of a free name, unless the id has one.
fn append(file: &Path, id: u32, user: &str, entry: impl Fn(&str) -> String) {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let wanted = id.to_string();
    if text
        .lines()
        .any(|line| line.split(':').nth(2) == Some(&wanted))
    {
        return;
    }
    let name: String = clean(user)
        .chars()
        .filter(|c| !c.is_whitespace() && *c != '/')
        .collect();
    let name = if name.is_empty() {
        "podbay".to_owned()
    } else {
        name
    };
    let taken = text
        .lines()
        .any(|line| line.split(':').next() == Some(&name));
    let name = if taken { format!("{name}{id}") } else { name };
    let mut line = entry(&name);
    if !text.is_empty() && !text.ends_with('\n') {
        line.insert(0, '\n');
    }
    if let Some(folder) = file.parent() {
        drop(std::fs::create_dir_all(folder));
    }
    let opened = OpenOptions::new().append(true).create(true).open(file);
    if let Err(error) = opened.and_then(|mut f| f.write_all(line.as_bytes())) {
        crate::log::log_line(&format!("{}: no entry for {id}: {error}", file.display()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_made_and_entries_added_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut accounts = Accounts::new(Some(dir.path().join("etc")));
        accounts.ensure(1000, 1001, "de:v", "/home/dev");
        accounts.ensure(1000, 1001, "dev", "/home/dev");
        let read = |name: &str| std::fs::read_to_string(dir.path().join("etc").join(name)).unwrap();
        assert!(
            read("passwd").starts_with("dev:x:1000:1001:dev:/home/dev:/bin/"),
            "{}",
            read("passwd")
        );
        assert_eq!(read("passwd").lines().count(), 1);
        assert_eq!(read("group"), "dev:x:1001:\n");
    }

    #[test]
    fn the_owner_of_the_home_gets_an_account_before_it_is_needed_unless_it_is_root() {
        let dir = tempfile::tempdir().unwrap();
        let (etc, home) = (dir.path().join("etc"), dir.path().join("home"));
        std::fs::create_dir(&home).unwrap();
        let owner = std::fs::metadata(&home).unwrap().uid();
        let mut accounts = Accounts::new(Some(etc.clone()));
        assert_eq!(
            accounts.precreate_account(&dir.path().join("none"), "dev"),
            None
        );
        assert_eq!(
            accounts.precreate_account(&home, "dev").is_some(),
            owner != 0
        );
        assert_eq!(etc.join("passwd").exists(), owner != 0);
    }

    #[test]
    fn a_taken_name_gets_the_id_and_a_known_id_stays() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("passwd"), "dev:x:5:5::/:/bin/sh").unwrap();
        std::fs::write(dir.path().join("group"), "staff:x:7:\n").unwrap();
        Accounts::new(Some(dir.path().to_owned())).ensure(6, 7, "dev", "/h");
        let passwd = std::fs::read_to_string(dir.path().join("passwd")).unwrap();
        assert_eq!(
            passwd.lines().nth(1).unwrap().split(':').next(),
            Some("dev6")
        );
        assert_eq!(
            std::fs::read_to_string(dir.path().join("group")).unwrap(),
            "staff:x:7:\n"
        );
    }
}
