//! `podbay audit`.

use crate::{
    cli::{
        Failure, Globals,
        output::{term, text},
    },
    wire::{AuditEntry, AuditQuery, Who},
};
use clap::Args;
use futures_util::StreamExt;
use std::{io::Write, process::ExitCode, time::Duration};

/// Longest line that is taken for an entry, in bytes.
const LONGEST: usize = 1 << 20;

/// `podbay audit`.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// Only what is younger, such as 1h.
    #[arg(long, value_name = "DUR", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only the last entries.
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
    /// Print the entries as they are: a JSON object a line.
    #[arg(long)]
    pub json: bool,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &AuditArgs) -> Result<ExitCode, Failure> {
    let query = AuditQuery {
        since_s: args.since.map(|since| since.as_secs()),
        tail: args.tail,
    };
    let mut pieces = globals.client()?.audit(query).await?;
    let mut rest = Vec::new();
    while let Some(piece) = pieces.next().await {
        rest.extend_from_slice(&piece?);
        let whole = rest
            .iter()
            .rposition(|b| *b == b'\n')
            .map_or(0, |at| at + 1);
        if whole == 0 && rest.len() > LONGEST {
            return Err(Failure::new(1, "the coordinator sent no audit log"));
        }
        let lines: Vec<u8> = rest.drain(..whole).collect();
        let mut out = std::io::stdout().lock();
        if args.json {
            out.write_all(&lines)?;
        } else {
            for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                if let Ok(entry) = serde_json::from_slice::<AuditEntry>(line) {
                    writeln!(out, "{}", shown(&entry))?;
                }
            }
        }
        out.flush()?;
    }
    term::print("")?;
    Ok(ExitCode::SUCCESS)
}

/// One entry in a line.
fn shown(entry: &AuditEntry) -> String {
    let mut parts = vec![entry.time.clone(), who(&entry.who), entry.what.clone()];
    parts.extend(entry.worker.clone());
    parts.extend(entry.profile.as_ref().map(|p| format!("profile {p}")));
    parts.extend(entry.project.clone());
    parts.extend(entry.detail.as_ref().map(|d| format!("({d})")));
    parts.push(format!("{} {} ms", entry.result, entry.duration_ms));
    if entry.lost > 0 {
        parts.push(format!("[{} entries before it were lost]", entry.lost));
    }
    text::escape(&parts.join("  "))
}

fn who(who: &Who) -> String {
    let claimed = |says: &Option<String>| match says {
        Some(says) => format!(" (says {says})"),
        None => String::new(),
    };
    match who {
        Who::Unix {
            uid, program, says, ..
        } => {
            let program = program.as_deref().unwrap_or("a process");
            format!("uid {uid} by {program}{}", claimed(says))
        }
        Who::Tcp {
            address,
            token,
            says,
        } => {
            let token = token.as_deref().unwrap_or("none");
            format!("{address} token {token}{}", claimed(says))
        }
        Who::Coordinator => "the coordinator".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_brings_along_does_not_reach_the_terminal() {
        let entry = AuditEntry {
            time: "2026-01-01T00:00:00.000Z".into(),
            who: Who::Unix {
                uid: 0,
                pid: Some(1),
                program: Some("podbay relay".into()),
                says: Some("\u{1b}]2;x\u{7}".into()),
            },
            what: "spawn".into(),
            worker: Some("\u{202e}evil".into()),
            profile: None,
            project: Some("/p\n".into()),
            detail: None,
            result: "ok".into(),
            duration_ms: 3,
            lost: 2,
        };
        let line = shown(&entry);
        assert!(
            line.contains("uid 0 by podbay relay") && line.contains("ok 3 ms"),
            "{line}"
        );
        assert!(
            !line.contains(['\u{1b}', '\u{7}', '\u{202e}', '\n']),
            "{line}"
        );
    }
}
