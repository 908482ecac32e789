//! Every file of `tests/config`: what is valid loads, what is not says why.

use coordinator::config::{parse, to_toml};
use std::path::{Path, PathBuf};

fn corpus(kind: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/config")
        .join(kind);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let text = std::fs::read_to_string(&path).ok()?;
            Some((path, text))
        })
        .collect();
    files.sort();
    files
}

#[test]
fn valid_files_load_and_survive_being_written_out_again() {
    let files = corpus("valid");
    assert!(files.len() >= 8, "{}", files.len());
    for (path, text) in files {
        let config = parse(&path, &text).unwrap_or_else(|errors| panic!("{errors}"));
        let again = parse(&path, &to_toml(&config)).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(config, again, "{}", path.display());
    }
}

#[test]
fn invalid_files_have_one_fault_that_is_named_with_its_place() {
    let files = corpus("invalid");
    assert!(files.len() >= 25, "{}", files.len());
    let mut wrong = Vec::new();
    for (path, text) in files {
        let first = text.lines().next().unwrap_or_default();
        let expected = first
            .strip_prefix("# error: ")
            .unwrap_or("no first line `# error: …`");
        match parse(&path, &text) {
            Ok(_) => wrong.push(format!("{}: loads", path.display())),
            Err(errors) => {
                let message = errors.to_string();
                let place = format!("{}:", path.display());
                let fits = message.contains(expected) && message.starts_with(&place);
                if errors.0.len() != 1 || !fits || message.contains('\n') {
                    wrong.push(format!("expected {expected}\n     got {message}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_seeded_files_show_every_key_with_its_default() {
    let volumes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../volumes");
    let defaults = parse("defaults".as_ref(), "").unwrap();
    let mut whole = String::new();
    for (file, header) in [
        ("config/podbay.toml", ""),
        ("profiles/default.toml", "[profiles.default]\n"),
    ] {
        let text = std::fs::read_to_string(volumes.join(file)).unwrap();
        whole.push_str(header);
        for line in text.lines() {
            // `# key = value` is a key; prose is not.
            let setting = line
                .strip_prefix("# ")
                .and_then(|l| Some((l, l.split_once(" = ")?.0)));
            match setting {
                Some((_, "LANG")) => {}
                Some((setting, key)) if !key.contains(' ') => whole.push_str(setting),
                _ => whole.push_str(&line.replace("[env]", "[profiles.default.env]")),
            }
            whole.push('\n');
        }
    }
    let shown = parse("seed".as_ref(), &whole).unwrap_or_else(|errors| panic!("{errors}\n{whole}"));
    assert_eq!(shown, defaults);
    for line in to_toml(&defaults).lines() {
        if let Some((key, _)) = line.split_once(" = ") {
            let there = whole.lines().any(|l| l.starts_with(&format!("{key} = ")));
            assert!(there, "{key} is not shown");
        }
    }
}
