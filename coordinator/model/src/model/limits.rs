//! Resource limits of a worker. Owns their written forms and bounds. Never applies one.

use serde::{Deserialize, Serialize};

/// Limits of one worker; `None` means unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory (swap included: none is given on top).
    pub memory_bytes: Option<u64>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<u64>,
    /// Processes and threads.
    pub pids: Option<u64>,
}

impl Default for Limits {
    /// 4 GiB, 2 CPUs, 512 processes.
    fn default() -> Self {
        Self {
            memory_bytes: Some(4 << 30),
            nano_cpus: Some(2_000_000_000),
            pids: Some(512),
        }
    }
}

impl Limits {
    /// No limits at all.
    pub const NONE: Self = Self {
        memory_bytes: None,
        nano_cpus: None,
        pids: None,
    };
}

/// Why a limit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {what} {given:?}: {right}")]
pub struct LimitError {
    what: &'static str,
    given: String,
    right: &'static str,
}

/// The engine's own lower bound for a container's memory (6 MiB, Docker Engine API).
const MIN_MEMORY: u64 = 6 << 20;
/// More than any machine has; an absurd value is a typing error.
const MAX_BYTES: u64 = 1 << 50;
/// Least size of `/dev/shm`.
const MIN_SHM: u64 = 64 << 10;
/// The recordings of a worker alone may take five times this.
const MIN_DISK: u64 = 16 << 20;

/// Bytes from `512m`, `4g`, `1.5GiB`, `1073741824`; the suffixes are powers of 1024 as in Docker.
///
/// # Errors
/// [`LimitError`] for what is not a size between 6 MiB and 1 PiB.
pub fn parse_bytes(given: &str) -> Result<u64, LimitError> {
    let right = "give a size from 6m to 1024t, such as 512m, 4g or 1.5g";
    bytes("memory limit", given, MIN_MEMORY, right)
}

/// Bytes that a worker may keep on the state volume, written as in [`parse_bytes`].
///
/// # Errors
/// [`LimitError`] for what is not a size between 16 MiB and 1 PiB.
pub fn parse_disk(given: &str) -> Result<u64, LimitError> {
    let right = "give a size from 16m to 1024t, such as 512m, 10g or 1.5g";
    bytes("disk limit", given, MIN_DISK, right)
}

/// Bytes of `/dev/shm`, written as in [`parse_bytes`].
///
/// # Errors
/// [`LimitError`] for what is not a size between 64 KiB and 1 PiB.
pub fn parse_shm(given: &str) -> Result<u64, LimitError> {
    let right = "give a size from 64k to 1024t, such as 256m or 1g";
    bytes("size of /dev/shm", given, MIN_SHM, right)
}

fn bytes(
    what: &'static str,
    given: &str,
    least: u64,
    right: &'static str,
) -> Result<u64, LimitError> {
    let error = || LimitError {
        what,
        given: given.to_owned(),
        right,
    };
    let text = given.trim().to_ascii_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit.trim() {
        "" | "b" => 1u64,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return Err(error()),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(scale).ok_or_else(error)?,
        Err(_) => {
            let value = number.parse::<f64>().map_err(|_| error())? * scale as f64;
            if !(0.0..=MAX_BYTES as f64).contains(&value) {
                return Err(error());
            }
            value as u64
        }
    };
    if (least..=MAX_BYTES).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(error())
    }
}

/// Billionths of a CPU from `2`, `0.5`.
///
/// # Errors
/// [`LimitError`] for what is not a number between 0.01 and 1024.
pub fn parse_cpus(given: &str) -> Result<u64, LimitError> {
    let value = given
        .trim()
        .parse::<f64>()
        .ok()
        .filter(|v| (0.01..=1024.0).contains(v));
    match value {
        Some(value) => Ok((value * 1e9).round() as u64),
        None => Err(LimitError {
            what: "CPU limit",
            given: given.to_owned(),
            right: "give a number of CPUs from 0.01 to 1024, such as 2 or 0.5",
        }),
    }
}

/// A number of processes.
///
/// # Errors
/// [`LimitError`] for what is not a whole number between 4 and 4194304 (the kernel's `PID_MAX_LIMIT`).
pub fn parse_pids(given: &str) -> Result<u64, LimitError> {
    given
        .trim()
        .parse::<u64>()
        .ok()
        .filter(|v| (4..=4_194_304).contains(v))
        .ok_or(LimitError {
            what: "process limit",
            given: given.to_owned(),
            right: "give a whole number from 4 to 4194304, such as 512",
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_docker_writes_them() {
        assert_eq!(parse_bytes("4g").unwrap(), 4 << 30);
        assert_eq!(parse_bytes("1.5G").unwrap(), 3 << 29);
        assert_eq!(parse_bytes("512MiB").unwrap(), 512 << 20);
        assert_eq!(parse_bytes("10485760").unwrap(), 10 << 20);
    }

    #[test]
    fn a_disk_limit_is_a_size_and_says_that_it_is_a_disk_limit() {
        assert_eq!(parse_disk("16m").unwrap(), 16 << 20);
        assert_eq!(parse_disk("1.5t").unwrap(), 3 << 39);
        for bad in ["0", "15m", "1025t", "-1g", "lots", ""] {
            let said = parse_disk(bad).unwrap_err().to_string();
            assert!(said.starts_with("invalid disk limit"), "{said}");
        }
    }

    #[test]
    fn zero_negative_absurd_and_words_are_refused_with_what_is_right() {
        for bad in [
            "0",
            "-1g",
            "1k",
            "99999999t",
            "lots",
            "",
            "1e300",
            "nan",
            "4gg",
            "18446744073709551615g",
        ] {
            assert!(
                parse_bytes(bad)
                    .unwrap_err()
                    .to_string()
                    .contains("such as"),
                "{bad}"
            );
        }
        for bad in ["0", "-2", "1e9", "two", "nan", "inf", ""] {
            assert!(parse_cpus(bad).is_err(), "{bad}");
        }
        for bad in ["0", "-1", "1.5", "many", "99999999999", ""] {
            assert!(parse_pids(bad).is_err(), "{bad}");
        }
    }
}
