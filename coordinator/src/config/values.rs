//! Texts of single values: what each means, or what is wrong with it and what would be right.
//!
//! Owns these rules. Never knows which key a value is of.

use crate::model::{VARIABLE_RULE, did_you_mean, is_variable_name};
use std::{net::SocketAddr, ops::RangeInclusive, path::PathBuf, time::Duration};

/// A value was refused: what is wrong with it, what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) wrong: String,
    pub(super) right: String,
}

fn refused<T>(wrong: impl Into<String>, right: impl Into<String>) -> Result<T, Refused> {
    Err(Refused {
        wrong: wrong.into(),
        right: right.into(),
    })
}

/// Text for a message: quoted, and short.
fn quoted(given: &str) -> String {
    let mut short: String = given.chars().take(60).collect();
    if short.len() < given.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// Any text.
pub(super) fn as_given(given: &str) -> Result<String, Refused> {
    Ok(given.to_owned())
}

/// Text that a process can get; `part` is what it is for the process.
pub(super) fn without_nul(given: &str, part: &str) -> Result<String, Refused> {
    if given.contains('\0') {
        return refused(format!("a NUL byte cannot be part of {part}"), "");
    }
    Ok(given.to_owned())
}

/// A program or one of its arguments.
pub(super) fn argument(given: &str) -> Result<String, Refused> {
    without_nul(given, "a command")
}

/// A duration as `humantime` writes it, within bounds; zero too when `or_zero`.
pub(super) fn duration(
    given: &str,
    bounds: RangeInclusive<Duration>,
    or_zero: bool,
) -> Result<Duration, Refused> {
    let (least, most) = (*bounds.start(), *bounds.end());
    let right = || {
        let zero = if or_zero { "0s (never), or " } else { "" };
        format!(
            "give {zero}a duration from {} to {}, such as \"90s\" or \"1h 30m\"",
            humantime::format_duration(least),
            humantime::format_duration(most)
        )
    };
    match humantime::parse_duration(given) {
        Ok(value) if bounds.contains(&value) || (or_zero && value.is_zero()) => Ok(value),
        Ok(value) if value > most => refused(format!("{} is too long", quoted(given)), right()),
        Ok(_) => refused(format!("{} is too short", quoted(given)), right()),
        Err(_) => refused(format!("{} is not a duration", quoted(given)), right()),
    }
}

/// A whole number within bounds.
pub(super) fn whole(given: &str, bounds: RangeInclusive<u32>) -> Result<u32, Refused> {
    match given.trim().parse::<u32>() {
        Ok(value) if bounds.contains(&value) => Ok(value),
        _ => refused(
            format!("{} is not possible", quoted(given)),
            format!(
                "give a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            ),
        ),
    }
}

/// Bytes from `64k`, `1m`, `1048576`, within bounds.
pub(super) fn size(given: &str, bounds: RangeInclusive<usize>) -> Result<usize, Refused> {
    let text = given.trim().to_ascii_lowercase();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: Option<usize> = match unit.trim() {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1 << 30),
        _ => None,
    };
    let value = number
        .parse::<usize>()
        .ok()
        .zip(scale)
        .and_then(|(n, scale)| n.checked_mul(scale));
    match value.filter(|value| bounds.contains(value)) {
        Some(value) => Ok(value),
        None => refused(
            format!("{} is not a possible size", quoted(given)),
            format!(
                "give a size from {}k to {}m, such as \"1m\"",
                bounds.start() >> 10,
                bounds.end() >> 20
            ),
        ),
    }
}

/// A limit by a parser of the model; `none` is no limit.
pub(super) fn limit<E: std::fmt::Display>(
    given: &str,
    parse: impl FnOnce(&str) -> Result<u64, E>,
) -> Result<Option<u64>, Refused> {
    if given.trim() == "none" {
        return Ok(None);
    }
    match parse(given) {
        Ok(value) => Ok(Some(value)),
        Err(error) => refused(error.to_string(), "or \"none\" for no limit"),
    }
}

/// One of some words.
pub(super) fn word<T: Copy>(given: &str, words: &[(&str, T)]) -> Result<T, Refused> {
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
        return Ok(*value);
    }
    let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let right = match did_you_mean(given, all.iter().copied()) {
        Some(meant) => format!("did you mean {meant:?}? Use {}", all.join(", ")),
        None => format!("use {}", all.join(", ")),
    };
    refused(format!("{} is unknown", quoted(given)), right)
}

/// true or false, as shells write it.
pub(super) fn truth(given: &str) -> Result<bool, Refused> {
    match given.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => refused(
            format!("{} is neither true nor false", quoted(given)),
            "use true or false",
        ),
    }
}

/// The engine's name of an OCI runtime, as its `runtimes` setting has it; `None` for "default".
pub(super) fn runtime(given: &str) -> Result<Option<String>, Refused> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if given == "default" {
        Ok(None)
    } else if (1..=128).contains(&given.len()) && given.bytes().all(good) {
        Ok(Some(given.to_owned()))
    } else {
        refused(
            format!("{given:?} is no name of a runtime"),
            "give a name that `docker info` lists under Runtimes, such as \"runsc\", or \"default\"",
        )
    }
}

