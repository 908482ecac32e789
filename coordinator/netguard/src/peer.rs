//! Who is at the other end of a connection on loopback: the uid that opened the socket. Owns nothing: the
//! kernel says it, about that one socket (sock_diag(7)); where it has no such interface for TCP, the
//! whole table is read instead (proc_net_tcp(5)). Never asks the other end.

use crate::netlink::messages;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    sync::OnceLock,
};

/// States of sockets that may still have a request to send: ESTABLISHED, FIN_WAIT1, FIN_WAIT2,
/// CLOSE_WAIT. What is in TIME_WAIT shows root as its owner.
const STATES: [u8; 4] = [1, 4, 5, 8];

// linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
const NLM_F_REQUEST: u16 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_INET: u8 = 2;
const IPPROTO_TCP: u8 = 6;
/// Bytes of `struct nlmsghdr` and `struct inet_diag_req_v2`.
const REQUEST: u32 = 16 + 56;
/// Where `struct inet_diag_msg` has the state, the peer's port, the peer, and the uid.
const STATE: usize = 1;
const PEER_PORT: usize = 6;
const PEER: usize = 24;
const UID: usize = 64;
const ENOENT: i32 = 2;

/// The uid of the socket at `client` that is connected to `server`; `None` when it is gone.
pub(super) fn uid_of(client: SocketAddr, server: SocketAddr) -> io::Result<Option<u32>> {
    let (SocketAddr::V4(client), SocketAddr::V4(server)) = (client, server) else {
        return Ok(None);
    };
    static WORKS: OnceLock<bool> = OnceLock::new();
    if *WORKS.get_or_init(works) {
        asked(client, server)
    } else {
        let table = std::fs::read_to_string("/proc/thread-self/net/tcp")?;
        Ok(find(&table, client, server))
    }
}

/// Whether the kernel tells of single sockets: "no such socket" is also what one says that cannot.
fn works() -> bool {
    let tried = || -> io::Result<bool> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let stream = TcpStream::connect(listener.local_addr()?)?;
        match (stream.local_addr()?, stream.peer_addr()?) {
            (SocketAddr::V4(own), SocketAddr::V4(peer)) => Ok(asked(own, peer)?.is_some()),
            _ => Ok(false),
        }
    };
    tried().unwrap_or_else(|error| {
        tracing::debug!(%error, "the kernel does not tell of single sockets");
        false
    })
}

/// Asks for that socket.
fn asked(client: SocketAddrV4, server: SocketAddrV4) -> io::Result<Option<u32>> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let family = AddressFamily::NETLINK;
    let socket = socket_with(family, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    send(&socket, &request(client, server), SendFlags::empty())?;
    // The kernel has answered when `send` returns.
    let mut buffer = [0u8; 4096];
    let (got, _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
    answered(buffer.get(..got).unwrap_or_default(), server)
}

fn request(client: SocketAddrV4, server: SocketAddrV4) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend([AF_INET, IPPROTO_TCP, 0, 0]);
    // All states.
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(client.port().to_be_bytes());
    bytes.extend(server.port().to_be_bytes());
    for address in [client.ip(), server.ip()] {
        bytes.extend(address.octets());
        bytes.extend([0; 12]);
    }
    // Any interface; no cookie.
    bytes.extend(0u32.to_ne_bytes());
    bytes.extend([0xff; 8]);
    bytes
}

fn answered(bytes: &[u8], server: SocketAddrV4) -> io::Result<Option<u32>> {
    let Some(message) = messages(bytes).into_iter().next() else {
        return Err(io::Error::other("the kernel did not answer"));
    };
    match message.error() {
        Some(ENOENT) => return Ok(None),
        Some(code) => return Err(io::Error::from_raw_os_error(code)),
        None => {}
    }
    let body = message.body;
    // For want of a connection it tells of a listener at that address.
    let connected = body.get(STATE).is_some_and(|state| STATES.contains(state))
        && body.get(PEER_PORT..PEER_PORT + 2) == Some(&server.port().to_be_bytes())
        && body.get(PEER..PEER + 4) == Some(&server.ip().octets());
    let uid = body.get(UID..UID + 4).and_then(|b| b.try_into().ok());
    Ok(uid.map(u32::from_ne_bytes).filter(|_| connected))
}

fn find(table: &str, client: SocketAddrV4, server: SocketAddrV4) -> Option<u32> {
    let (client, server) = (written(client), written(server));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = fields.next()? == client
            && fields.next()? == server
            && u8::from_str_radix(fields.next()?, 16).is_ok_and(|state| STATES.contains(&state));
        // tx_queue:rx_queue tr:tm->when retrnsmt uid
        ours.then(|| fields.nth(3)?.parse().ok())?
    })
}

/// Each address is written as a number of the machine's own byte order.
fn written(address: SocketAddrV4) -> String {
    let number = u32::from_ne_bytes(address.ip().octets());
    format!("{number:08X}:{:04X}", address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(address: SocketAddr) -> SocketAddrV4 {
        match address {
            SocketAddr::V4(address) => address,
            SocketAddr::V6(_) => panic!("{address}"),
        }
    }

    #[test]
    fn the_opener_of_a_connection_is_known_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, client) = listener.accept().unwrap();
        let server = accepted.local_addr().unwrap();
        let own = rustix::process::getuid().as_raw();
        assert!(works(), "sock_diag(7) is part of every kernel we know");
        let table = || std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        for (one, other) in [(client, server), (server, client)] {
            assert_eq!(uid_of(one, other).unwrap(), Some(own));
            assert_eq!(find(&table(), v4(one), v4(other)), Some(own));
        }
        let other = SocketAddr::from(([127, 0, 0, 1], client.port() ^ 1));
        assert_eq!(uid_of(other, server).unwrap(), None);
        // The listener is at the server's address, and is nobody's connection.
        let elsewhere = SocketAddr::from(([127, 0, 0, 1], 1));
        assert_eq!(uid_of(server, elsewhere).unwrap(), None);
        drop(stream);
    }

    #[test]
    fn a_socket_that_nobody_owns_any_more_is_nobodys() {
        let (client, server) = (
            "127.0.0.1:40000".parse().unwrap(),
            "127.0.0.1:19999".parse().unwrap(),
        );
        let row = |state: &str, uid: u32| {
            format!(
                "head\n 0: {} {} {state} 00000000:00000000 00:00000000 00000000 {uid} 0 1",
                written(client),
                written(server)
            )
        };
        assert_eq!(find(&row("01", 200_003), client, server), Some(200_003));
        assert_eq!(find(&row("06", 0), client, server), None);
        assert_eq!(find("head\nx\n 0: a b", client, server), None);
    }

    #[test]
    fn no_answer_panics_and_a_short_one_names_nobody() {
        let server = "127.0.0.1:19999".parse().unwrap();
        let message = |body: &[u8]| {
            let length = u32::try_from(16 + body.len()).unwrap();
            let mut bytes = length.to_ne_bytes().to_vec();
            bytes.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            bytes.extend(body);
            bytes
        };
        assert!(answered(b"", server).is_err());
        for length in 0..72 {
            let body = vec![1u8; length];
            assert_eq!(answered(&message(&body), server).unwrap(), None);
        }
    }
}
