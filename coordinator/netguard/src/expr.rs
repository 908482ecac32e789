//! Rules of nf_tables as the kernel reads them: rows of small instructions on registers of 4 bytes, with
//! the numbers of linux/netfilter/nf_tables.h; values of several, one behind the other, are the key of a
//! set with concatenated fields. Owns their encoding. Never decides what a rule says.

use crate::netlink::Attrs;

/// Registers in use: a key of two fields, and spare ones.
pub(super) const R0: u32 = 8;
pub(super) const R1: u32 = 9;
const SPARE: u32 = 16;

const EQ: u32 = 0;
const NEQ: u32 = 1;
const LTE: u32 = 3;
const GTE: u32 = 5;

const META_OIF: u32 = 5;
const META_MARK: u32 = 3;
const META_SKUID: u32 = 10;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;

const CT_STATE: u32 = 0;
const CT_DIRECTION: u32 = 1;
const CT_MARK: u32 = 3;
const CT_PROTO_DST: u32 = 12;
const CT_DST_IP: u32 = 20;

/// States of a connection, as `ct state` has them.
pub(super) const INVALID: u32 = 1;
pub(super) const ESTABLISHED: u32 = 2;
pub(super) const NEW: u32 = 8;

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
pub(super) const ICMPV6: u8 = 58;

const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;
/// Index of `lo` in every network namespace.
const LOOPBACK: u32 = 1;

/// What a rule ends with.
#[derive(Debug, Clone)]
pub(super) enum Verdict<'a> {
    Accept,
    Drop,
    Goto(&'a str),
}

impl Verdict<'_> {
    fn code(&self) -> u32 {
        match self {
            Self::Accept => 1,
            Self::Drop => 0,
            // NFT_GOTO is -4.
            Self::Goto(_) => (-4i32).cast_unsigned(),
        }
    }

    /// As the data of a set's element, or of an instruction.
    pub fn write(&self, attrs: &mut Attrs, kind: u16) {
        attrs.nested(kind, |data| {
            data.nested(2, |verdict| {
                verdict.be32(1, self.code());
                if let Self::Goto(chain) = self {
                    verdict.text(2, chain);
                }
            });
        });
    }
}

/// The instructions of one rule.
#[derive(Debug, Default)]
pub(super) struct Rule(Attrs);

impl Rule {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn attrs(&self) -> &Attrs {
        &self.0
    }

    fn expr(mut self, name: &str, fill: impl FnOnce(&mut Attrs)) -> Self {
        self.0.nested(1, |expr| {
            expr.text(1, name);
            expr.nested(2, fill);
        });
        self
    }

    fn meta(self, key: u32, to: u32) -> Self {
        self.expr("meta", |a| {
            a.be32(2, key).be32(1, to);
        })
    }

    /// The packet's own mark, which is its socket's.
    pub fn packet_mark_is(self, mark: u32) -> Self {
        self.meta(META_MARK, SPARE)
            .cmp(SPARE, EQ, &mark.to_ne_bytes())
    }

    fn ct(self, key: u32, to: u32) -> Self {
        self.expr("ct", |a| {
            a.be32(2, key).be32(1, to);
        })
    }

    fn cmp(self, register: u32, op: u32, value: &[u8]) -> Self {
        self.expr("cmp", |a| {
            a.be32(1, register).be32(2, op).nested(3, |data| {
                data.bytes(1, value);
            });
        })
    }

    fn payload(self, base: u32, offset: u32, length: u32, to: u32) -> Self {
        self.expr("payload", |a| {
            a.be32(1, to).be32(2, base).be32(3, offset).be32(4, length);
        })
    }

    fn mask(self, register: u32, mask: &[u8]) -> Self {
        let length = u32::try_from(mask.len()).unwrap_or_default();
        let zeros = vec![0u8; mask.len()];
        self.expr("bitwise", |a| {
            a.be32(1, register).be32(2, register).be32(3, length);
            a.nested(4, |data| {
                data.bytes(1, mask);
            });
            a.nested(5, |data| {
                data.bytes(1, &zeros);
            });
        })
    }

    /// A number of the machine's byte order is within bounds.
    fn within(self, register: u32, least: u32, most: u32) -> Self {
        self.expr("byteorder", |a| {
            // NFT_BYTEORDER_HTON
            a.be32(1, register).be32(2, register).be32(3, 1);
            a.be32(4, 4).be32(5, 4);
        })
        .cmp(register, GTE, &least.to_be_bytes())
        .cmp(register, LTE, &most.to_be_bytes())
    }

    /// The packet has a socket whose opener is known; its uid goes to the first register.
    pub fn uid(self) -> Self {
        self.meta(META_SKUID, R0)
    }

    /// The uid of whoever opened the socket is within bounds.
    pub fn uid_within(self, least: u32, most: u32) -> Self {
        self.meta(META_SKUID, SPARE).within(SPARE, least, most)
    }

    pub fn uid_is(self, uid: u32) -> Self {
        self.meta(META_SKUID, SPARE)
            .cmp(SPARE, EQ, &uid.to_ne_bytes())
    }

    /// The connection's mark goes to the second register.
    pub fn mark(self) -> Self {
        self.ct(CT_MARK, R1)
    }

    /// The connection's mark goes to the first register.
    pub fn mark_first(self) -> Self {
        self.ct(CT_MARK, R0)
    }

    pub fn mark_within(self, least: u32, most: u32) -> Self {
        self.ct(CT_MARK, SPARE).within(SPARE, least, most)
    }

