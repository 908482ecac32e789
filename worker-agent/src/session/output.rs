//! A session's output: from the program to clients, screen and recording.
//!
//! Owns: reading, back-pressure, and what the output tells about the program. Clients get bytes
//! first; the screen model comes after.

use super::{
    Session,
    activity::QUIET,
    session_io::{PolledFd, ProgramIo, ReadOutcome},
};
use crate::{
    event_loop::reactor::{ClientKey, Lane, Reactor, Source, Timer, unix_ms},
    recording::RecordedStream,
    screen::ScreenEvent,
};
use nix::sys::epoll::EpollFlags;
use podbay_protocol::{AgentEvent, MAX_NOTICE, MAX_TITLE, cut, shorten};
use std::time::Duration;

/// Titles are reported at most this often; the last one always is.
const TITLE_EVERY: Duration = Duration::from_millis(200);
/// Equal notifications are reported at most this often, others ten times as often.
const NOTICE_EVERY: Duration = Duration::from_secs(1);
/// With more bytes than this waiting for the program, its terminal's answers are dropped.
const MAX_REPLIES: usize = 64 << 10;
/// How many times a terminal that others still hold is read at the end.
const MAX_LAST_READS: usize = 8;

impl Session {
    /// Something happened on one of the program's descriptors.
    pub fn program_ready(
        &mut self,
        source: Source,
        flags: EpollFlags,
        buffer: &mut [u8],
        reactor: &mut Reactor,
    ) {
        if flags.intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLERR)
            && matches!(source, Source::Terminal(_) | Source::Stdin(_))
        {
            self.io.writable(reactor);
            self.apply_input_backpressure(reactor);
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP)
            && !matches!(source, Source::Stdin(_))
        {
            self.read(source, buffer, reactor);
        }
    }

    /// Reads once; closes what has ended.
    fn read(&mut self, source: Source, buffer: &mut [u8], reactor: &mut Reactor) {
        let end: Option<&PolledFd> = match (&self.io, source) {
            (ProgramIo::Terminal { master, .. }, Source::Terminal(_)) => Some(master),
            (ProgramIo::Pipes { stdout, .. }, Source::Stdout(_)) => stdout.as_ref(),
            (ProgramIo::Pipes { stderr, .. }, Source::Stderr(_)) => stderr.as_ref(),
            _ => None,
        };
        let Some(end) = end else {
            return;
        };
        let (count, outcome) = end.read(buffer);
        if let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) {
            let lane = if matches!(source, Source::Stderr(_)) {
                Lane::Error
            } else {
                Lane::Main
            };
            self.output(lane, bytes, reactor);
        }
        if outcome == ReadOutcome::Closed {
            self.close_output(source, reactor);
        }
        self.apply_backpressure(reactor);
    }

    fn close_output(&mut self, source: Source, reactor: &mut Reactor) {
        let closed = match (&mut self.io, source) {
            (ProgramIo::Pipes { stdout, .. }, Source::Stdout(_)) => stdout.take(),
            (ProgramIo::Pipes { stderr, .. }, Source::Stderr(_)) => stderr.take(),
            (ProgramIo::Terminal { .. }, Source::Terminal(_)) if self.exit.is_some() => {
                return self.io.close(reactor);
            }
            _ => None,
        };
        if let Some(pipe) = closed {
            pipe.close(reactor);
        }
    }

    /// Hands output on.
    fn output(&mut self, lane: Lane, bytes: &[u8], reactor: &mut Reactor) {
        self.output_bytes += bytes.len() as u64;
        self.last_output = reactor.now;
        let terminal = self.size.is_some();
        let mut gone = Vec::new();
        for client in &mut self.clients {
            let sent = if terminal {
                client.output(bytes, reactor)
            } else {
                client.link.send(lane, bytes, reactor)
            };
            if sent.is_err() {
                gone.push(client.key);
            }
        }
        // After the bytes were sent: a client that is gone or became too slow has not got them.
        let answer = !self.writer_answers(&gone);
        let stream = match lane {
            Lane::Main => RecordedStream::Output,
            Lane::Error => RecordedStream::Error,
        };
        self.screen.feed(stream, bytes, reactor.now, answer);
        self.unwritten = self.recording.is_some();
        for key in gone {
            self.detach(key, reactor);
        }
        let changed = self.tracker.output(reactor.now, unix_ms());
        self.report_activity(changed, reactor);
        self.handle_screen_updates(reactor);
        if !self.quiet_timer {
            self.quiet_timer = true;
            reactor.after(QUIET, Timer::Quiet(self.key));
        }
    }

    /// Whether a client's terminal answers what the program asks. Only the writer's can: what others send
    /// is not heard. The model answers otherwise, so that it is exactly one of the two.
    fn writer_answers(&self, gone: &[ClientKey]) -> bool {
        let mut clients = self.clients.iter().filter(|c| !gone.contains(&c.key));
        clients.any(|c| self.writer == Some(c.key) && c.answers_queries())
    }

    /// Reads the program only as fast as the parser, and for pipes the clients, can take it.
    pub(crate) fn apply_backpressure(&mut self, reactor: &mut Reactor) {
        let paused = self.paused();
        self.io.set_reading(!paused, reactor);
    }

    pub(super) fn paused(&self) -> bool {
        self.clients_full() || self.screen.full()
    }

    /// A last look at an ended program's terminal that others still hold.
    pub(super) fn read_last(&mut self, buffer: &mut [u8], reactor: &mut Reactor) {
        for _ in 0..MAX_LAST_READS {
            let before = self.output_bytes;
            self.read(Source::Terminal(self.key), buffer, reactor);
            if self.output_bytes == before {
                break;
            }
        }
    }

    /// Reads what an ended program's pipes hold now, however slow the clients are, and no more
    /// than that: others may go on writing.
    pub(super) fn read_rest(&mut self, buffer: &mut [u8], reactor: &mut Reactor) {
        for source in [Source::Stdout(self.key), Source::Stderr(self.key)] {
            let end = self.output_bytes + self.io.unread(source) as u64;
            while self.output_bytes < end {
                let before = self.output_bytes;
                self.read(source, buffer, reactor);
                if self.output_bytes == before {
                    break;
                }
            }
        }
    }

    /// Takes what the model saw.
    pub fn handle_screen_updates(&mut self, reactor: &mut Reactor) {
        let attached = self.watched();
        for update in self.screen.take_updates() {
            let (now, ms) = (reactor.now, unix_ms());
            let changed = match update.event {
                ScreenEvent::Title(title) => {
                    let mut title = self.secrets.redact(&title);
                    shorten(&mut title, MAX_TITLE);
                    let changed = self.tracker.title(&title, attached, now, ms);
                    self.title = title;
                    self.report_title(false, reactor);
                    changed
                }
                ScreenEvent::Bell => {
                    self.report_notice("", reactor);
                    self.tracker.attention("bell", now, ms)
                }
                ScreenEvent::Notification(text) => {
                    let text = self.secrets.redact(&text);
                    self.report_notice(&text, reactor);
                    self.tracker
                        .attention(&format!("notification: {text}"), now, ms)
                }
                ScreenEvent::Progress(state) => self.tracker.progress(state, attached, now, ms),
                ScreenEvent::Reply(bytes) => {
                    // A program that asks and does not read gets no more answers than this.
                    if update.answer && self.io.waiting() + bytes.len() <= MAX_REPLIES {
                        self.io.write(&bytes, reactor);
                    }
                    false
                }
                ScreenEvent::Rebuilt(reason) => {
                    reactor.report(AgentEvent::ScreenRebuilt {
                        session: self.id.clone(),
                        reason: self.secrets.redact(&reason),
                    });
                    false
                }
            };
            self.report_activity(changed, reactor);
        }
    }

    /// Reports the title when it changed; a spinner in front of it is no change.
    pub(super) fn report_title(&mut self, last: bool, reactor: &mut Reactor) {
        let (reported, when) = &self.title_reported;
        let soon = when.is_some_and(|at| reactor.now.saturating_duration_since(at) < TITLE_EVERY);
        if plain(reported) == plain(&self.title) && !last
            || *reported == self.title
            || (soon && !last)
        {
            return;
        }
        self.title_reported = (self.title.clone(), Some(reactor.now));
        reactor.report(AgentEvent::Title {
            session: self.id.clone(),
            title: self.title.clone(),
        });
    }

    fn report_notice(&mut self, text: &str, reactor: &mut Reactor) {
        let text = cut(text, MAX_NOTICE).to_owned();
        if let Some((before, at)) = &self.last_notice {
            let every = if *before == text {
                NOTICE_EVERY
            } else {
                NOTICE_EVERY / 10
            };
            if reactor.now.saturating_duration_since(*at) < every {
                return;
            }
        }
        self.last_notice = Some((text.clone(), reactor.now));
        reactor.report(AgentEvent::Notification {
            session: self.id.clone(),
            text,
        });
    }

    /// Looks whether the program has gone quiet.
    pub fn check_quiet(&mut self, reactor: &mut Reactor) {
        self.quiet_timer = false;
        let silent = reactor.now.saturating_duration_since(self.last_output);
        if silent < QUIET && !self.ended {
            self.quiet_timer = true;
            reactor.after(QUIET.saturating_sub(silent), Timer::Quiet(self.key));
            return;
        }
        self.report_title(true, reactor);
        let changed = self.tracker.quiet(self.watched(), reactor.now, unix_ms());
        self.report_activity(changed, reactor);
    }
}

/// A title without the sign in front of it.
fn plain(title: &str) -> &str {
    title.trim_start_matches(|c: char| !c.is_alphanumeric())
}
