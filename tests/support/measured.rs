//! What tests of faults measured, for people and for the table in `tests/README.md`.

use std::{fmt::Display, fs, io::Write, path::PathBuf, time::Duration};

/// How often a fault is made to happen: the full number, or a few times in the ordinary suite.
#[must_use]
pub fn times(full: u32, few: u32) -> u32 {
    if std::env::var("PODBAY_FAULTS").is_ok_and(|v| v == "full") {
        full
    } else {
        few
    }
}

/// Holds what something took to what is promised, where faults are tested in full: on a machine that
/// does nothing else. Elsewhere a duration says more about the machine than about Podbay; it is only
/// printed, and the bound of the wait that it comes from is what holds.
///
/// # Panics
/// It took longer.
pub fn promised(what: &str, took: Duration, promise: Duration) {
    println!("{what}: {took:.1?} (promised: {promise:.1?})");
    let full = times(1, 0) == 1;
    assert!(
        !full || took < promise,
        "{what}: {took:.1?}, promised {promise:.1?}"
    );
}

/// Prints a figure of a row and appends it to `target/faults/row-NN.txt`.
///
/// # Panics
/// The folder cannot be written.
pub fn measured(row: u32, figure: impl Display) {
    println!("fault {row}: {figure}");
    let folder = folder();
    fs::create_dir_all(&folder).expect("making the folder of figures");
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join(format!("row-{row:02}.txt")))
        .expect("opening the file of figures");
    writeln!(file, "{figure}").expect("writing a figure");
}

/// Where the figures are.
#[must_use]
pub fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target"),
        PathBuf::from,
    );
    target.join("faults")
}
