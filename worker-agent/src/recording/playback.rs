//! Reading a recording back: the other side of `recorder`.
//!
//! Pure parsing of lines; knows which event codes carry output and how. Opens no files.

use super::recorder::{KEEP, file_name};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::path::{Path, PathBuf};

/// The oldest rotation that is kept; 0 is the file being written.
pub const OLDEST: u32 = KEEP;

/// Where a session's recording is; `rotation` counts back from 0, the newest.
#[must_use]
pub fn path(folder: &Path, session: &str, rotation: u32) -> PathBuf {
    let newest = folder.join(file_name(session));
    if rotation == 0 {
        newest
    } else {
        newest.with_extension(format!("{rotation}.cast"))
    }
}

/// Unix seconds of the session's start, from a recording's first line.
#[must_use]
pub fn parse_header(line: &str) -> Option<f64> {
    let header: serde_json::Value = serde_json::from_str(line).ok()?;
    header.get("timestamp")?.as_f64()
}

/// Seconds since the start and the bytes of an output event (stdout, stderr or terminal), or a
/// line in brackets that says where output is missing; `None` for every other line.
#[must_use]
pub fn parse_output(line: &[u8]) -> Option<(f64, Vec<u8>)> {
    if line.first() != Some(&b'[') {
        return None;
    }
    let (at, code, data): (f64, String, String) = serde_json::from_slice(line).ok()?;
    match code.as_str() {
        "o" | "e" => Some((at, data.into_bytes())),
        "b" | "d" => Some((at, STANDARD.decode(data).ok()?)),
        "m" => Some((at, format!("\r\n[podbay: {data}]\r\n").into_bytes())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_lines_give_their_bytes_and_others_nothing() {
        assert_eq!(
            parse_output(b"[1.5,\"o\",\"a\\u001b[m\"]\n"),
            Some((1.5, b"a\x1b[m".to_vec()))
        );
        assert_eq!(
            parse_output(b"[2,\"b\",\"/w==\"]\n"),
            Some((2.0, vec![0xff]))
        );
        assert_eq!(
            parse_output(b"[2,\"m\",\"recording stopped\"]\n"),
            Some((2.0, b"\r\n[podbay: recording stopped]\r\n".to_vec()))
        );
        assert_eq!(parse_output(b"[2,\"r\",\"80x24\"]\n"), None);
        assert_eq!(parse_output(b"{\"version\":2}\n"), None);
        assert_eq!(parse_output(b"[1,\"o\"\n"), None);
    }

    #[test]
    fn rotations_are_numbered_before_the_ending() {
        let folder = Path::new("/log");
        assert_eq!(path(folder, "s", 0), Path::new("/log/s.cast"));
        assert_eq!(path(folder, "s", 2), Path::new("/log/s.2.cast"));
    }
}
