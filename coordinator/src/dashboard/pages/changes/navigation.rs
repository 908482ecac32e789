//! Moving in the changes: keys, the mouse, the filter, hunks and scrolling.

use crate::{
    dashboard::{
        app::effect::Effect,
        pages::{
            changes::{
                files::Files,
                tab::{ChangesPart, ChangesTab},
            },
            tab_outcome::TabOutcome,
        },
        widgets::text_field::TextField,
    },
    model::keys::Action,
};
use ratatui::layout::{Position, Rect};

/// Columns that a step to the right moves.
const STEP: usize = 8;

impl ChangesTab {
    /// Does what a key or the palette asks for; `page` is the height of the tab in rows.
    pub fn perform(&mut self, action: Action, page: u16) -> TabOutcome {
        let page = usize::from(page.max(1));
        let half = (page / 2).max(1).cast_signed();
        match action {
            Action::ScrollDown => self.scroll_by(half),
            Action::ScrollUp => self.scroll_by(-half),
            Action::Left if self.scroll.1 == 0 => self.part = ChangesPart::Files,
            Action::Left => self.scroll.1 = self.scroll.1.saturating_sub(STEP),
            Action::Right => {
                let widest = self.text().map_or(0, |text| text.width);
                self.scroll.1 = (self.scroll.1 + STEP).min(widest.saturating_sub(STEP));
            }
            Action::SideBySide => self.lay_out(Some(!self.side_by_side())),
            Action::Refresh => return TabOutcome::effects(self.fetch()),
            Action::Enter if self.files().is_some() => {
                self.part = match self.part {
                    ChangesPart::Files => ChangesPart::Diff,
                    ChangesPart::Diff => ChangesPart::Files,
                };
            }
            Action::Filter if self.files().is_some() => {
                self.field = Some(TextField::new(&self.filter));
            }
            Action::NextMatch => return self.hunk(true),
            Action::PreviousMatch => return self.hunk(false),
            Action::Apply => return self.apply(),
            Action::Discard => return self.discard(),
            action => return self.move_in_part(action, page.cast_signed()),
        }
        TabOutcome::default()
    }

    /// Goes back within the tab; `false` when the way back leads out of it.
    pub fn back(&mut self) -> bool {
        if self.part == ChangesPart::Diff {
            self.part = ChangesPart::Files;
        } else if !self.filter.is_empty() {
            self.set_filter(String::new());
        } else if let Some(files) = self.files_mut().filter(|files| !files.marked.is_empty()) {
            files.marked.clear();
        } else {
            return false;
        }
        true
    }

    /// Whether the filter is being typed.
    pub fn searching(&self) -> bool {
        self.field.is_some()
    }

    /// The field of the filter while it is typed.
    pub fn text_field(&mut self) -> Option<&mut TextField> {
        self.field.as_mut()
    }

    /// The field's text changed.
    pub fn search_changed(&mut self) {
        if let Some(field) = &self.field {
            let typed = field.content();
            self.set_filter(typed);
        }
    }

    /// The field is left: what it says stays, or not.
    pub fn search_ended(&mut self, keep: bool) {
        self.field = None;
        if !keep {
            self.set_filter(String::new());
        }
    }

    /// The tab has this place on the screen now.
    pub fn fit(&mut self, area: Rect) {
        let before = self.side_by_side();
        self.size = (area.width, area.height);
        self.translate(before);
        self.scroll_by(0);
    }

    /// The mouse pressed a place of the tab that has this area.
    pub fn press(&mut self, area: Rect, at: Position) -> Vec<Effect> {
        let places = self.places(area);
        if places.diff.contains(at) || places.title.contains(at) {
            self.part = ChangesPart::Diff;
        } else if places.files.contains(at) {
            self.part = ChangesPart::Files;
            let row = usize::from(at.y - places.files.y);
            self.selecting(|files| {
                let place = files.first(usize::from(places.files.height)) + row;
                if place < files.shown.len() {
                    files.at = place;
                }
            });
        }
        self.want_diff()
    }

    fn set_filter(&mut self, filter: String) {
        self.filter = filter;
        let filter = self.filter.clone();
        self.selecting(|files| files.filter(&filter));
    }

    /// Changes the list; another selected file is seen from its beginning.
    fn selecting(&mut self, change: impl FnOnce(&mut Files)) {
        let Some(files) = self.files_mut() else {
            return;
        };
        let selected = |files: &Files| files.selected().map(|row| row.change.path.clone());
        let before = selected(files);
        change(files);
        if selected(files) != before {
            self.scroll = (0, 0);
        }
    }

    fn move_in_part(&mut self, action: Action, page: isize) -> TabOutcome {
        let by = match action {
            Action::Down => 1,
            Action::Up => -1,
            Action::PageDown => page,
            Action::PageUp => -page,
            Action::First => isize::MIN,
            Action::Last => isize::MAX,
            Action::Mark => {
                self.selecting(Files::mark);
                0
            }
            Action::MarkAll => {
                self.selecting(Files::mark_all);
                0
            }
            _ => 0,
        };
        match self.part {
            ChangesPart::Files if by != 0 => self.selecting(|files| files.move_by(by)),
            ChangesPart::Diff if by != 0 => self.scroll_by(by),
            _ => {}
        }
        TabOutcome::effects(self.want_diff())
    }

    pub(super) fn scroll_by(&mut self, by: isize) {
        let side_by_side = self.side_by_side();
        let rows = self.text().map_or(0, |text| text.len(side_by_side));
        let (width, height) = self.size;
        let seen = self.places(Rect::new(0, 0, width, height)).diff.height;
        let last = rows.saturating_sub(usize::from(seen).max(1));
        self.scroll.0 = self.scroll.0.saturating_add_signed(by).min(last);
    }

    fn lay_out(&mut self, layout: Option<bool>) {
        let before = self.side_by_side();
        self.layout = layout;
        self.translate(before);
    }

    fn translate(&mut self, before: bool) {
        let after = self.side_by_side();
        if before != after
            && let Some(text) = self.text()
        {
            self.scroll.0 = text.translate(self.scroll.0, after);
        }
    }

    /// To the next or previous hunk; past the last one to the next file.
    fn hunk(&mut self, forward: bool) -> TabOutcome {
        let side_by_side = self.side_by_side();
        let hunks = self.text().map_or(Vec::new(), |t| t.hunks(side_by_side));
        let here = self.scroll.0;
        let next = match forward {
            true => hunks.into_iter().find(|row| *row > here),
            false => hunks.into_iter().rfind(|row| *row < here),
        };
        let before = self.scroll.0;
        self.scroll.0 = next.unwrap_or(before);
        self.scroll_by(0);
        match next {
            // At the end all that is left is in view already.
            Some(_) if self.scroll.0 != before => {}
            _ => {
                let by = if forward { 1 } else { -1 };
                self.selecting(|files| files.move_by(by));
            }
        }
        TabOutcome::effects(self.want_diff())
    }
}
