//! What a spawn takes from the caller: the project's path and the environment.

use crate::cli::Failure;
use std::{
    collections::BTreeMap,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Component, Path, PathBuf},
};

/// The current folder as the shell names it: `PWD` when it is right (as POSIX `pwd -L`), so that a
/// symbolic link in it is not resolved; the coordinator judges the path.
pub(super) fn current() -> Result<PathBuf, Failure> {
    let real = std::env::current_dir()
        .map_err(|error| Failure::usage(format!("the current folder cannot be used: {error}")))?;
    let logical = std::env::var_os("PWD").map(PathBuf::from).filter(|pwd| {
        let same =
            |a: &std::fs::Metadata, b: &std::fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
        let plain = pwd
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let both = (std::fs::metadata(pwd), std::fs::metadata(&real));
        pwd.is_absolute() && plain && matches!(&both, (Ok(a), Ok(b)) if same(a, b))
    });
    Ok(logical.unwrap_or(real))
}

/// The path made absolute without resolving anything. `..` stays: after a symbolic link it does not
/// mean the folder before it.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(Failure::usage("a path cannot have a NUL byte"));
    }
    let mut out = if path.is_absolute() {
        PathBuf::new()
    } else {
        current()?
    };
    out.extend(path.components().filter(|part| *part != Component::CurDir));
    Ok(out)
}

/// The environment of `-e K=V`, `-e K` (the caller's value; nothing when it has none) and of files
/// of such lines, as Docker reads them: `#` begins a comment line. `-e` wins.
pub(super) fn environment(
    pairs: &[String],
    files: &[PathBuf],
    var: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, Failure> {
    let mut env = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("--env-file {}: {error}", file.display())))?;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let place = || format!("--env-file {}, line {}", file.display(), number + 1);
            add(&mut env, line, place, &var)?;
        }
    }
    for pair in pairs {
        add(&mut env, pair, || format!("-e {pair:?}"), &var)?;
    }
    Ok(env)
}

fn add(
    env: &mut BTreeMap<String, String>,
    pair: &str,
    place: impl Fn() -> String,
    var: impl Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    let (name, value) = match pair.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (pair, var(pair)),
    };
    if name.is_empty() || name.contains(char::is_whitespace) || pair.contains('\0') {
        return Err(Failure::usage(format!("{}: not a variable", place()))
            .hint("give NAME=VALUE, or NAME to take it from here"));
    }
    if let Some(value) = value {
        env.insert(name.to_owned(), value);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_and_keep_their_links_and_odd_bytes() {
        assert_eq!(
            absolute(Path::new("/a/./b/../c")).unwrap(),
            Path::new("/a/b/../c")
        );
        assert_eq!(absolute(Path::new(".")).unwrap(), current().unwrap());
        let odd = std::ffi::OsStr::from_bytes(b"x\xff");
        assert!(absolute(Path::new(odd)).unwrap().ends_with(odd));
    }

    #[test]
    fn the_environment_as_docker_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("env");
        std::fs::write(&file, "# no\nA=1\n\n B=x=y\nHOME\nGONE\n").unwrap();
        let var = |name: &str| (name == "HOME").then(|| "/h".to_owned());
        let env = environment(
            &["A=2".into(), "E=".into()],
            std::slice::from_ref(&file),
            var,
        )
        .unwrap();
        let got: Vec<_> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(got, ["A=2", "B=x=y", "E=", "HOME=/h"]);
        for bad in ["=x", "A B=1", ""] {
            assert_eq!(
                environment(&[bad.into()], &[], var).unwrap_err().code,
                2,
                "{bad}"
            );
        }
        std::fs::write(&file, "OK=1\nnot a variable=2\n").unwrap();
        let error = environment(&[], &[file], var).unwrap_err();
        assert!(error.message.contains("line 2"), "{error:?}");
    }
}
