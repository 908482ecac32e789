//! What is fuzzed: everything that reads bytes somebody else wrote. Each function takes any bytes
//! and checks that reading them ends, stays within bounds, and keeps its promise.
//!
//! Part of two crates: the fuzz targets beside this file, and the tests, which run each on its
//! corpus and on random bytes.

use coordinator::{
    config,
    model::{
        HostPath, ProfileName, WorkerId, WorkerName, is_variable_name, keys, parse_bytes,
        parse_cpus, parse_pids,
    },
    runtime::Listed,
    wire,
};
use podbay_mounter::{
    MounterRequest, MounterResponse,
    policy::{self, Rules},
};
use podbay_protocol::{
    AttachDecoder, AttachPiece, ClientMessage, FrameDecoder, FromAgent, Hello, MAX_FRAME,
    SessionMessage, ToAgent, Welcome,
};
use std::{
    io::Cursor,
    path::{Path, PathBuf},
};
use worker_agent::{
    hygiene::{OutputFilter, escape_for_log},
    playback,
    screen::{Screen, ScreenOptions},
};

/// Takes any bytes.
type Target = fn(&[u8]);

/// A target and its name, which is its corpus's, too.
pub const ALL: [(&str, Target); 9] = [
    ("frame", frame),
    ("attach", attach),
    ("restore", restore),
    ("config", config_file),
    ("names", names),
    ("argv", argv),
    ("engine", engine),
    ("terminal", terminal),
    ("messages", messages),
];

/// The first byte says how the rest is cut into pieces.
fn pieces(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (size, rest) = data.split_first().map_or((1, data), |(n, rest)| (*n, rest));
    rest.chunks(usize::from(size).max(1))
}

/// The frame decoder, at any cut.
pub fn frame(data: &[u8]) {
    let mut decoder = FrameDecoder::new();
    let mut whole = FrameDecoder::new();
    let mut seen = Vec::new();
    'pieces: for piece in pieces(data) {
        decoder.push(piece);
        loop {
            match decoder.next_frame::<serde_json::Value>() {
                Ok(Some(value)) => seen.push(value),
                Ok(None) => break,
                Err(_) => break 'pieces,
            }
        }
    }
    whole.push(data.get(1..).unwrap_or_default());
    let mut again = Vec::new();
    while let Ok(Some(value)) = whole.next_frame::<serde_json::Value>() {
        again.push(value);
    }
    assert_eq!(seen, again, "frames depend on where the stream was cut");
    for value in seen {
        assert!(value.to_string().len() <= 8 * MAX_FRAME);
    }
}

/// The decoder of a client's own connection to its session, at any cut: nothing is lost, doubled or
/// held beyond a message, and what is left over is what was not handed out.
pub fn attach(data: &[u8]) {
    const MAX: usize = 200;
    let mut decoder = AttachDecoder::new(MAX);
    let mut whole = AttachDecoder::new(MAX);
    let wire = data.get(1..).unwrap_or_default();
    let (mut seen, mut again) = (Vec::new(), Vec::new());
    let mut failed = None;
    for piece in pieces(data) {
        decoder.push(piece);
        failed = attach_pieces(&mut decoder, &mut seen).err();
        if failed.is_some() {
            break;
        }
    }
    whole.push(wire);
    assert_eq!(failed, attach_pieces(&mut whole, &mut again).err());
    assert_eq!(seen, again, "frames depend on where the stream was cut");
    let rest = whole.into_rest();
    assert!(wire.ends_with(&rest));
    assert!(failed.is_some() || rest.len() < MAX + 5, "{}", rest.len());
    for (kind, bytes) in seen {
        if kind == 0 {
            assert!(bytes.len() <= MAX);
            messages(&bytes);
        }
    }
}

/// Messages one by one; output joined with what came before of its kind.
fn attach_pieces(
    decoder: &mut AttachDecoder,
    seen: &mut Vec<(u8, Vec<u8>)>,
) -> Result<(), podbay_protocol::AttachFrameError> {
    while let Some(piece) = decoder.next_piece()? {
        let (kind, bytes) = match piece {
            AttachPiece::Message(bytes) => (0, bytes),
            AttachPiece::Main(bytes) => (1, bytes),
            AttachPiece::Error(bytes) => (2, bytes),
        };
        match seen.last_mut() {
            Some((last, joined)) if *last == kind && kind != 0 => joined.extend(bytes),
            _ => seen.push((kind, bytes.to_vec())),
        }
    }
    Ok(())
}