/// An image reference: `[host[:port]/]path[:tag][@digest]` (the grammar of the distribution
/// project's `reference` package, without its finer points).
pub(super) fn image(given: &str) -> Result<String, Refused> {
    let (rest, digest) = match given.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (given, None),
    };
    let last = rest.rfind('/').map_or(0, |slash| slash + 1);
    let tag_at = rest
        .get(last..)
        .and_then(|name| name.find(':'))
        .map(|colon| last + colon);
    let (path, tag) = match tag_at {
        Some(at) => (rest.get(..at), rest.get(at + 1..)),
        None => (Some(rest), None),
    };
    let path = path.unwrap_or_default();
    let mut parts = path.split('/').peekable();
    let first_is_host = path.contains('/')
        && parts
            .peek()
            .is_some_and(|p| p.contains(['.', ':']) || *p == "localhost");
    let host_ok = !first_is_host
        || parts.next().is_some_and(|host| {
            let (name, port) = host.split_once(':').unwrap_or((host, "1"));
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
                && port.parse::<u16>().is_ok()
        });
    let part_ok = |part: &str| {
        let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        edge(part.bytes().next())
            && edge(part.bytes().last())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    let tag_ok = tag.is_none_or(|tag| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    });
    let digest_ok = digest.is_none_or(|digest| {
        digest.split_once(':').is_some_and(|(algorithm, hex)| {
            !algorithm.is_empty() && hex.len() >= 32 && hex.bytes().all(|b| b.is_ascii_hexdigit())
        })
    });
    if host_ok && tag_ok && digest_ok && path.len() <= 255 && parts.all(part_ok) {
        Ok(given.to_owned())
    } else {
        refused(
            format!("{} is not an image reference", quoted(given)),
            "give one such as \"podbay/worker:minimal\" or \"registry.example.com:5000/team/image@sha256:…\"",
        )
    }
}

/// An absolute path without `..`.
pub(super) fn absolute(given: &str) -> Result<PathBuf, Refused> {
    let path = PathBuf::from(given);
    let climbs = path
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    if path.is_absolute() && !climbs && !given.contains('\0') {
        Ok(path)
    } else {
        refused(
            format!("{} is not an absolute path", quoted(given)),
            "give a path that starts with / and has no .. in it",
        )
    }
}

/// An IP address and a port.
pub(super) fn address(given: &str) -> Result<SocketAddr, Refused> {
    match given.trim().parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => refused(
            format!("{given:?} is no address with a port"),
            "give an IP address and a port, such as \"0.0.0.0:7777\" or \"[::1]:7777\"",
        ),
    }
}

/// A host's name.
pub(super) fn host(given: &str) -> Result<String, Refused> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
    if (1..=253).contains(&given.len()) && given.bytes().all(plain) {
        return Ok(given.to_ascii_lowercase());
    }
    let short: String = given.chars().take(60).collect();
    refused(
        format!("{short:?} is no host name"),
        "give the name alone, such as \"bay.example\"",
    )
}

/// The origin of web pages.
pub(super) fn origin(given: &str) -> Result<String, Refused> {
    let mut rests = ["https://", "http://"]
        .into_iter()
        .filter_map(|scheme| given.strip_prefix(scheme));
    if rests.any(|rest| host(rest).is_ok()) && !given.bytes().any(|b| b.is_ascii_uppercase()) {
        return Ok(given.to_owned());
    }
    let short: String = given.chars().take(60).collect();
    refused(
        format!("{short:?} is no origin"),
        "give scheme and host in small letters, such as \"https://bay.example\"",
    )
}

/// A log filter: a level, or `module=level`, separated by commas.
pub(super) fn log_filter(given: &str) -> Result<String, Refused> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    const RIGHT: &str = "give a level (off, error, warn, info, debug, trace) or module=level, \
                         separated by commas, such as \"info,coordinator=debug\"";
    for directive in given.split(',') {
        // The filter's own parser takes a mistyped level for the name of a module.
        let directive = directive.trim();
        let level = match directive.rsplit_once('=') {
            Some((_, level)) => level,
            None => directive,
        };
        let folded = level.trim().to_ascii_lowercase();
        if !LEVELS.contains(&folded.as_str()) {
            let right = match did_you_mean(&folded, LEVELS) {
                Some(meant) => format!("did you mean {meant:?}? {RIGHT}"),
                None => RIGHT.to_owned(),
            };
            return refused(format!("{} is not a log level", quoted(level)), right);
        }
    }
    match tracing_subscriber::EnvFilter::try_new(given) {
        Ok(_) => Ok(given.to_owned()),
        Err(error) => refused(format!("{}: {error}", quoted(given)), RIGHT),
    }
}

/// Why detach keys were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key:?} is not a key; use a single character, ctrl- and one of a-z @ [ \\ ] ^ _, or DEL, separated by commas, such as \"ctrl-p,ctrl-q\""
)]
pub struct DetachKeysError {
    /// The part that is not a key.
    pub key: String,
}

