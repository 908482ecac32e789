//! The list of workers, by group.

use super::pen::{Pen, Piece};
use crate::dashboard::{
    order::Group,
    state::{Link, State},
    text,
    theme::Role,
    worker::Worker,
};
use ratatui::{
    layout::{Position, Rect},
    style::Style,
};

/// From this many rows on, groups have headings also when not everything fits.
const HEADINGS_FROM: u16 = 18;

/// A row of the list.
enum Item<'a> {
    Heading(Group, usize),
    Worker(&'a Worker),
}

/// Draws the list; gives the cursor's place while the filter is typed.
pub fn draw(state: &State, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
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
            Item::Heading(group, count) => heading(state, group, count, row, pen),
            Item::Worker(worker) => {
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
fn grouped(state: &State, area: Rect) -> bool {
    let wanted = state.rows.len() + state.groups().len() + 1;
    area.height >= HEADINGS_FROM || wanted <= usize::from(area.height)
}

/// What is in the rows below the title, and where: around the selected worker.
fn items(state: &State, area: Rect) -> Vec<(u16, Item<'_>)> {
    let groups = state.groups();
    let mut items = Vec::new();
    let mut group = None;
    for worker in state.listed() {
        let now = worker.group();
        if grouped(state, area) && group != Some(now) {
            group = Some(now);
            items.push(Item::Heading(now, groups.get(&now).copied().unwrap_or(0)));
        }
        items.push(Item::Worker(worker));
    }
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let here = items
        .iter()
        .position(|i| matches!(i, Item::Worker(w) if state.selected.as_ref() == Some(&w.view.id)))
        .unwrap_or(0);
    let first = here
        .saturating_sub(height / 2)
        .min(items.len().saturating_sub(height));
    (area.top() + 1..area.bottom())
        .zip(items.into_iter().skip(first))
        .collect()
}

/// The worker in the row at a place of the screen.
pub fn worker_at(state: &State, area: Rect, at: Position) -> Option<String> {
    let (_, item) = items(state, area).into_iter().find(|(y, _)| *y == at.y)?;
    match item {
        Item::Worker(worker) => Some(worker.view.id.clone()),
        Item::Heading(..) => None,
    }
}

fn heading(state: &State, group: Group, count: usize, row: Rect, pen: &mut Pen<'_>) {
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
fn title(state: &State, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
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
    let mut pieces: Vec<Piece> = vec![pen.piece(count, Role::Heading)];
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

fn empty(state: &State, area: Rect, pen: &mut Pen<'_>) {
    let key = |action| state.key(action);
    use crate::dashboard::keymap::Action;
    let lines: Vec<(String, Role)> = match &state.link {
        Link::Connecting => vec![("Connecting to the coordinator…".into(), Role::Muted)],
        Link::Gone { .. } if state.workers.is_empty() => vec![(
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

/// Columns of the list, from left to right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Column {
    /// Marker, and the group's word where there are no headings.
    State,
    Name,
    Profile,
    Why,
    Changes,
    Ports,
    Age,
    Memory,
    Cpu,
    History,
    Clients,
}

/// Readings shown in a sparkline.
const SPARKS: u16 = 6;

/// Widths of the columns that are shown.
struct Columns(Vec<(Column, u16)>);

impl Columns {
    /// For a list this wide: what matters less goes first, and what is left is for the reason.
    fn fit(width: u16, state: &State, grouped: bool) -> Self {
        use Column::{Age, Changes, Clients, Cpu, History, Memory, Name, Ports, Profile, Why};
        let longest = |field: &dyn Fn(&Worker) -> String| {
            let width = state
                .listed()
                .map(|w| text::width(&text::clean(&field(w))))
                .max();
            u16::try_from(width.unwrap_or(0)).unwrap_or(u16::MAX)
        };
        let first = state.listed().next().map(|w| &w.view.profile);
        let several = state.listed().any(|w| Some(&w.view.profile) != first);
        // The made-up names of those that nobody uses may be cut.
        let used = |w: &Worker| match w.group() {
            Group::Warm | Group::Starting => String::new(),
            _ => w.view.name.clone(),
        };
        let name = longest(&used).max(10).min(match width {
            0..48 => 14,
            48..80 => 18,
            _ => 24,
        });
        let state_width = if grouped { 2 } else { 12 };
        // In the order in which they get room.
        let wanted: [(Column, u16, u16); 8] = [
            (Age, 4, 30),
            (Changes, longest(&changes).min(10), 40),
            (Memory, 5, 38),
            (Clients, longest(&|w| clients(state, w)).min(2), 50),
            // With one profile for all, the pool's row says which.
            (
                Profile,
                if several {
                    longest(&|w| w.view.profile.clone()).min(12)
                } else {
                    0
                },
                56,
            ),
            (Cpu, 4, 52),
            (Ports, longest(&|w| ports(w)).min(11), 60),
            (History, SPARKS, 66),
        ];
        let mut room = width.saturating_sub(state_width + 2);
        let mut shown = Vec::new();
        let name = name.min(room);
        room -= name;
        for (column, columns, from) in wanted {
            // The reason is worth more than what comes late.
            let spare = if from > 50 { 14 } else { 0 };
            if columns > 0 && width >= from && room >= columns + 1 + spare {
                shown.push((column, columns));
                room -= columns + 1;
            }
        }
        let order = [
            Profile, Why, Changes, Ports, Age, Memory, Cpu, History, Clients,
        ];
        let mut columns = vec![(Column::State, state_width - 1), (Name, name)];
        for column in order {
            match column {
                Why if room > 7 => columns.push((Why, room - 1)),
                _ => columns.extend(shown.iter().filter(|(c, _)| *c == column)),
            }
        }
        Self(columns)
    }

    /// One worker, every column at its place, so that a text whose width a terminal sees
    /// differently moves nothing else.
    fn row(&self, state: &State, worker: &Worker, selected: bool, area: Rect, pen: &mut Pen<'_>) {
        let right: u16 = self
            .0
            .iter()
            .skip_while(|(c, _)| !matches!(c, Column::Why))
            .skip(1)
            .map(|(_, w)| w + 1)
            .sum();
        let marked = state.marked.contains(&worker.view.id);
        if marked {
            pen.put_as(area.x, area.y, 1, pen.theme.glyph("▌", "+"), Role::Marked);
        }
        let mut x = area.x + 1;
        let mut after_why = false;
        for (column, width) in &self.0 {
            if after_why {
                x = x.max(area.right().saturating_sub(right));
                after_why = false;
            }
            let (text, style) = self.cell(state, worker, *column, selected, pen);
            let width = (*width).min(area.right().saturating_sub(x));
            if width == 0 {
                continue;
            }
            let text = match column {
                Column::State | Column::Name | Column::Profile | Column::Why => text,
                _ => text::pad_left(&text, usize::from(width)),
            };
            pen.put(x, area.y, width, &text, style);
            x += width + 1;
            after_why = *column == Column::Why;
        }
    }

    fn cell(
        &self,
        state: &State,
        worker: &Worker,
        column: Column,
        selected: bool,
        pen: &Pen<'_>,
    ) -> (String, Style) {
        let (view, group) = (&worker.view, worker.group());
        let live = state.is_live();
        let style = |role: Role| pen.theme.style(if live { role } else { Role::Stale });
        // Reversed, muted text would be hard to read.
        let muted = style(if selected { Role::Text } else { Role::Muted });
        match column {
            Column::State => {
                let (unicode, ascii) = group.marker();
                let word = if live { group.word() } else { "stale" };
                let marker = pen.theme.glyph(unicode, ascii);
                let text = match self.0.first() {
                    Some((Column::State, 1)) => marker.to_owned(),
                    _ => format!("{marker} {word}"),
                };
                (text, style(group.role()))
            }
            Column::Name => {
                let role = match group.role() {
                    role @ (Role::Muted | Role::Warm) if !selected => role,
                    _ => Role::Text,
                };
                (view.name.clone(), style(role))
            }
            Column::Profile => (view.profile.clone(), muted),
            Column::Why => match live {
                true => (worker.reason(), muted),
                false => (format!("was {}", group.word()), muted),
            },
            Column::Changes => (changes(worker), style(Role::Warning)),
            Column::Ports => (ports(worker), muted),
            Column::Age => (
                text::age(state.now_ms.saturating_sub(worker.age_from())),
                muted,
            ),
            Column::Memory => (
                view.readings
                    .memory_bytes
                    .map(text::bytes)
                    .unwrap_or_default(),
                style(Role::Text),
            ),
            Column::Cpu => (
                worker
                    .cpu_percent
                    .map(|p| format!("{p}%"))
                    .unwrap_or_default(),
                muted,
            ),
            Column::History => (
                text::sparkline(
                    &worker.cpu_history,
                    usize::from(SPARKS),
                    pen.theme.unicode,
                    100,
                ),
                style(Role::Gauge),
            ),
            Column::Clients => (clients(state, worker), muted),
        }
    }
}

/// Lines added and removed, where that is known.
fn changes(worker: &Worker) -> String {
    match &worker.view.changes {
        Some(count) if count.files > 0 => format!("+{}-{}", count.added, count.removed),
        _ if worker.view.unapplied => "changed".to_owned(),
        _ => String::new(),
    }
}

fn ports(worker: &Worker) -> String {
    let ports: Vec<String> = worker
        .view
        .ports
        .iter()
        .map(|p| format!(":{}", p.port))
        .collect();
    ports.join(" ")
}

/// Clients besides this dashboard.
fn clients(state: &State, worker: &Worker) -> String {
    match state.other_clients(worker) {
        0 => String::new(),
        n => format!("{n}c"),
    }
}
