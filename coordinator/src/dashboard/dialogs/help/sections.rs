//! The texts of the help: every key, the ones that work where it was opened first, and only what
//! matches its search. Pure.

use crate::dashboard::{
    app::{keys::keymap, state::AppState},
    dialogs::help::model::Help,
    widgets::text_row::TextRow,
    workers::group::Group,
};

impl Help {
    /// Its parts, each with its heading; only what matches the search.
    pub fn sections(&self, state: &AppState) -> Vec<Vec<TextRow>> {
        let query = self.query.content().to_lowercase();
        let fits = |line: &TextRow| match line {
            TextRow::Pair(term, meaning) => {
                let text = format!("{term} {meaning}").to_lowercase();
                query.split_whitespace().all(|word| text.contains(word))
            }
            TextRow::Heading(_) | TextRow::Blank => false,
        };
        let all = self.everything(state);
        all.into_iter()
            .filter_map(|(heading, mut lines)| {
                lines.retain(&fits);
                (!lines.is_empty()).then(|| {
                    lines.insert(0, TextRow::Heading(heading));
                    lines
                })
            })
            .collect()
    }

    fn everything(&self, state: &AppState) -> Vec<(String, Vec<TextRow>)> {
        let mut parts: Vec<(String, Vec<TextRow>)> = state
            .keymap
            .help(self.contexts)
            .into_iter()
            .map(|section| {
                let rows = section.rows.into_iter();
                let rows = rows.map(|(keys, action)| {
                    let said = keymap::help_text(action);
                    TextRow::Pair(keys.join(", "), said.to_owned())
                });
                (section.context.title().to_owned(), rows.collect())
            })
            .collect();
        let leave = state.settings.leave_label();
        let typing = "back to the dashboard; all other keys go to the worker";
        parts.push((
            "While you type into a worker".to_owned(),
            vec![TextRow::Pair(leave, typing.to_owned())],
        ));
        let states = [
            (Group::NeedsYou, "it waits for you"),
            (Group::Problem, "it failed, was lost, or reports an error"),
            (Group::Working, "busy"),
            (Group::Done, "finished something nobody has looked at"),
            (Group::Idle, "finished and seen"),
            (Group::Stopped, "stopped by a signal; type to go on"),
            (Group::Running, "running; what it does is not known"),
            (Group::Starting, "being created or claimed"),
            (Group::Ended, "its session ended"),
            (Group::Warm, "ready to be claimed"),
            (Group::Stopping, "going away"),
        ]
        .map(|(group, meaning)| {
            let (unicode, ascii) = group.marker();
            let marker = state.theme.glyph(unicode, ascii);
            TextRow::Pair(format!("{marker} {}", group.word()), meaning.to_owned())
        });
        parts.push(("States".to_owned(), states.into()));
        parts
    }
}
