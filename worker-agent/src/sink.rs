//! Where a session's output goes besides its clients: screen model and recording.
//!
//! Owns: the model, the recorder, and a bounded queue in front of them. Small output is taken
//! on the loop's own thread; a flood is queued and parsed by a thread of the session, so that
//! clients get bytes before they are parsed and reading goes on meanwhile. Order is kept: the
//! queue is only emptied by whoever holds the state. [`Sink::settle`] empties it at once, so a
//! restore blob stands for exactly the bytes fed before it.

use crate::{
    recording::{Recorder, Source},
    screen::{Screen, ScreenEvent, ScreenOptions},
};
use nix::sys::eventfd::EventFd;
use podbay_protocol::Size;
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError},
    time::Instant,
};

/// Bytes that may wait for the parser; over it the loop stops reading the session.
pub const BACKLOG: usize = 512 << 10;
/// Output up to this size is taken at once when nothing waits.
const INLINE: usize = 8 << 10;
/// What the model saw and the loop has not looked at: so many things, of them so many bytes of
/// answers. What is over is left out.
const MAX_SEEN: usize = 1024;
const MAX_ANSWERS: usize = 64 << 10;
const PARSER_STACK: usize = 512 << 10;

/// Something the model saw.
#[derive(Debug)]
pub struct Seen {
    /// What.
    pub event: ScreenEvent,
    /// Whether nobody was attached when the bytes came, so that the agent answers queries.
    pub answer: bool,
}

#[derive(Debug)]
enum Job {
    Bytes {
        source: Source,
        bytes: Vec<u8>,
        at: Instant,
        answer: bool,
    },
    Resize {
        size: Size,
        at: Instant,
    },
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    /// The loop stopped reading and wants to be woken once there is room.
    waiting: bool,
    closed: bool,
}

#[derive(Debug)]
struct State {
    screen: Option<Screen>,
    recorder: Option<Recorder>,
    seen: Vec<Seen>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    queue: Mutex<Queue>,
    filled: Condvar,
    wake: Arc<EventFd>,
}

