//! Who is at the other end of a connection on loopback: the uid that opened the socket.
//!
//! From the kernel's own table, so nobody can claim to be another. Columns: proc_net_tcp(5).

use std::net::{SocketAddr, SocketAddrV4};

/// States of sockets that may still have a request to send: ESTABLISHED, FIN_WAIT1, FIN_WAIT2,
/// CLOSE_WAIT. What is in TIME_WAIT shows root as its owner.
const STATES: [&str; 4] = ["01", "04", "05", "08"];

/// The uid of the socket at `client` that is connected to `server`; `None` when it is gone.
pub(super) fn uid_of(client: SocketAddr, server: SocketAddr) -> std::io::Result<Option<u32>> {
    let (SocketAddr::V4(client), SocketAddr::V4(server)) = (client, server) else {
        return Ok(None);
    };
    let table = std::fs::read_to_string("/proc/thread-self/net/tcp")?;
    Ok(find(&table, client, server))
}

fn find(table: &str, client: SocketAddrV4, server: SocketAddrV4) -> Option<u32> {
    let (client, server) = (written(client), written(server));
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let ours = fields.next()? == client
            && fields.next()? == server
            && STATES.contains(&fields.next()?);
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
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_opener_of_a_connection_is_known_while_it_is_open() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, client) = listener.accept().unwrap();
        let server = accepted.local_addr().unwrap();
        let own = rustix::process::getuid().as_raw();
        assert_eq!(uid_of(client, server).unwrap(), Some(own));
        assert_eq!(uid_of(server, client).unwrap(), Some(own));
        let other = SocketAddr::from(([127, 0, 0, 1], client.port() ^ 1));
        assert_eq!(uid_of(other, server).unwrap(), None);
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
}
