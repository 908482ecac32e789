//! `podbay upgrade`.

use crate::cli::{Failure, Globals, output::term};
use clap::Args;
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

/// `podbay upgrade`.
#[derive(Debug, Clone, Args)]
pub struct UpgradeArgs {
    /// The parent image whose version is put in force. Workers, sessions and the network they share
    /// are not touched; clients attach again by themselves.
    #[arg(
        value_name = "IMAGE",
        env = "PODBAY_IMAGE",
        default_value = "podbay/parent:latest"
    )]
    image: String,
}

/// The new coordinator answers by then, or the former one does again.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

pub(in crate::cli) async fn run(
    globals: &Globals,
    args: &UpgradeArgs,
) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let began = Instant::now();
    let upgraded = client.upgrade(&args.image).await?;
    if !upgraded.changed {
        term::note(&format!("{} is in force already", upgraded.binary));
        return Ok(ExitCode::SUCCESS);
    }
    let mut last = String::new();
    while began.elapsed() < PATIENCE {
        match client.status().await {
            Ok(status) if status.binary == upgraded.binary => {
                term::note(&format!(
                    "{} {} is in force after {:.1} s",
                    upgraded.binary,
                    status.version.version,
                    began.elapsed().as_secs_f64()
                ));
                return Ok(ExitCode::SUCCESS);
            }
            Ok(status) => last = format!("{} runs", status.binary),
            Err(error) => last = error.to_string(),
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::new(
        1,
        format!("{} did not come up in {PATIENCE:?}: {last}", upgraded.binary),
    )
    .hint("a version that does not come up three times is given up by itself; see `docker logs` of the parent"))
}
