//! Header, banner, tabs and footer: what is around the list and the tab.

use crate::{
    dashboard::{
        app::{
            actions::preconditions::check_preconditions,
            focus::{Focus, Tab},
            state::{AppState, CoordinatorLink},
        },
        dialogs::{dialog::Dialog, line::LinePurpose},
        pages::terminal,
        view::notice_line,
        widgets::{
            pen::{Pen, StyledText},
            text,
            theme::role::Role,
        },
    },
    model::keys::{Action, Context},
};
use ratatui::layout::{Position, Rect};

/// Instance, engine, version, hot mounts; the clock on the right. What is wrong comes before what
/// is ordinary.
pub fn header(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    let mut pieces = vec![pen.piece("Podbay", Role::Heading)];
    match &state.status {
        None => pieces.push(pen.piece("connecting to the coordinator", Role::Muted)),
        Some(status) => {
            pieces.push(pen.piece(status.instance.as_str(), Role::Text));
            let engine = &status.engine;
            let (name, version) = (&engine.name, &engine.version);
            let mut ordinary: Vec<StyledText> = Vec::new();
            if engine.reachable {
                ordinary.push(pen.piece(format!("{name} {version}"), Role::Muted));
                if let Some(why) = &engine.error {
                    pieces.push(pen.piece(format!("ENGINE DEGRADED: {why}"), Role::Error));
                }
            } else {
                let why = engine.error.as_deref().unwrap_or("it does not answer");
                pieces.push(pen.piece(format!("ENGINE DOWN: {why}"), Role::Error));
            }
            if !status.warnings.is_empty() {
                let count = status.warnings.len();
                let s = if count == 1 { "" } else { "s" };
                let key = state.key(Action::ShowDetails);
                let said = format!("{count} warning{s} ({key})");
                pieces.push(pen.piece(said, Role::Warning));
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
    let mut line = notice_line::inset(area);
    if state.status.is_some() && line.width >= 30 {
        let clock = format!("{} UTC", text::clock(state.now_ms));
        let width = u16::try_from(text::width(&clock)).unwrap_or(0);
        line.width = line.width.saturating_sub(width + 2);
        pen.put_as(line.right() + 2, line.y, width, &clock, Role::Muted);
    }
    pen.pieces(line, &pieces, 12);
}

/// Says that what is shown is not live.
pub fn banner(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    let CoordinatorLink::Gone { since_ms, reason } = &state.link else {
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

/// What a tab is called, and its place in the row of the tabs.
fn tabs_at(state: &AppState, area: Rect) -> Vec<(Tab, Rect, String)> {
    let worker = state.selected_worker();
    let mut x = area.x + 1;
    let short = area.width < 50;
    Tab::ALL
        .into_iter()
        .zip(1..)
        .map(|(tab, n)| {
            let count = worker
                .and_then(|w| w.view.changes.as_ref())
                .filter(|c| tab == Tab::Changes && c.files > 0)
                .map(|c| format!(" {}", c.files))
                .unwrap_or_default();
            let said = match short && tab != state.tab {
                true => format!(" {n} "),
                false => format!(" {n} {}{count} ", tab.word()),
            };
            let width = u16::try_from(text::width(&said)).unwrap_or(0);
            let place = Rect {
                x,
                width: width.min(area.right().saturating_sub(x)),
                ..area
            };
            x = x.saturating_add(width);
            (tab, place, said)
        })
        .collect()
}

/// The tab at a place of the screen.
pub fn tab_at(state: &AppState, area: Rect, at: Position) -> Option<Tab> {
    tabs_at(state, area)
        .into_iter()
        .find(|(_, place, _)| place.contains(at))
        .map(|(tab, ..)| tab)
}

/// The names of the tabs, then whose they are.
pub fn tabs(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    let focused = state.focus == Focus::Pane || state.typing.is_some();
    let border = if focused { Role::Focus } else { Role::Border };
    pen.rule(area, border);
    let mut x = area.x;
    for (tab, place, said) in tabs_at(state, area) {
        let role = match tab == state.tab {
            true => Role::TabActive,
            false => Role::Tab,
        };
        x = pen.put_as(place.x, place.y, place.width, &said, role);
    }
    let Some(worker) = state.selected_worker() else {
        return;
    };
    let mut pieces = vec![pen.piece(format!(" {}", worker.view.name), Role::Heading)];
    if state.tab == Tab::Terminal {
        pieces.extend(terminal::view::status(state, worker, pen));
    }
    let reason = worker.reason();
    if !reason.is_empty() && state.is_live() {
        pieces.push(pen.piece(reason, worker.group().role()));
    }
    if state.tab == Tab::Terminal {
        pieces.extend(terminal::view::own_title(worker, pen));
    }
    let rest = Rect {
        x: x + 1,
        width: area.right().saturating_sub(x + 2),
        height: 1,
        ..area
    };
    let end = pen.pieces(rest, &pieces, 6);
    pen.put_as(end, area.y, u16::from(end < area.right()), " ", Role::Text);
}

/// A key, what it does in a word, and the action where there is one.
type FooterKey = (String, String, Option<Action>);

fn footer_keys(state: &AppState) -> Vec<FooterKey> {
    let plain = |keys: &[(&str, &str)]| -> Vec<FooterKey> {
        keys.iter()
            .map(|(key, label)| ((*key).to_owned(), (*label).to_owned(), None))
            .collect()
    };
    match &state.dialog {
        Some(Dialog::Help(help)) if help.searching => {
            plain(&[("Enter", "keep"), ("Esc", "show all")])
        }
        Some(Dialog::Help(_)) => {
            let keys = [
                (Action::Down, "down"),
                (Action::Up, "up"),
                (Action::Filter, "search"),
                (Action::Back, "close"),
            ];
            let label = |action| state.keymap.label(action, &[Context::Page]);
            keys.into_iter()
                .filter_map(|(action, word)| Some((label(action)?, word.to_owned(), None)))
                .collect()
        }
        Some(Dialog::Confirm(confirm)) => plain(&[("y", confirm.verb), ("n/Esc", "cancel")]),
        Some(Dialog::Spawn(form)) => plain(&form.hints()),
        Some(Dialog::Palette(_)) => {
            plain(&[("Enter", "do it"), ("Up/Down", "choose"), ("Esc", "close")])
        }
        Some(Dialog::Line(line)) => match line.what {
            LinePurpose::Reply { .. } => plain(&[("Enter", "send"), ("Esc", "cancel")]),
            LinePurpose::Rename { .. } => plain(&[("Enter", "rename"), ("Esc", "cancel")]),
        },
        None if state.late.is_some() => {
            let why = state.late.as_ref().map_or("", |late| late.why.as_str());
            vec![
                ("Esc".to_owned(), "goes on".to_owned(), None),
                (String::new(), format!("keys are ignored: {why}"), None),
            ]
        }
        None if state.filtering => plain(&[
            ("Enter", "keep filter"),
            ("Esc", "show all"),
            ("Up/Down", "move"),
        ]),
        None if state.typing.is_some() => {
            let leave = state.settings.leave_label();
            vec![
                (leave, "back to the list".to_owned(), None),
                (
                    String::new(),
                    "all other keys go to the worker".to_owned(),
                    None,
                ),
            ]
        }
        None if state.search_is_typed() => plain(&[("Enter", "keep"), ("Esc", "forget")]),
        None => state
            .keymap
            .footer(state.contexts())
            .into_iter()
            .filter(|(_, _, action)| check_preconditions(state, *action).is_ok())
            .map(|(key, label, action)| {
                let label = match action {
                    Action::Enter if shows_output(state) => "output",
                    _ => label,
                };
                (key, label.to_owned(), Some(action))
            })
            .collect(),
    }
}

/// Whether Enter leads to the output: there is no session to type into.
fn shows_output(state: &AppState) -> bool {
    let worker = state.selected_worker();
    state.focus == Focus::List && worker.is_some_and(|worker| !worker.attachable())
}

/// The keys that find room, and where.
fn footer_places(state: &AppState, area: Rect) -> Vec<(Rect, FooterKey)> {
    let area = notice_line::inset(area);
    let mut keys = footer_keys(state);
    // Help and quit stay when not everything fits.
    let columns = |(key, label, _): &FooterKey| {
        let blank = usize::from(!key.is_empty());
        text::width(key) + text::width(label) + blank + 2
    };
    while keys.iter().map(columns).sum::<usize>() > usize::from(area.width) + 2 && keys.len() > 2 {
        // Of three, the first is what the others are not: what Enter does. The way back stays, too.
        let last = keys.len().saturating_sub(2);
        let droppable = |i: &usize| {
            let action = keys.get(*i).and_then(|(_, _, action)| *action);
            action != Some(Action::Back)
        };
        let drop = match keys.len() {
            3 => 1,
            _ => (0..last).rev().find(droppable).unwrap_or(0),
        };
        keys.remove(drop);
    }
    let mut x = area.x;
    keys.into_iter()
        .map(|key| {
            let width = u16::try_from(columns(&key)).unwrap_or(0);
            let place = Rect {
                x,
                width: width.min(area.right().saturating_sub(x)),
                ..area
            };
            x = x.saturating_add(width);
            (place, key)
        })
        .collect()
}

/// The action whose key is at a place of the footer.
pub fn footer_at(state: &AppState, area: Rect, at: Position) -> Option<Action> {
    footer_places(state, area)
        .into_iter()
        .find(|(place, _)| place.contains(at))
        .and_then(|(_, (_, _, action))| action)
}

/// The keys that do something now.
pub fn footer(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    for (place, (key, label, _)) in footer_places(state, area) {
        let mut x = pen.put_as(place.x, place.y, place.width, &key, Role::Key);
        if !key.is_empty() {
            x += 1;
        }
        let room = place.right().saturating_sub(x);
        pen.put_as(x, place.y, room, &label, Role::Text);
    }
}
