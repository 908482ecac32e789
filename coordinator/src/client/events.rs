//! The event stream.

use super::{
    ClientError, Target,
    transport::{SseParser, chain},
};
use crate::wire::ApiEvent;
use http_body_util::BodyExt;
use hyper::body::Incoming;

/// Events as they come. It ends when the coordinator goes away: open another.
pub struct EventStream {
    pub(super) body: Incoming,
    pub(super) parser: SseParser,
    pub(super) target: Target,
    pub(super) ended: bool,
}

impl EventStream {
    /// The next event; `None` once the stream ended. Safe to drop between events, so it can be one
    /// branch of a `select!`.
    pub async fn next(&mut self) -> Option<Result<ApiEvent, ClientError>> {
        while !self.ended {
            match self.parser.next_event() {
                Ok(Some(data)) => match serde_json::from_slice(&data) {
                    Ok(event) => return Some(Ok(event)),
                    // A newer coordinator may send kinds of event that this client does not know.
                    Err(error) if error.is_data() => continue,
                    Err(error) => return self.end(protocol(error)),
                },
                Ok(None) => {}
                Err(error) => return self.end(protocol(error)),
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Some(bytes) = frame.data_ref() {
                        self.parser.push(bytes);
                    }
                }
                Some(Err(error)) => {
                    let error = self.target.unreachable(chain(&error));
                    return self.end(error);
                }
                None => self.ended = true,
            }
        }
        None
    }

    fn end(&mut self, error: ClientError) -> Option<Result<ApiEvent, ClientError>> {
        self.ended = true;
        Some(Err(error))
    }
}

fn protocol(error: impl ToString) -> ClientError {
    ClientError::Protocol {
        what: "GET /v1/events".into(),
        reason: error.to_string(),
    }
}
