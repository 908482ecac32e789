//! Draws the changes: the files, and the difference of the selected one.

use crate::{
    dashboard::{
        app::{failure::Failure, state::AppState},
        pages::changes::{
            diff_view,
            files::{FileRow, Files},
            tab::{ChangesContent, ChangesPart, ChangesTab},
        },
        widgets::{
            columns, paragraph,
            pen::Pen,
            text::{self, count},
            theme::role::Role,
        },
        workers::worker::Worker,
    },
    model::keys::Action,
    wire::{Change, ChangeKind},
};
use ratatui::layout::{Position, Rect};

/// Draws the tab; gives the cursor's place while the filter is typed.
pub fn draw(
    state: &AppState,
    tab: &ChangesTab,
    focused: bool,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let shown = state.selected.as_deref();
    let cursor = match tab.content() {
        // Until the next update it is still about the worker before.
        _ if tab.worker() != shown => {
            paragraph::paragraph(&[("Loading.".to_owned(), Role::Muted)], area, pen);
            None
        }
        ChangesContent::List(files) if files.rows.is_empty() => {
            paragraph::paragraph(&nothing_yet(state, tab), area, pen);
            None
        }
        ChangesContent::List(files) => list(tab, files, focused, area, pen),
        other => {
            paragraph::paragraph(&instead(state, other), area, pen);
            None
        }
    };
    if !state.is_live() {
        pen.tint(area, pen.theme.style(Role::Stale));
    }
    cursor
}

/// What is said in place of a list.
fn instead(state: &AppState, content: &ChangesContent) -> Vec<(String, Role)> {
    let refresh = state.key(Action::Refresh);
    match content {
        ChangesContent::NotYet => vec![("It is being made ready.".to_owned(), Role::Muted)],
        ChangesContent::Direct(project) => vec![
            (
                "Its writes went straight to the project: there is nothing to carry over.".into(),
                Role::Text,
            ),
            (String::new(), Role::Text),
            ("To see them, on the engine's host:".to_owned(), Role::Muted),
            (format!("git -C {} diff", quoted(project)), Role::Key),
        ],
        ChangesContent::NoProject => vec![(
            "It has no project, so there are no changes to one.".to_owned(),
            Role::Text,
        )],
        ChangesContent::Failed(Failure { message, hint }) => {
            let mut lines = vec![(format!("No changes to be had: {message}"), Role::Error)];
            lines.extend(hint.clone().map(|hint| (hint, Role::Text)));
            lines.push((format!("{refresh} tries again."), Role::Muted));
            lines
        }
        ChangesContent::Loading | ChangesContent::List(_) => {
            vec![("Looking for changes.".to_owned(), Role::Muted)]
        }
    }
}

/// A path as a shell takes it.
fn quoted(path: &impl ToString) -> String {
    let path = path.to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    match path.chars().all(plain) {
        true => path,
        false => format!("'{}'", path.replace('\'', r"'\''")),
    }
}

fn nothing_yet(state: &AppState, tab: &ChangesTab) -> Vec<(String, Role)> {
    let ended = state.selected_worker().is_some_and(Worker::ended);
    let said = match (tab.loading(), ended) {
        (_, true) => "Nothing is left to review.",
        (true, false) => "Looking for changes.",
        (false, false) => "No changes yet.",
    };
    vec![
        (said.to_owned(), Role::Text),
        (
            "What it writes stays in its own copy until you apply it.".to_owned(),
            Role::Muted,
        ),
    ]
}

fn list(
    tab: &ChangesTab,
    files: &Files,
    focused: bool,
    area: Rect,
    pen: &mut Pen<'_>,
) -> Option<Position> {
    let places = tab.places(area);
    let cursor = summary(tab, files, places.summary, pen);
    rows(tab, files, focused, places.files, pen);
    if let Some(x) = places.divider {
        let (line, style) = (pen.theme.glyph("│", "|"), pen.theme.style(Role::Border));
        for y in places.files.top()..places.files.bottom() {
            pen.cell(x, y, line, style);
        }
    }
    if let Some(file) = files.selected() {
        title(tab, file, focused, places.title, pen);
        match tab.diff() {
            None => paragraph::paragraph(&[("Loading.".to_owned(), Role::Muted)], places.diff, pen),
            Some(Ok(text)) => {
                diff_view::draw(text, tab.side_by_side(), tab.scroll(), places.diff, pen)
            }
            Some(Err(failure)) => {
                let mut lines = vec![(failure.message.clone(), Role::Error)];
                lines.extend(failure.hint.clone().map(|hint| (hint, Role::Text)));
                paragraph::paragraph(&lines, places.diff, pen);
            }
        }
    }
    cursor
}

