//! Netlink messages: attributes written, a socket spoken to (netlink(7), linux/netfilter/nfnetlink.h).
//! Owns their format: the parent's image has no `nft`, and the libraries that would write these are
//! larger than this file or want a C compiler. Never knows a rule.

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send,
        socket_with,
        sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force},
    },
};
use std::io;

/// Bytes of `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;
/// Bytes read at once: larger than any message asked for.
const READ: usize = 64 << 10;
/// Bytes of the socket's buffers: a batch is one message.
const BUFFERS: usize = 8 << 20;

const NLM_F_REQUEST: u16 = 1;
/// An answer is wanted.
pub(super) const NLM_F_ACK: u16 = 4;
/// The thing may be made.
pub(super) const NLM_F_CREATE: u16 = 0x400;
/// At the end of what is there.
pub(super) const NLM_F_APPEND: u16 = 0x800;
const NLMSG_ERROR: u16 = 2;
const NLA_F_NESTED: u16 = 1 << 15;
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Messages, one behind the other.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Where the message begins that is being written.
    open: usize,
    next_seq: u32,
}

/// Attributes of a message.
#[derive(Debug, Default)]
pub(super) struct Attrs(Vec<u8>);

impl Attrs {
    /// An attribute with these bytes.
    pub fn bytes(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(value.len().saturating_add(4)).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        while !self.0.len().is_multiple_of(4) {
            self.0.push(0);
        }
        self
    }

    /// Text with the NUL byte at its end.
    pub fn text(&mut self, kind: u16, value: &str) -> &mut Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    /// A number in the network's byte order, as netfilter wants them.
    pub fn be32(&mut self, kind: u16, value: u32) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn be64(&mut self, kind: u16, value: u64) -> &mut Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub fn nested(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(kind | NLA_F_NESTED, &inner.0)
    }

    /// Attributes of the same message, behind these.
    pub fn extend(&mut self, other: &Self) {
        self.0.extend(&other.0);
    }
}

impl Batch {
    /// Adds a message of netfilter's; its number.
    pub fn message(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        fill: impl FnOnce(&mut Attrs),
    ) -> u32 {
        self.next_seq = self.next_seq.wrapping_add(1);
        let seq = self.next_seq;
        let mut attrs = Attrs::default();
        fill(&mut attrs);
        let length = HEADER + GENERIC + attrs.0.len();
        self.open = self.bytes.len();
        self.bytes
            .extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
        self.bytes.extend(seq.to_ne_bytes());
        self.bytes.extend(0u32.to_ne_bytes());
        self.bytes.extend([family, 0]);
        self.bytes.extend(resource.to_be_bytes());
        self.bytes.extend(attrs.0);
        seq
    }

    /// The last message's number.
    pub fn last(&self) -> u32 {
        self.next_seq
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// One message that came.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a> {
    pub kind: u16,
    pub seq: u32,
    /// Behind `struct nlmsghdr`.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// Its attributes, behind `struct nfgenmsg`.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes(self.body.get(GENERIC..).unwrap_or_default())
    }

    /// The error it carries: `None` for what is no error message, 0 for an acknowledgement.
    pub fn error(&self) -> Option<i32> {
        if self.kind != NLMSG_ERROR {
            return None;
        }
        let code = self.body.get(..4)?.try_into().ok()?;
        Some(i32::from_ne_bytes(code).saturating_neg())
    }
}

/// Cuts what was read into messages; what is cut short is left out.
pub(super) fn messages(mut bytes: &[u8]) -> Vec<Message<'_>> {
    let mut found = Vec::new();
    while let Some(head) = bytes.get(..HEADER) {
        let number = |at: usize| {
            head.get(at..at + 4)
                .and_then(|b| b.try_into().ok())
                .map(u32::from_ne_bytes)
        };
        let kind = head.get(4..6).and_then(|b| b.try_into().ok());
        let (Some(length), Some(kind), Some(seq)) =
            (number(0), kind.map(u16::from_ne_bytes), number(8))
        else {
            break;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some(body) = bytes.get(HEADER..length) else {
            break;
        };
        found.push(Message { kind, seq, body });
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// Attributes of a message, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attributes<'a>(pub &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let number = |at: usize| {
            let bytes = self.0.get(at..at + 2)?.try_into().ok()?;
            Some(u16::from_ne_bytes(bytes))
        };
        let length = usize::from(number(0)?);
        let kind = number(2)? & NLA_TYPE_MASK;
        let value = self.0.get(4..length)?;
        self.0 = self.0.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }
}

/// A netlink socket to netfilter.
#[derive(Debug)]
pub(super) struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Socket {
    pub fn open() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::NETFILTER);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        // Without the right to it the usual size must do.
        let larger = set_socket_send_buffer_size_force(&socket, BUFFERS)
            .and_then(|()| set_socket_recv_buffer_size_force(&socket, BUFFERS));
        if let Err(error) = larger {
            tracing::debug!(%error, "the netlink socket keeps its usual buffers");
        }
        Ok(Self(socket))
    }

    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = send(&self.0, bytes, SendFlags::empty())?;
        if sent == bytes.len() {
            Ok(())
        } else {
            Err(io::Error::other("netlink took only a part of a message"))
        }
    }

    /// What is there; `None` when nothing is.
    pub fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0u8; READ];
        match recv(&self.0, &mut buffer, RecvFlags::empty()) {
            Ok((got, _)) => {
                buffer.truncate(got);
                Ok(Some(buffer))
            }
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends a batch and reads what came of it up to the answer to message `last`. The kernel has
    /// answered when `send` returns.
    ///
    /// # Errors
    /// The first error of any of its messages.
    pub fn execute(&self, batch: &Batch, last: u32) -> io::Result<()> {
        // What an earlier batch left is nobody's answer any more.
        while self.receive()?.is_some() {}
        self.send(batch.as_bytes())?;
        let mut acknowledged = false;
        while let Some(bytes) = self.receive()? {
            for message in messages(&bytes) {
                match message.error() {
                    Some(0) => acknowledged |= message.seq == last,
                    Some(code) => {
                        let error = io::Error::from_raw_os_error(code);
                        let place = message.seq;
                        return Err(io::Error::new(
                            error.kind(),
                            format!("{error} (message {place} of {last})"),
                        ));
                    }
                    None => {}
                }
            }
        }
        if acknowledged {
            Ok(())
        } else {
            Err(io::Error::other("the kernel did not answer"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut batch = Batch::default();
        batch.message(0x0a06, NLM_F_ACK, 1, 10, |attrs| {
            attrs.text(1, "podbay").nested(4, |inner| {
                inner.be32(2, 7).bytes(3, &[1]);
            });
        });
        let seq = batch.message(2, 0, 0, 0, |_| {});
        let read = messages(batch.as_bytes());
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].seq, read[1].seq), (0x0a06, 1, seq));
        let attrs: Vec<_> = read[0].attributes().collect();
        assert_eq!(attrs[0], (1, &b"podbay\0"[..]));
        let inner: Vec<_> = Attributes(attrs[1].1).collect();
        assert_eq!(attrs[1].0, 4);
        assert_eq!(inner, [(2, &[0, 0, 0, 7][..]), (3, &[1][..])]);
    }

    proptest! {
        #![proptest_config(crate::seeds::config())]

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                prop_assert!(message.error() != Some(i32::MIN));
                prop_assert!(message.attributes().count() <= bytes.len());
            }
        }
    }
}
