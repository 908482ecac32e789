//! Who listens on which TCP port, as the kernel says.
//!
//! All workers share the parent's network namespace, so the coordinator's own `/proc/net/tcp` has
//! everybody's sockets, each with its owner's uid.

use crate::wire::ListeningPort;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// `TCP_LISTEN` in proc_net_tcp(5), as it is written there.
const LISTEN: &str = "0A";
/// Bytes that are read of the kernel's table: some 200,000 sockets.
const MAX_TABLE: u64 = 32 << 20;

type ByUid = BTreeMap<u32, BTreeSet<ListeningPort>>;

/// The listeners in the network of this process. Blocks.
pub(super) fn listening() -> std::io::Result<ByUid> {
    let mut found = ByUid::new();
    parse(&table("/proc/net/tcp")?, &mut found);
    match table("/proc/net/tcp6") {
        Ok(text) => parse(&text, &mut found),
        // A kernel without IPv6.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn table(path: &str) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_TABLE)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// Takes the listeners from the text of `/proc/net/tcp` or `tcp6`.
fn parse(text: &str, found: &mut ByUid) {
    for line in text.lines().skip(1) {
        if let Some((uid, port)) = listener(line) {
            found.entry(uid).or_default().insert(port);
        }
    }
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid …`
fn listener(line: &str) -> Option<(u32, ListeningPort)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    if fields.nth(1)? != LISTEN {
        return None;
    }
    let uid = fields.nth(3)?.parse().ok()?;
    let (address, port) = local.rsplit_once(':')?;
    Some((
        uid,
        ListeningPort {
            port: u16::from_str_radix(port, 16).ok()?,
            address: ip(address)?.to_canonical().to_string(),
        },
    ))
}

/// Each 32 bits are written as a number of the machine's own byte order.
fn ip(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| {
        let digits = hex.get(at..at.checked_add(8)?)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match hex.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0u8; 16];
            for (chunk, at) in bytes.chunks_exact_mut(4).zip([0, 8, 16, 24]) {
                chunk.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 200003        0 1 1 0 100 0 0 10 0
   1: 00000000:0BB8 00000000:0000 0A 00000000:00000000 00:00000000 00000000 200003        0 2 1 0 100 0 0 10 0
   2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000 200003        0 3 1 0 20 4 30 10 -1
   3: 0B00007F:A0B1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4 1 0 100 0 0 10 0
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 200004        0 5 1 0 100 0 0 10 0
   1: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 200004        0 6 1 0 100 0 0 10 0
   2: 0000000000000000FFFF00000100007F:1F93 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000 200004        0 7 1 0 100 0 0 10 0
";

    #[test]
    fn listeners_are_told_apart_by_uid_and_addresses_read_as_people_write_them() {
        let mut found = ByUid::new();
        parse(TCP, &mut found);
        parse(TCP6, &mut found);
        let of = |uid: u32| {
            found[&uid]
                .iter()
                .map(|p| format!("{} {}", p.address, p.port))
                .collect::<Vec<_>>()
        };
        assert_eq!(of(200_003), ["0.0.0.0 3000", "127.0.0.1 8080"]);
        assert_eq!(of(200_004), [":: 8081", "::1 8082", "127.0.0.1 8083"]);
        assert_eq!(of(0), ["127.0.0.11 41137"]);
    }

    #[test]
    fn what_is_no_socket_is_passed_over() {
        let mut found = ByUid::new();
        parse(
            "head\n\n  0: x\n 1: zz:0 0 0A 0 0 0 5\n 2: 00:1F90 0 0A 0 0 0 5",
            &mut found,
        );
        assert!(found.is_empty());
    }

    #[test]
    fn a_listener_of_ours_is_found() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let found = listening().unwrap();
        let ours = found.values().flatten();
        assert!(
            ours.into_iter()
                .any(|p| p.port == port && p.address == "127.0.0.1")
        );
    }
}