/// Totals, or the filter while it is typed.
fn summary(tab: &ChangesTab, files: &Files, area: Rect, pen: &mut Pen<'_>) -> Option<Position> {
    if area.area() == 0 {
        return None;
    }
    let right = match tab.loading() {
        true => "loading",
        false => "",
    };
    let room = area
        .width
        .saturating_sub(u16::try_from(right.len()).unwrap_or(0) + 2);
    let (filter, field) = tab.filter();
    if let Some(field) = field {
        pen.put_as(area.x, area.y, area.width, " /", Role::Key);
        let room = usize::from(area.width.saturating_sub(12));
        let (shown, column) = field.window(room);
        let at = area.x + 2;
        pen.put_as(
            at,
            area.y,
            area.width.saturating_sub(12),
            &shown,
            Role::Text,
        );
        pen.put_right(
            area,
            &format!("{} of {}", files.shown.len(), files.rows.len()),
        );
        let column = u16::try_from(column).unwrap_or(u16::MAX);
        return Some(Position {
            x: at
                .saturating_add(column)
                .min(area.right().saturating_sub(1)),
            y: area.y,
        });
    }
    let mut pieces = vec![pen.piece(files.totals.describe(), Role::Heading)];
    if files.truncated {
        let said = "not all are listed: there are more than can be";
        pieces.push(pen.piece(said.to_owned(), Role::Warning));
    }
    if files.project_missing {
        let said = "the project is gone: all is shown as added";
        pieces.push(pen.piece(said.to_owned(), Role::Warning));
    }
    if files.totals.conflicts > 0 {
        let said = format!("! {}", count(files.totals.conflicts, "conflict"));
        pieces.push(pen.piece(said, Role::Warning));
    }
    if !files.marked.is_empty() {
        pieces.push(pen.piece(format!("* {} marked", files.marked.len()), Role::Marked));
    }
    if !filter.is_empty() {
        let said = format!("/{filter}: {} shown", files.shown.len());
        pieces.push(pen.piece(said, Role::Key));
    }
    if let Some(failure) = tab.outdated() {
        let said = format!("not refreshed: {}", failure.message);
        pieces.push(pen.piece(said, Role::Warning));
    }
    pieces.push(pen.piece(files.project.to_string(), Role::Muted));
    let line = Rect {
        x: area.x + 1,
        width: room.saturating_sub(1),
        ..area
    };
    pen.pieces(line, &pieces, 8);
    pen.put_right(area, right);
    None
}

fn rows(tab: &ChangesTab, files: &Files, focused: bool, area: Rect, pen: &mut Pen<'_>) {
    let height = usize::from(area.height);
    if files.shown.is_empty() {
        paragraph::paragraph(&[("Nothing matches.".to_owned(), Role::Muted)], area, pen);
        return;
    }
    let first = files.first(height);
    let seen: Vec<(usize, &FileRow)> = (first..first + height)
        .map_while(|at| files.row(at).map(|row| (at, row)))
        .collect();
    let counts: Vec<String> = seen.iter().map(|(_, row)| counts(&row.change)).collect();
    let widest = counts.iter().map(|c| c.len()).max().unwrap_or(0);
    // The name is what the list is for.
    let widest = widest.min(usize::from(area.width / 3));
    let has_keys = focused && tab.part() == ChangesPart::Files;
    for ((y, (at, row)), counts) in (area.top()..).zip(seen).zip(counts) {
        let selected = at == files.at;
        let marked = files.marked.contains(&row.change.path);
        file(
            row,
            (selected, marked),
            (&counts, widest),
            Rect {
                y,
                height: 1,
                ..area
            },
            pen,
        );
        if selected {
            let role = if has_keys {
                Role::Selected
            } else {
                Role::Heading
            };
            let style = pen.theme.style(role);
            pen.tint(
                Rect {
                    y,
                    height: 1,
                    ..area
                },
                style,
            );
        }
    }
}

