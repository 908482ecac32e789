//! The table `podbay`: what it is made of, and the batches that change it. Owns every rule. Never changes
//! it but in one step, all or nothing.

use crate::{
    expr::{ESTABLISHED, ICMP, ICMPV6, INVALID, NEW, Rule, TCP, UDP, Verdict},
    netlink::{Attrs, Batch, NLM_F_ACK, NLM_F_APPEND, NLM_F_CREATE, Socket},
    wire::{Guarded, PROXY_MARK, PROXY_PORT},
};
use podbay_model::model::{Egress, EgressHost, FIRST_UID, UIDS};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

const TABLE: &str = "podbay";
const LAST_UID: u32 = FIRST_UID + UIDS - 1;
/// Where refused packets are reported.
pub(super) const LOG_GROUP: u16 = 77;
/// Bytes of a packet that are reported: enough for addresses and ports.
const LOG_BYTES: u32 = 64;
/// The most refusals that are reported in a second.
const LOG_RATE: u64 = 200;
/// For how long a sibling's port is known to be one, in milliseconds.
const REFUSED_FOR: u64 = 5000;
/// The most such ports known at a time.
const MOST_REFUSED: u32 = 4096;
/// Docker's resolver in user-defined networks: root's, inside the namespace.
const ENGINE_DNS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
const DNS: u16 = 53;

/// Pairs of a worker's uid with itself: the kernel compares registers with sets, not each other.
const SAME: &str = "same";
/// A worker's uid and a UDP port of its own.
const PORTS: &str = "ports";
/// A worker's uid to the chain that judges it.
const CLASSES: &str = "classes";
/// A worker's uid and a port on which a sibling listens.
const REFUSED: &str = "refused";

// Messages: linux/netfilter/nf_tables.h.
const NEWTABLE: u16 = 0;
const DELTABLE: u16 = 2;
const NEWCHAIN: u16 = 3;
const NEWRULE: u16 = 6;
const NEWSET: u16 = 9;
const NEWSETELEM: u16 = 12;
const DELSETELEM: u16 = 14;
const SUBSYSTEM: u16 = 10;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// NFPROTO_INET: IPv4 and IPv6.
const INET: u8 = 1;
const SET_MAP: u32 = 0x8;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
/// NFT_DATA_VERDICT
const DATA_VERDICT: u32 = 0xffff_ff00;
/// NF_INET_LOCAL_OUT
const HOOK_OUTPUT: u32 = 3;
// Connection tracking, to forget connections: linux/netfilter/nfnetlink_conntrack.h.
const CT_DELETE: u16 = (1 << 8) | 2;
const CTA_MARK: u16 = 8;
const CTA_MARK_MASK: u16 = 21;

/// One change of the table, all or nothing.
struct Change(Batch);

impl Change {
    fn new() -> Self {
        let mut batch = Batch::default();
        batch.message(BATCH_BEGIN, 0, 0, SUBSYSTEM, |_| {});
        Self(batch)
    }

    fn add(&mut self, kind: u16, flags: u16, fill: impl FnOnce(&mut Attrs)) {
        let kind = (SUBSYSTEM << 8) | kind;
        self.0.message(kind, flags | NLM_F_ACK, INET, 0, fill);
    }

    fn execute(mut self, socket: &Socket) -> io::Result<()> {
        let last = self.0.last();
        self.0.message(BATCH_END, 0, 0, SUBSYSTEM, |_| {});
        socket.execute(&self.0, last)
    }

    fn table(&mut self, kind: u16) {
        self.add(kind, NLM_F_CREATE, |a| {
            a.text(1, TABLE);
        });
    }

    fn chain(&mut self, kind: u16, name: &str) {
        self.add(kind, NLM_F_CREATE, |a| {
            a.text(1, TABLE).text(3, name);
        });
    }

    fn base_chain(&mut self, name: &str) {
        self.add(NEWCHAIN, NLM_F_CREATE, |a| {
            a.text(1, TABLE).text(3, name);
            a.nested(4, |hook| {
                hook.be32(1, HOOK_OUTPUT).be32(2, 0);
            });
            // NF_ACCEPT
            a.be32(5, 1).text(7, "filter");
        });
    }

