//! How cost grows with the number of workers: all are claimed, attached to, and stopped at the end.

use super::{
    adopt::coordinator,
    claim::{self, Claimed},
};
use crate::{
    instance::Bench,
    process,
    report::Figure,
    stats::{Series, ms},
};
use coordinator::{cli::Failure, model::Isolation};
use std::time::{Duration, Instant};

/// Workers at which the cost is measured.
const SIZES: [u32; 4] = [25, 50, 100, 200];
const QUICK: [u32; 3] = [8, 16, 32];
/// Workers claimed between two refills.
const ROUND: u32 = 16;
/// So many of the last claims of a size count.
const LAST: usize = 8;
/// Lists asked for at each size.
const LISTS: usize = 20;
/// How long the coordinator is watched with nothing to do.
const IDLE: Duration = Duration::from_secs(10);
/// What a claim leaves to do is done by then.
const SETTLE: Duration = Duration::from_secs(3);
/// Cost may grow as this power of the number of workers: linearly, and what is measured varies.
const EXPONENT: f64 = 1.15;
/// Megabytes of the coordinator for each attached client and its worker.
const EACH: f64 = 0.3;

/// What is measured at each size.
#[derive(Default)]
struct Costs {
    sizes: Vec<f64>,
    claim: Vec<f64>,
    list: Vec<f64>,
    idle: Vec<f64>,
    memory: Vec<f64>,
}

/// The figures.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let sizes = if bench.quick {
        QUICK.as_slice()
    } else {
        &SIZES
    };
    let project = bench.scratch.folder("scale")?;
    let mut held: Vec<Claimed> = Vec::new();
    let mut costs = Costs::default();
    for size in sizes {
        let mut claims = Vec::new();
        while held.len() < *size as usize {
            let missing = size.saturating_sub(u32::try_from(held.len()).unwrap_or(u32::MAX));
            bench.fill(missing.min(ROUND)).await?;
            bench.pause().await?;
            for _ in 0..missing.min(ROUND) {
                let command = "echo ready; exec sleep 3600";
                let request = bench.request(&project, Isolation::Bind, command);
                let claimed = claim::claim(bench, &request).await?;
                claims.push(ms(claimed.took));
                held.push(claimed);
            }
        }
        claims.drain(..claims.len().saturating_sub(LAST));
        costs.at(bench, f64::from(*size), claims).await?;
        bench.say(&format!("scale: {size} workers"));
    }
    bench.scale(0).await?;
    let count = held.len();
    let names = held.iter().map(|claimed| claimed.name.clone()).collect();
    let began = Instant::now();
    bench.remove(names).await?;
    let stopped = began.elapsed().as_secs_f64();
    drop(held);
    bench.client.resume(&bench.profile).await?;
    Ok(costs.report(count as f64 / stopped))
}

impl Costs {
    async fn at(&mut self, bench: &Bench, size: f64, claims: Vec<f64>) -> Result<(), Failure> {
        let gone = || Failure::new(1, "the coordinator went away");
        tokio::time::sleep(SETTLE).await;
        let pid = coordinator(bench)?;
        let before = process::cpu_seconds(pid).ok_or_else(gone)?;
        tokio::time::sleep(IDLE).await;
        let used = process::cpu_seconds(pid).ok_or_else(gone)? - before;
        let mut lists = Vec::new();
        for _ in 0..LISTS {
            let began = Instant::now();
            bench.client.workers(false).await?;
            lists.push(ms(began.elapsed()));
        }
        self.sizes.push(size);
        self.claim.push(Series::of(claims).p50);
        self.list.push(Series::of(lists).p50);
        self.idle.push(used / IDLE.as_secs_f64() * 1e3);
        self.memory
            .push(process::resident(pid).ok_or_else(gone)?.anon);
        Ok(())
    }

    fn report(self, stopped: f64) -> Vec<Figure> {
        let Self {
            sizes,
            claim,
            list,
            idle,
            memory,
        } = self;
        let grows = |name: &str, unit: &str, costs: &[f64], more: &str| {
            Figure::limited(
                ("scale", &format!("{name}, exponent of growth"), ""),
                &Series::one(exponent(&sizes, costs)),
                (EXPONENT, true),
                format!(
                    "{} {unit} at {} workers{more}",
                    numbers(costs),
                    numbers(&sizes)
                ),
            )
        };
        let each = slope(&sizes, &memory);
        vec![
            grows("a warm claim", "ms", &claim, ""),
            grows("a list of all", "ms", &list, ""),
            grows(
                "the coordinator at rest",
                "ms of a processor a second",
                &idle,
                &format!("; at the end {stopped:.1} workers were stopped and removed a second"),
            ),
            Figure::limited(
                (
                    "scale",
                    "the coordinator's memory for each attached worker",
                    "MB",
                ),
                &Series::one(each),
                (EACH, true),
                format!(
                    "its own {} MB at {} workers",
                    numbers(&memory),
                    numbers(&sizes)
                ),
            ),
        ]
    }
}

fn numbers(all: &[f64]) -> String {
    let texts = all
        .iter()
        .map(|number| format!("{}", (number * 100.0).round() / 100.0));
    texts.collect::<Vec<_>>().join(", ")
}

/// The slope of the line through these points, by least squares.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    let n = x.len().max(1) as f64;
    let (mean_x, mean_y) = (x.iter().sum::<f64>() / n, y.iter().sum::<f64>() / n);
    let points = x.iter().zip(y);
    let (over, under) = points.fold((0.0, 0.0), |(over, under), (x, y)| {
        let from = x - mean_x;
        (over + from * (y - mean_y), under + from * from)
    });
    let slope = if under > 0.0 { over / under } else { 0.0 };
    (slope * 1e3).round() / 1e3
}

/// The power of the size as which the cost grows.
fn exponent(sizes: &[f64], costs: &[f64]) -> f64 {
    let log = |all: &[f64]| all.iter().map(|n| n.max(1e-3).ln()).collect::<Vec<_>>();
    slope(&log(sizes), &log(costs))
}

#[cfg(test)]
mod tests {
    use super::{exponent, slope};

    #[test]
    fn growth_is_told_by_its_power() {
        let sizes = [25.0, 50.0, 100.0, 200.0];
        assert_eq!(exponent(&sizes, &sizes.map(|n| 3.0 * n)), 1.0);
        assert_eq!(exponent(&sizes, &sizes.map(|n| n * n)), 2.0);
        assert_eq!(exponent(&sizes, &[7.0; 4]), 0.0);
        assert_eq!(slope(&sizes, &sizes.map(|n| 0.25 * n + 7.0)), 0.25);
        assert_eq!(slope(&[], &[]), 0.0);
    }
}