fn file(
    row: &FileRow,
    (selected, marked): (bool, bool),
    (counts, widest): (&str, usize),
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let change = &row.change;
    let y = area.y;
    let mut x = area.x;
    let put = |pen: &mut Pen<'_>, x: &mut u16, text: &str, role: Role| {
        let room = area.right().saturating_sub(*x);
        *x = pen.put_as(*x, y, room, text, role);
    };
    put(pen, &mut x, if selected { ">" } else { " " }, Role::Key);
    put(pen, &mut x, if marked { "*" } else { " " }, Role::Marked);
    let (letter, style) = kind(change, pen);
    x = pen.put(x, y, area.right().saturating_sub(x), letter, style);
    put(
        pen,
        &mut x,
        if change.conflict { "!" } else { " " },
        Role::Warning,
    );
    let counts_width = u16::try_from(widest).unwrap_or(0);
    let room = area.right().saturating_sub(x + counts_width + 1);
    let name = columns::fit_path(&row.name, usize::from(room));
    let role = if marked { Role::Marked } else { Role::Text };
    pen.put_as(x, y, room, &name, role);
    let width = u16::try_from(text::width(counts))
        .unwrap_or(0)
        .min(counts_width);
    let mut x = area.right().saturating_sub(width);
    for (i, part) in counts.split(' ').enumerate() {
        let style = match part.as_bytes().first() {
            Some(b'+') => pen.theme.style(Role::Added),
            Some(b'-') => pen.theme.style(Role::Removed),
            _ => pen.theme.style(Role::Muted),
        };
        x += u16::from(i > 0);
        x = pen.put(x, y, area.right().saturating_sub(x), part, style);
    }
}

/// A letter as git's, and how it looks.
fn kind(change: &Change, pen: &Pen<'_>) -> (&'static str, ratatui::style::Style) {
    match change.kind {
        ChangeKind::Added => ("A", pen.theme.style(Role::Added)),
        ChangeKind::Modified => ("M", pen.theme.style(Role::Working)),
        ChangeKind::Deleted => ("D", pen.theme.style(Role::Removed)),
        ChangeKind::TypeChanged => ("T", pen.theme.style(Role::Warning)),
    }
}

/// Lines added and removed, or why there are none.
fn counts(change: &Change) -> String {
    match (change.added, change.removed) {
        _ if change.binary => "binary".to_owned(),
        (None, None) | (Some(0), Some(0)) if change.mode.is_some() => "mode".to_owned(),
        (None, None) => String::new(),
        (Some(added), None | Some(0)) => format!("+{added}"),
        (None | Some(0), Some(removed)) => format!("-{removed}"),
        (Some(added), Some(removed)) => format!("+{added} -{removed}"),
    }
}

fn title(tab: &ChangesTab, file: &FileRow, focused: bool, area: Rect, pen: &mut Pen<'_>) {
    if area.area() == 0 {
        return;
    }
    let has_keys = focused && tab.part() == ChangesPart::Diff;
    pen.rule(area, if has_keys { Role::Focus } else { Role::Border });
    let change = &file.change;
    let word = match change.kind {
        ChangeKind::Added => "new",
        ChangeKind::Modified => "modified",
        ChangeKind::Deleted => "deleted",
        ChangeKind::TypeChanged => "another type",
    };
    let role = if has_keys { Role::Focus } else { Role::Heading };
    let room = usize::from(area.width.saturating_sub(4));
    let name = columns::fit_path(&file.name, room);
    let mut pieces = vec![
        pen.piece(format!(" {name}"), role),
        pen.piece(word, Role::Muted),
    ];
    if change.conflict {
        pieces.push(pen.piece("! changed in the project too", Role::Warning));
    }
    if let Some((before, after)) = change.mode {
        pieces.push(pen.piece(format!("mode {before:03o} to {after:03o}"), Role::Muted));
    }
    if let Some(Ok(text)) = tab.diff() {
        let side_by_side = tab.side_by_side();
        let hunks = text.hunks(side_by_side);
        let here = hunks.iter().filter(|row| **row <= tab.scroll().0).count();
        if hunks.len() > 1 {
            let said = format!("hunk {} of {}", here.max(1), hunks.len());
            pieces.push(pen.piece(said, Role::Muted));
        }
    }
    let line = Rect {
        x: area.x,
        width: area.width.saturating_sub(2),
        ..area
    };
    let x = pen.pieces(line, &pieces, 4);
    pen.put_as(x, area.y, u16::from(x < area.right()), " ", Role::Text);
}
