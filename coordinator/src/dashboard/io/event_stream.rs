//! The coordinator's events, permanently: opens the stream again when it breaks, and asks for a
//! sign of life after a silence, so that nothing stale looks live.

use crate::{client::Client, dashboard::app::message::Msg, wire::EventBody};
use std::time::Duration;
use tokio::{sync::mpsc, time::timeout};

/// Silence after which the coordinator is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(10);
/// First and longest wait between two tries.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(2));

/// Runs until nobody listens.
pub async fn run(client: Client, to: mpsc::Sender<Msg>) {
    let mut wait = RETRY.0;
    loop {
        let (reason, heard) = stream(&client, &to).await;
        if to.send(Msg::Gone { reason }).await.is_err() {
            return;
        }
        wait = if heard {
            RETRY.0
        } else {
            (wait * 2).min(RETRY.1)
        };
        tokio::time::sleep(wait).await;
    }
}

/// One stream until it breaks: why, and whether it had begun.
async fn stream(client: &Client, to: &mpsc::Sender<Msg>) -> (String, bool) {
    let mut heard = false;
    let mut events = match client.events().await {
        Ok(events) => events,
        Err(error) => return (error.to_string(), heard),
    };
    loop {
        match timeout(SILENCE, events.next()).await {
            Ok(Some(Ok(event))) => {
                // Before a Hello there is nothing that an event could change.
                heard |= matches!(event.body, EventBody::Hello { .. });
                if heard && to.send(Msg::Api(Box::new(event))).await.is_err() {
                    return ("the dashboard ended".to_owned(), heard);
                }
            }
            Ok(Some(Err(error))) => return (error.to_string(), heard),
            Ok(None) => return ("the event stream ended".to_owned(), heard),
            Err(_) => {
                if let Err(error) = client.version().await {
                    return (error.to_string(), heard);
                }
            }
        }
    }
}
