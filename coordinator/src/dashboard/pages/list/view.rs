//! The list of workers, by group.

use crate::dashboard::{
    app::state::{AppState, CoordinatorLink},
    pages::list::columns::Columns,
    widgets::{
        pen::{Pen, StyledText},
        text,
        theme::role::Role,
    },
    workers::{group::Group, worker::Worker},
};
use ratatui::layout::{Position, Rect};

/// From this many rows on, groups have headings also when not everything fits.
const HEADINGS_FROM: u16 = 18;

/// A row of the list.
enum ListRow<'a> {
    Heading(Group, usize),
    Worker(&'a Worker),
}

/// Draws the list; gives the cursor's place while the filter is typed.
pub fn draw(state: &AppState, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    if area.height == 0 || area.width == 0 {
        return None;
    }
    let cursor = title(state, area, pen);
    if state.rows.is_empty() {
        let rows = Rect {
            y: area.y + 1,
            height: area.height - 1,
            ..area
        };
        empty(state, rows, pen);
        return cursor;
    }
    let columns = Columns::fit(area.width, state, grouped(state, area));
    let shown = items(state, area);
    if state.listed().all(|w| w.group() == Group::Warm) && state.filter.is_empty() {
        let used = u16::try_from(shown.len() + 2).unwrap_or(u16::MAX);
        let rest = Rect {
            y: area.y.saturating_add(used),
            height: area.height.saturating_sub(used),
            ..area
        };
        empty(state, rest, pen);
    }
    for (y, item) in shown {
        let row = Rect {
            y,
            height: 1,
            ..area
        };
        match item {
            ListRow::Heading(group, count) => heading(state, group, count, row, pen),
            ListRow::Worker(worker) => {
                let selected = state.selected.as_ref() == Some(&worker.view.id);
                columns.row(state, worker, selected, row, pen);
                if selected {
                    pen.tint(row, pen.theme.style(Role::Selected));
                }
            }
        }
    }
    cursor
}

/// Whether groups have headings: when there is room for them.
fn grouped(state: &AppState, area: Rect) -> bool {
    let wanted = state.rows.len() + state.groups().len() + 1;
    area.height >= HEADINGS_FROM || wanted <= usize::from(area.height)
}

/// What is in the rows below the title, and where: around the selected worker.
fn items(state: &AppState, area: Rect) -> Vec<(u16, ListRow<'_>)> {
    let groups = state.groups();
    let mut items = Vec::new();
    let mut group = None;
    for worker in state.listed() {
        let now = worker.group();
        if grouped(state, area) && group != Some(now) {
            group = Some(now);
            items.push(ListRow::Heading(
                now,
                groups.get(&now).copied().unwrap_or(0),
            ));
        }
        items.push(ListRow::Worker(worker));
    }
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let here = items
        .iter()
        .position(
            |i| matches!(i, ListRow::Worker(w) if state.selected.as_ref() == Some(&w.view.id)),
        )
        .unwrap_or(0);
    let first = here
        .saturating_sub(height / 2)
        .min(items.len().saturating_sub(height));
    (area.top() + 1..area.bottom())
        .zip(items.into_iter().skip(first))
        .collect()
}

/// The worker in the row at a place of the screen.
pub fn worker_at(state: &AppState, area: Rect, at: Position) -> Option<String> {
    let (_, item) = items(state, area).into_iter().find(|(y, _)| *y == at.y)?;
    match item {
        ListRow::Worker(worker) => Some(worker.view.id.clone()),
        ListRow::Heading(..) => None,
    }
}

fn heading(state: &AppState, group: Group, count: usize, row: Rect, pen: &mut Pen<'_>) {
    let role = match state.is_live() {
        true => group.role(),
        false => Role::Stale,
    };
    let (unicode, ascii) = group.marker();
    let mut said = format!(
        "{} {} {count}",
        pen.theme.glyph(unicode, ascii),
        group.word()
    );
    if !state.is_live() {
        said.push_str(", stale");
    }
    pen.put_as(row.x + 1, row.y, row.width.saturating_sub(1), &said, role);
}

