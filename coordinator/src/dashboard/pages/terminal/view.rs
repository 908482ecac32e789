//! A worker's terminal, painted from a parsed grid: no byte of the worker's gets here.

use crate::{
    dashboard::{
        app::{live_terminal::TerminalStream, state::AppState},
        pages::terminal::{grid::GridCell, picture::Picture},
        widgets::{
            pen::{Pen, StyledText},
            text,
            theme::role::Role,
        },
        workers::worker::{Worker, describe_exit},
    },
    model::{WorkerState, keys::Action},
};
use ratatui::{
    layout::{Position, Rect},
    style::{Modifier, Style},
};

/// Draws the selected worker's terminal; gives the cursor's place while it is typed into.
pub fn draw(state: &AppState, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    let worker = state.selected_worker()?;
    let mut place = area;
    if let Some(field) = &state.searching {
        // The search takes the last row.
        place.height = place.height.saturating_sub(1);
        let row = Rect {
            y: area.bottom().saturating_sub(1),
            height: 1,
            ..area
        };
        let x = pen.put_as(row.x, row.y, row.width, "search: ", Role::Heading);
        let (shown, column) = field.window(usize::from(row.right().saturating_sub(x)));
        pen.put_as(x, row.y, row.right().saturating_sub(x), &shown, Role::Text);
        screen(state, worker, place, pen);
        return Some(Position {
            x: x + u16::try_from(column).unwrap_or(0),
            y: row.y,
        });
    }
    screen(state, worker, place, pen)
}

/// What is to be known of a terminal besides its name.
pub fn status(state: &AppState, worker: &Worker, pen: &Pen<'_>) -> Vec<StyledText> {
    let id = &worker.view.id;
    let terminal = state.terminal(id);
    let picture = state.picture(id);
    let mut pieces = Vec::new();
    let (said, role) = match terminal.map(|t| &t.stream) {
        _ if !state.is_current(id) && picture.is_some() => ("stale".to_owned(), Role::Stale),
        None | Some(TerminalStream::Off) if picture.is_some() => {
            ("last screen".to_owned(), Role::Stale)
        }
        Some(TerminalStream::Opening) => ("opening".to_owned(), Role::Muted),
        Some(TerminalStream::Broken(why)) => (format!("not live: {why}"), Role::Warning),
        Some(TerminalStream::Ended(status)) => (describe_exit(*status), Role::Muted),
        Some(TerminalStream::Live) if state.typing.as_ref() == Some(id) => {
            ("typing".to_owned(), Role::Attention)
        }
        _ => (String::new(), Role::Muted),
    };
    if !said.is_empty() {
        pieces.push(pen.piece(said, role));
    }
    if let Some(picture) = picture {
        if picture.offset > 0 {
            let said = format!("{} of {} lines up", picture.offset, picture.history);
            pieces.push(pen.piece(said, Role::Warning));
        }
        if let Some((at, of)) = picture.found_at {
            pieces.push(pen.piece(format!("match {at} of {of}"), Role::Warning));
        }
        let area = state.terminal_area(id).unwrap_or_default();
        let (rows, cols) = picture.grid.written();
        if rows > area.height || cols > area.width {
            let said = format!("part of {}×{}", picture.grid.cols, picture.grid.rows);
            pieces.push(pen.piece(said, Role::Muted));
        }
    }
    pieces
}

/// The worker's own words, quoted: they come after everything that is ours.
pub fn own_title(worker: &Worker, pen: &Pen<'_>) -> Option<StyledText> {
    let own = text::clean(&worker.view.title);
    let quoted = format!("\u{201c}{}\u{201d}", own.trim());
    (!own.trim().is_empty()).then(|| pen.piece(quoted, Role::Muted))
}

/// A worker's screen in an area, or what is known when there is none.
pub fn screen(
    state: &AppState,
    worker: &Worker,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let id = &worker.view.id;
    let Some(picture) = state.picture(id) else {
        facts(state, worker, area, pen);
        return None;
    };
    let typed = state.typing.as_ref() == Some(id);
    let selecting = state
        .selecting
        .filter(|_| state.selected.as_ref() == Some(id))
        .map(|s| s.at);
    let from = origin(picture, area, selecting);
    let cursor = paint_from(picture, from, area, typed, pen);
    if let Some((col, row)) = selecting
        && let (Some(across), Some(down)) = (col.checked_sub(from.0), row.checked_sub(from.1))
        && across < area.width
        && down < area.height
    {
        let style = Style::new().add_modifier(Modifier::REVERSED);
        pen.tint_cell(area.x + across, area.y + down, style);
    }
    let live = state
        .terminal(id)
        .is_some_and(|t| t.stream == TerminalStream::Live || t.stream == TerminalStream::Opening);
    if !state.is_current(id) || !live {
        pen.tint(area, pen.theme.style(Role::Stale));
    }
    cursor.filter(|_| typed)
}

/// Paints the part of a picture that fits: its end and its cursor. Gives the cursor's place.
pub fn paint(picture: &Picture, area: Rect, typed: bool, pen: &mut Pen<'_>) -> Option<Position> {
    paint_from(picture, origin(picture, area, None), area, typed, pen)
}

