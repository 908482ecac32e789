//! Completes a path on the engine's host, for a person who types one. Owns nothing and changes nothing.
//! Never lists what no project may be in; what only may not be one itself (a home, `/var`) is listed,
//! since projects are inside it. A link is judged by where it leads.

use crate::{
    error::{not_a_folder, refused, system},
    host::Place,
    mount::project::{missing, open_in, real_rules},
    policy::{self, Rules},
    wire::{MounterError, Policy},
};
use podbay_model::{
    model::HostPath,
    wire::{Folder, Folders},
};
use rustix::{
    fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, accessat, openat},
    io::Errno,
};
use std::{
    ffi::{OsStr, OsString},
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
};

type Result<T> = std::result::Result<T, MounterError>;

/// The most folders of one answer.
const MOST: usize = 200;
/// The most names of one folder that are looked at.
const MOST_NAMES: usize = 20_000;

/// What `prefix` may be completed to.
///
/// # Errors
/// `NotAFolder` for what is no plain absolute path, `Refused` when it is in a refused folder,
/// `Unsupported` when the engine is out of reach, `System`.
pub(crate) fn folders(place: &mut Place, prefix: &HostPath, policy: &Policy) -> Result<Folders> {
    place.enter_engine()?;
    let (typed, rest) = split(prefix)?;
    let root = place.host.engine_root()?;
    let rules = real_rules(place, root, policy);
    let base = match open_in(root, &typed, ResolveFlags::empty()) {
        Ok(base) => base,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Folders::default()),
        Err(e) => return Err(missing(&HostPath::new(typed), e)),
    };
    let failed = |e: Errno| system(&format!("listing {}", HostPath::new(typed.as_path())), e);
    let real = place.host.path_of(&base).map_err(failed)?;
    policy::check_listing(&real, &rules).map_err(|refusal| refused(refusal.message))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let dir = openat(&base, ".", flags, Mode::empty()).map_err(failed)?;
    let (names, cut) = names(&dir, &rest).map_err(failed)?;
    let mut found = Folders {
        truncated: cut,
        ..Folders::default()
    };
    for (name, link) in names {
        let path = typed.join(&name);
        if !listed(
            place,
            &real.join(&name),
            link.then_some(path.as_path()),
            &rules,
        ) {
            continue;
        }
        if found.folders.len() == MOST {
            found.truncated = true;
            break;
        }
        let git = Path::new(&name).join(".git");
        found.folders.push(Folder {
            is_git: accessat(&dir, git, rustix::fs::Access::EXISTS, AtFlags::empty()).is_ok(),
            path: HostPath::new(path),
        });
    }
    Ok(found)
}

/// The folder to look in and what the names there must start with.
fn split(prefix: &HostPath) -> Result<(PathBuf, OsString)> {
    let bytes = prefix.as_path().as_os_str().as_bytes();
    let plain = |path: &Path| {
        path.components()
            .all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
    };
    let slash = bytes.iter().rposition(|b| *b == b'/');
    let (Some(slash), true, true) = (slash, bytes.first() == Some(&b'/'), plain(prefix.as_path()))
    else {
        return Err(not_a_folder(format!(
            "{prefix} is not a plain absolute path; give one from /, without `..`"
        )));
    };
    let (folder, rest) = bytes.split_at(slash);
    let folder = if folder.is_empty() { b"/" } else { folder };
    let rest = rest.get(1..).unwrap_or_default();
    Ok((
        PathBuf::from(OsStr::from_bytes(folder)),
        OsStr::from_bytes(rest).to_owned(),
    ))
}

/// The folders (and links) that start with `rest`, sorted, and whether not all were looked at.
fn names(dir: &OwnedFd, rest: &OsStr) -> rustix::io::Result<(Vec<(OsString, bool)>, bool)> {
    let hidden = rest.as_bytes().starts_with(b".");
    let mut names = Vec::new();
    let mut cut = false;
    for (seen, entry) in Dir::read_from(dir)?.enumerate() {
        if seen >= MOST_NAMES {
            cut = true;
            break;
        }
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        let wanted = name.starts_with(rest.as_bytes())
            && (hidden || !name.starts_with(b"."))
            && name != b"."
            && name != b"..";
        let kind = entry.file_type();
        let folder = matches!(
            kind,
            FileType::Directory | FileType::Symlink | FileType::Unknown
        );
        if wanted && folder {
            names.push((
                OsStr::from_bytes(name).to_owned(),
                kind != FileType::Directory,
            ));
        }
    }
    names.sort();
    Ok((names, cut))
}

/// Whether a name is shown: `link` is the path of one that has to be followed first.
fn listed(place: &Place, path: &Path, link: Option<&Path>, rules: &Rules) -> bool {
    let Some(link) = link else {
        return policy::check_listing(path, rules).is_ok();
    };
    let led = place.host.engine_root().ok().and_then(|root| {
        let fd = open_in(root, link, ResolveFlags::empty()).ok()?;
        place.host.path_of(&fd).ok()
    });
    led.is_some_and(|led| policy::check_listing(&led, rules).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halves(path: &str) -> Option<(String, String)> {
        let (folder, rest) = split(&HostPath::new(path)).ok()?;
        Some((folder.to_str()?.to_owned(), rest.to_str()?.to_owned()))
    }

    #[test]
    fn a_path_is_split_at_its_last_slash() {
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(halves("/"), pair("/", ""));
        assert_eq!(halves("/ho"), pair("/", "ho"));
        assert_eq!(halves("/home/me/pr"), pair("/home/me", "pr"));
        assert_eq!(halves("/home/me/"), pair("/home/me", ""));
        assert_eq!(halves("/home/.c"), pair("/home", ".c"));
        for bad in ["", "home", "./x", "/home/../etc/", "~/x"] {
            assert_eq!(halves(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_folders_that_start_with_the_rest_are_named_and_hidden_ones_when_asked_for() {
        let temp = tempfile::tempdir().unwrap();
        for name in ["project", "prose", "other", ".profile"] {
            std::fs::create_dir(temp.path().join(name)).unwrap();
        }
        std::fs::write(temp.path().join("print"), "").unwrap();
        std::os::unix::fs::symlink("other", temp.path().join("previous")).unwrap();
        let dir: OwnedFd = std::fs::File::open(temp.path()).unwrap().into();
        let of = |rest: &str| {
            let (names, cut) = names(&dir, OsStr::new(rest)).unwrap();
            assert!(!cut);
            names
                .into_iter()
                .map(|(name, link)| (name.into_string().unwrap(), link))
                .collect::<Vec<_>>()
        };
        let named = |list: &[(&str, bool)]| {
            list.iter()
                .map(|(name, link)| ((*name).to_owned(), *link))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of("pr"),
            named(&[("previous", true), ("project", false), ("prose", false)])
        );
        assert_eq!(of("."), named(&[(".profile", false)]));
        assert_eq!(of("").len(), 4);
        assert_eq!(of("x"), named(&[]));
    }
}