    fn set(&mut self, name: &str, key_bytes: u32, id: u32, more: impl FnOnce(&mut Attrs)) {
        self.add(NEWSET, NLM_F_CREATE, |a| {
            a.text(1, TABLE).text(2, name);
            // The key's type is for readers of the table; 0: none in particular.
            a.be32(4, 0).be32(5, key_bytes).be32(10, id);
            more(a);
        });
    }

    fn rule(&mut self, chain: &str, rule: &Rule) {
        self.add(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, |a| {
            a.text(1, TABLE).text(2, chain).nested(4, |list| {
                list.extend(rule.attrs());
            });
        });
    }

    fn elements(&mut self, kind: u16, set: &str, elements: &[(Vec<u8>, Option<Verdict<'_>>)]) {
        self.add(kind, NLM_F_CREATE, |a| {
            a.text(1, TABLE).text(2, set).nested(3, |list| {
                for (key, verdict) in elements {
                    list.nested(1, |element| {
                        element.nested(1, |data| {
                            data.bytes(1, key);
                        });
                        if let Some(verdict) = verdict {
                            verdict.write(element, 2);
                        }
                    });
                }
            });
        });
    }
}

/// Lists that have a chain in the table: workers of a profile share theirs. One that is not used any
/// more stays until the table is made anew.
#[derive(Debug, Default)]
pub(super) struct AppliedLists(Vec<Egress>);

impl AppliedLists {
    /// The chain of a list with addresses, and whether it is there already.
    fn chain(&mut self, egress: &Egress) -> (String, bool) {
        let place = self.0.iter().position(|known| known == egress);
        let there = place.is_some();
        let number = place.unwrap_or_else(|| {
            self.0.push(egress.clone());
            self.0.len() - 1
        });
        (format!("list{number}"), there)
    }
}

/// Makes the table anew with these workers, in one step.
pub(super) fn replace(socket: &Socket, workers: &[Guarded], log: bool) -> io::Result<AppliedLists> {
    let mut known = AppliedLists::default();
    let mut change = Change::new();
    // A table that is deleted has to be there.
    change.table(NEWTABLE);
    change.table(DELTABLE);
    change.table(NEWTABLE);
    skeleton(&mut change, log);
    for worker in workers {
        add_to(&mut change, worker, &mut known);
    }
    change.execute(socket)?;
    Ok(known)
}

/// Adds a worker that has no entry.
pub(super) fn add(socket: &Socket, worker: &Guarded, known: &mut AppliedLists) -> io::Result<()> {
    let mut change = Change::new();
    let before = known.0.len();
    add_to(&mut change, worker, known);
    let added = change.execute(socket);
    if added.is_err() {
        known.0.truncate(before);
    }
    added
}

/// Removes a worker's entries; those that are not there are no error.
pub(super) fn remove(socket: &Socket, worker: &Guarded) -> io::Result<()> {
    let uid = worker.uid;
    let entries = [
        (CLASSES, vec![(one(uid), None)]),
        (SAME, vec![(two(uid), None)]),
        (PORTS, own_ports(worker)),
    ];
    let mut change = Change::new();
    for (set, elements) in &entries {
        change.elements(DELSETELEM, set, elements);
    }
    let Err(error) = change.execute(socket) else {
        return Ok(());
    };
    if error.kind() != io::ErrorKind::NotFound {
        return Err(error);
    }
    // Some are missing: each by itself.
    for (set, elements) in entries {
        for element in elements {
            let mut change = Change::new();
            change.elements(DELSETELEM, set, &[element]);
            match change.execute(socket) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Has the kernel forget a worker's connections: the next worker of that uid must not go on with
/// them.
pub(super) fn forget(socket: &Socket, uid: u32) -> io::Result<()> {
    let mut forget = Batch::default();
    let seq = forget.message(CT_DELETE, NLM_F_ACK, 0, 0, |a| {
        a.be32(CTA_MARK, uid).be32(CTA_MARK_MASK, u32::MAX);
    });
    match socket.execute(&forget, seq) {
        // Nothing to forget.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Takes the table away; none there is no error.
pub(super) fn clear(socket: &Socket) -> io::Result<()> {
    let mut change = Change::new();
    change.table(NEWTABLE);
    change.table(DELTABLE);
    change.execute(socket)
}

fn one(uid: u32) -> Vec<u8> {
    uid.to_ne_bytes().to_vec()
}

fn two(uid: u32) -> Vec<u8> {
    [uid.to_ne_bytes(), uid.to_ne_bytes()].concat()
}

fn own_ports(worker: &Guarded) -> Vec<(Vec<u8>, Option<Verdict<'static>>)> {
    let (first, count) = worker.ports;
    (first..first.saturating_add(count))
        .map(|port| {
            let [high, low] = port.to_be_bytes();
            ([worker.uid.to_ne_bytes(), [high, low, 0, 0]].concat(), None)
        })
        .collect()
}

/// Addresses on the list are reached directly, by rules of the list's own.
fn has_chain(egress: &Egress) -> bool {
    egress
        .rules()
        .iter()
        .any(|rule| matches!(rule.host, EgressHost::Net(..)))
}

fn add_to(change: &mut Change, worker: &Guarded, known: &mut AppliedLists) {
    let uid = worker.uid;
    let chain;
    let class = match &worker.egress {
        Egress::Open => "open",
        listed if has_chain(listed) => {
            let there;
            (chain, there) = known.chain(listed);
            if !there {
                list_chain(change, &chain, listed);
            }
            &chain
        }
        Egress::None | Egress::List(_) => "closed",
    };
    change.elements(NEWSETELEM, SAME, &[(two(uid), None)]);
    change.elements(NEWSETELEM, PORTS, &own_ports(worker));
    change.elements(
        NEWSETELEM,
        CLASSES,
        &[(one(uid), Some(Verdict::Goto(class)))],
    );
}

/// Its addresses directly, everything else as for no list at all.
fn list_chain(change: &mut Change, chain: &str, egress: &Egress) {
    let closed = Verdict::Goto("closed");
    change.chain(NEWCHAIN, chain);
    change.rule(chain, &Rule::new().local().verdict(&closed));
    for rule in egress.rules() {
        let EgressHost::Net(address, bits) = rule.host else {
            continue;
        };
        // Names are resolved by the proxy: nobody needs to send questions.
        for port in rule.ports().into_iter().filter(|port| *port != DNS) {
            for protocol in [TCP, UDP] {
                let allowed = Rule::new()
                    .towards(address, bits)
                    .protocol(protocol)
                    .port_to_is(port);
                change.rule(chain, &allowed.verdict(&Verdict::Accept));
            }
        }
    }
    change.rule(chain, &Rule::new().verdict(&closed));
}

/// All that does not depend on workers.
///
/// Rules look at packets on their way out of a socket. A connection is marked with the uid of its
/// opener; what a listener answers passes only when it has that same uid (or is the proxy), so no
/// worker reaches another's sockets, whatever the port. A uid without an entry gets loopback only.
fn skeleton(change: &mut Change, log: bool) {
    change.set(SAME, 8, 1, |_| {});
    change.set(PORTS, 8, 2, |_| {});
    change.set(CLASSES, 4, 3, |a| {
        a.be32(3, SET_MAP).be32(6, DATA_VERDICT);
    });
    change.set(REFUSED, 8, 4, |a| {
        a.be32(3, SET_TIMEOUT | SET_EVAL).be64(11, REFUSED_FOR);
        a.nested(9, |size| {
            size.be32(1, MOST_REFUSED);
        });
    });
    let chains = [
        "denied",
        "loopback",
        "open",
        "closed",
        "worker",
        "replies",
        "strangers",
    ];
    for chain in chains {
        change.chain(NEWCHAIN, chain);
    }
    change.base_chain("output");
    let goto = |name| Verdict::Goto(name);

    if log {
        let report = Rule::new().at_most(LOG_RATE).log(LOG_GROUP, LOG_BYTES);
        change.rule("denied", &report);
    }
    change.rule("denied", &Rule::new().protocol(TCP).reset());
    // What is dropped on its way out of a UDP socket is EPERM to the sender.
    change.rule("denied", &Rule::new().verdict(&Verdict::Drop));

    // A connection attempt is let go: the listener's answer tells whose it is.
    let accepted = [
        Rule::new().protocol(TCP),
        Rule::new().protocol(ICMP),
        Rule::new().protocol(ICMPV6),
        Rule::new().protocol(UDP).uid().port_to().in_set(PORTS),
    ];
    for rule in accepted {
        change.rule("loopback", &rule.verdict(&Verdict::Accept));
    }
    change.rule("loopback", &Rule::new().verdict(&goto("denied")));

    // Link-local addresses; and what is for many, which comes back to siblings on this machine.
    let never: [(IpAddr, u8); 6] = [
        (Ipv4Addr::new(169, 254, 0, 0).into(), 16),
        (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0).into(), 10),
        (
            Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254).into(),
            128,
        ),
        (Ipv4Addr::new(224, 0, 0, 0).into(), 4),
        (Ipv4Addr::BROADCAST.into(), 32),
        (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0).into(), 8),
    ];
    for (address, bits) in never {
        let rule = Rule::new().towards(address, bits);
        change.rule("open", &rule.verdict(&goto("denied")));
    }
    change.rule("open", &Rule::new().leaves().verdict(&Verdict::Accept));
    let resolver = || Rule::new().asked_port(DNS).asked_address(ENGINE_DNS);
    change.rule("open", &resolver().verdict(&Verdict::Accept));
    change.rule("open", &Rule::new().verdict(&goto("loopback")));

    let refused = [Rule::new().leaves(), Rule::new().asked_port(DNS)];
    for rule in refused {
        change.rule("closed", &rule.verdict(&goto("denied")));
    }
    change.rule("closed", &Rule::new().verdict(&goto("loopback")));

    worker_and_replies(change, &resolver);
    let workers = |rule: Rule| rule.uid_within(FIRST_UID, LAST_UID);
    let output = [
        Rule::new()
            .reply()
            .mark_within(FIRST_UID, LAST_UID)
            .verdict(&goto("replies")),
        // Root sessions and the parent have no business with a worker's listener.
        workers(Rule::new().reply().local()).verdict(&goto("strangers")),
        // Connections from outside to a worker's listener.
        Rule::new().reply().verdict(&Verdict::Accept),
        workers(Rule::new()).verdict(&goto("worker")),
        refused_port().verdict(&goto("denied")),
        Rule::new().uid().verdict(&Verdict::Accept),
        // Nobody's, and the first of a connection: no socket of a worker's gets past its rules.
        Rule::new().state(NEW).protocol(TCP).verdict(&Verdict::Drop),
        Rule::new().state(NEW).protocol(UDP).verdict(&Verdict::Drop),
    ];
    for rule in output {
        change.rule("output", &rule);
    }
}

/// An attempt at a port that is known to be a sibling's.
fn refused_port() -> Rule {
    Rule::new()
        .local()
        .protocol(TCP)
        .uid()
        .port_to()
        .in_set(REFUSED)
}

/// Remembers that the connection's opener asked for another's port.
fn remembered() -> Rule {
    Rule::new()
        .protocol(TCP)
        .answers_syn()
        .uid()
        .mark_first()
        .port_from()
        .remember(REFUSED, REFUSED_FOR)
}

fn worker_and_replies(change: &mut Change, resolver: &dyn Fn() -> Rule) {
    let goto = |name| Verdict::Goto(name);
    let own = |rule: Rule| rule.uid().mark().in_set(SAME);
    let worker = [
        Rule::new().state(INVALID).verdict(&Verdict::Drop),
        // The first attempt got no answer, since it was a sibling's port: the next one is told.
        refused_port().verdict(&goto("denied")),
        own(Rule::new().state(ESTABLISHED)).verdict(&Verdict::Accept),
        Rule::new().uid().set_mark(),
        Rule::new().uid().by_map(CLASSES),
        Rule::new().verdict(&goto("closed")),
    ];
    for rule in worker {
        change.rule("worker", &rule);
    }
    let replies = [
        own(Rule::new()).verdict(&Verdict::Accept),
        Rule::new()
            .uid_is(0)
            .protocol(TCP)
            .port_from_is(PROXY_PORT)
            .packet_mark_is(PROXY_MARK)
            .verdict(&Verdict::Accept),
        resolver().uid_is(0).verdict(&Verdict::Accept),
        remembered(),
        Rule::new().uid().verdict(&Verdict::Drop),
        // A cookie, sent when a listener's queue is full, has no socket to tell whose it is. Let
        // past, it would make the connection: a sibling fills queues with attempts of its own.
        Rule::new()
            .protocol(TCP)
            .answers_syn()
            .verdict(&Verdict::Drop),
        // The kernel's own: resets, and the last words of sockets that were closed.
        Rule::new().verdict(&Verdict::Accept),
    ];
    for rule in replies {
        change.rule("replies", &rule);
    }
    // Their connections have no mark, which is 0 and root's uid.
    for rule in [remembered(), Rule::new().verdict(&Verdict::Drop)] {
        change.rule("strangers", &rule);
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