/// The first column and row that are shown of a picture larger than its place: its end and its
/// cursor are in view, or the cell that a selection is at.
pub fn origin(picture: &Picture, area: Rect, selecting: Option<(u16, u16)>) -> (u16, u16) {
    let grid = &picture.grid;
    let column = selecting
        .map(|(col, _)| col)
        .or(grid.cursor.map(|(_, col)| col));
    let shown = (area.width.max(1), area.height.max(1));
    let left = column.unwrap_or(0).saturating_sub(shown.0 - 1);
    let mut first = grid.first_row(area.height);
    if let Some((_, row)) = selecting {
        first = first.clamp(row.saturating_sub(shown.1 - 1), row);
    }
    (left, first)
}

fn paint_from(
    picture: &Picture,
    (left, first): (u16, u16),
    area: Rect,
    typed: bool,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let grid = &picture.grid;
    for (row, y) in (first..grid.rows).zip(area.top()..area.bottom()) {
        for (col, x) in (left..grid.cols).zip(area.left()..area.right()) {
            if let Some(cell) = grid.get(row, col) {
                paint_cell(cell, x, y, area, col == left, pen);
            }
        }
    }
    let place = |row: u16, col: u16| {
        let (down, across) = (row.checked_sub(first)?, col.checked_sub(left)?);
        (down < area.height && across < area.width).then_some(Position {
            x: area.x + across,
            y: area.y + down,
        })
    };
    for (marks, role) in [
        (&picture.found, Role::Match),
        (&picture.selected, Role::Selected),
    ] {
        let style = pen.theme.style(role);
        for (row, columns) in marks {
            for at in columns.clone().filter_map(|col| place(*row, col)) {
                pen.tint_cell(at.x, at.y, style);
            }
        }
    }
    // The current match stands out from the others, with colours or without.
    let here = Style::new().add_modifier(Modifier::REVERSED | Modifier::BOLD);
    for (row, columns) in &picture.found_here {
        for at in columns.clone().filter_map(|col| place(*row, col)) {
            pen.tint_cell(at.x, at.y, here);
        }
    }
    let (row, col) = grid.cursor?;
    let at = place(row, col)?;
    if !typed {
        pen.tint_cell(at.x, at.y, Style::new().add_modifier(Modifier::REVERSED));
    }
    Some(at)
}

fn paint_cell(cell: &GridCell, x: u16, y: u16, area: Rect, leftmost: bool, pen: &mut Pen<'_>) {
    let style = match pen.theme.colour() {
        true => cell.style,
        false => Style {
            fg: None,
            bg: None,
            underline_color: None,
            ..cell.style
        },
    };
    let width = text::symbol_width(&cell.symbol);
    match width {
        // Behind a wide character the buffer has been set with it, unless that one was cut off.
        0 if cell.symbol.is_empty() && !leftmost => pen.tint_cell(x, y, style),
        1 => pen.cell(x, y, &cell.symbol, style),
        2 if x + 1 < area.right() => pen.cell(x, y, &cell.symbol, style),
        _ => pen.cell(x, y, " ", style),
    }
}

/// What is known of a worker that has no screen to show.
fn facts(state: &AppState, worker: &Worker, area: Rect, pen: &mut Pen<'_>) {
    let view = &worker.view;
    let mut lines: Vec<(String, Role)> = Vec::new();
    let reason = worker.reason();
    let said = match view.state {
        WorkerState::Warm => {
            let key = state.key(Action::Spawn);
            format!("Ready. Press {key} to spawn: that takes it at once.")
        }
        WorkerState::Creating => "Being created.".to_owned(),
        WorkerState::Claiming => "Being given to a claim.".to_owned(),
        WorkerState::Stopping => "Being stopped.".to_owned(),
        WorkerState::Running => "Waiting for its screen.".to_owned(),
        WorkerState::Exited => format!("Its session {reason}."),
        WorkerState::Lost | WorkerState::Failed if reason.is_empty() => {
            format!("It is {}.", view.state.as_str())
        }
        WorkerState::Lost | WorkerState::Failed => format!("{}: {reason}", view.state.as_str()),
    };
    lines.push((said, Role::Text));
    if view.unapplied {
        lines.push((
            format!(
                "Changes to review: {} shows them.",
                state.key(Action::ShowChanges)
            ),
            Role::Warning,
        ));
    }
    if worker.ended() {
        let said = format!("{} removes it.", state.key(Action::Remove));
        lines.push((said, Role::Muted));
    }
    lines.push((format!("image {}", view.image), Role::Muted));
    if !state.is_live() {
        lines = vec![(
            "stale: not known while the coordinator is unreachable".to_owned(),
            Role::Stale,
        )];
    }
    let width = usize::from(area.width.saturating_sub(2));
    let wrapped = lines
        .iter()
        .flat_map(|(line, role)| text::wrap(line, width).into_iter().map(move |l| (l, *role)));
    for (y, (line, role)) in (area.top() + 1..area.bottom()).zip(wrapped) {
        pen.put_as(area.x + 1, y, area.width.saturating_sub(1), &line, role);
    }
}

#[cfg(test)]
#[path = "fidelity_tests.rs"]
mod fidelity;
