//! Full screen: the terminal belongs to one worker's session, byte by byte, until the user comes
//! back or the session ends. When the coordinator goes away meanwhile, it is attached to again.

use crate::{
    cli::attach::{BorrowedTerminal as Lent, Matcher, Opened, Session, SessionOutcome as End},
    client::Client,
    dashboard::{
        app::{failure::Failure, message::FullscreenEnd},
        io::terminal::guard,
    },
    wire::AttachQuery,
};
use podbay_protocol::AttachMode;

/// What is to be attached to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FullscreenRequest {
    /// The worker's id.
    pub id: String,
    /// Another session than its main one.
    pub session: Option<String>,
    /// Become the writer even when there is another.
    pub takeover: bool,
    /// Whether its program may write the terminal's clipboard.
    pub clipboard: bool,
}

/// Carries a session until the attach ends, and gives back what the terminal was read with. The
/// terminal must be raw and lent; the caller takes it back.
pub async fn run(
    client: Client,
    wanted: FullscreenRequest,
    keys: Matcher,
    mut lent: Lent,
) -> (FullscreenEnd, Lent) {
    let end = attach(client, wanted, keys, &mut lent).await;
    let end = match end {
        Ok(End::Detached) => FullscreenEnd::Detached {
            writer: lent.writer,
        },
        Ok(End::Exited { status, .. }) => FullscreenEnd::Exited(status),
        Ok(End::Signal(_)) => FullscreenEnd::Lost(Failure::new("the terminal is gone")),
        Err(failure) => FullscreenEnd::Lost(failure),
    };
    (end, lent)
}

async fn attach(
    client: Client,
    wanted: FullscreenRequest,
    keys: Matcher,
    lent: &mut Lent,
) -> Result<End, Failure> {
    let mode = match wanted.takeover {
        true => AttachMode::Takeover,
        false => AttachMode::Write,
    };
    let size = guard::size();
    let query = AttachQuery {
        mode,
        cols: size.map(|s| s.cols),
        rows: size.map(|s| s.rows),
        session: wanted.session.clone(),
        silent: false,
    };
    let stream = client.attach(&wanted.id, &query).await?;
    let session = Session {
        client,
        name: wanted.id,
        mode,
        session: wanted.session,
        pipes: false,
        keys,
        clipboard: wanted.clipboard,
        detach_at_end: false,
        no_stdin: false,
    };
    let opened = Opened {
        stream,
        announced: false,
    };
    let end = session.run_on(opened, lent).await;
    end.map_err(|failure| Failure {
        message: failure.message,
        hint: failure.hint,
    })
}