    /// Marks the connection with what is in the first register.
    pub fn set_mark(self) -> Self {
        self.expr("ct", |a| {
            a.be32(2, CT_MARK).be32(4, R0);
        })
    }

    /// The packet goes from the connection's opener to the other side, or the other way.
    pub fn reply(self) -> Self {
        self.ct(CT_DIRECTION, SPARE).cmp(SPARE, EQ, &[1])
    }

    pub fn state(self, state: u32) -> Self {
        self.ct(CT_STATE, SPARE)
            .mask(SPARE, &state.to_ne_bytes())
            .cmp(SPARE, NEQ, &[0; 4])
    }

    /// The port that the connection's opener asked for, before any translation.
    pub fn asked_port(self, port: u16) -> Self {
        self.expr("ct", |a| {
            a.be32(2, CT_PROTO_DST).be32(1, SPARE).bytes(3, &[0]);
        })
        .cmp(SPARE, EQ, &port.to_be_bytes())
    }

    /// The address that the connection's opener asked for, before any translation.
    pub fn asked_address(self, address: std::net::Ipv4Addr) -> Self {
        self.expr("ct", |a| {
            a.be32(2, CT_DST_IP).be32(1, SPARE).bytes(3, &[0]);
        })
        .cmp(SPARE, EQ, &address.octets())
    }

    /// The packet stays in this network namespace.
    pub fn local(self) -> Self {
        self.meta(META_OIF, SPARE)
            .cmp(SPARE, EQ, &LOOPBACK.to_ne_bytes())
    }

    pub fn leaves(self) -> Self {
        self.meta(META_OIF, SPARE)
            .cmp(SPARE, NEQ, &LOOPBACK.to_ne_bytes())
    }

    pub fn protocol(self, protocol: u8) -> Self {
        self.meta(META_L4PROTO, SPARE).cmp(SPARE, EQ, &[protocol])
    }

    /// The port it goes to (TCP and UDP) goes to the second register.
    pub fn port_to(self) -> Self {
        self.payload(TRANSPORT, 2, 2, R1)
    }

    /// The port it comes from (TCP and UDP) goes to the second register.
    pub fn port_from(self) -> Self {
        self.payload(TRANSPORT, 0, 2, R1)
    }

    pub fn port_to_is(self, port: u16) -> Self {
        self.payload(TRANSPORT, 2, 2, SPARE)
            .cmp(SPARE, EQ, &port.to_be_bytes())
    }

    pub fn port_from_is(self, port: u16) -> Self {
        self.payload(TRANSPORT, 0, 2, SPARE)
            .cmp(SPARE, EQ, &port.to_be_bytes())
    }

    /// It goes to an address that begins with so many bits of this one.
    pub fn towards(self, address: std::net::IpAddr, bits: u8) -> Self {
        let (family, offset, octets) = match address {
            std::net::IpAddr::V4(v4) => (2u8, 16, v4.octets().to_vec()),
            std::net::IpAddr::V6(v6) => (10u8, 24, v6.octets().to_vec()),
        };
        let mut left = u32::from(bits);
        let mask: Vec<u8> = octets
            .iter()
            .map(|_| {
                let here = left.min(8);
                left -= here;
                !u8::MAX.checked_shr(here).unwrap_or(0)
            })
            .collect();
        let length = u32::try_from(octets.len()).unwrap_or_default();
        self.meta(META_NFPROTO, SPARE)
            .cmp(SPARE, EQ, &[family])
            .payload(NETWORK, offset, length, SPARE)
            .mask(SPARE, &mask)
            .cmp(SPARE, EQ, &octets)
    }

    /// A TCP packet that answers a connection attempt (SYN and ACK are set).
    pub fn answers_syn(self) -> Self {
        self.payload(TRANSPORT, 13, 1, SPARE)
            .mask(SPARE, &[0x12])
            .cmp(SPARE, EQ, &[0x12])
    }

    /// What is in the registers is in the set.
    pub fn in_set(self, set: &str) -> Self {
        self.expr("lookup", |a| {
            a.text(1, set).be32(2, R0);
        })
    }

    /// Goes on where the map says for what is in the first register; here, when it says nothing.
    pub fn by_map(self, map: &str) -> Self {
        self.expr("lookup", |a| {
            // The verdict's register is 0.
            a.text(1, map).be32(2, R0).be32(3, 0);
        })
    }

    /// Puts what is in the registers into the set for a while.
    pub fn remember(self, set: &str, milliseconds: u64) -> Self {
        self.expr("dynset", |a| {
            // NFT_DYNSET_OP_UPDATE
            a.text(1, set).be32(3, 1).be32(4, R0).be64(6, milliseconds);
        })
    }

    /// At most so many packets a second come past this point.
    pub fn at_most(self, packets: u64) -> Self {
        self.expr("limit", |a| {
            a.be64(1, packets).be64(2, 1);
            a.be32(3, u32::try_from(packets).unwrap_or(u32::MAX))
                .be32(4, 0)
                .be32(5, 0);
        })
    }

    /// The packet's first bytes go to the listeners of this group (nfnetlink_log).
    pub fn log(self, group: u16, bytes: u32) -> Self {
        self.expr("log", |a| {
            a.bytes(1, &group.to_be_bytes()).be32(3, bytes);
        })
    }

    /// Tells the sender that nobody listens there.
    pub fn reset(self) -> Self {
        self.expr("reject", |a| {
            // NFT_REJECT_TCP_RST
            a.be32(1, 1);
        })
    }

    pub fn verdict(self, verdict: &Verdict<'_>) -> Self {
        self.expr("immediate", |a| {
            a.be32(1, 0);
            verdict.write(a, 2);
        })
    }
}
