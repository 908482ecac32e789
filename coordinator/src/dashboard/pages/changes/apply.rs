//! Applying and discarding changes: what is asked first, and what is said. Never writes without a
//! question more than the one file under the cursor.

use crate::dashboard::{
    app::effect::{Call, Effect},
    dialogs::confirm::Confirm,
    pages::{
        changes::{
            files::Files,
            tab::{ChangesContent, ChangesTab},
        },
        tab_outcome::TabOutcome,
    },
    widgets::text::count,
};

/// Paths that a question names.
const NAMED: usize = 8;

impl ChangesTab {
    /// Applies the marked files, or all that are listed. Only the one file that the cursor is on is
    /// written without a question, and not over a conflict.
    pub(super) fn apply(&mut self) -> TabOutcome {
        let (worker, files) = match self.ready() {
            Ok(ready) => ready,
            Err(why) => return TabOutcome::refuse(why),
        };
        let targets = files.targets();
        if targets.more {
            return TabOutcome::refuse(
                "there are more changes than are listed: mark some, or filter the list".to_owned(),
            );
        }
        let totals = targets.totals();
        let call = |force| Call::Apply {
            worker: worker.to_owned(),
            paths: targets.paths(),
            force,
        };
        let what = format!("apply {}", self.name);
        let under_cursor = match (targets.rows.as_slice(), files.selected()) {
            ([only], Some(selected)) => only.change.path == selected.change.path,
            _ => false,
        };
        if totals.conflicts == 0 && !under_cursor {
            let marked = which(targets.marked, targets.all);
            let mut losses = vec![format!(
                "{}{marked} would be written there:",
                totals.describe()
            )];
            let all: Vec<&str> = targets.rows.iter().map(|row| row.name.as_str()).collect();
            names(&mut losses, &all);
            return TabOutcome {
                ask: Some(Confirm {
                    question: format!(
                        "Apply {} to {}?",
                        count(totals.files, "file"),
                        files.project
                    ),
                    losses,
                    verb: "Apply",
                    what,
                    call: call(false),
                    on_verb: false,
                }),
                ..TabOutcome::default()
            };
        }
        if totals.conflicts == 0 {
            return TabOutcome {
                effects: vec![Effect::Call {
                    what,
                    call: Call::Apply {
                        worker: worker.to_owned(),
                        // By name: what was changed since the list came is not meant.
                        paths: targets
                            .rows
                            .iter()
                            .map(|row| row.change.path.clone())
                            .collect(),
                        force: false,
                    },
                }],
                said: Some(format!(
                    "writing {}{} to {}",
                    totals.describe(),
                    which(targets.marked, targets.all),
                    files.project
                )),
                ..TabOutcome::default()
            };
        }
        let mut losses = vec![format!(
            "{} changed in {} too since the worker was claimed. What is there now would be \
             replaced by the worker's:",
            count(totals.conflicts, "file"),
            files.project
        )];
        let conflicts: Vec<&str> = targets
            .rows
            .iter()
            .filter(|row| row.change.conflict)
            .map(|row| row.name.as_str())
            .collect();
        names(&mut losses, &conflicts);
        let others = totals.files - totals.conflicts;
        if others > 0 {
            losses.push(format!(
                "{} without a conflict would be written too. To write only these, mark them.",
                count(others, "file")
            ));
        }
        TabOutcome {
            ask: Some(Confirm {
                question: format!("Apply over {}?", count(totals.conflicts, "conflict")),
                losses,
                verb: "Overwrite",
                what,
                call: call(true),
                on_verb: false,
            }),
            ..TabOutcome::default()
        }
    }

    /// Drops the changes of the marked files, or of all that are listed, after a question.
    pub(super) fn discard(&mut self) -> TabOutcome {
        let (worker, files) = match self.ready() {
            Ok(ready) => ready,
            Err(why) => return TabOutcome::refuse(why),
        };
        let targets = files.targets();
        let totals = targets.totals();
        let mut losses = vec![format!(
            "{} of {} would be lost for good{}:",
            totals.describe(),
            self.name,
            which(targets.marked, targets.all || targets.more),
        )];
        let all: Vec<&str> = targets.rows.iter().map(|row| row.name.as_str()).collect();
        names(&mut losses, &all);
        if targets.more {
            losses.push("With all that are not listed: there are more than can be.".to_owned());
        }
        losses.push("The project itself stays as it is.".to_owned());
        if self.running {
            losses.push("Its session goes on and sees the project's own files again.".to_owned());
        }
        TabOutcome {
            ask: Some(Confirm {
                question: match targets.more {
                    true => "Discard all changes, listed or not?".to_owned(),
                    false => format!("Discard the changes of {}?", count(totals.files, "file")),
                },
                losses,
                verb: "Discard",
                what: format!("discard {}", self.name),
                call: Call::Discard {
                    worker: worker.to_owned(),
                    paths: targets.paths(),
                },
                on_verb: false,
            }),
            ..TabOutcome::default()
        }
    }

    /// The worker and its list, when there is something to apply or discard.
    fn ready(&self) -> Result<(&str, &Files), String> {
        let worker = self.worker.as_deref().ok_or("no worker is shown")?;
        match &self.content {
            ChangesContent::List(files) if files.rows.is_empty() => {
                Err(format!("{} has no changes", self.name))
            }
            ChangesContent::List(files) if files.targets().rows.is_empty() => {
                Err("the filter leaves no file".to_owned())
            }
            ChangesContent::List(files) => Ok((worker, files)),
            ChangesContent::Direct(_) => {
                Err(format!("{} writes straight to the project", self.name))
            }
            ChangesContent::NoProject => Err(format!("{} has no project", self.name)),
            ChangesContent::Loading | ChangesContent::NotYet => {
                Err("the changes are not here yet".to_owned())
            }
            ChangesContent::Failed(failure) => Err(failure.message.clone()),
        }
    }
}

fn which(marked: bool, all: bool) -> &'static str {
    match (marked, all) {
        (true, _) => ", the marked ones,",
        (false, false) => ", those listed,",
        (false, true) => "",
    }
}

/// The first names, and how many more there are.
fn names(lines: &mut Vec<String>, names: &[&str]) {
    lines.extend(names.iter().take(NAMED).map(|name| format!("  {name}")));
    if let Some(more) = names.len().checked_sub(NAMED).filter(|n| *n > 0) {
        lines.push(format!("  and {more} more"));
    }
}
