//! The texts of the details, line by line: the selected worker, then the coordinator.

use crate::dashboard::{
    app::state::AppState,
    view::layout,
    widgets::{text, text_row::TextRow},
    workers::worker::{Worker, describe_exit},
};

fn pair(term: impl Into<String>, meaning: impl Into<String>) -> TextRow {
    TextRow::Pair(term.into(), meaning.into())
}

/// Columns of a term in the details.
pub const TERM: u16 = 12;

/// The details with their meanings cut into lines that fit.
pub fn wrapped_details(state: &AppState, width: u16) -> Vec<TextRow> {
    let columns = TERM.min(width.saturating_sub(2) / 3);
    let room = usize::from(width.saturating_sub(columns + 3));
    let mut lines = Vec::new();
    for line in details(state) {
        let TextRow::Pair(term, meaning) = line else {
            lines.push(line);
            continue;
        };
        for (i, part) in text::wrap(&meaning, room).into_iter().enumerate() {
            let term = if i == 0 { term.as_str() } else { "" };
            lines.push(pair(term, part));
        }
    }
    lines
}

/// How far the details can be scrolled.
pub fn last_details(state: &AppState) -> u16 {
    let pane = layout::split(state).pane;
    let count = wrapped_details(state, pane.width).len();
    u16::try_from(count)
        .unwrap_or(u16::MAX)
        .saturating_sub(pane.height.max(1))
}

/// All about the selected worker and the coordinator.
fn details(state: &AppState) -> Vec<TextRow> {
    let mut lines = Vec::new();
    if let Some(worker) = state.selected_worker() {
        worker_details(state, worker, &mut lines);
        lines.push(TextRow::Blank);
    }
    lines.push(TextRow::Heading("Coordinator".to_owned()));
    let Some(status) = &state.status else {
        lines.push(pair("state", "not reached yet"));
        return lines;
    };
    if !state.is_live() {
        lines.push(pair("state", "unreachable; what follows is stale"));
    }
    lines.push(pair("instance", status.instance.as_str()));
    lines.push(pair(
        "version",
        format!("{} (API {})", status.version.version, status.version.api),
    ));
    let engine = &status.engine;
    lines.push(pair(
        "engine",
        format!("{} {} at {}", engine.name, engine.version, engine.endpoint),
    ));
    if !engine.reachable {
        lines.push(pair(
            "engine down",
            engine.error.as_deref().unwrap_or("it does not answer"),
        ));
    } else if let Some(why) = &engine.error {
        lines.push(pair("engine degraded", why));
    }
    let mounts = &status.hot_mounts;
    lines.push(pair(
        "hot mounts",
        match (mounts.available, mounts.idmapped) {
            (true, true) => "yes, id-mapped".to_owned(),
            (true, false) => "yes, not id-mapped".to_owned(),
            (false, _) => format!(
                "no: {}",
                mounts.reason.as_deref().unwrap_or("not available")
            ),
        },
    ));
    lines.extend(status.warnings.iter().map(|w| pair("warning", w.as_str())));
    for pool in state.pools.values() {
        let p99 = pool
            .claim_p99_us
            .map(|us| format!(", claim p99 {}", text::micros(us)));
        let what = format!(
            "{} warm of {} (min {}, max {}), hits {}, misses {}{}",
            pool.warm,
            pool.target,
            pool.min_warm,
            pool.max_warm,
            pool.hits,
            pool.misses,
            p99.unwrap_or_default(),
        );
        lines.push(pair(format!("pool {}", pool.profile), what));
        if let Some(failure) = &pool.last_failure {
            let at = text::utc_time(failure.at_ms);
            lines.push(pair("failed", format!("{at}: {}", failure.reason)));
        }
    }
    lines
}

fn worker_details(state: &AppState, worker: &Worker, lines: &mut Vec<TextRow>) {
    let view = &worker.view;
    lines.push(TextRow::Heading(format!("Worker {}", view.name)));
    let why = worker.reason();
    let stale = if state.is_live() { "" } else { "stale; was " };
    let group = worker.group().word();
    lines.push(pair(
        "state",
        match why.is_empty() {
            true => format!("{stale}{group}"),
            false => format!("{stale}{group}: {why}"),
        },
    ));
    lines.push(pair("id", view.id.as_str()));
    lines.push(pair(
        "profile",
        format!("{} ({})", view.profile, view.image),
    ));
    if let Some(project) = &view.project {
        lines.push(pair(
            "project",
            format!("{project} ({})", view.isolation.as_str()),
        ));
    }
    match &view.changes {
        Some(count) => lines.push(pair(
            "changes",
            format!(
                "{}, {} added, {} removed",
                text::count(count.files, "file"),
                text::count(count.added, "line"),
                count.removed
            ),
        )),
        None if view.unapplied => lines.push(pair("changes", "to review")),
        None => {}
    }
    if !view.argv.is_empty() {
        lines.push(pair("command", view.argv.join(" ")));
    }
    if !view.title.is_empty() {
        lines.push(pair("title", view.title.as_str()));
    }
    lines.extend(view.mounts.iter().map(|m| pair("mount", m.as_str())));
    if !view.network.is_empty() {
        lines.push(pair("network", view.network.as_str()));
    }
    for port in &view.ports {
        lines.push(pair(
            "listens",
            format!("{} port {}", port.address, port.port),
        ));
    }
    if !view.security.is_empty() {
        lines.push(pair("security", view.security.as_str()));
    }
    if let Some(agent) = &view.agent {
        lines.push(pair("agent", agent.as_str()));
    }
    let spark = |history: &[u64], full: u64| {
        let line = text::sparkline(history, 24, state.theme.unicode, full);
        line.trim_start().to_owned()
    };
    let readings = &view.readings;
    if let Some(used) = readings.memory_bytes {
        let limit = readings.memory_limit_bytes.or(view.limits.memory_bytes);
        let of = limit.map_or("no limit".to_owned(), |l| format!("of {}", text::bytes(l)));
        let history = spark(&worker.memory_history, limit.unwrap_or(0) / 4);
        let said = format!("{} {of} {history}", text::bytes(used));
        lines.push(pair("memory", said));
    }
    if let Some(percent) = worker.cpu_percent {
        let of = view
            .limits
            .nano_cpus
            .map(|n| format!(" of {}%", n / 10_000_000));
        let history = spark(&worker.cpu_history, 100);
        let said = format!("{percent}%{} {history}", of.unwrap_or_default());
        lines.push(pair("cpu", said));
    }
    if let Some(pids) = readings.pids {
        let of = view.limits.pids.map(|l| format!(" of {l}"));
        lines.push(pair(
            "processes",
            format!("{pids}{}", of.unwrap_or_default()),
        ));
    }
    lines.push(pair("clients", state.other_clients(worker).to_string()));
    let start = if view.warm_start { "warm" } else { "cold" };
    let age = |ms: u64| text::age(state.now_ms.saturating_sub(ms));
    if let Some(claimed) = view.claimed_ms {
        lines.push(pair("claimed", format!("{} ago ({start})", age(claimed))));
    }
    lines.push(pair("created", format!("{} ago", age(view.created_ms))));
    if let (Some(ended), Some(exit)) = (view.ended_ms, view.exit) {
        lines.push(pair(
            "ended",
            format!("{} ago: {}", age(ended), describe_exit(exit)),
        ));
    }
}
