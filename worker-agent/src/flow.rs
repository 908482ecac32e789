//! A session's output: from the program to clients, screen and recording.
//!
//! Owns: reading, back-pressure, and what the output tells about the program. Clients get bytes
//! first; the screen model comes after.

use crate::{
    activity::QUIET,
    pump::{Pump, Stop, Watched},
    reactor::{Lane, Reactor, Source, Timer, unix_ms},
    recording,
    screen::ScreenEvent,
    session::Session,
};
use nix::sys::epoll::EpollFlags;
use podbay_protocol::{AgentEvent, MAX_NOTICE, MAX_TITLE, cut, shorten};
use std::time::Duration;

/// Titles are told at most this often; the last one always is.
const TITLE_EVERY: Duration = Duration::from_millis(200);
/// Equal notifications are told at most this often, others ten times as often.
const NOTICE_EVERY: Duration = Duration::from_secs(1);
/// Bytes that wait for the program beside which its terminal's answers are not queued.
const MAX_REPLIES: usize = 64 << 10;
/// The last look at a terminal that others still hold reads at most so often.
const LAST_READS: usize = 8;

impl Session {
    /// Something happened on one of the program's descriptors.
    pub fn ready(
        &mut self,
        source: Source,
        flags: EpollFlags,
        buffer: &mut [u8],
        reactor: &mut Reactor,
    ) {
        if flags.intersects(EpollFlags::EPOLLOUT | EpollFlags::EPOLLERR)
            && matches!(source, Source::Terminal(_) | Source::Stdin(_))
        {
            self.pump.writable(reactor);
            self.input_flow(reactor);
        }
        if flags.intersects(EpollFlags::EPOLLIN | EpollFlags::EPOLLHUP)
            && !matches!(source, Source::Stdin(_))
        {
            self.read(source, buffer, reactor);
        }
    }

