//! `podbay diff`.

use crate::{
    cli::{
        Failure, Globals,
        output::{
            term::{self, Paint},
            text,
        },
    },
    client::{Client, Diffs},
    model::HostPath,
    wire::{Change, ChangeKind, ChangeSummary, FileDiff},
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
    /// One line a file, with lines added and removed; one a folder where there are too many. With
    /// --json always by folder.
    #[arg(long, conflicts_with = "name_only")]
    stat: bool,
    /// Only the paths.
    #[arg(long, conflicts_with = "json")]
    name_only: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &DiffArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let mut paths: Vec<Option<HostPath>> = args
        .paths
        .iter()
        .map(|path| Some(HostPath::new(relative(path))))
        .collect();
    if paths.is_empty() {
        paths.push(None);
    }
    if args.stat {
        return statistics(&client, args, &paths).await;
    }
    let (mut truncated, mut missing) = (false, false);
    if args.name_only {
        for path in &paths {
            let changes = client.changes(&args.name, path.as_ref()).await?;
            truncated |= changes.truncated;
            missing |= changes.project_missing;
            say_if_none(path.as_ref(), changes.entries.len());
            let lines = changes.entries.iter().map(|c| format!("{}\n", c.path));
            term::print(&lines.collect::<String>())?;
        }
    } else {
        let mut all = Vec::new();
        for path in &paths {
            let Diffs {
                diffs,
                truncated: cut,
                project_missing,
            } = client.diff(&args.name, path.as_ref()).await?;
            truncated |= cut;
            missing |= project_missing;
            say_if_none(path.as_ref(), diffs.len());
            if args.json {
                all.extend(diffs);
                continue;
            }
            for diff in &diffs {
                term::print(&unified(diff, term::stdout_is_tty(), term::colours()))?;
            }
        }
        if args.json {
            term::print_json(&all)?;
        }
    }
    if missing {
        note_missing(&args.name);
    }
    if truncated {
        return Err(cut(&args.name));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is shown was compared with nothing.
fn note_missing(name: &str) {
    term::note(&format!(
        "podbay: the project of {name} is gone, or another folder is at its path: all that was changed \
         is shown as added, deletions are not shown; apply works once the same folder is back"
    ));
}

/// A path that was mistyped looks like one without changes otherwise.
fn say_if_none(path: Option<&HostPath>, changes: usize) {
    if let Some(path) = path
        && changes == 0
    {
        term::note(&format!("no changes at {path}"));
    }
}

/// Part of the changes was printed; a reader must not take it for all.
fn cut(name: &str) -> Failure {
    Failure::new(
        1,
        "there are more changes than can be shown at a time: this was not all of them",
    )
    .hint(format!(
        "`podbay diff --stat {name}` counts them by folder; diff, apply and discard take paths, \
         and discard without a path takes all"
    ))
}

async fn statistics(
    client: &Client,
    args: &DiffArgs,
    paths: &[Option<HostPath>],
) -> Result<ExitCode, Failure> {
    let mut sums = Vec::new();
    for path in paths {
        if args.json {
            sums.push(client.change_summary(&args.name, path.as_ref()).await?);
            continue;
        }
        let changes = client.changes(&args.name, path.as_ref()).await?;
        say_if_none(path.as_ref(), changes.entries.len());
        if changes.project_missing {
            note_missing(&args.name);
        }
        let out = if changes.truncated {
            let sums = client.change_summary(&args.name, path.as_ref()).await?;
            by_folder(&sums, &args.name)
        } else {
            stat(&changes.entries, term::colours())
        };
        term::print(&out)?;
    }
    if args.json {
        term::print_json(&sums)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What there is of any number of changes.
fn by_folder(sums: &ChangeSummary, name: &str) -> String {
    let mut out = String::new();
    for row in &sums.folders {
        let at = row.path.to_string();
        let slash = if at == "." { "" } else { "/" };
        out.push_str(&format!(
            "{at}{slash}  {} changed, {}\n",
            row.changes,
            text::bytes(row.bytes)
        ));
    }
    if sums.more_folders > 0 {
        out.push_str(&format!(
            "and {} more folders with {} changed\n",
            sums.more_folders, sums.more_changes
        ));
    }
    let least = if sums.truncated { "at least " } else { "" };
    out.push_str(&format!(
        "{least}{} changed, {}, too many to list: `podbay diff {} PATH` shows what is below a path, \
         apply and discard take paths too\n",
        sums.changes,
        text::bytes(sums.bytes),
        text::escape(name),
    ));
    out
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

fn stat(entries: &[Change], colours: bool) -> String {
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