/// Every message of the protocols: what is read can be written and read again.
pub fn messages(data: &[u8]) {
    macro_rules! round {
        ($($message:ty),* $(,)?) => {$(
            if let Ok(message) = serde_json::from_slice::<$message>(data) {
                let text = serde_json::to_vec(&message).expect("what was read can be written");
                serde_json::from_slice::<$message>(&text).expect("and read again");
            }
        )*};
    }
    round!(
        Hello,
        Welcome,
        ToAgent,
        FromAgent,
        ClientMessage,
        SessionMessage,
        MounterRequest,
        MounterResponse,
        wire::SpawnRequest,
        wire::ExecRequest,
        wire::ClientMessage,
        wire::WorkerView,
        wire::ApiEvent,
        wire::ApplyRequest,
        wire::DiscardRequest,
    );
}

/// The screen model and its restore blob, which any client is fed with.
pub fn restore(data: &[u8]) {
    let (cols, rows) = match data {
        [c, r, ..] => (u16::from(*c % 120).max(2), u16::from(*r % 60).max(1)),
        _ => (80, 24),
    };
    let options = || ScreenOptions { scrollback: 50 };
    let mut screen = Screen::new(cols, rows, options());
    for piece in pieces(data.get(2..).unwrap_or_default()) {
        screen.process(piece);
    }
    let blob = screen.restore();
    let mut copy = Screen::new(cols, rows, options());
    copy.process(&blob);
    assert_eq!(screen.text().len(), copy.text().len());
    screen.resize(rows.max(2), cols);
    screen.process(&blob);
    assert!(screen.text().len() <= usize::from(cols));
    copy.process(data);
}

/// A configuration file: refused with its place, or the same again once written out.
pub fn config_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match config::parse(Path::new("podbay.toml"), text) {
        Ok(read) => {
            let written = config::to_toml(&read);
            let again = config::parse(Path::new("podbay.toml"), &written);
            assert_eq!(read, again.expect("what is written out loads"));
        }
        Err(errors) => {
            let said = errors.to_string();
            assert!(said.starts_with("podbay.toml"), "{said}");
        }
    }
}

/// Names, limits, keys and paths.
pub fn names(data: &[u8]) {
    let path = PathBuf::from(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(data));
    let rules = Rules::default();
    if policy::check(&path, &rules).is_ok() {
        assert!(path.is_absolute() && path != Path::new("/"), "{path:?}");
        let climbs = path
            .components()
            .any(|c| c == std::path::Component::ParentDir);
        assert!(!climbs, "{path:?}");
    }
    drop(policy::homes_of(data));
    let host = HostPath::new(&path);
    let json = serde_json::to_string(&host).expect("a path can be written");
    assert_eq!(host, serde_json::from_str(&json).expect("and read"));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    for ok in [
        WorkerName::new(text).is_ok(),
        ProfileName::new(text).is_ok(),
        WorkerId::new(text).is_ok(),
        is_variable_name(text),
    ] {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        assert!(!ok || (text.bytes().all(plain) && !text.starts_with('.') && text.len() <= 200));
    }
    let limits = [parse_bytes(text), parse_cpus(text), parse_pids(text)];
    assert!(limits.iter().flatten().all(|limit| *limit > 0));
    if let Ok(sequence) = keys::parse_sequence(text) {
        let label = keys::label(&sequence);
        assert!(!label.is_empty());
    }
    drop(config::parse_detach_keys(text));
}

/// The command line: one argument a line.
pub fn argv(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let words = std::iter::once("podbay").chain(text.split('\n').take(64));
    // Parsed or refused: nothing is run.
    drop(coordinator::cli::command().try_get_matches_from(words));
}

/// What the engine says of containers.
pub fn engine(data: &[u8]) {
    let read = serde_json::from_slice::<Vec<bollard::models::ContainerSummary>>(data);
    for listed in read.into_iter().flatten().map(Listed::from) {
        assert!(!(listed.running && listed.paused));
        assert!(!listed.name.starts_with('/'));
    }
    drop(serde_json::from_slice::<
        bollard::models::ContainerInspectResponse,
    >(data));
    drop(serde_json::from_slice::<bollard::models::EventMessage>(
        data,
    ));
}

/// A session's bytes on their way to a person: the filter, log escapes, recordings.
pub fn terminal(data: &[u8]) {
    let mut out = Vec::new();
    let mut filter = OutputFilter::new(false);
    for piece in pieces(data) {
        filter.filter(piece, &mut out);
    }
    let osc52 = out.windows(5).any(|w| w == b"\x1b]52;");
    assert!(!osc52, "the clipboard is reached");
    let text = String::from_utf8_lossy(data);
    let safe = escape_for_log(&text);
    assert!(
        !safe
            .chars()
            .any(|c| c.is_control() && c != '\n' && c != '\t')
    );
    let header = playback::parse_header(&text);
    assert!(header.is_none_or(f64::is_finite));
    for line in Cursor::new(data).into_inner().split(|b| *b == b'\n') {
        let event = playback::parse_output(line);
        assert!(event.is_none_or(|(_, bytes)| bytes.len() <= 4 * line.len()));
    }
}
