//! Where a session's output goes besides its clients: screen model and recording.
//!
//! Owns: the model, the recorder, and a bounded queue in front of them. It never holds back what
//! clients get.

use crate::{
    recording::{RecordedStream, Recorder},
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
/// Output up to this size is processed immediately when nothing waits.
const INLINE: usize = 8 << 10;
/// What the model saw and the loop has not taken: this many updates, with this many bytes of
/// answers. What is over is left out.
const MAX_UPDATES: usize = 1024;
const MAX_ANSWERS: usize = 64 << 10;
const PARSER_STACK: usize = 512 << 10;

/// Something the model saw.
#[derive(Debug)]
pub struct ScreenUpdate {
    /// What.
    pub event: ScreenEvent,
    /// Whether no client's terminal answered queries when the bytes came, so that the agent does.
    pub answer: bool,
}

#[derive(Debug)]
enum ScreenWork {
    Bytes {
        stream: RecordedStream,
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
struct WorkQueue {
    work: VecDeque<ScreenWork>,
    bytes: usize,
    /// The loop stopped reading and wants to be woken once there is room.
    waiting: bool,
    closed: bool,
}

#[derive(Debug)]
struct ScreenState {
    screen: Option<Screen>,
    recorder: Option<Recorder>,
    updates: Vec<ScreenUpdate>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<ScreenState>,
    queue: Mutex<WorkQueue>,
    filled: Condvar,
    wake: Arc<EventFd>,
}

/// One session's model and recording.
///
/// Small output is processed on the loop's own thread; a flood is queued and parsed by a thread of the
/// session, so that reading goes on meanwhile. Order is kept: only the holder of the state empties the
/// queue. [`Self::restore`] empties it first, so a restore blob stands for exactly the bytes fed
/// before it.
#[derive(Debug)]
pub struct ScreenRecorder {
    shared: Arc<Shared>,
    parsing: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScreenRecorder {
    /// `screen` for a terminal of that size and that many lines of scrollback.
    #[must_use]
    pub fn new(
        screen: Option<(Size, usize)>,
        recorder: Option<Recorder>,
        wake: Arc<EventFd>,
    ) -> Self {
        let screen = screen.map(|(size, scrollback)| {
            Screen::new(size.cols, size.rows, ScreenOptions { scrollback })
        });
        let state = ScreenState {
            screen,
            recorder,
            updates: Vec::new(),
        };
        let shared = Shared {
            state: Mutex::new(state),
            queue: Mutex::new(WorkQueue::default()),
            filled: Condvar::new(),
            wake,
        };
        Self {
            shared: Arc::new(shared),
            parsing: false,
        }
    }

    /// Takes output. What the model saw is collected for [`Self::take_updates`].
    pub fn feed(&mut self, stream: RecordedStream, bytes: &[u8], at: Instant, answer: bool) {
        if bytes.len() <= INLINE
            && self.try_inline(|state| state.process(stream, bytes, at, answer))
        {
            return;
        }
        let mut queue = lock(&self.shared.queue);
        queue.bytes += bytes.len();
        queue.work.push_back(ScreenWork::Bytes {
            stream,
            bytes: bytes.to_vec(),
            at,
            answer,
        });
        drop(queue);
        self.wake_parser();
    }

    /// Changes the model's size, after all that was fed before.
    pub fn resize(&mut self, size: Size, at: Instant) {
        if !self.try_inline(|state| state.resize(size, at)) {
            lock(&self.shared.queue)
                .work
                .push_back(ScreenWork::Resize { size, at });
            self.wake_parser();
        }
    }

    /// Does something on this thread, unless something waits or is at work; whether it was done.
    fn try_inline(&self, work: impl FnOnce(&mut ScreenState)) -> bool {
        if !lock(&self.shared.queue).work.is_empty() {
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
    /// The request is sticky: a later call never clears a wake-up another caller asked for.
    #[must_use]
    pub fn full(&self) -> bool {
        let mut queue = lock(&self.shared.queue);
        let full = queue.bytes >= BACKLOG;
        queue.waiting |= full;
        full
    }

    /// Takes what the model saw so far.
    #[must_use]
    pub fn take_updates(&self) -> Vec<ScreenUpdate> {
        match self.shared.state.try_lock() {
            Ok(mut state) => std::mem::take(&mut state.updates),
            // The parser wakes the loop again when it is done.
            Err(_) => Vec::new(),
        }
    }

    /// Bytes that bring an empty terminal to where all output fed so far would bring it.
    #[must_use]
    pub fn restore(&self) -> Vec<u8> {
        self.drain_queue()
            .screen
            .as_mut()
            .map(Screen::restore)
            .unwrap_or_default()
    }

    /// The visible rows.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        self.drain_queue()
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
        let mut state = self.drain_queue();
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

    /// Empties the queue on this thread. It is bounded, so this takes a few milliseconds at most.
    fn drain_queue(&self) -> MutexGuard<'_, ScreenState> {
        let mut state = lock(&self.shared.state);
        while self.shared.step(&mut state) {}
        if !state.updates.is_empty() {
            self.shared.wake.write(1).ok();
        }
        state
    }

    /// Wakes the parser, started at the first flood. Without a thread, parses here.
    fn wake_parser(&mut self) {
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
            drop(self.drain_queue());
        }
    }
}

impl Drop for ScreenRecorder {
    fn drop(&mut self) {
        self.close();
    }
}

impl ScreenState {
    /// Keeps what the model saw until the loop takes it, within a bound.
    fn keep_update(&mut self, update: ScreenUpdate) {
        let answers = |update: &ScreenUpdate| match &update.event {
            ScreenEvent::Reply(bytes) => bytes.len(),
            _ => 0,
        };
        let waiting: usize = self.updates.iter().map(answers).sum();
        if self.updates.len() < MAX_UPDATES && waiting + answers(&update) <= MAX_ANSWERS {
            self.updates.push(update);
        }
    }

    fn process(&mut self, stream: RecordedStream, bytes: &[u8], at: Instant, answer: bool) {
        if let Some(recorder) = &mut self.recorder {
            recorder.output(stream, bytes, at);
        }
        if let Some(screen) = &mut self.screen {
            for event in screen.process(bytes) {
                self.keep_update(ScreenUpdate { event, answer });
            }
        }
    }

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
    fn step(&self, state: &mut ScreenState) -> bool {
        let job = {
            let mut queue = lock(&self.queue);
            let job = queue.work.pop_front();
            if let Some(ScreenWork::Bytes { bytes, .. }) = &job {
                queue.bytes = queue.bytes.saturating_sub(bytes.len());
            }
            if queue.waiting && queue.bytes < BACKLOG / 2 {
                queue.waiting = false;
                self.wake.write(1).ok();
            }
            job
        };
        match job {
            Some(ScreenWork::Bytes {
                stream,
                bytes,
                at,
                answer,
            }) => state.process(stream, &bytes, at, answer),
            Some(ScreenWork::Resize { size, at }) => state.resize(size, at),
            None => return false,
        }
        true
    }

    /// The parser thread.
    fn run(&self) {
        loop {
            let mut queue = lock(&self.queue);
            while queue.work.is_empty() && !queue.closed {
                queue = self
                    .filled
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if queue.work.is_empty() {
                return;
            }
            drop(queue);
            let mut state = lock(&self.state);
            let more = self.step(&mut state) && !lock(&self.queue).work.is_empty();
            if let (false, Some(recorder)) = (more, &mut state.recorder) {
                recorder.flush();
            }
            let updated = !state.updates.is_empty();
            drop(state);
            if updated {
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
        let mut screen = ScreenRecorder::new(Some((Size::default(), 100)), None, wake);
        let block = vec![b'.'; 64 * 1024];
        for round in 0..50 {
            screen.feed(RecordedStream::Output, &block, Instant::now(), false);
            let mark = format!("\r\nmark {round}\r\n");
            screen.feed(
                RecordedStream::Output,
                mark.as_bytes(),
                Instant::now(),
                false,
            );
            assert!(
                screen.text().iter().any(|l| *l == format!("mark {round}")),
                "round {round}"
            );
            assert!(!screen.full());
        }
        screen.feed(RecordedStream::Output, b"\r\nlast", Instant::now(), false);
        let (blob, text) = screen.finish(Instant::now());
        assert!(String::from_utf8_lossy(&blob).contains("last"));
        assert!(text.iter().any(|l| l == "last"));
    }

    #[test]
    fn who_was_held_is_woken_whoever_asks_in_between() {
        let wake = Arc::new(EventFd::from_flags(EfdFlags::EFD_NONBLOCK).unwrap());
        let mut screen = ScreenRecorder::new(None, None, Arc::clone(&wake));
        let shared = Arc::clone(&screen.shared);
        let mut state = lock(&shared.state);
        for _ in 0..10 {
            screen.feed(
                RecordedStream::Output,
                &[b'.'; BACKLOG / 8],
                Instant::now(),
                false,
            );
        }
        assert!(screen.full());
        // Below the bound, but not so far that the held one was woken.
        for _ in 0..4 {
            assert!(shared.step(&mut state));
        }
        assert!(!screen.full());
        assert!(wake.read().is_err());
        while shared.step(&mut state) {}
        assert_eq!(wake.read(), Ok(1));
    }
}
