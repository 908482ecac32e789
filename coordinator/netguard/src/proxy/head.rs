//! The head of a request to the proxy: read strictly, written anew. Owns what a request may be. Never
//! forwards what it did not parse.

use podbay_model::model::normal;
use std::net::IpAddr;

/// Largest head, in bytes.
pub(super) const MOST_HEAD: usize = 16 << 10;
const MOST_HEADERS: usize = 96;

/// Whom a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// What the client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Head {
    pub host: Host,
    pub port: u16,
    /// What is sent to the host first; nothing for CONNECT.
    pub forward: Vec<u8>,
    /// A tunnel is asked for.
    pub connect: bool,
}

/// Why a request is none: an HTTP status and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bad(pub u16, pub String);

fn bad<T>(status: u16, reason: impl Into<String>) -> Result<T, Bad> {
    Err(Bad(status, reason.into()))
}

/// Reads a head and the length of it; `None` when there is more to come.
pub(super) fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, Bad> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) if length <= MOST_HEAD => length,
        Ok(httparse::Status::Partial) if bytes.len() < MOST_HEAD => return Ok(None),
        Ok(_) => return bad(431, format!("the request's head is over {MOST_HEAD} bytes")),
        Err(httparse::Error::TooManyHeaders) => {
            return bad(431, format!("more than {MOST_HEADERS} headers"));
        }
        Err(error) => return bad(400, format!("not an HTTP/1.1 request: {error}")),
    };
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return bad(400, "no method or no target");
    };
    if method == "CONNECT" {
        let (host, port) = authority(target, None)?;
        let head = Head {
            host,
            port,
            forward: Vec::new(),
            connect: true,
        };
        return Ok(Some((head, length)));
    }
    let rest = match target.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some((scheme, _)) => {
            return bad(
                400,
                format!("scheme {scheme:?}: use CONNECT for all but http"),
            );
        }
        None => {
            return bad(
                400,
                "this is a proxy: ask for http://HOST/… or CONNECT HOST:PORT",
            );
        }
    };
    let cut = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (named, path) = rest.split_at_checked(cut).unwrap_or((rest, ""));
    let (host, port) = authority(named, Some(80))?;
    let forward = rewrite(method, named, path, request.headers);
    let head = Head {
        host,
        port,
        forward,
        connect: false,
    };
    Ok(Some((head, length)))
}

/// `host:port`, `[v6]:port`; the port may be left out where there is a usual one.
fn authority(text: &str, usual: Option<u16>) -> Result<(Host, u16), Bad> {
    let wrong = || Bad(400, format!("{text:?} is not HOST:PORT"));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => rest
            .split_once(']')
            .map(|(host, rest)| (host, rest.strip_prefix(':'), rest.is_empty()))
            .and_then(|(host, port, none)| (port.is_some() || none).then_some((host, port)))
            .ok_or_else(wrong)?,
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse::<u16>().ok().filter(|port| *port > 0)
        }
        Some(_) => None,
        None => usual,
    };
    let port = port.ok_or_else(wrong)?;
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok((Host::Address(address), port));
    }
    match normal(host) {
        Some(name) if !text.starts_with('[') => Ok((Host::Name(name), port)),
        _ => Err(wrong()),
    }
}

/// The request as its host wants it: the path alone, this host's name, one request a connection.
fn rewrite(method: &str, named: &str, path: &str, headers: &[httparse::Header<'_>]) -> Vec<u8> {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut out =
        format!("{method} {slash}{path} HTTP/1.1\r\nHost: {named}\r\nConnection: close\r\n")
            .into_bytes();
    let named_hop: Vec<String> = headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("connection"))
        .flat_map(|header| {
            let value = String::from_utf8_lossy(header.value).into_owned();
            value
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase())
                .collect::<Vec<_>>()
        })
        .collect();
    for header in headers {
        let name = header.name.to_ascii_lowercase();
        let kept = match name.as_str() {
            "host" | "connection" | "keep-alive" | "upgrade" | "te" => false,
            // How long the body is stays as it was said.
            "content-length" | "transfer-encoding" => true,
            other => !other.starts_with("proxy-") && !named_hop.iter().any(|hop| hop == other),
        };
        if kept {
            out.extend(header.name.as_bytes());
            out.extend(b": ");
            out.extend(header.value);
            out.extend(b"\r\n");
        }
    }
    out.extend(b"\r\n");
    out
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
