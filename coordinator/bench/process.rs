//! What `/proc` says of a process and of the machine.

use std::fs;

/// Load average over one minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next().unwrap_or_default();
    first.parse().unwrap_or_default()
}

/// Kernel release.
pub fn kernel() -> String {
    let text = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    text.trim().to_owned()
}

/// Resident memory in megabytes (of 1,000,000 bytes).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Resident {
    /// All of it.
    pub total: f64,
    /// Of its own.
    pub anon: f64,
    /// Of files, the program's code for most of it: shared by all who run the same file.
    pub file: f64,
}

/// Resident memory of a process; `None` when it is gone.
pub fn resident(pid: i32) -> Option<Resident> {
    parse_status(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn parse_status(text: &str) -> Option<Resident> {
    let field = |name: &str| -> Option<f64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = line
            .trim_start_matches(':')
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()?;
        Some(kib * 1024.0 / 1e6)
    };
    Some(Resident {
        total: field("VmRSS")?,
        anon: field("RssAnon")?,
        file: field("RssFile")?,
    })
}

/// Fields of `/proc/PID/stat` after the name: index 0 is the state.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after) = text.rsplit_once(") ")?;
    Some(after.split(' ').map(str::to_owned).collect())
}

/// Processor time a process has used, its ended threads included, in seconds.
pub fn cpu_seconds(pid: i32) -> Option<f64> {
    let fields = stat(pid)?;
    let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
    // utime and stime, fields 14 and 15 of proc(5).
    let per_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()??;
    Some((ticks(11)? + ticks(12)?) / per_second as f64)
}

/// The child of `parent` that runs with `argument` among its arguments.
pub fn child_with_argument(parent: i32, argument: &str) -> Option<i32> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let is_child = stat(*pid)
            .and_then(|fields| fields.get(1)?.parse::<i32>().ok())
            .is_some_and(|ppid| ppid == parent);
        is_child
            && fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                line.split(|b| *b == 0)
                    .any(|word| word == argument.as_bytes())
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_megabytes() {
        let text = "Name:\tx\nVmRSS:\t    2000 kB\nRssAnon:\t     500 kB\nRssFile:\t    1500 kB\n";
        let found = parse_status(text).unwrap();
        assert_eq!((found.total, found.anon, found.file), (2.048, 0.512, 1.536));
        assert!(parse_status("Name:\tkthread\n").is_none());
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(resident(own).unwrap().total > 0.5 && cpu_seconds(own).is_some());
    }
}
