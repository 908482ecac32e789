//! Query strings of calls.

use crate::wire::percent::encode;

/// A query string being built; empty until the first pair.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(String);

impl Query {
    /// Adds `key=value`.
    pub(super) fn pair(mut self, key: &str, value: &[u8]) -> Self {
        self.0.push(if self.0.is_empty() { '?' } else { '&' });
        self.0.push_str(key);
        self.0.push('=');
        self.0.push_str(&encode(value));
        self
    }

    /// Adds `key=value` when there is a value.
    pub(super) fn maybe(self, key: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.pair(key, value.to_string().as_bytes()),
            None => self,
        }
    }

    /// The string, with its `?` when it is not empty.
    pub(super) fn done(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_encoded_and_missing_ones_left_out() {
        assert_eq!(Query::default().done(), "");
        let query = Query::default()
            .pair("a", b"1&2")
            .maybe("b", Some(3))
            .maybe("c", None::<u8>);
        assert_eq!(query.done(), "?a=1%262&b=3");
    }
}
