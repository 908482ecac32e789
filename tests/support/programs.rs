//! Programs that sessions run.
//!
//! None of them reads with a limit of time from where somebody types: bash keeps what it had read
//! when the time is over only as a line of its own, so that a line typed at that moment arrives
//! without its beginning. They wait on a pipe that nobody writes to, and read what is there.

/// Counts, a number a line, some 100 lines a second, and says what is typed in capitals. For bash.
pub const COUNTER: &str = "exec 3<> <(:); n=0; while :; do n=$((n+1)); echo \"n=$n\"; \
    read -t 0.01 -u 3; if read -t 0; then read -r line; echo \"TYPED ${line^^}\"; fi; done";

/// Says what is typed in capitals, and nothing unless asked. For bash.
pub const ANSWERING: &str =
    "stty -echo; echo ready; while read -r line; do echo \"TYPED ${line^^}\"; done";

/// Counts as well, and writes more than any buffer on the way holds: 2 kB with each number, and
/// what was typed last. Who is sent the screen as it is now, and not all that was, misses no answer.
/// For bash.
pub const BUSY: &str = "stty -echo; exec 3<> <(:); n=0; word=; while :; do n=$((n+1)); \
    printf 'n=%d\\nTYPED %s\\n%02000d\\n' $n \"${word^^}\" 0; \
    read -t 0.005 -u 3; if read -t 0; then read -r word; fi; done";

/// The numbers that a program printed, in the order of its output.
#[must_use]
pub fn numbers(output: &str) -> Vec<u64> {
    let lines = output.lines().map(|line| line.trim_end_matches('\r'));
    lines
        .filter_map(|line| line.strip_prefix("n=")?.parse().ok())
        .collect()
}
