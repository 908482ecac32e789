//! The selected worker's screen, painted from a parsed grid: no byte of the worker's gets here.

use super::pen::Pen;
use crate::{
    dashboard::{
        grid::{Grid, GridCell},
        state::{PreviewStream, State, Worker, exit_words},
        text,
        theme::Role,
    },
    model::WorkerState,
};
use ratatui::{
    layout::Rect,
    style::{Modifier, Style},
};

/// Draws the preview below a title line; beside the list also a line at its left.
pub fn draw(state: &State, area: Rect, beside: bool, pen: &mut Pen<'_>) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    pen.rule(area, Role::Border);
    let mut inside = Rect {
        y: area.y + 1,
        height: area.height - 1,
        ..area
    };
    if beside {
        let (line, style) = (pen.theme.glyph("│", "|"), pen.theme.style(Role::Border));
        let corner = pen.theme.glyph("┬", "+");
        pen.cell(area.x, area.y, corner, style);
        for y in inside.top()..inside.bottom() {
            pen.cell(area.x, y, line, style);
        }
        inside.x += 1;
        inside.width -= 1;
    }
    let Some(worker) = state.selected_worker() else {
        return;
    };
    title(state, worker, area, inside, pen);
    match state.picture() {
        Some(grid) => {
            paint(grid, inside, pen);
            if !state.is_live() || state.preview.stream != PreviewStream::Live {
                pen.tint(inside, pen.theme.style(Role::Stale));
            }
        }
        None => facts(state, worker, inside, pen),
    }
}

fn title(state: &State, worker: &Worker, area: Rect, inside: Rect, pen: &mut Pen<'_>) {
    let mut pieces = vec![pen.piece(format!(" {}", worker.view.name), Role::Heading)];
    let picture = state.picture();
    let (said, role) = match &state.preview.stream {
        _ if !state.is_live() && picture.is_some() => ("stale".to_owned(), Role::Stale),
        PreviewStream::Off if picture.is_some() => ("last screen".to_owned(), Role::Stale),
        PreviewStream::Opening => ("opening".to_owned(), Role::Muted),
        PreviewStream::Broken(why) => (format!("not live: {why}"), Role::Warning),
        PreviewStream::Ended(status) => (exit_words(*status), Role::Muted),
        PreviewStream::Live | PreviewStream::Off => (String::new(), Role::Muted),
    };
    if !said.is_empty() {
        pieces.push(pen.piece(said, role));
    }
    if let Some(grid) = picture
        && let (rows, cols) = grid.written()
        && (rows > inside.height || cols > inside.width)
    {
        pieces.push(pen.piece(format!("part of {}×{}", grid.cols, grid.rows), Role::Muted));
    }
    // A title is the worker's own words: quoted, after everything that is ours.
    let own = text::clean(&worker.view.title);
    if !own.trim().is_empty() {
        pieces.push(pen.piece(format!("\u{201c}{}\u{201d}", own.trim()), Role::Muted));
    }
    let line = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        height: 1,
        ..area
    };
    let x = pen.pieces(line, &pieces, 8);
    pen.put_as(x, area.y, u16::from(x < area.right()), " ", Role::Text);
}

/// Paints the part of a grid that fits: its end and its cursor.
fn paint(grid: &Grid, area: Rect, pen: &mut Pen<'_>) {
    let first = grid.first_row(area.height);
    let left = match grid.cursor {
        Some((_, col)) if col >= area.width => (col + 1).saturating_sub(area.width),
        _ => 0,
    };
    for (row, y) in (first..grid.rows).zip(area.top()..area.bottom()) {
        for (col, x) in (left..grid.cols).zip(area.left()..area.right()) {
            if let Some(cell) = grid.get(row, col) {
                paint_cell(cell, x, y, area, col == left, pen);
            }
        }
    }
    if let Some((row, col)) = grid.cursor
        && let (Some(down), Some(across)) = (row.checked_sub(first), col.checked_sub(left))
        && down < area.height
        && across < area.width
    {
        let style = Style::new().add_modifier(Modifier::REVERSED);
        pen.tint(
            Rect {
                x: area.x + across,
                y: area.y + down,
                width: 1,
                height: 1,
            },
            style,
        );
    }
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
fn facts(state: &State, worker: &Worker, area: Rect, pen: &mut Pen<'_>) {
    let view = &worker.view;
    let mut lines: Vec<(String, Role)> = Vec::new();
    let reason = worker.reason();
    let said = match view.state {
        WorkerState::Warm => "Ready: a spawn takes it at once.".to_owned(),
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
            format!("Changes to review: podbay diff {}", view.name),
            Role::Warning,
        ));
    }
    if worker.ended() {
        lines.push(("D removes it.".to_owned(), Role::Muted));
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
