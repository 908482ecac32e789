//! Notices when the wall clock is set. Owns `run/clock.json` of the state volume, with which a mounter
//! that is started again goes on. Never judges: that is [`crate::clock`].

use crate::{
    clock::{Clock, History, Now},
    tree::Tree,
};
use nix::{
    sys::{
        time::{TimeSpec, TimeValLike},
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    time::{ClockId as Clocks, clock_gettime},
};
use rustix::fs::{Mode, OFlags, openat, renameat};
use std::{
    io::{self, Read, Write},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

const FILE: &str = "clock.json";
const FRESH: &str = ".clock.tmp";
/// The most of the file that is read, in bytes: 64 steps are 6 kB.
const MAX_FILE: u64 = 64 << 10;
/// Unix seconds of the year 2255; only that the clock is set matters.
const NEVER: i64 = 9_000_000_000;

/// What is known of the wall clock.
#[derive(Default)]
pub(crate) struct WallClock(Mutex<History>);

impl WallClock {
    fn lock(&self) -> MutexGuard<'_, History> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes on with what the mounter before knew.
    pub(crate) fn begin(&self, state: &Tree, boot: String) {
        let (history, news) = History::resume(read(state), boot, now());
        if news {
            keep(state, &history);
        }
        *self.lock() = history;
    }

    /// Looks whether the clock was set.
    pub(crate) fn look(&self, state: &Tree) {
        let mut history = self.lock();
        if history.look(now()) {
            tracing::info!("the wall clock was set");
            keep(state, &history);
        }
    }

    /// What is after a claim at this time, Unix nanoseconds.
    pub(crate) fn since(&self, state: &Tree, claimed: i64) -> Clock {
        self.look(state);
        self.lock().since(claimed, now())
    }
}

/// Becomes readable when the wall clock is set.
pub(crate) fn watch() -> io::Result<TimerFd> {
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
    watch_on(&timer)?;
    Ok(timer)
}

/// The same again: timerfd_create(2), a cancelled timer is armed again.
pub(crate) fn watch_on(timer: &TimerFd) -> io::Result<()> {
    let at = Expiration::OneShot(TimeSpec::seconds(NEVER));
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    match timer.set(at, flags) {
        // Set again while this was on its way: it is armed all the same.
        Ok(()) | Err(nix::errno::Errno::ECANCELED) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

fn now() -> Now {
    // Both clocks are there on every Linux that the rest needs.
    let ns = |clock| clock_gettime(clock).map_or(0, |time| time.num_nanoseconds());
    Now {
        real: ns(Clocks::CLOCK_REALTIME),
        since_boot: ns(Clocks::CLOCK_BOOTTIME),
    }
}

fn read(state: &Tree) -> Option<History> {
    let mut text = Vec::new();
    let file = state.file(&Path::new("run").join(FILE)).ok()?;
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn keep(state: &Tree, history: &History) {
    let write = || -> io::Result<()> {
        let run = state.dir(Path::new("run"))?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(&run, FRESH, flags, Mode::RUSR | Mode::WUSR)?;
        std::fs::File::from(fd).write_all(&serde_json::to_vec(history)?)?;
        Ok(renameat(&run, FRESH, &run, FILE)?)
    };
    if let Err(e) = write() {
        tracing::warn!(error = %e, "when the clock was set is not on disk");
    }
}
