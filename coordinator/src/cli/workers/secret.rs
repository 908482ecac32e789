//! Secrets given to a session: from the caller's environment or from files, never on a command line.

use crate::cli::Failure;
use podbay_protocol::{MAX_SECRET, Secret, SecretText};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// The secrets that the flags name.
pub(super) fn gather(
    plain: &[String],
    with_env: &[String],
    files: &[String],
    lists: &[PathBuf],
    var: impl Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, Secret>, Failure> {
    let mut secrets = BTreeMap::new();
    for (names, env) in [(plain, false), (with_env, true)] {
        for name in names {
            if let Some((name, _)) = name.split_once('=') {
                return Err(Failure::usage(format!(
                    "--secret {name}=…: a value on the command line can be read by everybody here"
                ))
                .hint(format!(
                    "set the variable {name} and give --secret {name}, or use --secret-file"
                )));
            }
            let value = var(name).ok_or_else(|| {
                Failure::usage(format!("--secret {name}: there is no such variable here"))
                    .hint("set it, or use --secret-file NAME=FILE")
            })?;
            add(&mut secrets, name, value, env)?;
        }
    }
    for pair in files {
        let (name, path) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--secret-file {pair}: not NAME=FILE")))?;
        let value = read(Path::new(path))
            .map_err(|error| Failure::usage(format!("--secret-file {path}: {error}")))?;
        add(&mut secrets, name, value, false)?;
    }
    for list in lists {
        let place = |line: usize| format!("--secrets-from {}, line {line}", list.display());
        let text = read(list).map_err(|error| {
            Failure::usage(format!("--secrets-from {}: {error}", list.display()))
        })?;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            // Without the line in the message: it may be a value.
            let (name, value) = line
                .split_once('=')
                .ok_or_else(|| Failure::usage(format!("{}: not NAME=VALUE", place(number))))?;
            add(&mut secrets, name, value.to_owned(), false)?;
        }
    }
    Ok(secrets)
}

fn add(
    secrets: &mut BTreeMap<String, Secret>,
    name: &str,
    value: String,
    env: bool,
) -> Result<(), Failure> {
    let secret = Secret {
        value: SecretText::new(value),
        env,
    };
    match secrets.insert(name.to_owned(), secret) {
        Some(_) => Err(Failure::usage(format!("secret {name} is given twice"))),
        None => Ok(()),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    // More is refused by the coordinator; a device that never ends must not fill the memory.
    let most = u64::try_from(MAX_SECRET).unwrap_or(u64::MAX) + 1;
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_from_variables_and_files_and_never_from_the_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "from a file\n").unwrap();
        let var =
            |name: &str| (name == "TOKEN" || name == "KEY").then(|| format!("value of {name}"));
        let words = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let pair = format!("PEM={}", file.display());
        let list = folder.path().join("list");
        std::fs::write(&list, "# no\nLISTED=a=b\n\n").unwrap();
        let (token, key, pair) = (words(&["TOKEN"]), words(&["KEY"]), words(&[&pair]));
        let got = gather(&token, &key, &pair, std::slice::from_ref(&list), var).unwrap();
        assert_eq!(got["LISTED"].value.reveal(), "a=b");
        std::fs::write(&list, "hunter2\n").unwrap();
        let error = gather(&[], &[], &[], &[list], var).unwrap_err();
        assert!(error.message.contains("line 1") && !error.message.contains("hunter2"));
        assert_eq!(got["TOKEN"].value.reveal(), "value of TOKEN");
        assert_eq!((got["TOKEN"].env, got["KEY"].env), (false, true));
        assert_eq!(got["PEM"].value.reveal(), "from a file\n");
        assert!(!format!("{got:?}").contains("value of"));
        for (plain, files) in [
            (words(&["TOKEN=x"]), vec![]),
            (words(&["ABSENT"]), vec![]),
            (words(&["TOKEN", "TOKEN"]), vec![]),
            (vec![], words(&["PEM"])),
            (vec![], words(&["PEM=/does/not/exist"])),
        ] {
            let error = gather(&plain, &[], &files, &[], var).unwrap_err();
            assert_eq!(error.code, 2, "{plain:?} {files:?}");
            assert!(!error.message.contains("=x"), "{}", error.message);
        }
    }
}
