//! Cold spawns, against the engine's own create and start.

use super::claim;
use crate::{
    instance::Bench,
    raw::{self, Shape},
    report::{Figure, Target},
    stats::{Series, ms},
};
use coordinator::{cli::Failure, model::Isolation, wire::WhenEmpty};
use std::time::Duration;

/// The figure.
pub async fn measure(bench: &Bench) -> Result<Vec<Figure>, Failure> {
    let rounds = if bench.quick { 8 } else { 20 };
    let project = bench.scratch.folder("cold")?;
    bench.fill(1).await?;
    let shape = Shape::of_warm(bench).await?;
    bench.drain().await?;
    let (mut ours, mut theirs, mut wait) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        let mut cold = async || -> Result<(), Failure> {
            let mut request = bench.request(&project, Isolation::Bind, claim::COMMAND);
            request.when_empty = WhenEmpty::Cold;
            let claimed = claim::claim(bench, &request).await?;
            if claimed.response.warm {
                return Err(Failure::new(1, "a drained pool had a warm worker"));
            }
            ours.push(ms(claimed.took));
            wait.push(ms(Duration::from_micros(claimed.response.timings.wait_us)));
            bench.remove(vec![claimed.name]).await
        };
        let mut raw = async || -> Result<(), Failure> {
            let (name, took) = shape.run(bench).await?;
            theirs.push(ms(took));
            raw::remove(bench, vec![name]).await
        };
        if round % 2 == 0 {
            cold().await?;
            raw().await?;
        } else {
            raw().await?;
            cold().await?;
        }
        bench.say(&format!("cold: {} of {rounds}", round + 1));
    }
    let note = format!(
        "from the request to the first byte, project bound; of that until the worker was ready: {} ms",
        Series::of(wait).p50
    );
    Ok(vec![Figure::against(
        ("cold", "cold spawn", "ms"),
        &Series::of(ours),
        ("engine create+start", &Series::of(theirs)),
        Target::AtMost(1.2),
        note,
    )])
}
