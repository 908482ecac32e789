//! Notices when the wall clock is set, and keeps it for reviews (`changes/clock`) in `run/clock.json`
//! of the state volume: a mounter that is started again goes on with it.

use super::host::Host;
use crate::workspace::changes::clock::{Clock, History, Now};
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
    pub(super) fn begin(&self, host: &Host) {
        let (history, news) = History::resume(read(host), host.boot_id(), now());
        if news {
            keep(host, &history);
        }
        *self.lock() = history;
    }

    /// Looks whether the clock was set.
    pub(super) fn look(&self, host: &Host) {
        let mut history = self.lock();
        if history.look(now()) {
            tracing::info!("the wall clock was set");
            keep(host, &history);
        }
    }

    /// What is after a claim at this time, Unix nanoseconds.
    pub(crate) fn since(&self, host: &Host, claimed: i64) -> Clock {
        self.look(host);
        self.lock().since(claimed, now())
    }
}

/// Becomes readable when the wall clock is set.
pub(super) fn watch() -> io::Result<TimerFd> {
    let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
    let timer = TimerFd::new(ClockId::CLOCK_REALTIME, flags)?;
    watch_on(&timer)?;
    Ok(timer)
}

/// The same again: timerfd_create(2), a cancelled timer is armed again.
pub(super) fn watch_on(timer: &TimerFd) -> io::Result<()> {
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

fn read(host: &Host) -> Option<History> {
    let mut text = Vec::new();
    let file = host.state.file(&Path::new("run").join(FILE)).ok()?;
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn keep(host: &Host, history: &History) {
    let write = || -> io::Result<()> {
        let run = host.state.dir(Path::new("run"))?;
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
