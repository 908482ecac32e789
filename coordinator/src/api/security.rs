//! The door: what every request passes before anything looks at what it asks.
//!
//! Owns: bounds of headers and bodies and the time they may take, the checks of `Origin` and, over
//! TCP, of `Host` and the token. On the socket the file's mode says who may come.

use super::{
    audit,
    peer::{Peer, TokenId},
    reply::{App, Failure},
};
use crate::{
    daemon::Daemon,
    wire::{ApiError, ErrorKind},
};
use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::BytesMut;
use http_body_util::BodyExt;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use subtle::ConstantTimeEq;

/// Bytes of all headers together, and of the address.
const MOST_HEADERS: usize = 16 << 10;
/// Bytes over the bound that are read and thrown away, so that the refusal arrives.
pub(super) const MAX_DISCARDED: usize = 8 << 20;
/// A body has come by then.
const BODY_DEADLINE: Duration = Duration::from_secs(30);
/// Refusals of one address that are noted in so long; more are counted.
const NOTED: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered.
const ADDRESSES: usize = 1024;

/// What a request over TCP is checked against.
pub(super) struct ApiAuth {
    token: String,
    id: String,
    origins: Vec<String>,
    hosts: Vec<String>,
    failures: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl std::fmt::Debug for ApiAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiAuth")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl ApiAuth {
    /// A gate for that token.
    pub(super) fn new(token: String, origins: Vec<String>, hosts: Vec<String>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let id = digest
            .as_ref()
            .iter()
            .take(4)
            .map(|b| format!("{b:02x}"))
            .collect();
        Self {
            token,
            id,
            origins,
            hosts,
            failures: Mutex::default(),
        }
    }

    /// The token's id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(given), None) = (given.next(), given.next()) else {
            return false;
        };
        let Some((scheme, token)) = given.as_bytes().split_at_checked("Bearer ".len()) else {
            return false;
        };
        // Of unlike lengths nothing is compared; the length is no secret.
        scheme.eq_ignore_ascii_case(b"Bearer ") && bool::from(token.ct_eq(self.token.as_bytes()))
    }

    /// Whether a refusal is noted, and how many before it were not.
    fn failed(&self, address: IpAddr) -> Option<u64> {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let before = failures.get(&address).copied();
        let (since, count) = before.unwrap_or((now, 0));
        if now.duration_since(since) >= WINDOW {
            failures.insert(address, (now, 1));
            return Some(u64::from(count.saturating_sub(NOTED)));
        }
        if before.is_none() && failures.len() >= ADDRESSES {
            failures.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
            if failures.len() >= ADDRESSES {
                return None;
            }
        }
        failures.insert(address, (since, count.saturating_add(1)));
        (count < NOTED).then_some(0)
    }
}

fn refuse(kind: ErrorKind, message: &str, hint: &str) -> ApiError {
    ApiError::new(kind, message).hint(hint)
}

/// Lets a request in, or answers it.
pub(super) async fn guard(State(daemon): App, mut request: Request, next: Next) -> Response {
    match check(&daemon, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(error) => {
            let mut response = Failure(error).into_response();
            // What is left of the request is not read.
            let close = header::HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
            response
        }
    }
}

async fn check(daemon: &Arc<Daemon>, request: &mut Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let size = |(name, value): (&header::HeaderName, &header::HeaderValue)| {
        name.as_str().len() + value.len() + 4
    };
    let address = request
        .uri()
        .path_and_query()
        .map_or(0, |p| p.as_str().len());
    if headers.iter().map(size).sum::<usize>() + address > MOST_HEADERS {
        return Err(refuse(
            ErrorKind::HeadersTooLarge,
            "the request's headers are too large",
            &format!("send at most {MOST_HEADERS} bytes of headers and address"),
        ));
    }
    let gate = request.extensions().get::<Arc<ApiAuth>>().cloned();
    let allowed = gate.as_ref().map_or(&[][..], |gate| &gate.origins);
    if let Some(error) = foreign(headers, allowed) {
        return Err(error);
    }
    if let Some(gate) = gate {
        if let Some(error) = misdirected(request, &gate.hosts) {
            return Err(error);
        }
        if !gate.knows(headers) {
            if let Some(lost) = noted(&gate, request) {
                let kind = ErrorKind::Unauthorized;
                audit::refused(daemon, audit::who(request), "authenticate", kind, lost);
            }
            return Err(refuse(
                ErrorKind::Unauthorized,
                "the token is missing or wrong",
                "send `authorization: Bearer TOKEN` with what is in the coordinator's api.token_file",
            ));
        }
        request.extensions_mut().insert(TokenId(gate.id.clone()));
    }
    if *request.method() != Method::GET {
        let body = std::mem::take(request.body_mut());
        *request.body_mut() = whole(body, daemon.config().api.max_body).await?;
    }
    Ok(())
}

fn noted(gate: &ApiAuth, request: &Request) -> Option<u64> {
    match request.extensions().get::<Arc<Peer>>().map(Arc::as_ref) {
        Some(Peer::Tcp { address }) => gate.failed(address.ip()),
        _ => Some(0),
    }
}

/// A page in a browser must not speak for the user.
fn foreign(headers: &HeaderMap, allowed: &[String]) -> Option<ApiError> {
    let mut given = headers.get_all(header::ORIGIN).iter();
    given
        .any(|origin| {
            !allowed
                .iter()
                .any(|known| known.as_bytes() == origin.as_bytes())
        })
        .then(|| {
            refuse(
                ErrorKind::Refused,
                "requests of web pages are refused: the request has an Origin header",
                "list that origin in api.origins to allow it",
            )
        })
}

