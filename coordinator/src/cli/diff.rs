//! `podbay diff`.

use super::{
    Failure, Globals,
    term::{self, Paint},
    text,
};
use crate::{
    model::HostPath,
    wire::{Change, ChangeKind, FileDiff},
};
use clap::Args;
use std::{path::PathBuf, process::ExitCode};

/// `podbay diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The worker.
    #[arg(value_name = "NAME")]
    name: String,
    /// Only these, relative to the project; folders with all below.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// One line a file, with lines added and removed.
    #[arg(long, conflicts_with_all = ["name_only", "json"])]
    stat: bool,
    /// Only the paths.
    #[arg(long, conflicts_with = "json")]
    name_only: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn run(globals: &Globals, args: &DiffArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let colours = term::colours();
    if args.stat || args.name_only {
        let changes = client.changes(&args.name).await?;
        let wanted = |change: &&Change| {
            let path = change.path.as_path();
            args.paths.is_empty()
                || args
                    .paths
                    .iter()
                    .any(|below| path.starts_with(relative(below)))
        };
        let entries: Vec<&Change> = changes.entries.iter().filter(wanted).collect();
        let out = if args.stat {
            stat(&entries, colours)
        } else {
            entries
                .iter()
                .map(|change| format!("{}\n", change.path))
                .collect()
        };
        term::print(&out)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut diffs = Vec::new();
    if args.paths.is_empty() {
        diffs = client.diff(&args.name, None).await?;
    }
    for path in &args.paths {
        diffs.extend(
            client
                .diff(&args.name, Some(&HostPath::new(relative(path))))
                .await?,
        );
    }
    if args.json {
        term::print_json(&diffs)?;
    } else {
        for diff in &diffs {
            term::print(&unified(diff, term::stdout_is_tty(), colours))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `./src` and `src/` mean `src`.
pub(super) fn relative(path: &std::path::Path) -> PathBuf {
    path.components()
        .filter(|part| !matches!(part, std::path::Component::CurDir))
        .collect()
}

/// What happened to a path, as a letter and a word: colour is never alone.
pub(super) fn kind(change: &Change) -> (char, Paint) {
    match change.kind {
        ChangeKind::Added => ('A', Paint::Green),
        ChangeKind::Modified => ('M', Paint::Yellow),
        ChangeKind::Deleted => ('D', Paint::Red),
        ChangeKind::TypeChanged => ('T', Paint::Yellow),
    }
}

fn stat(entries: &[&Change], colours: bool) -> String {
    let (mut out, mut added, mut removed) = (String::new(), 0, 0);
    for change in entries {
        let (letter, paint) = kind(change);
        let lines = match (change.added, change.removed) {
            _ if change.binary => "binary".to_owned(),
            (None, None) => String::new(),
            (plus, minus) => {
                let (plus, minus) = (plus.unwrap_or(0), minus.unwrap_or(0));
                added += plus;
                removed += minus;
                format!(
                    "{} {}",
                    Paint::Green.on(colours, format!("+{plus}")),
                    Paint::Red.on(colours, format!("-{minus}"))
                )
            }
        };
        let conflict = if change.conflict {
            "  changed in the project too"
        } else {
            ""
        };
        let letter = paint.on(colours, letter);
        out.push_str(&format!(
            "{letter} {}  {lines}{}\n",
            change.path,
            Paint::Yellow.on(colours, conflict)
        ));
    }
    out.push_str(&format!(
        "{} changed, {added} lines added, {removed} removed\n",
        entries.len()
    ));
    out
}

/// One file's diff. To a terminal, whatever the file holds is escaped; elsewhere it stays as it is,
/// so that it can be applied as a patch.
fn unified(diff: &FileDiff, terminal: bool, colours: bool) -> String {
    if !terminal {
        return diff.unified.clone();
    }
    let mut out = String::new();
    if diff.unified.is_empty() {
        let (letter, paint) = kind(&diff.change);
        return format!("{} {}\n", paint.on(colours, letter), diff.change.path);
    }
    let mut in_header = true;
    for line in diff.unified.lines() {
        in_header &= !line.starts_with("@@");
        let paint = match line.as_bytes().first() {
            _ if in_header => Paint::Bold,
            Some(b'@') => Paint::Cyan,
            Some(b'+') => Paint::Green,
            Some(b'-') => Paint::Red,
            _ => Paint::Plain,
        };
        out.push_str(&paint.on(colours, text::escape(line)));
        out.push('\n');
    }
    if diff.truncated {
        out.push_str(&Paint::Yellow.on(colours, "(cut: the file is over 1 MiB)"));
        out.push('\n');
    }
    if diff.change.conflict {
        out.push_str(
            &Paint::Yellow.on(colours, "(the project's file changed too since the claim)"),
        );
        out.push('\n');
    }
    out
}
