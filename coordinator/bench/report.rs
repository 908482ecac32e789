//! What was measured, as JSON and as a table.

use crate::stats::Series;
use coordinator::cli::output::{
    term::Paint,
    text::{Cell, Table, escape},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, UNIX_EPOCH};

/// One run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// Podbay's version.
    pub version: String,
    /// Unix milliseconds of the beginning.
    pub at_ms: u64,
    /// Where it ran.
    pub machine: Machine,
    /// The figures.
    pub figures: Vec<Figure>,
    /// What could not be measured.
    pub failures: Vec<NotMeasured>,
}

/// Where a run took place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Machine {
    /// Processors.
    pub processors: usize,
    /// Kernel release.
    pub kernel: String,
    /// The engine.
    pub engine: String,
    /// Load average over one minute at the beginning.
    pub load_before: f64,
    /// The same at the end.
    pub load_after: f64,
}

/// A figure that there is none of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NotMeasured {
    /// Which group.
    pub what: String,
    /// Why.
    pub reason: String,
}

/// One promise and what came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    /// The group: `claim`, `attach` …
    pub what: String,
    /// What was measured.
    pub name: String,
    /// Unit of all numbers but the ratio.
    pub unit: String,
    /// Which number of `measured` is compared.
    pub statistic: String,
    /// The samples.
    pub measured: Series,
    /// What it is compared with.
    pub rival: Rival,
    /// The comparison.
    pub ratio: f64,
    /// What the ratio is to be.
    pub target: Target,
    /// Whether it is.
    pub met: bool,
    /// How it was measured, in a line.
    pub note: String,
    /// Load average over one minute when it was done.
    pub load: f64,
}

/// What a figure is compared with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rival {
    /// Its name; `limit` for a fixed number.
    pub name: String,
    /// The number compared with.
    pub value: f64,
    /// Its samples, when it was measured.
    pub measured: Option<Series>,
}

/// What a ratio is to be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Ours over the rival's: at most so much.
    AtMost(f64),
    /// The rival's over ours: so many times faster at least.
    TimesFaster(f64),
    /// Ours over the rival's, where more is better: at least so much.
    AtLeast(f64),
}

impl Target {
    fn judge(self, ours: f64, rival: f64) -> (f64, bool) {
        let over = |a: f64, b: f64| {
            let ratio = if b > 0.0 { a / b } else { f64::MAX };
            (ratio * 1e3).round() / 1e3
        };
        match self {
            Self::AtMost(limit) => (over(ours, rival), over(ours, rival) <= limit),
            Self::TimesFaster(limit) => (over(rival, ours), over(rival, ours) >= limit),
            Self::AtLeast(limit) => (over(ours, rival), over(ours, rival) >= limit),
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtMost(limit) => format!("≤ {limit}"),
            Self::TimesFaster(limit) => format!("≥ {limit} faster"),
            Self::AtLeast(limit) => format!("≥ {limit}"),
        }
    }
}

impl Figure {
    /// Medians against a rival's median.
    pub fn against(
        (what, name, unit): (&str, &str, &str),
        measured: &Series,
        (rival, theirs): (&str, &Series),
        target: Target,
        note: impl Into<String>,
    ) -> Self {
        let (ratio, met) = target.judge(measured.p50, theirs.p50);
        Self {
            what: what.to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            statistic: "p50".to_owned(),
            measured: measured.clone(),
            rival: Rival {
                name: rival.to_owned(),
                value: theirs.p50,
                measured: Some(theirs.clone()),
            },
            ratio,
            target,
            met,
            note: note.into(),
            load: crate::process::load(),
        }
    }