/// The name a request was sent to is one of ours: else a page's own name was pointed here.
fn misdirected(request: &Request, hosts: &[String]) -> Option<ApiError> {
    let mut given = request.headers().get_all(header::HOST).iter();
    let host = match (given.next(), given.next()) {
        (Some(host), None) => host.to_str().unwrap_or_default(),
        _ => "",
    };
    let asked = request.uri().host().unwrap_or(host);
    let known = |host: &str| {
        let name = without_port(host);
        // No page's name can be an address.
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok() || hosts.iter().any(|own| own.eq_ignore_ascii_case(name))
    };
    (!known(host) || !known(asked)).then(|| {
        refuse(
            ErrorKind::Refused,
            "the request was sent to another host's name",
            "list the name you use in api.hosts",
        )
    })
}

/// A host without its port: `[::1]:7777` is `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// A body, once all of it is here.
async fn whole(body: Body, most: usize) -> Result<Body, ApiError> {
    match tokio::time::timeout(BODY_DEADLINE, collect(body, most)).await {
        Ok(Ok(Some(bytes))) => Ok(Body::from(bytes.freeze())),
        Ok(Ok(None)) => Err(too_large("the request's body", most)),
        Ok(Err(error)) => Err(ApiError::new(
            ErrorKind::Invalid,
            format!("the request's body cannot be read: {error}"),
        )),
        Err(_) => Err(ApiError::new(
            ErrorKind::Timeout,
            "the request's body did not come in time",
        )),
    }
}

/// What is refused for its size.
pub(super) fn too_large(what: &str, most: usize) -> ApiError {
    refuse(
        ErrorKind::TooLarge,
        &format!("{what} is too large"),
        &format!("send at most {most} bytes, or raise api.max_body"),
    )
}

/// A body of at most so many bytes; `None` for a longer one. More is read and thrown away up to
/// [`MAX_DISCARDED`], or the client would see a broken connection in place of the answer.
async fn collect(mut body: Body, most: usize) -> Result<Option<BytesMut>, axum::Error> {
    let mut kept = BytesMut::new();
    let mut seen: usize = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        seen = seen.saturating_add(data.len());
        if seen <= most {
            kept.extend_from_slice(&data);
        } else {
            kept = BytesMut::new();
            if seen > most.saturating_add(MAX_DISCARDED) {
                break;
            }
        }
    }
    Ok((seen <= most).then_some(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> ApiAuth {
        ApiAuth::new(
            "ab".repeat(32),
            vec!["https://ok".into()],
            vec!["127.0.0.1".into()],
        )
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| {
            (
                name.parse::<header::HeaderName>().unwrap(),
                value.parse().unwrap(),
            )
        });
        pairs.fold(HeaderMap::new(), |mut map, (name, value)| {
            map.append(name, value);
            map
        })
    }

    #[test]
    fn only_the_whole_token_opens() {
        let right = format!("Bearer {}", "ab".repeat(32));
        assert!(gate().knows(&headers(&[("authorization", &right)])));
        assert!(gate().knows(&headers(&[(
            "authorization",
            &right.replace("Bearer", "bearer")
        )])));
        let short = &right[..right.len() - 1];
        for wrong in [
            short,
            &format!("{right}a"),
            "Bearer ",
            "Bearer",
            "",
            "Basic ab",
            &right[7..],
        ] {
            assert!(
                !gate().knows(&headers(&[("authorization", wrong)])),
                "{wrong}"
            );
        }
        assert!(!gate().knows(&HeaderMap::new()));
        let twice = headers(&[("authorization", &right), ("authorization", "Bearer x")]);
        assert!(!gate().knows(&twice));
        assert!(!format!("{:?}", gate()).contains("abab"));
    }

    #[test]
    fn pages_and_other_names_are_refused() {
        let origins = ["https://ok".to_owned()];
        assert!(foreign(&headers(&[]), &origins).is_none());
        assert!(foreign(&headers(&[("origin", "https://ok")]), &origins).is_none());
        for bad in ["null", "https://ok.evil", "https://OK", "http://ok"] {
            assert!(
                foreign(&headers(&[("origin", bad)]), &origins).is_some(),
                "{bad}"
            );
            assert!(
                foreign(
                    &headers(&[("origin", "https://ok"), ("origin", bad)]),
                    &origins
                )
                .is_some()
            );
        }
        let hosts = [
            "127.0.0.1".to_owned(),
            "[::1]".to_owned(),
            "bay.example".to_owned(),
        ];
        for (host, ok) in [
            ("127.0.0.1:7777", true),
            ("127.0.0.1", true),
            ("10.1.2.3:7777", true),
            ("10.1.2.3.evil.example", false),
            ("[::1]:7777", true),
            ("BAY.example:1", true),
            ("evil.example:7777", false),
            ("", false),
        ] {
            let request = Request::builder().uri("/v1/status").header("host", host);
            let request = request.body(Body::empty()).unwrap();
            assert_eq!(misdirected(&request, &hosts).is_none(), ok, "{host}");
        }
        let absolute = Request::builder()
            .uri("https://evil.example/v1/status")
            .header("host", "127.0.0.1");
        assert!(misdirected(&absolute.body(Body::empty()).unwrap(), &hosts).is_some());
    }

    #[test]
    fn refusals_of_one_address_are_noted_up_to_a_bound_and_addresses_too() {
        let gate = gate();
        let address = |n: u32| IpAddr::from(std::net::Ipv4Addr::from(n));
        let noted = (0..100)
            .filter(|_| gate.failed(address(1)).is_some())
            .count();
        assert_eq!(noted, NOTED as usize);
        for n in 0..5000 {
            gate.failed(address(n));
        }
        assert!(gate.failures.lock().unwrap().len() <= ADDRESSES);
    }
}
