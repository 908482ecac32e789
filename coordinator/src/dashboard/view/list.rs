//! The list of workers.

use super::pen::{Pen, Piece};
use crate::dashboard::{
    state::{Link, State, Worker},
    text,
    theme::Role,
};
use ratatui::{
    layout::{Position, Rect},
    style::Style,
};

/// Draws the list; gives the cursor's place while the filter is typed.
pub fn draw(state: &State, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    if area.height == 0 || area.width == 0 {
        return None;
    }
    let cursor = title(state, area, pen);
    let rows = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    if state.rows.is_empty() {
        empty(state, rows, pen);
        return cursor;
    }
    let columns = Columns::fit(area.width, state);
    let (headings, rows) = match rows.height {
        0..6 => (None, rows),
        _ => (
            Some(rows),
            Rect {
                y: rows.y + 1,
                height: rows.height - 1,
                ..rows
            },
        ),
    };
    if let Some(row) = headings {
        columns.headings(row, pen);
    }
    let height = usize::from(rows.height).max(1);
    let selected = state.selected_row().unwrap_or(0);
    let first = first_shown(selected, state.rows.len(), height);
    for (y, worker) in (rows.top()..rows.bottom()).zip(state.listed().skip(first)) {
        let row = Rect {
            y,
            height: 1,
            ..rows
        };
        let selected = state.selected.as_ref() == Some(&worker.view.id);
        columns.row(state, worker, selected, row, pen);
        if selected {
            pen.tint(row, pen.theme.style(Role::Selected));
        }
    }
    cursor
}

/// The first row shown so that the selected one is in the middle where that is possible.
fn first_shown(selected: usize, count: usize, height: usize) -> usize {
    selected
        .saturating_sub(height / 2)
        .min(count.saturating_sub(height))
}

/// The line above the list: how many there are of each kind, or the filter.
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
    let mut pieces: Vec<Piece> =
        vec![pen.piece(format!(" {} workers", state.workers.len()), Role::Heading)];
    if state.workers.len() == 1 {
        pieces = vec![pen.piece(" 1 worker", Role::Heading)];
    }
    if !state.is_live() {
        pieces.push(pen.piece("stale", Role::Stale));
    }
    for (group, count) in state.groups() {
        let role = if state.is_live() {
            group.role()
        } else {
            Role::Stale
        };
        pieces.push(pen.piece(format!("{count} {}", group.word()), role));
    }
    let x = pen.pieces(inside, &pieces, usize::MAX);
    pen.put_as(x, area.y, u16::from(x < area.right()), " ", Role::Text);
    None
}

