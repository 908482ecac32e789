//! The routes that attach a client.
//!
//! Owns: their parameters and what the audit log has of them. Never decides how bytes go: the client
//! does, by the protocol it asks for.

use super::{handed, upgrade::ClientUpgrade, websocket};
use crate::{
    api::{
        audit::AuditScope,
        reply::{App, Failure},
    },
    wire::{AttachQuery, FlowQuery},
};
use axum::{
    Extension,
    extract::{Path, Query, State},
    response::Response,
};
use podbay_protocol::AttachMode;

/// `GET /v1/workers/{w}/attach`.
pub(in crate::api) async fn attach(
    State(daemon): App,
    Path(name): Path<String>,
    Query(query): Query<AttachQuery>,
    Query(flow): Query<FlowQuery>,
    Extension(ticket): Extension<AuditScope>,
    upgrade: ClientUpgrade,
) -> Result<Response, Failure> {
    ticket.detail(match (&query.session, query.mode) {
        (Some(_), _) => "exec",
        (None, AttachMode::Write) => "write",
        (None, AttachMode::ReadOnly) => "read_only",
        (None, AttachMode::Takeover) => "takeover",
    });
    match upgrade {
        ClientUpgrade::WebSocket(upgrade) => {
            websocket::attach(daemon, &name, query, flow, upgrade).await
        }
        ClientUpgrade::Socket(upgrade) => handed::attach(daemon, name, query, upgrade).await,
    }
}

/// `GET /v1/spawn`.
pub(in crate::api) async fn spawn(
    State(daemon): App,
    Query(flow): Query<FlowQuery>,
    Extension(ticket): Extension<AuditScope>,
    upgrade: ClientUpgrade,
) -> Response {
    ticket.defer();
    match upgrade {
        ClientUpgrade::WebSocket(upgrade) => websocket::spawn(daemon, flow, ticket, upgrade),
        ClientUpgrade::Socket(upgrade) => handed::spawn(daemon, ticket, upgrade),
    }
}
