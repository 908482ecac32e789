//! Keys that the coordinator reads at its start alone.
//!
//! Owns the list. A key whose value is used where it is needed must not be in it, one that something
//! is built of at the start must: a reload says of these that they are not in effect yet.

use super::sections::{Config, TcpConfig};

/// A key, and whether it differs between two configurations.
type Key = (&'static str, fn(&Config, &Config) -> bool);

/// One key of `[api]` that opens the port.
fn tcp<T: PartialEq>(a: &Config, b: &Config, key: impl Fn(&TcpConfig) -> T) -> bool {
    a.api.tcp.as_ref().map(&key) != b.api.tcp.as_ref().map(&key)
}

const AT_START: [Key; 13] = [
    ("log.level", |a, b| a.log.level != b.log.level),
    ("log.format", |a, b| a.log.format != b.log.format),
    ("log.keep_files", |a, b| {
        a.log.keep_files != b.log.keep_files
    }),
    ("engine.timeout", |a, b| {
        a.engine.timeout != b.engine.timeout
    }),
    ("engine.create_timeout", |a, b| {
        a.engine.create_timeout != b.engine.create_timeout
    }),
    ("api.listen", |a, b| tcp(a, b, |tcp| tcp.listen)),
    ("api.tls_cert", |a, b| tcp(a, b, |tcp| tcp.cert.clone())),
    ("api.tls_key", |a, b| tcp(a, b, |tcp| tcp.key.clone())),
    ("api.token_file", |a, b| {
        tcp(a, b, |tcp| tcp.token_file.clone())
    }),
    ("api.hosts", |a, b| tcp(a, b, |tcp| tcp.hosts.clone())),
    ("api.origins", |a, b| tcp(a, b, |tcp| tcp.origins.clone())),
    ("pool.skip_image_pull", |a, b| {
        a.pool.skip_image_pull != b.pool.skip_image_pull
    }),
    ("pool.lazy_image_pull", |a, b| {
        a.pool.lazy_image_pull != b.pool.lazy_image_pull
    }),
];

/// What is not in effect of a configuration that was taken by a coordinator that was started with
/// another one, in words; `None` when all of it is.
#[must_use]
pub fn not_in_effect(started_with: &Config, taken: &Config) -> Option<String> {
    let differ = AT_START
        .iter()
        .filter(|(_, differs)| differs(started_with, taken));
    let keys: Vec<&str> = differ.map(|(key, _)| *key).collect();
    (!keys.is_empty()).then(|| {
        let keys = keys.join(", ");
        format!("in effect after the coordinator's next start: {keys}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn keys_that_wait_for_a_start_are_named_and_no_others() {
        let of = |text: &str| parse("x".as_ref(), text).unwrap();
        let started_with = of("");
        assert_eq!(not_in_effect(&started_with, &started_with), None);
        let live = of("[engine]\nmax_parallel = 3\nrelist_interval = \"2s\"\n\
                       [workspace]\nhot_mounts = false\n[api]\nmax_body = \"2m\"\n\
                       [profiles.default]\nmin_warm = 0\n");
        assert_eq!(not_in_effect(&started_with, &live), None);
        let waits = of("[log]\nlevel = \"debug\"\n[engine]\ntimeout = \"3s\"\n\
                        [pool]\nlazy_image_pull = true\n");
        assert_eq!(
            not_in_effect(&started_with, &waits).unwrap(),
            "in effect after the coordinator's next start: log.level, engine.timeout, \
             pool.lazy_image_pull"
        );
        // Once it is back to what it was, there is nothing to wait for.
        assert_eq!(not_in_effect(&waits, &waits), None);
    }
}
