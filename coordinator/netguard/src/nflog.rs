//! What the kernel's rules refused: packets reported by nfnetlink_log(4). Owns that socket. Never
//! changes a rule.

use crate::{
    count::Counts,
    netlink::{Batch, Message, NLM_F_ACK, Socket, messages},
    table::LOG_GROUP,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsFd,
};

const SUBSYSTEM: u16 = 4;
const PACKET: u16 = SUBSYSTEM << 8;
const CONFIG: u16 = (SUBSYSTEM << 8) | 1;
const CONFIG_COMMAND: u16 = 1;
const CONFIG_MODE: u16 = 2;
const CONFIG_TIMEOUT: u16 = 4;
const CONFIG_THRESHOLD: u16 = 5;
const COMMAND_BIND: u8 = 1;
const COPY_PACKET: u8 = 2;
const ATTR_PAYLOAD: u16 = 9;
const ATTR_UID: u16 = 11;
/// Packets kept back until they are delivered together, and for how many 10 ms at most.
const THRESHOLD: u32 = 16;
const TIMEOUT: u32 = 10;

/// A socket that gets the reports.
pub(super) fn open() -> io::Result<Socket> {
    let socket = Socket::open()?;
    let mut batch = Batch::default();
    let mut last = 0;
    for (kind, value) in [
        (CONFIG_COMMAND, vec![COMMAND_BIND]),
        (CONFIG_MODE, vec![0, 0, 0, 64, COPY_PACKET, 0]),
        (CONFIG_TIMEOUT, TIMEOUT.to_be_bytes().to_vec()),
        (CONFIG_THRESHOLD, THRESHOLD.to_be_bytes().to_vec()),
    ] {
        last = batch.message(CONFIG, NLM_F_ACK, 0, LOG_GROUP, |a| {
            a.bytes(kind, &value);
        });
    }
    socket.execute(&batch, last)?;
    Ok(socket)
}

/// Counts until the socket fails: for a thread of its own.
pub(super) fn follow(socket: &Socket, counts: &Counts) -> io::Result<()> {
    loop {
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        match socket.receive() {
            Ok(Some(bytes)) => {
                for message in messages(&bytes) {
                    if let Some((uid, target)) = refused(&message) {
                        counts.denied(uid, &target);
                    }
                }
            }
            Ok(None) => {}
            // More came than fits: some are not counted.
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => {}
            Err(error) => return Err(error),
        }
    }
}

fn refused(message: &Message<'_>) -> Option<(u32, String)> {
    if message.kind != PACKET {
        return None;
    }
    let find = |wanted: u16| {
        message
            .attributes()
            .find_map(|(kind, value)| (kind == wanted).then_some(value))
    };
    let uid = u32::from_be_bytes(find(ATTR_UID)?.get(..4)?.try_into().ok()?);
    Some((uid, target(find(ATTR_PAYLOAD)?)?))
}

/// Where a packet was to go: `tcp 192.0.2.1:443`. Extension headers of IPv6 are not followed.
fn target(packet: &[u8]) -> Option<String> {
    let (address, protocol, rest): (IpAddr, u8, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let address: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let header = usize::from(packet.first()? & 0xf) * 4;
            let protocol = *packet.get(9)?;
            (
                Ipv4Addr::from(address).into(),
                protocol,
                packet.get(header..)?,
            )
        }
        6 => {
            let address: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            let protocol = *packet.get(6)?;
            (Ipv6Addr::from(address).into(), protocol, packet.get(40..)?)
        }
        _ => return None,
    };
    let port = || {
        let bytes = rest.get(2..4)?.try_into().ok()?;
        Some(SocketAddr::new(address, u16::from_be_bytes(bytes)))
    };
    Some(match (protocol, port()) {
        (6, Some(to)) => format!("tcp {to}"),
        (17, Some(to)) => format!("udp {to}"),
        (1 | 58, _) => format!("icmp {address}"),
        (other, _) => format!("protocol {other} {address}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_packets_target_is_read_as_people_write_it() {
        let mut v4 = vec![0x45; 24];
        v4[9] = 17;
        v4[16..20].copy_from_slice(&[192, 0, 2, 1]);
        v4[22..24].copy_from_slice(&53u16.to_be_bytes());
        assert_eq!(target(&v4).unwrap(), "udp 192.0.2.1:53");
        let mut v6 = vec![0x60; 44];
        v6[6] = 6;
        v6[24..40].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        v6[42..44].copy_from_slice(&443u16.to_be_bytes());
        assert_eq!(target(&v6).unwrap(), "tcp [2001:db8::1]:443");
        v6[6] = 58;
        assert_eq!(target(&v6).unwrap(), "icmp 2001:db8::1");
        v4[9] = 132;
        assert_eq!(target(&v4).unwrap(), "protocol 132 192.0.2.1");
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn no_packet_panics(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            drop(target(&bytes));
        }
    }
}