    /// A number that must stay below a fixed one: the median, or the largest with `worst`.
    pub fn limited(
        (what, name, unit): (&str, &str, &str),
        measured: &Series,
        (limit, worst): (f64, bool),
        note: impl Into<String>,
    ) -> Self {
        let ours = if worst { measured.max } else { measured.p50 };
        let target = Target::AtMost(1.0);
        let (ratio, met) = target.judge(ours, limit);
        Self {
            what: what.to_owned(),
            name: name.to_owned(),
            unit: unit.to_owned(),
            statistic: if worst { "max" } else { "p50" }.to_owned(),
            measured: measured.clone(),
            rival: Rival {
                name: "limit".to_owned(),
                value: limit,
                measured: None,
            },
            ratio,
            target,
            met,
            note: note.into(),
            load: crate::process::load(),
        }
    }

    /// The 99th percentile against the median of the same samples.
    pub fn tail(
        (what, name, unit): (&str, &str, &str),
        measured: &Series,
        limit: f64,
        note: impl Into<String>,
    ) -> Self {
        let target = Target::AtMost(limit);
        let (ratio, met) = target.judge(measured.p99, measured.p50);
        Self {
            statistic: "p99".to_owned(),
            rival: Rival {
                name: "its own p50".to_owned(),
                value: measured.p50,
                measured: None,
            },
            ratio,
            target,
            met,
            ..Self::limited((what, name, unit), measured, (1.0, false), note)
        }
    }
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

impl Report {
    /// For people: a table, what each line means, and what is missing.
    pub fn table(&self, width: Option<usize>, colours: bool) -> String {
        let head = [
            "", "FIGURE", "UNIT", "N", "P50", "P99", "RIVAL", "RIVAL'S", "RATIO", "TARGET", "MET",
        ];
        let mut table = Table::new(&head, &[6, 1]);
        for figure in &self.figures {
            let (met, paint) = if figure.met {
                ("yes", Paint::Green)
            } else {
                ("no", Paint::Red)
            };
            table.row(vec![
                Cell::painted(&figure.what, Paint::Bold),
                Cell::new(&figure.name),
                Cell::new(&figure.unit),
                Cell::new(figure.measured.n.to_string()),
                Cell::new(number(figure.measured.p50)),
                Cell::new(number(figure.measured.p99)),
                Cell::new(&figure.rival.name),
                Cell::new(number(figure.rival.value)),
                Cell::new(number(figure.ratio)),
                Cell::new(figure.target.text()),
                Cell::painted(met, paint),
            ]);
        }
        let mut out = table.render(width, colours);
        out.push('\n');
        for figure in self.figures.iter().filter(|f| !f.note.is_empty()) {
            let line = format!("{} {}: {}", figure.what, figure.name, figure.note);
            out.push_str(&Paint::Dim.on(colours, escape(&line)));
            out.push('\n');
        }
        for failure in &self.failures {
            let line = format!("{}: not measured: {}", failure.what, failure.reason);
            out.push_str(&Paint::Red.on(colours, escape(&line)));
            out.push('\n');
        }
        let machine = &self.machine;
        out.push_str(&format!(
            "{} processors, kernel {}, {}, load {} before and {} after; podbay {}\n",
            machine.processors,
            machine.kernel,
            machine.engine,
            machine.load_before,
            machine.load_after,
            self.version
        ));
        let met = self.met();
        out.push_str(&format!("{met} of {} targets met\n", self.figures.len()));
        out
    }

    /// Targets that are met.
    fn met(&self) -> usize {
        self.figures.iter().filter(|figure| figure.met).count()
    }

