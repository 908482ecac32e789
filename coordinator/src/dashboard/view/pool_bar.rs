//! One row a pool: how full it is, how well it serves, why it is not full.

use crate::{
    dashboard::{
        app::state::AppState,
        widgets::{
            pen::{Pen, StyledText},
            text,
            theme::role::Role,
        },
    },
    wire::PoolView,
};
use ratatui::layout::Rect;

/// Claims shown in a sparkline.
const SPARKS: usize = 12;

/// Draws as many pools as there are rows, those in trouble first.
pub fn draw(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    let mut pools: Vec<&PoolView> = state.pools.values().collect();
    pools.sort_by_key(|p| (!failing(p), !p.paused && !p.draining, p.profile.clone()));
    let rows = usize::from(area.height);
    let hidden = pools.len().saturating_sub(rows);
    for (y, (i, pool)) in (area.top()..).zip(pools.into_iter().take(rows).enumerate()) {
        let more = if i + 1 == rows { hidden } else { 0 };
        let row = Rect {
            x: area.x + u16::from(area.width > 3),
            y,
            width: area.width.saturating_sub(2),
            height: 1,
        };
        let pieces = pieces(state, pool, more, area.width < 60, pen);
        pen.pieces(row, &pieces, 10);
        if !state.is_live() {
            pen.tint(row, pen.theme.style(Role::Stale));
        }
    }
}

/// Whether its last creation failed and none succeeded since.
fn failing(pool: &PoolView) -> bool {
    pool.last_failure
        .as_ref()
        .is_some_and(|f| f.retry_in_ms.is_some())
}

fn pieces(
    state: &AppState,
    pool: &PoolView,
    more: usize,
    narrow: bool,
    pen: &Pen<'_>,
) -> Vec<StyledText> {
    let full = pool.warm >= pool.target;
    let mark = match full {
        true => pen.theme.glyph("◆", "="),
        false => pen.theme.glyph("◇", "-"),
    };
    let PoolView {
        profile,
        warm,
        target,
        max_warm,
        ..
    } = pool;
    let level = match narrow {
        true => format!("{mark} {profile} {warm}/{target}"),
        false => format!("{mark} pool {profile} warm {warm}/{target} max {max_warm}"),
    };
    let mut out = vec![pen.piece(level, if full { Role::Warm } else { Role::Warning })];
    if !state.is_live() {
        out.push(pen.piece("stale", Role::Stale));
    }
    if pool.draining {
        out.push(pen.piece("draining", Role::Warning));
    } else if pool.paused {
        out.push(pen.piece("paused", Role::Warning));
    }
    if let Some(failure) = pool.last_failure.as_ref().filter(|_| failing(pool)) {
        let age = text::age(state.now_ms.saturating_sub(failure.at_ms));
        let times = match failure.in_a_row {
            0 | 1 => "failed".to_owned(),
            n => format!("failed {n} times"),
        };
        let said = format!("{times}, {age} ago, retrying: {}", failure.reason);
        out.push(pen.piece(said, Role::Error));
    }
    for (count, word) in [
        (pool.creating, "creating"),
        (pool.queued, "queued"),
        (pool.claimed, "claimed"),
    ] {
        if count > 0 {
            out.push(pen.piece(format!("{count} {word}"), Role::Text));
        }
    }
    if let Some(rate) = (pool.hits * 100).checked_div(pool.hits.saturating_add(pool.misses)) {
        out.push(pen.piece(format!("hits {rate}%"), Role::Text));
    }
    if let Some(p50) = pool.claim_p50_us {
        let said = format!("claim p50 {}", text::micros(p50));
        let columns = pool.recent_claims_us.len().min(SPARKS);
        let history = match narrow {
            true => String::new(),
            false => text::sparkline(&pool.recent_claims_us, columns, pen.theme.unicode, 0),
        };
        out.push(pen.piece(format!("{said} {history}").trim_end(), Role::Text));
    }
    if let Some(failure) = pool.last_failure.as_ref().filter(|_| !failing(pool)) {
        let age = text::age(state.now_ms.saturating_sub(failure.at_ms));
        let said = format!("last failure {age} ago: {}", failure.reason);
        out.push(pen.piece(said, Role::Muted));
    }
    if more > 0 {
        out.insert(1, pen.piece(format!("+{more} more pools (s)"), Role::Muted));
    }
    out
}
