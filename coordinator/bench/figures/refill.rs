//! Refilling a pool, against the engine's best rate.

use crate::{
    instance::Bench,
    raw::Shape,
    report::{Figure, Target},
    stats::Series,
};
use coordinator::{cli::Failure, wire::PoolView};
use std::time::{Duration, Instant};

/// Workers of a refill.
const WORKERS: u32 = 8;
/// How many at once the engine is tried with.
const PARALLEL: [usize; 4] = [1, 2, 4, 8];

fn rate(took: Duration) -> f64 {
    (f64::from(WORKERS) / took.as_secs_f64() * 1e3).round() / 1e3
}

/// The figure.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let rounds = if bench.quick { 3 } else { 6 };
    bench.fill(1).await?;
    let shape = Shape::of_warm(bench).await?;
    bench.drain().await?;
    let mut ours = Vec::new();
    let mut engine: Vec<Vec<f64>> = vec![Vec::new(); PARALLEL.len()];
    for round in 0..rounds {
        for (rates, parallel) in engine.iter_mut().zip(PARALLEL) {
            let n = usize::try_from(WORKERS).unwrap_or(8);
            rates.push(rate(shape.run_many(bench, n, parallel).await?));
        }
        bench.scale(WORKERS).await?;
        let began = Instant::now();
        bench.client.resume(&bench.profile).await?;
        let full = |pool: &PoolView| pool.warm >= WORKERS;
        bench
            .until("a full pool", Duration::from_millis(5), full)
            .await?;
        ours.push(rate(began.elapsed()));
        bench.drain().await?;
        bench.say(&format!("refill: {} of {rounds}", round + 1));
    }
    let engine: Vec<Series> = engine.into_iter().map(Series::of).collect();
    let rates: Vec<String> = PARALLEL
        .iter()
        .zip(&engine)
        .map(|(parallel, series)| format!("{parallel}: {:.2}", series.p50))
        .collect();
    let note = format!("the engine's rates by parallelism: {}", rates.join(", "));
    let best = engine.into_iter().max_by(|a, b| a.p50.total_cmp(&b.p50));
    let best = best.unwrap_or_default();
    Ok(vec![Figure::against(
        ("refill", "8 workers, empty to warm", "1/s"),
        &Series::of(ours),
        ("engine, best parallelism", &best),
        Target::AtLeast(0.9),
        note,
    )])
}