/// One session's model and recording.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    parsing: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// A sink; `screen` for a terminal of that size and so many lines of scrollback.
    #[must_use]
    pub fn new(
        screen: Option<(Size, usize)>,
        recorder: Option<Recorder>,
        wake: Arc<EventFd>,
    ) -> Self {
        let screen = screen.map(|(size, scrollback)| {
            Screen::new(size.cols, size.rows, ScreenOptions { scrollback })
        });
        let state = State {
            screen,
            recorder,
            seen: Vec::new(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            queue: Mutex::new(Queue::default()),
            filled: Condvar::new(),
            wake,
        };
        Self {
            shared: Arc::new(shared),
            parsing: false,
        }
    }

    /// Takes output. What the model saw is collected for [`Self::take_seen`].
    pub fn feed(&mut self, source: Source, bytes: &[u8], at: Instant, answer: bool) {
        if bytes.len() <= INLINE && self.at_once(|state| state.take(source, bytes, at, answer)) {
            return;
        }
        let mut queue = lock(&self.shared.queue);
        queue.bytes += bytes.len();
        queue.jobs.push_back(Job::Bytes {
            source,
            bytes: bytes.to_vec(),
            at,
            answer,
        });
        drop(queue);
        self.parse_aside();
    }

    /// Changes the model's size, after all that was fed before.
    pub fn resize(&mut self, size: Size, at: Instant) {
        if !self.at_once(|state| state.resize(size, at)) {
            lock(&self.shared.queue)
                .jobs
                .push_back(Job::Resize { size, at });
            self.parse_aside();
        }
    }

    /// Does something now, unless something waits or is at work; whether it was done.
    fn at_once(&self, work: impl FnOnce(&mut State)) -> bool {
        if !lock(&self.shared.queue).jobs.is_empty() {
            return false;
        }
        match self.shared.state.try_lock() {
            Ok(mut state) => work(&mut state),
            Err(TryLockError::Poisoned(state)) => work(&mut state.into_inner()),
            Err(TryLockError::WouldBlock) => return false,
        }
        true
    }

    /// Whether the parser lags by [`BACKLOG`]; when it does, the loop is woken once there is room.
    /// Asking again takes that back never: who asks need not be who waits.
    #[must_use]
    pub fn full(&self) -> bool {
        let mut queue = lock(&self.shared.queue);
        let full = queue.bytes >= BACKLOG;
        queue.waiting |= full;
        full
    }

    /// Takes what the model saw so far.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        match self.shared.state.try_lock() {
            Ok(mut state) => std::mem::take(&mut state.seen),
            // The parser wakes the loop again when it is done.
            Err(_) => Vec::new(),
        }
    }

    /// Bytes that bring an empty terminal to where all output fed so far would bring it.
    #[must_use]
    pub fn restore(&self) -> Vec<u8> {
        self.settle()
            .screen
            .as_mut()
            .map(Screen::restore)
            .unwrap_or_default()
    }

    /// The visible rows.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        self.settle()
            .screen
            .as_ref()
            .map(Screen::text)
            .unwrap_or_default()
    }

    /// Writes the recording out, unless the parser is at work (it does so itself). Whether it is
    /// done with.
    pub fn flush(&self) -> bool {
        let Ok(mut state) = self.shared.state.try_lock() else {
            return false;
        };
        if let Some(recorder) = &mut state.recorder {
            recorder.flush();
        }
        true
    }

    /// Ends the parser and the recording; gives the last restore blob and text.
    pub fn finish(&mut self, at: Instant) -> (Vec<u8>, Vec<String>) {
        let mut state = self.settle();
        if let Some(recorder) = &mut state.recorder {
            recorder.finish(at);
        }
        let blob = state
            .screen
            .as_mut()
            .map(Screen::restore)
            .unwrap_or_default();
        let text = state.screen.as_ref().map(Screen::text).unwrap_or_default();
        state.recorder = None;
        state.screen = None;
        drop(state);
        self.close();
        (blob, text)
    }

    fn close(&self) {
        lock(&self.shared.queue).closed = true;
        self.shared.filled.notify_one();
    }

    /// Empties the queue here and now. It is bounded, so this takes a few milliseconds at most.
    fn settle(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.shared.state);
        while self.shared.step(&mut state) {}
        if !state.seen.is_empty() {
            self.shared.wake.write(1).ok();
        }
        state
    }

    /// Wakes the parser, started at the first flood. With no thread to be had, parses here.
    fn parse_aside(&mut self) {
        if !self.parsing {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new()
                .name("parser".to_owned())
                .stack_size(PARSER_STACK)
                .spawn(move || shared.run());
            self.parsing = thread.is_ok();
        }
        if self.parsing {
            self.shared.filled.notify_one();
        } else {
            drop(self.settle());
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

impl State {
    /// Keeps what the model saw until the loop looks: within a bound, for it may be late.
    fn see(&mut self, seen: Seen) {
        let answers = |seen: &Seen| match &seen.event {
            ScreenEvent::Reply(bytes) => bytes.len(),
            _ => 0,
        };
        let waiting: usize = self.seen.iter().map(answers).sum();
        if self.seen.len() < MAX_SEEN && waiting + answers(&seen) <= MAX_ANSWERS {
            self.seen.push(seen);
        }
    }

    fn take(&mut self, source: Source, bytes: &[u8], at: Instant, answer: bool) {
        if let Some(recorder) = &mut self.recorder {
            recorder.output(source, bytes, at);
        }
        if let Some(screen) = &mut self.screen {
            for event in screen.process(bytes) {
                self.see(Seen { event, answer });
            }
        }
    }
}

impl State {
    fn resize(&mut self, size: Size, at: Instant) {
        if let Some(recorder) = &mut self.recorder {
            recorder.resize(size, at);
        }
        if let Some(screen) = &mut self.screen {
            screen.resize(size.cols, size.rows);
        }
    }
}

impl Shared {
    /// Takes one job; whether there was one.
    fn step(&self, state: &mut State) -> bool {
        let job = {
            let mut queue = lock(&self.queue);
            let job = queue.jobs.pop_front();
            if let Some(Job::Bytes { bytes, .. }) = &job {
                queue.bytes = queue.bytes.saturating_sub(bytes.len());
            }
            if queue.waiting && queue.bytes < BACKLOG / 2 {
                queue.waiting = false;
                self.wake.write(1).ok();
            }
            job
        };
        match job {
            Some(Job::Bytes {
                source,
                bytes,
                at,
                answer,
            }) => state.take(source, &bytes, at, answer),
            Some(Job::Resize { size, at }) => state.resize(size, at),
            None => return false,
        }
        true
    }

    /// The parser thread.
    fn run(&self) {
        loop {
            let mut queue = lock(&self.queue);
            while queue.jobs.is_empty() && !queue.closed {
                queue = self
                    .filled
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if queue.jobs.is_empty() {
                return;
            }
            drop(queue);
            let mut state = lock(&self.state);
            let more = self.step(&mut state) && !lock(&self.queue).jobs.is_empty();
            if let (false, Some(recorder)) = (more, &mut state.recorder) {
                recorder.flush();
            }
            let seen = !state.seen.is_empty();
            drop(state);
            if seen {
                // A counter that is full wakes the loop as well.
                self.wake.write(1).ok();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::eventfd::EfdFlags;

    #[test]
    fn a_restore_stands_for_all_that_was_fed() {
        let wake = Arc::new(EventFd::new().unwrap());
        let mut sink = Sink::new(Some((Size::default(), 100)), None, wake);
        let block = vec![b'.'; 64 * 1024];
        for round in 0..50 {
            sink.feed(Source::Output, &block, Instant::now(), false);
            let mark = format!("\r\nmark {round}\r\n");
            sink.feed(Source::Output, mark.as_bytes(), Instant::now(), false);
            assert!(
                sink.text().iter().any(|l| *l == format!("mark {round}")),
                "round {round}"
            );
            assert!(!sink.full());
        }
        sink.feed(Source::Output, b"\r\nlast", Instant::now(), false);
        let (blob, text) = sink.finish(Instant::now());
        assert!(String::from_utf8_lossy(&blob).contains("last"));
        assert!(text.iter().any(|l| l == "last"));
    }

    #[test]
    fn who_was_held_is_woken_whoever_asks_in_between() {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap());
        let mut sink = Sink::new(None, None, Arc::clone(&wake));
        let shared = Arc::clone(&sink.shared);
        let mut state = lock(&shared.state);
        for _ in 0..10 {
            sink.feed(Source::Output, &[b'.'; BACKLOG / 8], Instant::now(), false);
        }
        assert!(sink.full());
        // Below the bound, but not so far that the held one was woken.
        for _ in 0..4 {
            assert!(shared.step(&mut state));
        }
        assert!(!sink.full());
        assert!(wake.read().is_err());
        while shared.step(&mut state) {}
        assert_eq!(wake.read(), Ok(1));
    }
}