/// The line above the list: how many there are, what is marked, the order, or the filter.
fn title(state: &AppState, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    pen.rule(area, Role::Border);
    let inside = Rect {
        x: area.x + u16::from(area.width > 8),
        width: area.width.saturating_sub(2),
        height: 1,
        ..area
    };
    if state.filtering || !state.filter.is_empty() {
        let x = pen.put_as(inside.x, area.y, inside.width, " filter: ", Role::Heading);
        let x = pen.put_as(
            x,
            area.y,
            inside.right().saturating_sub(x),
            &state.filter,
            Role::Text,
        );
        let count = format!(" {} of {} ", state.rows.len(), state.workers.len());
        pen.put_as(
            x + 1,
            area.y,
            inside.right().saturating_sub(x + 1),
            &count,
            Role::Muted,
        );
        let place = Position {
            x: x.min(area.right().saturating_sub(1)),
            y: area.y,
        };
        return state.filtering.then_some(place);
    }
    let count = match state.workers.len() {
        1 => " 1 worker".to_owned(),
        n => format!(" {n} workers"),
    };
    let mut pieces: Vec<StyledText> = vec![pen.piece(count, Role::Heading)];
    if !state.is_live() {
        pieces.push(pen.piece("stale", Role::Stale));
    }
    if !state.marked.is_empty() {
        pieces.push(pen.piece(format!("{} marked", state.marked.len()), Role::Marked));
    }
    if !grouped(state, area) || state.waiting() > 0 {
        for (group, count) in state.groups() {
            let role = if state.is_live() {
                group.role()
            } else {
                Role::Stale
            };
            if !grouped(state, area) || group == Group::NeedsYou {
                pieces.push(pen.piece(format!("{count} {}", group.word()), role));
            }
        }
    }
    if state.sort != Default::default() {
        pieces.push(pen.piece(format!("by {}", state.sort.word()), Role::Muted));
    }
    let x = pen.pieces(inside, &pieces, usize::MAX);
    pen.put_as(x, area.y, u16::from(x < area.right()), " ", Role::Text);
    None
}

fn empty(state: &AppState, area: Rect, pen: &mut Pen<'_>) {
    let key = |action| state.key(action);
    use crate::model::keys::Action;
    let lines: Vec<(String, Role)> = match &state.link {
        CoordinatorLink::Connecting => vec![("Connecting to the coordinator…".into(), Role::Muted)],
        CoordinatorLink::Gone { .. } if state.workers.is_empty() => vec![(
            "Nothing is known while the coordinator is unreachable.".into(),
            Role::Muted,
        )],
        _ if state.rows.is_empty() && !state.workers.is_empty() => vec![(
            "No worker matches the filter. Esc shows all.".into(),
            Role::Muted,
        )],
        _ => vec![
            (
                match state.workers.is_empty() {
                    true => format!("No workers yet. Press {} to spawn one", key(Action::Spawn)),
                    false => format!("Press {} to spawn: a warm one is ready", key(Action::Spawn)),
                },
                Role::Heading,
            ),
            (String::new(), Role::Text),
            (
                "A worker runs a coding agent, or any command,".into(),
                Role::Muted,
            ),
            (
                "in a container of its own with your project.".into(),
                Role::Muted,
            ),
            (
                format!("{} shows every key.", key(Action::Help)),
                Role::Muted,
            ),
        ],
    };
    let columns = usize::from(area.width.saturating_sub(2));
    let lines: Vec<(String, Role)> = lines
        .iter()
        .flat_map(|(line, role)| {
            text::wrap(line, columns)
                .into_iter()
                .map(move |l| (l, *role))
        })
        .collect();
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let top = area.y + area.height.saturating_sub(height) / 3;
    for (y, (line, role)) in (top..area.bottom()).zip(lines) {
        let width = u16::try_from(text::width(&line)).unwrap_or(u16::MAX);
        let x = area.x + area.width.saturating_sub(width) / 2;
        pen.put_as(x, y, area.right().saturating_sub(x), &line, role);
    }
}
