//! How long the texts may be that an agent reports, in bytes.
//!
//! The agent keeps to it when it makes them, and the coordinator cuts what it reads: a root session
//! of a worker can speak in its agent's place.

use crate::{
    description::{Description, SessionInfo},
    event::AgentEvent,
    message::{FromAgent, Reply},
};

/// Longest terminal title, in bytes.
pub const MAX_TITLE: usize = 512;
/// Longest text of a notification, in bytes.
pub const MAX_NOTICE: usize = 2048;
/// Longest reason (of an activity, of a rebuilt screen, of what is unavailable), in bytes.
pub const MAX_REASON: usize = 512;
/// Longest id of a session or stream and longest name of a recording, in bytes.
pub const MAX_ID: usize = 128;
/// Clients of one session.
pub const MAX_CLIENTS: usize = 64;

/// The longest beginning of `text` of at most `max` bytes that ends between two characters.
#[must_use]
pub fn cut(text: &str, max: usize) -> &str {
    if text.len() <= max {
        return text;
    }
    let ends = (0..=max).rev().find(|at| text.is_char_boundary(*at));
    text.get(..ends.unwrap_or(0)).unwrap_or_default()
}

/// Cuts `text` to at most `max` bytes, and gives back memory beyond that; a text that was cut
/// ends with `…`.
pub fn shorten(text: &mut String, max: usize) {
    if text.len() > max {
        let mark = '…';
        text.truncate(cut(text, max.saturating_sub(mark.len_utf8())).len());
        text.push(mark);
    }
    if text.capacity() > max.max(text.len()) {
        text.shrink_to_fit();
    }
}

/// As [`shorten`], without a mark: an id that is too long names nothing.
fn shorten_id(text: &mut String) {
    text.truncate(cut(text, MAX_ID).len());
    text.shrink_to_fit();
}

impl AgentEvent {
    /// Cuts all texts to their bounds.
    pub fn bound(&mut self) {
        match self {
            Self::Exited { session, .. } | Self::Resized { session, .. } => shorten_id(session),
            Self::Writer { session, stream }
            | Self::Detached {
                session, stream, ..
            } => {
                shorten_id(session);
                shorten_id(stream);
            }
            Self::Restarted {
                session,
                next,
                outcome,
            } => {
                shorten_id(session);
                shorten_id(next);
                if let Err(error) = outcome {
                    shorten(&mut error.message, MAX_REASON);
                }
            }
            Self::Activity { session, activity } => {
                shorten_id(session);
                shorten(&mut activity.why, MAX_REASON);
            }
            Self::Title { session, title } => {
                shorten_id(session);
                shorten(title, MAX_TITLE);
            }
            Self::Notification { session, text } => {
                shorten_id(session);
                shorten(text, MAX_NOTICE);
            }
            Self::ScreenRebuilt { session, reason } => {
                shorten_id(session);
                shorten(reason, MAX_REASON);
            }
        }
    }
}

impl FromAgent {
    /// Cuts the texts that an agent makes to their bounds.
    pub fn bound(&mut self) {
        match self {
            Self::Event(event) => event.bound(),
            Self::Response(response) => match &mut response.result {
                Ok(Reply::Described(description)) => description.bound(),
                Ok(Reply::Screen { title, .. }) => shorten(title, MAX_TITLE),
                Ok(_) => {}
                Err(error) => shorten(&mut error.message, MAX_NOTICE),
            },
        }
    }
}

impl SessionInfo {
    /// Cuts the texts that an agent makes to their bounds. The command, the claim and the number
    /// of sessions are bounded by the frame alone.
    pub fn bound(&mut self) {
        shorten_id(&mut self.session);
        shorten(&mut self.title, MAX_TITLE);
        shorten(&mut self.activity.why, MAX_REASON);
        self.streams.truncate(MAX_CLIENTS);
        self.streams.shrink_to_fit();
        self.streams.iter_mut().for_each(shorten_id);
        if let Some(recording) = &mut self.recording {
            shorten_id(recording);
        }
    }
}

impl Description {
    /// Cuts the texts that an agent makes to their bounds.
    pub fn bound(&mut self) {
        shorten_id(&mut self.worker);
        shorten_id(&mut self.build);
        if let Some(missing) = self.landlock.as_mut().and_then(|l| l.missing.as_mut()) {
            shorten(missing, MAX_REASON);
        }
        for session in &mut self.sessions {
            session.bound();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{Activity, ActivityState};

    #[test]
    fn a_cut_is_between_characters() {
        assert_eq!(cut("äöü", 6), "äöü");
        assert_eq!(cut("äöü", 5), "äö");
        assert_eq!(cut("äöü", 1), "");
        assert_eq!(cut("", 0), "");
        let mut text = "ä".repeat(1000);
        shorten(&mut text, 100);
        assert!(text.len() <= 100 && text.capacity() <= 100);
        assert!(text.ends_with("ä…"));
        let mut short = String::from("short");
        shorten(&mut short, 100);
        assert_eq!(short, "short");
    }

    #[test]
    fn no_event_stays_larger_than_its_texts_may_be() {
        let long = || "x".repeat(1 << 20);
        let session = long;
        let events = [
            AgentEvent::Title {
                session: session(),
                title: long(),
            },
            AgentEvent::Notification {
                session: session(),
                text: long(),
            },
            AgentEvent::ScreenRebuilt {
                session: session(),
                reason: long(),
            },
            AgentEvent::Activity {
                session: session(),
                activity: Activity {
                    state: ActivityState::Working,
                    why: long(),
                    seq: 1,
                    since_ms: 1,
                },
            },
            AgentEvent::Detached {
                session: session(),
                stream: long(),
                clients: 0,
            },
        ];
        for mut event in events {
            event.bound();
            let written = serde_json::to_string(&event).unwrap().len();
            assert!(written <= MAX_NOTICE + MAX_ID + 200, "{event:?}");
        }
    }
}
