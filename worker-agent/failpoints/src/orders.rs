//! The orders of a test: read from a folder, carried out at the points.
//!
//! Owns: the folder, and which orders were read already.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, SystemTime},
};

static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static BEGAN: OnceLock<SystemTime> = OnceLock::new();
/// Inode and time of change of the orders that were read: a read-only folder keeps the file.
static READ: Mutex<Option<(u64, i64, i64)>> = Mutex::new(None);

/// Takes the orders that are in `folder`, and looks there for the clock from then on.
///
/// A process reads `failpoints` in the folder when it starts, and again at each of its points when
/// there is a new one: one `name=action` a line, the actions of the `fail` crate (`return` ends the
/// process immediately, as a power cut would; `sleep(200)`, `pause`, `1*sleep(5)`…). The file is
/// removed as it is read, so that the next life is a sound one. `clock-offset` in the same folder is
/// the seconds that the wall clock is off; `version-apart` makes an agent one of another version.
pub fn begin(folder: &Path) {
    FOLDER.get_or_init(|| folder.to_owned());
    BEGAN.get_or_init(SystemTime::now);
    read_orders();
}

/// As which other version to behave. It is for those that run when it is written: what is made
/// after it is of the coordinator's own version again.
pub(crate) fn version_apart() -> Option<String> {
    let file = FOLDER.get()?.join("version-apart");
    let written = fs::metadata(&file).ok()?.modified().ok()?;
    let order = fs::read_to_string(file).ok()?;
    (written > *BEGAN.get()?).then(|| order.trim().to_owned())
}

fn read_orders() {
    let Some(file) = FOLDER.get().map(|folder| folder.join("failpoints")) else {
        return;
    };
    // Before the look at the file: a warm claim and the refill it causes reach their points at
    // the same moment, and the one that finds no file any more must not go on before the other
    // has carried the orders out.
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(meta) = fs::metadata(&file) else {
        return;
    };
    let which = (meta.ino(), meta.ctime(), meta.ctime_nsec());
    if read.replace(which) == Some(which) {
        return;
    }
    let Ok(text) = fs::read_to_string(&file) else {
        return;
    };
    // A read-only folder keeps it; its owner removes it.
    fs::remove_file(&file).ok();
    for line in text.lines() {
        let Some((name, action)) = line.split_once('=') else {
            continue;
        };
        if let Err(error) = fail::cfg(name.trim(), action.trim()) {
            eprintln!("failpoint {name}: {error}");
        }
    }
}

/// What a test asked for at this point.
pub fn reach(name: &str) {
    read_orders();
    fail::fail_point!(name, |_| {
        eprintln!("failpoint {name}: ending");
        std::process::abort()
    });
}

/// The wall clock as a test wants it.
#[must_use]
pub fn clock_offset(real: SystemTime) -> SystemTime {
    let text = FOLDER
        .get()
        .and_then(|folder| fs::read_to_string(folder.join("clock-offset")).ok());
    let seconds: i64 = text.and_then(|t| t.trim().parse().ok()).unwrap_or(0);
    let offset = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        real - offset
    } else {
        real + offset
    }
}

#[cfg(test)]
mod tests {
    use super::{begin, reach};
    use std::{
        fs,
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    /// Row 2 waited in vain for a death at `claim.assigned` when the refill's `create.entered` was
    /// reached at the same moment.
    #[test]
    fn a_point_that_is_reached_while_another_takes_the_orders_waits_for_them() {
        const NAMES: usize = 500;
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path());
        let file = folder.path().join("failpoints");
        let over = AtomicBool::new(false);
        let missed = thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    reach("the.other");
                }
            });
            let mut missed = 0;
            for round in 0..NAMES {
                let fresh = folder.path().join("fresh");
                fs::write(&fresh, format!("point.{round}=off\n")).unwrap();
                fs::rename(&fresh, &file).unwrap();
                while file.exists() {
                    std::hint::spin_loop();
                }
                reach("this.one");
                let name = format!("point.{round}");
                missed += usize::from(!fail::list().iter().any(|(known, _)| *known == name));
            }
            over.store(true, Ordering::Relaxed);
            missed
        });
        assert_eq!(missed, 0, "orders that were gone and not carried out");
    }
}
