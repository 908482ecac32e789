//! Header, banner, message line and footer.

use super::pen::{Pen, Piece};
use crate::dashboard::{
    dialog::{Dialog, SpawnField},
    keymap,
    state::{Level, Link, State},
    text,
    theme::Role,
};
use ratatui::layout::Rect;

/// Instance, engine, version, hot mounts. What is wrong comes before what is ordinary.
pub fn header(state: &State, area: Rect, pen: &mut Pen<'_>) {
    let mut pieces = vec![pen.piece("Podbay", Role::Heading)];
    match &state.status {
        None => pieces.push(pen.piece("connecting to the coordinator", Role::Muted)),
        Some(status) => {
            pieces.push(pen.piece(status.instance.as_str(), Role::Text));
            let engine = &status.engine;
            let (name, version) = (&engine.name, &engine.version);
            let mut ordinary: Vec<Piece> = Vec::new();
            if engine.reachable {
                ordinary.push(pen.piece(format!("{name} {version}"), Role::Muted));
            } else {
                let why = engine.error.as_deref().unwrap_or("it does not answer");
                pieces.push(pen.piece(format!("ENGINE DOWN: {why}"), Role::Error));
            }
            if !status.warnings.is_empty() {
                let count = status.warnings.len();
                let s = if count == 1 { "" } else { "s" };
                pieces.push(pen.piece(format!("{count} warning{s} (s)"), Role::Warning));
            }
            ordinary.push(pen.piece(format!("v{}", status.version.version), Role::Muted));
            if status.hot_mounts.available {
                ordinary.push(pen.piece("hot mounts", Role::Muted));
            } else {
                let why = status
                    .hot_mounts
                    .reason
                    .as_deref()
                    .unwrap_or("not available");
                ordinary.push(pen.piece(format!("no hot mounts: {why}"), Role::Warning));
            }
            pieces.extend(ordinary);
        }
    }
    pen.pieces(inset(area), &pieces, 12);
}

/// Says that what is shown is not live.
pub fn banner(state: &State, area: Rect, pen: &mut Pen<'_>) {
    let Link::Gone { since_ms, reason } = &state.link else {
        return;
    };
    let (at, age) = (
        text::utc_time(*since_ms),
        text::age(state.now_ms.saturating_sub(*since_ms)),
    );
    let said = match area.width {
        0..60 => format!("! coordinator gone {age}, retrying"),
        _ => format!("! coordinator unreachable since {at} ({age}), retrying: {reason}"),
    };
    pen.put_as(
        area.x + u16::from(area.width > 1),
        area.y,
        area.width,
        &said,
        Role::Error,
    );
    if area.height > 0 {
        pen.tint(area, pen.theme.style(Role::Selected));
    }
}

/// Most lines that a message gets.
const NOTICE_LINES: usize = 3;

/// The last message with what can be done, or what is under way, cut into lines.
pub fn notice_lines(state: &State, width: u16) -> Vec<(String, Role)> {
    let columns = usize::from(inset(Rect::new(0, 0, width, 1)).width);
    let (said, role) = match &state.notice {
        Some(notice) => {
            let (mark, role) = match notice.level {
                Level::Info => ("", Role::Done),
                Level::Error => ("error: ", Role::Error),
            };
            let hint = notice
                .hint
                .as_ref()
                .map(|h| format!(" ({h})"))
                .unwrap_or_default();
            (format!("{mark}{}{hint}", notice.text), role)
        }
        None if state.pending.is_empty() => return Vec::new(),
        None => (format!("{}…", state.pending.join(", ")), Role::Working),
    };
    let mut lines = text::wrap(&said, columns);
    if lines.len() > NOTICE_LINES {
        // The rest goes into the last line, where it is cut with a mark.
        let rest = lines.split_off(NOTICE_LINES - 1).join(" ");
        lines.push(rest);
    }
    lines.into_iter().map(|line| (line, role)).collect()
}

/// Draws the message.
pub fn notice(state: &State, area: Rect, pen: &mut Pen<'_>) {
    let lines = notice_lines(state, area.width);
    let area = inset(area);
    for (y, (line, role)) in (area.top()..area.bottom()).zip(lines) {
        pen.put_as(area.x, y, area.width, &line, role);
    }
}

/// The keys that do something now.
pub fn footer(state: &State, area: Rect, pen: &mut Pen<'_>) {
    let area = inset(area);
    let mut keys: Vec<(String, &str)> = match &state.dialog {
        None if state.filtering => vec![
            ("Enter".to_owned(), "keep filter"),
            ("Esc".to_owned(), "show all"),
            ("Up/Down".to_owned(), "move"),
        ],
        None => keymap::footer(state).collect(),
        Some(Dialog::Help(_) | Dialog::Details(_)) => {
            vec![("j/k".to_owned(), "scroll"), ("Esc".to_owned(), "close")]
        }
        Some(Dialog::Confirm(confirm)) => {
            vec![
                ("y".to_owned(), confirm.verb),
                ("n/Esc".to_owned(), "cancel"),
            ]
        }
        Some(Dialog::Spawn(form)) => {
            let mut keys = vec![
                ("Enter".to_owned(), "spawn"),
                ("Tab".to_owned(), "next field"),
            ];
            if matches!(form.focus, SpawnField::Profile | SpawnField::Isolation) {
                keys.push(("Left/Right".to_owned(), "choose"));
            }
            keys.push(("Esc".to_owned(), "cancel"));
            keys
        }
    };
    // Help and quit stay when not everything fits.
    let wanted = |keys: &[(String, &str)]| -> usize {
        keys.iter()
            .map(|(k, l)| text::width(k) + text::width(l) + 3)
            .sum()
    };
    while wanted(&keys) > usize::from(area.width) + 2 && keys.len() > 2 {
        let drop = keys.len().saturating_sub(3);
        keys.remove(drop);
    }
    let mut x = area.x;
    for (key, label) in keys {
        x = pen.put_as(x, area.y, area.right().saturating_sub(x), &key, Role::Key);
        let label = format!(" {label}");
        x = pen.put_as(
            x,
            area.y,
            area.right().saturating_sub(x),
            &label,
            Role::Text,
        ) + 2;
    }
}

/// Without the first and last column, where there is room for that.
fn inset(area: Rect) -> Rect {
    match area.width {
        0..4 => area,
        _ => Rect {
            x: area.x + 1,
            width: area.width - 2,
            ..area
        },
    }
}