fn empty(state: &State, area: Rect, pen: &mut Pen<'_>) {
    let lines: &[(&str, Role)] = match &state.link {
        Link::Connecting => &[("Connecting to the coordinator…", Role::Muted)],
        Link::Gone { .. } if state.workers.is_empty() => &[(
            "Nothing is known while the coordinator is unreachable.",
            Role::Muted,
        )],
        _ if !state.workers.is_empty() => {
            &[("No worker matches the filter. Esc shows all.", Role::Muted)]
        }
        _ => &[
            ("No workers yet. Press n to spawn one", Role::Heading),
            ("", Role::Text),
            ("A worker runs a coding agent, or any command,", Role::Muted),
            ("in a container of its own with your project.", Role::Muted),
            ("? shows every key.", Role::Muted),
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

/// Widths of the columns; 0 means not shown.
struct Columns {
    name: u16,
    profile: u16,
    why: u16,
    age: u16,
    memory: u16,
    cpu: u16,
    clients: u16,
}

/// Marker, blank, word, blank.
const STATE: u16 = 12;

impl Columns {
    /// For a list this wide: what matters less goes first, and what is left is for the reason.
    fn fit(width: u16, state: &State) -> Self {
        let longest = |field: fn(&Worker) -> &str| {
            let width = state
                .listed()
                .map(|w| text::width(&text::clean(field(w))))
                .max();
            u16::try_from(width.unwrap_or(0)).unwrap_or(u16::MAX)
        };
        let name = longest(|w| &w.view.name).max(6);
        let profile = longest(|w| &w.view.profile).max(7);
        let room = width.saturating_sub(STATE + 1);
        let first = state.listed().next().map(|w| &w.view.profile);
        let several = state.listed().any(|w| Some(&w.view.profile) != first);
        let mut columns = Self {
            name: name.min(match width {
                0..48 => room,
                48..80 => 16,
                80..100 => 18,
                _ => 24,
            }),
            // With one profile for all, the pool's row says which.
            profile: match (width, several) {
                (76.., _) => profile.min(12),
                (50.., true) => profile.min(8),
                _ => 0,
            },
            why: 0,
            age: if width >= 30 { 4 } else { 0 },
            memory: if width >= 38 { 5 } else { 0 },
            cpu: if width >= 64 { 4 } else { 0 },
            clients: if width >= 54 { 2 } else { 0 },
        };
        columns.name = columns.name.min(room.saturating_sub(columns.fixed()));
        columns.why = room.saturating_sub(columns.fixed() + columns.name + 1);
        if columns.why < 6 {
            columns.why = 0;
        }
        columns
    }

    /// Columns of what is right of the reason, and the profile, each with its blank.
    fn fixed(&self) -> u16 {
        [self.profile, self.age, self.memory, self.cpu, self.clients]
            .into_iter()
            .filter(|w| *w > 0)
            .map(|w| w + 1)
            .sum()
    }

    fn headings(&self, area: Rect, pen: &mut Pen<'_>) {
        let style = pen.theme.style(Role::Muted);
        let texts = [
            "state", "name", "profile", "activity", "age", "mem", "cpu", "cl",
        ];
        self.write(area, texts.map(str::to_owned), [style; 8], pen);
    }

    /// One worker.
    fn row(&self, state: &State, worker: &Worker, selected: bool, area: Rect, pen: &mut Pen<'_>) {
        let (view, group) = (&worker.view, worker.group());
        let (unicode, ascii) = group.marker();
        let marker = pen.theme.glyph(unicode, ascii);
        let live = state.is_live();
        let style = |role: Role| pen.theme.style(if live { role } else { Role::Stale });
        let (word, why) = match live {
            true => (group.word(), worker.reason()),
            false => ("stale", format!("was {}", group.word())),
        };
        let clients = match state.other_clients(worker) {
            0 => String::new(),
            n => n.to_string(),
        };
        let texts = [
            format!("{marker} {word}"),
            view.name.clone(),
            view.profile.clone(),
            why,
            text::age(state.now_ms.saturating_sub(worker.age_from())),
            view.readings
                .memory_bytes
                .map(text::bytes)
                .unwrap_or_default(),
            worker
                .cpu_percent
                .map(|p| format!("{p}%"))
                .unwrap_or_default(),
            clients,
        ];
        // Reversed, muted text would be hard to read.
        let muted = style(if selected { Role::Text } else { Role::Muted });
        let name = match group.role() {
            role @ (Role::Muted | Role::Warm) if !selected => style(role),
            _ => style(Role::Text),
        };
        let styles = [
            style(group.role()),
            name,
            muted,
            muted,
            muted,
            style(Role::Text),
            muted,
            muted,
        ];
        self.write(area, texts, styles, pen);
    }

    /// Every column at its place, so that a text whose width a terminal sees differently moves
    /// nothing else.
    fn write(&self, area: Rect, texts: [String; 8], styles: [Style; 8], pen: &mut Pen<'_>) {
        let widths = [
            STATE - 1,
            self.name,
            self.profile,
            self.why,
            self.age,
            self.memory,
            self.cpu,
            self.clients,
        ];
        let right: u16 = [self.age, self.memory, self.cpu, self.clients]
            .into_iter()
            .filter(|w| *w > 0)
            .map(|w| w + 1)
            .sum();
        let mut x = area.x + 1;
        for (i, ((text, style), width)) in texts.into_iter().zip(styles).zip(widths).enumerate() {
            if i == 4 {
                x = x.max(area.right().saturating_sub(right));
            }
            let width = width.min(area.right().saturating_sub(x));
            if width == 0 {
                continue;
            }
            let text = match i {
                4.. => text::pad_left(&text, usize::from(width)),
                _ => text,
            };
            pen.put(x, area.y, width, &text, style);
            x += width + 1;
        }
    }
}
