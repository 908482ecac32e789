//! From the host that is asked for to a connection. Owns the order: the list first, then what the name
//! resolves to. Never resolves a name that is not listed.

use super::head::{Head, Host};
use podbay_model::model::{Egress, forbidden};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// For the resolver.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(10);
/// For each address.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// The most addresses of a name that are tried.
const MOST_ADDRESSES: usize = 8;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// The worker may not.
    Denied { target: String, reason: String },
    /// It may, and the host is not to be had.
    Unreachable(String),
}

/// What is to be tried: addresses that the worker may connect to.
pub(super) fn judge(
    target: &str,
    port: u16,
    addresses: &[IpAddr],
    egress: &Egress,
) -> Result<Vec<SocketAddr>, Failed> {
    let mut reason = None;
    let mut allowed = Vec::new();
    for address in addresses {
        // A mapped address would be the same place under another name.
        let address = address.to_canonical();
        let never = address.is_loopback() || address.is_unspecified() || address.is_multicast();
        match forbidden(address) {
            Some(what) if never || !egress.allows_address(address, port) => {
                reason = Some(format!(
                    "it resolves to {address}, {what} that is not listed"
                ));
            }
            _ => allowed.push(SocketAddr::new(address, port)),
        }
    }
    match (allowed.is_empty(), reason) {
        (false, _) => Ok(allowed),
        (true, Some(reason)) => Err(Failed::Denied {
            target: target.to_owned(),
            reason,
        }),
        (true, None) => Err(Failed::Unreachable(format!("{target} has no address"))),
    }
}

/// Connects, or says why not.
pub(super) async fn dial(head: &Head, egress: &Egress) -> Result<TcpStream, Failed> {
    let port = head.port;
    let (target, addresses) = match &head.host {
        Host::Address(address) => {
            let target = SocketAddr::new(*address, port).to_string();
            if !egress.allows_address(*address, port) {
                return Err(denied(&target, egress));
            }
            (target, vec![*address])
        }
        Host::Name(name) => {
            let target = format!("{name}:{port}");
            // A name that is not listed is not looked up: questions carry data, too.
            if !egress.allows_name(name, port) {
                return Err(denied(&target, egress));
            }
            let found = timeout(RESOLVE_DEADLINE, lookup_host((name.as_str(), port))).await;
            let found = match found {
                Ok(Ok(found)) => found.map(|a| a.ip()).take(MOST_ADDRESSES).collect(),
                Ok(Err(error)) => {
                    return Err(Failed::Unreachable(format!(
                        "{name} does not resolve: {error}"
                    )));
                }
                Err(_) => {
                    return Err(Failed::Unreachable(format!(
                        "{name} does not resolve in time"
                    )));
                }
            };
            (target, found)
        }
    };
    let mut last = None;
    for address in judge(&target, port, &addresses, egress)? {
        match timeout(CONNECT_DEADLINE, TcpStream::connect(address)).await {
            // The parent itself, by an address of its own: nobody's way to other workers.
            Ok(Ok(stream))
                if stream.local_addr().ok().map(|own| own.ip()) == Some(address.ip()) =>
            {
                return Err(Failed::Denied {
                    target,
                    reason: format!("{address} is the parent itself"),
                });
            }
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = Some(format!("{target} at {address}: {error}")),
            Err(_) => last = Some(format!("{target} at {address} does not answer")),
        }
    }
    Err(Failed::Unreachable(last.unwrap_or(target)))
}

fn denied(target: &str, egress: &Egress) -> Failed {
    let reason = match egress {
        Egress::None => "the profile's egress is none",
        Egress::Open => "the profile's egress is open: connect directly",
        Egress::List(_) => "not on the profile's list",
    };
    Failed::Denied {
        target: target.to_owned(),
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listed_name_does_not_lead_into_private_networks() {
        let egress: Egress = "a.example.com,10.1.0.0/16".parse().unwrap();
        let judged = |addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
            judge("a.example.com:443", 443, &addresses, &egress).map(|found| {
                let ips = found.iter().map(|a| a.ip().to_string());
                ips.collect::<Vec<_>>().join(" ")
            })
        };
        for bad in [
            "127.0.0.1",
            "169.254.169.254",
            "10.2.0.1",
            "::ffff:127.0.0.1",
            "::1",
            "fd00::1",
        ] {
            assert!(
                matches!(judged(&[bad]), Err(Failed::Denied { .. })),
                "{bad}"
            );
        }
        assert_eq!(judged(&["203.0.113.1"]).unwrap(), "203.0.113.1");
        assert_eq!(
            judged(&["127.0.0.1", "203.0.113.1"]).unwrap(),
            "203.0.113.1"
        );
        assert_eq!(judged(&["10.1.2.3"]).unwrap(), "10.1.2.3");
        assert!(matches!(judged(&[]), Err(Failed::Unreachable(_))));
        let all: Egress = "a.example.com,0.0.0.0/0".parse().unwrap();
        let loopback = ["127.0.0.1".parse().unwrap()];
        assert!(judge("a:443", 443, &loopback, &all).is_err());
    }
}
