//! Draws several terminals together, one of them selected.

use crate::dashboard::{
    app::state::AppState,
    pages::terminal,
    view::tiling,
    widgets::{pen::Pen, text, theme::role::Role},
    workers::worker::Worker,
};
use ratatui::layout::{Position, Rect};

/// Draws the tiles; gives the cursor's place in the one that is typed into.
pub fn draw(state: &AppState, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    let tiles = tiling::tiled(state);
    if tiles.is_empty() {
        let said = "No worker has a session. Esc leads back to the list.";
        for (y, line) in (area.top() + 1..area.bottom())
            .zip(text::wrap(said, usize::from(area.width.saturating_sub(4))))
        {
            pen.put_as(
                area.x + 2,
                y,
                area.width.saturating_sub(2),
                &line,
                Role::Muted,
            );
        }
        return None;
    }
    let mut cursor = None;
    for (id, place) in tiles {
        if let Some(worker) = state.workers.get(id) {
            cursor = cursor.or(tile(state, worker, place, pen));
        }
    }
    cursor
}

fn tile(state: &AppState, worker: &Worker, place: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    let id = &worker.view.id;
    let selected = state.selected.as_ref() == Some(id);
    let typed = state.typing.as_ref() == Some(id);
    let border = match (typed, selected) {
        (true, _) => Role::Attention,
        (_, true) => Role::Focus,
        _ => Role::Border,
    };
    pen.outline(place, border);
    let group = worker.group();
    let (unicode, ascii) = group.marker();
    let marker = pen.theme.glyph(unicode, ascii);
    let role = |role: Role| if state.is_live() { role } else { Role::Stale };
    let mut pieces = vec![
        pen.piece(format!(" {marker} {}", group.word()), role(group.role())),
        pen.piece(
            worker.view.name.clone(),
            if selected { Role::Heading } else { Role::Text },
        ),
    ];
    if typed {
        pieces.push(pen.piece("typing", Role::Attention));
    }
    let reason = worker.reason();
    if !reason.is_empty() {
        pieces.push(pen.piece(reason, Role::Muted));
    }
    let line = Rect {
        x: place.x + 1,
        width: place.width.saturating_sub(2),
        height: 1,
        ..place
    };
    let x = pen.pieces(line, &pieces, 6);
    pen.put_as(
        x,
        place.y,
        u16::from(x + 1 < place.right()),
        " ",
        Role::Text,
    );
    terminal::view::screen(state, worker, tiling::inside(place), pen)
}