    /// Reads once; closes what has ended.
    fn read(&mut self, source: Source, buffer: &mut [u8], reactor: &mut Reactor) {
        let watched: Option<&Watched> = match (&self.pump, source) {
            (Pump::Terminal { master, .. }, Source::Terminal(_)) => Some(master),
            (Pump::Pipes { stdout, .. }, Source::Stdout(_)) => stdout.as_ref(),
            (Pump::Pipes { stderr, .. }, Source::Stderr(_)) => stderr.as_ref(),
            _ => None,
        };
        let Some(watched) = watched else {
            return;
        };
        let (count, stop) = watched.read(buffer);
        if let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) {
            let lane = if matches!(source, Source::Stderr(_)) {
                Lane::Error
            } else {
                Lane::Main
            };
            self.output(lane, bytes, reactor);
        }
        if stop == Stop::End {
            self.close_output(source, reactor);
        }
        self.flow(reactor);
    }

    fn close_output(&mut self, source: Source, reactor: &mut Reactor) {
        let closed = match (&mut self.pump, source) {
            (Pump::Pipes { stdout, .. }, Source::Stdout(_)) => stdout.take(),
            (Pump::Pipes { stderr, .. }, Source::Stderr(_)) => stderr.take(),
            (Pump::Terminal { .. }, Source::Terminal(_)) if self.exit.is_some() => {
                return self.pump.close(reactor);
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
        let answer = self.clients.is_empty();
        let terminal = self.size.is_some();
        let mut gone = Vec::new();
        for client in &mut self.clients {
            let sent = match (terminal, lane, &mut client.error) {
                (true, ..) => client.output(bytes, reactor),
                (false, Lane::Error, Some(error)) => error.send(bytes, reactor),
                // Without a connection of its own stderr joins stdout.
                (false, ..) => client.main.send(bytes, reactor),
            };
            if sent.is_err() {
                gone.push(client.key);
            }
        }
        let source = match lane {
            Lane::Main => recording::Source::Output,
            Lane::Error => recording::Source::Error,
        };
        self.sink.feed(source, bytes, reactor.now, answer);
        self.unwritten = self.recording.is_some();
        for key in gone {
            self.detach(key, reactor);
        }
        let changed = self.tracker.output(reactor.now, unix_ms());
        self.tell_activity(changed, reactor);
        self.notice(reactor);
        if !self.quiet_timer {
            self.quiet_timer = true;
            reactor.after(QUIET, Timer::Quiet(self.key));
        }
    }

    /// Reads the program only as fast as the parser, and for pipes the clients, can take it.
    pub(crate) fn flow(&mut self, reactor: &mut Reactor) {
        let paused = self.paused();
        self.pump.set_reading(!paused, reactor);
    }

    pub(crate) fn paused(&self) -> bool {
        self.clients_full() || self.sink.full()
    }

    /// A last look at an ended program's terminal that others still hold.
    pub(crate) fn read_last(&mut self, buffer: &mut [u8], reactor: &mut Reactor) {
        for _ in 0..LAST_READS {
            let before = self.output_bytes;
            self.read(Source::Terminal(self.key), buffer, reactor);
            if self.output_bytes == before {
                break;
            }
        }
    }

    /// Reads what an ended program's pipes hold now, however slow the clients are, and no more
    /// than that: others may write on for ever.
    pub(crate) fn read_rest(&mut self, buffer: &mut [u8], reactor: &mut Reactor) {
        for source in [Source::Stdout(self.key), Source::Stderr(self.key)] {
            let end = self.output_bytes + self.pump.unread(source) as u64;
            while self.output_bytes < end {
                let before = self.output_bytes;
                self.read(source, buffer, reactor);
                if self.output_bytes == before {
                    break;
                }
            }
        }
    }

    /// What the model saw.
    pub fn notice(&mut self, reactor: &mut Reactor) {
        let attached = self.watched();
        for seen in self.sink.take_seen() {
            let (now, ms) = (reactor.now, unix_ms());
            let changed = match seen.event {
                ScreenEvent::Title(title) => {
                    let mut title = self.secrets.redact(&title);
                    shorten(&mut title, MAX_TITLE);
                    let changed = self.tracker.title(&title, attached, now, ms);
                    self.title = title;
                    self.tell_title(false, reactor);
                    changed
                }
                ScreenEvent::Bell => {
                    self.tell_notice("", reactor);
                    self.tracker.attention("bell", now, ms)
                }
                ScreenEvent::Notification(text) => {
                    let text = self.secrets.redact(&text);
                    self.tell_notice(&text, reactor);
                    self.tracker
                        .attention(&format!("notification: {text}"), now, ms)
                }
                ScreenEvent::Progress(state) => self.tracker.progress(state, attached, now, ms),
                ScreenEvent::Reply(bytes) => {
                    // A program that asks and does not read gets no more answers than this.
                    if seen.answer && self.pump.waiting() + bytes.len() <= MAX_REPLIES {
                        self.pump.write(&bytes, reactor);
                    }
                    false
                }
                ScreenEvent::Rebuilt(reason) => {
                    reactor.tell(AgentEvent::ScreenRebuilt {
                        session: self.id.clone(),
                        reason: self.secrets.redact(&reason),
                    });
                    false
                }
            };
            self.tell_activity(changed, reactor);
        }
    }

    /// Tells the title when it changed; a spinner in front of it is no change.
    pub(crate) fn tell_title(&mut self, last: bool, reactor: &mut Reactor) {
        let (told, when) = &self.title_told;
        let soon = when.is_some_and(|at| reactor.now.saturating_duration_since(at) < TITLE_EVERY);
        if plain(told) == plain(&self.title) && !last || *told == self.title || (soon && !last) {
            return;
        }
        self.title_told = (self.title.clone(), Some(reactor.now));
        reactor.tell(AgentEvent::Title {
            session: self.id.clone(),
            title: self.title.clone(),
        });
    }

    fn tell_notice(&mut self, text: &str, reactor: &mut Reactor) {
        let text = cut(text, MAX_NOTICE).to_owned();
        if let Some((before, at)) = &self.noticed {
            let every = if *before == text {
                NOTICE_EVERY
            } else {
                NOTICE_EVERY / 10
            };
            if reactor.now.saturating_duration_since(*at) < every {
                return;
            }
        }
        self.noticed = Some((text.clone(), reactor.now));
        reactor.tell(AgentEvent::Notification {
            session: self.id.clone(),
            text,
        });
    }

    /// Looks whether the program has gone quiet.
    pub fn quiet(&mut self, reactor: &mut Reactor) {
        self.quiet_timer = false;
        let silent = reactor.now.saturating_duration_since(self.last_output);
        if silent < QUIET && !self.ended {
            self.quiet_timer = true;
            reactor.after(QUIET.saturating_sub(silent), Timer::Quiet(self.key));
            return;
        }
        self.tell_title(true, reactor);
        let changed = self.tracker.quiet(self.watched(), reactor.now, unix_ms());
        self.tell_activity(changed, reactor);
    }
}

/// A title without the sign in front of it.
fn plain(title: &str) -> &str {
    title.trim_start_matches(|c: char| !c.is_alphanumeric())
}