/// The bytes of a key sequence written as for Docker's `--detach-keys`: `ctrl-p,ctrl-q`,
/// `ctrl-\`, `a,b`, `DEL`.
///
/// # Errors
/// [`DetachKeysError`] names the part that is not a key.
pub fn parse_detach_keys(given: &str) -> Result<Vec<u8>, DetachKeysError> {
    given
        .split(',')
        .map(|key| {
            let error = || DetachKeysError {
                key: key.chars().take(60).collect(),
            };
            let control = key
                .get(..5)
                .filter(|start| start.eq_ignore_ascii_case("ctrl-"))
                .and_then(|_| key.get(5..));
            match (control.unwrap_or(key).as_bytes(), control.is_some()) {
                ([letter], true) if letter.is_ascii_alphabetic() => Ok(letter & 0x1f),
                ([sign], true) if b"@[\\]^_".contains(sign) => Ok(sign & 0x1f),
                ([byte], false) if byte.is_ascii() => Ok(*byte),
                (b"DEL", false) => Ok(0x7f),
                _ => Err(error()),
            }
        })
        .collect()
}

/// A key sequence that is fit for detaching.
pub(super) fn detach_keys(given: &str) -> Result<String, Refused> {
    match parse_detach_keys(given) {
        Ok(bytes) => match bytes.as_slice() {
            [one] if (0x20..0x7f).contains(one) => refused(
                format!("{} would detach whenever it is typed", quoted(given)),
                "begin with a control key, such as \"ctrl-p,ctrl-q\"",
            ),
            _ => Ok(given.to_owned()),
        },
        Err(error) => refused(error.to_string(), ""),
    }
}

/// Most keys of a sequence that gives the keys back to the dashboard.
const MAX_LEAVE_KEYS: usize = 4;

/// A key sequence that is fit for giving the keys back to the dashboard.
pub(super) fn leave_keys(given: &str) -> Result<String, Refused> {
    let right = "begin with a control key, such as \"ctrl-q\" or \"ctrl-b,d\"";
    match parse_detach_keys(given) {
        Ok(bytes) if bytes.len() > MAX_LEAVE_KEYS => refused(
            format!("{} are more than {MAX_LEAVE_KEYS} keys", quoted(given)),
            right,
        ),
        Ok(bytes) => match bytes.first() {
            Some(0x1b) => refused(format!("{} begins as other keys do", quoted(given)), right),
            Some(0..0x20) => Ok(given.to_owned()),
            _ => refused(format!("{} would be typed", quoted(given)), right),
        },
        Err(error) => refused(error.to_string(), ""),
    }
}

/// An environment variable's name.
pub(super) fn variable(name: &str) -> Result<(), Refused> {
    if is_variable_name(name) {
        Ok(())
    } else {
        refused(
            format!("{} is not a variable's name", quoted(name)),
            VARIABLE_RULE,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn detach_keys_are_read_as_docker_reads_them() {
        for (given, bytes) in [
            ("ctrl-p,ctrl-q", &[16, 17][..]),
            ("ctrl-\\", &[28]),
            ("ctrl-@", &[0]),
            ("ctrl-[", &[27]),
            ("ctrl-_", &[31]),
            ("ctrl-^,x", &[30, b'x']),
            ("DEL", &[127]),
            ("a", b"a"),
        ] {
            assert_eq!(parse_detach_keys(given).unwrap(), bytes, "{given}");
        }
        for bad in [
            "", "ctrl-", "ctrl-1", "ctrl-pq", "alt-x", "ctrl-p,", "é", "ctrl-é",
        ] {
            assert!(parse_detach_keys(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn image_references_are_told_from_typing_errors() {
        for good in [
            "bash",
            "podbay/worker:minimal",
            "localhost:5000/a/b:1.0",
            "registry.example.com/x@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "localhost/x",
        ] {
            assert!(image(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "Worker",
            "a b",
            "a:",
            ":tag",
            "a//b",
            "/a",
            "a/",
            "-x",
            "a:b:c",
            "a@sha256:1",
            "host:port/x",
            "a\n",
        ] {
            assert!(image(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_mistyped_log_level_is_not_taken_for_a_module() {
        for good in [
            "info",
            "WARN",
            "info,coordinator=debug",
            "off",
            "bollard::docker=trace",
        ] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        assert!(log_filter("inof").unwrap_err().right.contains("\"info\""));
        for bad in ["", "info,", "coordinator=", "coordinator=loud", "a b"] {
            assert!(log_filter(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            for refused in [
                image(&text).err(),
                runtime(&text).err(),
                detach_keys(&text).err(),
                leave_keys(&text).err(),
                log_filter(&text).err(),
                absolute(&text).err(),
                size(&text, 1..=9).err(),
                whole(&text, 1..=9).err(),
                truth(&text).err(),
                variable(&text).err(),
            ] {
                prop_assert!(refused.is_none_or(|r| !r.wrong.is_empty()));
            }
        }
    }
}
