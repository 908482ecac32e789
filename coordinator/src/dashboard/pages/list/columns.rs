//! The columns of the list: which ones fit, and what a worker has in them.

use crate::dashboard::{
    app::state::AppState,
    widgets::{pen::Pen, text, theme::role::Role},
    workers::{group::Group, worker::Worker},
};
use ratatui::{layout::Rect, style::Style};

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
pub struct Columns(Vec<(Column, u16)>);

impl Columns {
    /// For a list this wide: what matters less goes first, and what is left is for the reason.
    pub(super) fn fit(width: u16, state: &AppState, grouped: bool) -> Self {
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
    pub(super) fn row(
        &self,
        state: &AppState,
        worker: &Worker,
        selected: bool,
        area: Rect,
        pen: &mut Pen<'_>,
    ) {
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
        state: &AppState,
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
fn clients(state: &AppState, worker: &Worker) -> String {
    match state.other_clients(worker) {
        0 => String::new(),
        n => format!("{n}c"),
    }
}