    /// The same as a page: what was measured, on which machine, and what each figure means.
    pub fn page(&self) -> String {
        let machine = &self.machine;
        let met = self.met();
        let at = UNIX_EPOCH + Duration::from_millis(self.at_ms);
        let day = humantime::format_rfc3339_seconds(at).to_string();
        let mut out = format!(
            "# Benchmarks\n\nOne run of `podbay-bench` on {}, podbay {}: {} processors, kernel {}, {}, load {} \
             when it began and {} when it ended. {met} of {} targets are met. Each figure is compared with its \
             rival in the same run; where there is none, with a limit.\n\n\
             | | figure | n | p50 | p99 | against | ratio | wanted | |\n|---|---|---|---|---|---|---|---|---|\n",
            day.get(..10).unwrap_or(&day),
            self.version,
            machine.processors,
            machine.kernel,
            machine.engine,
            machine.load_before,
            machine.load_after,
            self.figures.len(),
        );
        let mut notes = String::new();
        for (row, figure) in (1..).zip(&self.figures) {
            let unit = match figure.unit.as_str() {
                "" => String::new(),
                unit => format!(", {unit}"),
            };
            out.push_str(&format!(
                "| {row} | {}: {}{unit} | {} | {} | {} | {}, {} | {} | {} | {} |\n",
                figure.what,
                figure.name,
                figure.measured.n,
                number(figure.measured.p50),
                number(figure.measured.p99),
                figure.rival.name,
                number(figure.rival.value),
                number(figure.ratio),
                figure.target.text(),
                if figure.met { "met" } else { "**missed**" },
            ));
            if !figure.note.is_empty() {
                notes.push_str(&format!("- {row}: {}\n", figure.note));
            }
        }
        out.push_str(&format!("\nHow, by row:\n\n{notes}"));
        for failure in &self.failures {
            out.push_str(&format!(
                "- {}: not measured: {}\n",
                failure.what, failure.reason
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_row_for_each_figure_and_says_what_is_missing() {
        let one = Series::one(2.0);
        let limits = [("first", 4.0), ("second", 1.0)];
        let figures = limits.map(|(name, limit)| {
            let label = ("x", name, "MB");
            Figure::limited(label, &one, (limit, true), format!("note of the {name}"))
        });
        let machine = Machine {
            processors: 2,
            kernel: "6.1".to_owned(),
            engine: "Docker 20.10".to_owned(),
            load_before: 0.5,
            load_after: 1.5,
        };
        let report = Report {
            version: "0.1.0".to_owned(),
            at_ms: 1_700_000_000_000,
            machine,
            figures: figures.to_vec(),
            failures: vec![NotMeasured {
                what: "idle".to_owned(),
                reason: "it went away".to_owned(),
            }],
        };
        let page = report.page();
        for part in [
            "on 2023-11-14, podbay 0.1.0: 2 processors",
            "1 of 2 targets",
            "| 1 | x: first, MB | 1 | 2.00 | 2.00 | limit, 4.00 | 0.500 | ≤ 1 | met |",
            "| 2 | x: second, MB |",
            "**missed**",
            "- 2: note of the second",
            "- idle: not measured: it went away",
        ] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }

    #[test]
    fn targets_look_the_right_way_round() {
        let (fast, slow) = (Series::one(2.0), Series::one(100.0));
        let figure = |ours: &Series, rival: &Series, target| {
            let figure = Figure::against(("x", "y", "ms"), ours, ("z", rival), target, "");
            (figure.ratio, figure.met)
        };
        assert_eq!(
            figure(&fast, &slow, Target::TimesFaster(40.0)),
            (50.0, true)
        );
        assert_eq!(
            figure(&slow, &fast, Target::TimesFaster(40.0)),
            (0.02, false)
        );
        assert_eq!(figure(&slow, &fast, Target::AtMost(5.0)), (50.0, false));
        assert_eq!(figure(&slow, &fast, Target::AtLeast(2.0)), (50.0, true));
    }

    #[test]
    fn a_tail_is_held_against_its_own_median_and_a_limit_against_the_worst() {
        let mut samples = vec![1.0; 98];
        samples.extend([9.0, 9.0]);
        let tail = Figure::tail(("x", "y", "ms"), &Series::of(samples.clone()), 5.0, "");
        assert_eq!((tail.ratio, tail.met), (9.0, false));
        let worst = Figure::limited(("x", "y", "MB"), &Series::of(samples), (4.0, true), "");
        assert_eq!((worst.ratio, worst.met), (2.25, false));
    }
}
