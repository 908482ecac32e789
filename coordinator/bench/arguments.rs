//! The command line.

use clap::{Parser, Subcommand, ValueEnum};
use coordinator::cli::Globals;
use std::path::PathBuf;

/// Measures what Podbay promises: claims, spawns, attach, memory.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "podbay-bench",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
pub struct BenchArgs {
    #[command(flatten)]
    pub globals: Globals,
    /// What to measure [default: all].
    #[arg(value_name = "WHAT", value_enum)]
    pub what: Vec<What>,
    /// Warm claims to measure in each mode.
    #[arg(short = 'c', long, default_value_t = 200, value_name = "N")]
    pub count: u32,
    /// Fewer rounds and shorter waits, for a first look.
    #[arg(long)]
    pub quick: bool,
    /// The profile whose pool is measured [default: the only one, or the one named default].
    #[arg(short, long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Print JSON, with every sample.
    #[arg(long)]
    pub json: bool,
    #[command(subcommand)]
    pub then: Option<Then>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum Then {
    /// Prints the JSON of an earlier run as a table.
    Table {
        /// The file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// As a page of Markdown.
        #[arg(long)]
        page: bool,
    },
}

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// All of them.
    All,
    /// A coordinator without workers: exec to answer.
    Ready,
    /// Warm claims with a project, against fork and exec, docker run and docker exec.
    Claim,
    /// Cold spawns, against the engine's create and start.
    Cold,
    /// Refilling the pool, against the engine's best rate.
    Refill,
    /// Attached sessions, against tmux.
    Attach,
    /// The dashboard with 32 workers: start, keys while some flood, rest.
    Dashboard,
    /// A killed coordinator: until 32 workers are there again.
    Adopt,
    /// Memory and processor time of 32 idle workers.
    Idle,
    /// How cost grows up to 200 attached workers.
    Scale,
}

/// All of them, in the order in which they are measured.
pub const GROUPS: [What; 9] = [
    What::Ready,
    What::Claim,
    What::Cold,
    What::Refill,
    What::Attach,
    What::Dashboard,
    What::Adopt,
    What::Idle,
    What::Scale,
];

impl What {
    /// The word for it on the command line.
    pub fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::{BenchArgs, What};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        BenchArgs::command().debug_assert();
        let parse = |words: &[&str]| {
            BenchArgs::try_parse_from(["podbay-bench"].iter().chain(words)).unwrap()
        };
        let args = parse(&["--parent", "p", "claim", "cold", "--json", "-c", "8"]);
        assert_eq!((args.count, args.json), (8, true));
        assert!(args.then.is_none() && args.what == [What::Claim, What::Cold]);
        assert!(parse(&["table", "bench.json"]).then.is_some());
    }
}
