//! Which protocol a client asks for.
//!
//! Owns: the headers of an Upgrade and their answers. Never answers for a request that is refused for
//! anything else.

use crate::{
    api::{peer::Peer, reply::Failure},
    wire::{ApiError, ErrorKind, SESSION_HEADER, SESSION_PIPES, SESSION_TERMINAL},
};
use axum::{
    body::Body,
    extract::{FromRequestParts, WebSocketUpgrade},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use podbay_protocol::ATTACH_PROTOCOL;
use std::sync::Arc;

/// What all versions of [`ATTACH_PROTOCOL`] begin with.
const FAMILY: &str = "podbay-attach/";

/// What a client's connection becomes.
pub(in crate::api) enum ClientUpgrade {
    /// A WebSocket.
    WebSocket(WebSocketUpgrade),
    /// A socket of [`ATTACH_PROTOCOL`].
    Socket(OnUpgrade),
}

impl<S: Send + Sync> FromRequestParts<S> for ClientUpgrade {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let asked = parts
            .headers
            .get(header::UPGRADE)
            .map(HeaderValue::as_bytes);
        let Some(asked) = asked.filter(|asked| is_ours(asked)) else {
            let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
            return upgrade
                .map(Self::WebSocket)
                .map_err(IntoResponse::into_response);
        };
        let known = asked.eq_ignore_ascii_case(ATTACH_PROTOCOL.as_bytes());
        let on_socket = matches!(
            parts.extensions.get::<Arc<Peer>>().map(Arc::as_ref),
            Some(Peer::Unix { .. })
        );
        if !known {
            let what = format!("of its attach protocols this coordinator has {ATTACH_PROTOCOL}");
            return Err(unsupported(&what));
        }
        if !on_socket {
            let what = format!("{ATTACH_PROTOCOL} works on the unix socket only");
            return Err(unsupported(&what));
        }
        match parts.extensions.remove::<OnUpgrade>() {
            Some(upgrade) if asks_for_upgrade(&parts.headers) => Ok(Self::Socket(upgrade)),
            _ => {
                let message = format!(
                    "an Upgrade to {ATTACH_PROTOCOL} needs HTTP/1.1 and `connection: upgrade`"
                );
                let error = ApiError::new(ErrorKind::Invalid, message);
                Err(Failure(error).into_response())
            }
        }
    }
}

fn is_ours(asked: &[u8]) -> bool {
    let family = asked.get(..FAMILY.len()).unwrap_or_default();
    family.eq_ignore_ascii_case(FAMILY.as_bytes())
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let said = headers.get_all(header::CONNECTION).iter();
    let mut words = said.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// An answer after which a client shall use WebSocket.
fn unsupported(what: &str) -> Response {
    let error = ApiError::new(
        ErrorKind::UpgradeUnsupported,
        format!("{what}: attach by WebSocket"),
    );
    let mut response = Failure(error).into_response();
    let websocket = HeaderValue::from_static("websocket");
    response.headers_mut().insert(header::UPGRADE, websocket);
    response
}

/// The answer after which the connection speaks [`ATTACH_PROTOCOL`]; of an attach it says whether the
/// session is on pipes.
pub(super) fn switching(pipes: Option<bool>) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(ATTACH_PROTOCOL));
    if let Some(pipes) = pipes {
        let on = if pipes {
            SESSION_PIPES
        } else {
            SESSION_TERMINAL
        };
        headers.insert(SESSION_HEADER, HeaderValue::from_static(on));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    async fn asked(peer: Option<Peer>) -> ErrorKind {
        let request = Request::get("/v1/spawn")
            .header(header::UPGRADE, ATTACH_PROTOCOL)
            .header(header::CONNECTION, "Upgrade");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        if let Some(peer) = peer {
            parts.extensions.insert(Arc::new(peer));
        }
        let upgrade = ClientUpgrade::from_request_parts(&mut parts, &()).await;
        let refused = upgrade.err().unwrap();
        *refused.extensions().get::<ErrorKind>().unwrap()
    }

    #[tokio::test]
    async fn it_is_for_the_socket_alone() {
        let address = "127.0.0.1:1".parse().unwrap();
        let over_tcp = asked(Some(Peer::Tcp { address })).await;
        assert_eq!(over_tcp, ErrorKind::UpgradeUnsupported);
        assert_eq!(asked(None).await, ErrorKind::UpgradeUnsupported);
        let (socket, _other) = tokio::net::UnixStream::pair().unwrap();
        // Here nothing can be upgraded, which is another matter.
        let on_socket = asked(Some(Peer::unix(&socket))).await;
        assert_eq!(on_socket, ErrorKind::Invalid);
    }

    #[test]
    fn a_connection_header_is_a_list_of_words() {
        for (said, asks) in [
            ("Upgrade", true),
            ("keep-alive, upgrade", true),
            ("close,UPGRADE ", true),
            ("upgraded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONNECTION, HeaderValue::from_static(said));
            assert_eq!(asks_for_upgrade(&headers), asks, "{said:?}");
        }
        assert!(!asks_for_upgrade(&HeaderMap::new()));
    }
}
