//! `podbay pool`.

use crate::{
    cli::{
        Failure, Globals,
        output::{
            term::{self, Paint},
            text::{self, Cell, Table},
        },
    },
    client::Client,
    wire::{PoolView, ScaleRequest},
};
use clap::{Args, Subcommand};
use std::process::ExitCode;

/// `podbay pool`.
#[derive(Debug, Clone, Args)]
pub struct PoolArgs {
    /// The profile [default: the only one, or the one named default].
    #[arg(short, long, global = true, value_name = "PROFILE")]
    profile: Option<String>,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

impl PoolArgs {
    pub(in crate::cli) fn json(&self) -> bool {
        self.json
    }
}

#[derive(Debug, Clone, Subcommand)]
enum What {
    /// Shows the pools.
    Status,
    /// Sets how many workers are kept warm.
    Scale {
        /// Fewest.
        min: u32,
        /// Most.
        max: u32,
    },
    /// Removes every warm worker and keeps the pool empty.
    Drain,
    /// Stops refilling.
    Pause,
    /// Ends a pause or a drain.
    Resume,
}

pub(in crate::cli) async fn run(globals: &Globals, args: &PoolArgs) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let pools = match &args.what {
        None | Some(What::Status) => {
            let mut pools = client.pools().await?;
            if let Some(wanted) = &args.profile {
                pools.retain(|pool| pool.profile == *wanted);
                if pools.is_empty() {
                    return Err(Failure::new(5, format!("no pool of profile {wanted:?}"))
                        .hint("`podbay pool` lists them"));
                }
            }
            pools
        }
        Some(what) => {
            if let What::Scale { min, max } = what
                && min > max
            {
                return Err(Failure::usage(format!(
                    "the minimum {min} is above the maximum {max}"
                ))
                .hint("give MIN MAX with MIN at most MAX"));
            }
            let profile = profile(&client, args).await?;
            vec![match what {
                What::Scale { min, max } => {
                    client
                        .scale(
                            &profile,
                            &ScaleRequest {
                                min_warm: *min,
                                max_warm: *max,
                            },
                        )
                        .await?
                }
                What::Drain => client.drain(&profile).await?,
                What::Pause => client.pause(&profile).await?,
                What::Resume | What::Status => client.resume(&profile).await?,
            }]
        }
    };
    if args.json {
        term::print_json(&pools)?;
    } else {
        term::print(&table(&pools, term::colours()))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn profile(client: &Client, args: &PoolArgs) -> Result<String, Failure> {
    if let Some(profile) = &args.profile {
        return Ok(profile.clone());
    }
    let names: Vec<String> = client
        .pools()
        .await?
        .into_iter()
        .map(|pool| pool.profile)
        .collect();
    match names.as_slice() {
        [only] => Ok(only.clone()),
        names if names.iter().any(|name| name == "default") => Ok("default".into()),
        names => Err(
            Failure::usage(format!("which pool? there are {}", names.join(", ")))
                .hint("name one with -p PROFILE"),
        ),
    }
}

/// The pools as a table, with a line for each failure.
pub(super) fn table(pools: &[PoolView], colours: bool) -> String {
    let head = [
        "PROFILE",
        "WARM",
        "TARGET",
        "MIN-MAX",
        "CREATING",
        "CLAIMED",
        "QUEUED",
        "HITS",
        "CLAIM p50/p99",
        "STATE",
        "IMAGE",
    ];
    let mut table = Table::new(&head, &[10, 0]);
    for pool in pools {
        let (state, paint) = match pool {
            PoolView { draining: true, .. } => ("draining", Paint::Yellow),
            PoolView { paused: true, .. } => ("paused", Paint::Yellow),
            PoolView {
                last_failure: Some(failure),
                ..
            } if failure.retry_in_ms.is_some() => ("failing", Paint::Red),
            _ if pool.warm >= pool.target => ("full", Paint::Green),
            _ => ("filling", Paint::Cyan),
        };
        let all = pool.hits + pool.misses;
        let hits = (pool.hits * 100)
            .checked_div(all)
            .map_or("-".into(), |n| format!("{n}%"));
        let claims = match (pool.claim_p50_us, pool.claim_p99_us) {
            (Some(p50), Some(p99)) => format!("{}/{}", text::micros(p50), text::micros(p99)),
            _ => "-".into(),
        };
        table.row(vec![
            Cell::painted(&pool.profile, Paint::Bold),
            Cell::new(pool.warm.to_string()),
            Cell::new(pool.target.to_string()),
            Cell::new(format!("{}-{}", pool.min_warm, pool.max_warm)),
            Cell::new(pool.creating.to_string()),
            Cell::new(pool.claimed.to_string()),
            Cell::new(pool.queued.to_string()),
            Cell::new(hits),
            Cell::new(claims),
            Cell::painted(state, paint),
            Cell::new(&pool.image),
        ]);
    }
    let mut out = table.render(term::width(), colours);
    for pool in pools {
        let Some(failure) = &pool.last_failure else {
            continue;
        };
        let retry = failure.retry_in_ms.map_or(String::new(), |ms| {
            format!("; next try in {}", text::age(ms))
        });
        let line = format!(
            "{}: failed {} in a row, {} ago: {}{retry}",
            text::escape(&pool.profile),
            failure.in_a_row,
            text::age(text::now_ms().saturating_sub(failure.at_ms)),
            text::escape(&failure.reason),
        );
        out.push_str(&Paint::Yellow.on(colours, line));
        out.push('\n');
    }
    out
}
