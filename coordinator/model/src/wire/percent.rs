//! Names and paths in URLs: percent-encoding of any bytes (RFC 3986, section 2.1).
//!
//! Owns what is sent as it is, for both sides. Bytes need not be UTF-8 on either side.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What is encoded: everything but the unreserved characters (RFC 3986, section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Bytes as a segment of a path or a value in a query.
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, ENCODED).to_string()
}

/// The bytes of a segment of a path. A `%` without two hexadecimal digits stands for itself.
#[must_use]
pub fn decode(segment: &str) -> Vec<u8> {
    percent_decode_str(segment).collect()
}

/// The bytes of a value in a query, where `+` is a blank.
#[must_use]
pub fn decode_value(value: &str) -> Vec<u8> {
    decode(&value.replace('+', " "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_change_the_route_is_encoded() {
        assert_eq!(encode(b"../a b?x#\xff%"), "..%2Fa%20b%3Fx%23%FF%25");
        for byte in 0..=u8::MAX {
            let safe = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            let expected = if safe {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            };
            assert_eq!(encode(&[byte]), expected);
        }
    }

    #[test]
    fn what_is_no_escape_stands_for_itself() {
        assert_eq!(decode("a%2Fb%C3%A9%zz%4"), "a/bé%zz%4".as_bytes());
        assert_eq!(decode("%"), b"%");
        assert_eq!(decode("%%41%ff"), b"%A\xff");
        assert_eq!(decode("a+b"), b"a+b");
        assert_eq!(decode_value("a+b%2B100%"), b"a b+100%");
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn any_bytes_come_back(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let sent = encode(&bytes);
            prop_assert_eq!(&decode(&sent), &bytes);
            prop_assert_eq!(&decode_value(&sent), &bytes);
        }
    }
}
