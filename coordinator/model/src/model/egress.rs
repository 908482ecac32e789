//! Where a worker may connect to: the profile's key `egress`, read and matched as text. Owns its written
//! form. Never resolves a name; what names resolve to is judged by [`forbidden`].

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Ports of a rule that names none: HTTP and HTTPS.
const DEFAULT_PORTS: [u16; 2] = [80, 443];
/// Longest name, in bytes (RFC 1035, 2.3.4).
const MOST_NAME: usize = 253;
/// Longest part of a name, in bytes.
const MOST_LABEL: usize = 63;

/// Where a worker may connect to besides itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Egress {
    /// Everywhere but link-local addresses (the cloud's metadata service is one).
    #[default]
    Open,
    /// Nowhere.
    None,
    /// Only what is listed.
    List(Vec<EgressRule>),
}

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EgressRule {
    /// Which hosts.
    pub host: EgressHost,
    /// Which port; `None` for 80 and 443.
    pub port: Option<u16>,
}

/// Which hosts a rule is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EgressHost {
    /// This name and no other: lower case, without a dot at its end.
    Name(String),
    /// Every name that ends in a dot and this; not this name itself.
    Below(String),
    /// Addresses that begin with so many bits of this one.
    Net(IpAddr, u8),
}

/// Why an entry is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wrong}; {right}")]
pub struct EgressError {
    /// What is wrong.
    pub wrong: String,
    /// What would be right.
    pub right: String,
}

const RIGHT: &str = "give a name (api.example.com), all names below one (*.example.com), an address or \
                     network (192.0.2.7, 192.0.2.0/24, 2001:db8::/32), each with :PORT if it is not \
                     80 or 443 (an IPv6 one in brackets: [2001:db8::7]:8443)";

fn refused<T>(wrong: impl Into<String>) -> Result<T, EgressError> {
    Err(EgressError {
        wrong: wrong.into(),
        right: RIGHT.to_owned(),
    })
}

fn quoted(given: &str) -> String {
    let short: String = given.chars().take(60).collect();
    format!("{short:?}")
}

impl Egress {
    /// Whether the worker may connect wherever it likes.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// The list; empty for `open` and `none`.
    #[must_use]
    pub fn rules(&self) -> &[EgressRule] {
        match self {
            Self::List(rules) => rules,
            Self::Open | Self::None => &[],
        }
    }

    /// Whether a name on the list matches; `name` is [`normal`].
    #[must_use]
    pub fn allows_name(&self, name: &str, port: u16) -> bool {
        self.rules()
            .iter()
            .any(|rule| rule.has_port(port) && rule.host.is_name(name))
    }

    /// Whether an address is listed as an address.
    #[must_use]
    pub fn allows_address(&self, address: IpAddr, port: u16) -> bool {
        self.rules()
            .iter()
            .any(|rule| rule.has_port(port) && rule.host.has_address(address))
    }
}

impl EgressRule {
    /// The ports it allows.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.port.map_or(DEFAULT_PORTS.to_vec(), |port| vec![port])
    }

    fn has_port(&self, port: u16) -> bool {
        self.port
            .map_or(DEFAULT_PORTS.contains(&port), |own| own == port)
    }
}

impl EgressHost {
    fn is_name(&self, name: &str) -> bool {
        match self {
            Self::Name(own) => own == name,
            Self::Below(own) => name
                .strip_suffix(own.as_str())
                .and_then(|front| front.strip_suffix('.'))
                .is_some_and(|front| !front.is_empty()),
            Self::Net(..) => false,
        }
    }

    fn has_address(&self, address: IpAddr) -> bool {
        let Self::Net(net, bits) = self else {
            return false;
        };
        let address = address.to_canonical();
        let mask = mask(*bits, *net);
        net.is_ipv4() == address.is_ipv4() && bits_of(*net) & mask == bits_of(address) & mask
    }
}

fn bits_of(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The highest `bits` of an address of this family.
fn mask(bits: u8, family: IpAddr) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width(family)));
    all & !all.checked_shr(u32::from(bits)).unwrap_or(0)
}

/// A host's name as it is compared: lower case, without the dot at its end. `None` for what is no
/// name, numbers that a resolver would read as an address (`127.1`, `0x7f.1`) among them.
#[must_use]
pub fn normal(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    let label = |label: &str| {
        (1..=MOST_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    let numeric = last.bytes().all(|b| b.is_ascii_digit())
        || last.strip_prefix("0x").is_some_and(hex)
        || last.strip_prefix("0X").is_some_and(hex);
    (name.len() <= MOST_NAME && name.split('.').all(label) && !numeric)
        .then(|| name.to_ascii_lowercase())
}

/// Why what a name resolved to is out of reach unless the address itself is listed; `None` for
/// addresses of the public internet.
#[must_use]
pub fn forbidden(address: IpAddr) -> Option<&'static str> {
    match address.to_canonical() {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => forbidden_v6(address),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        (0, ..) => Some("an address of this host"),
        (127, ..) => Some("a loopback address"),
        (169, 254, _) => Some("a link-local address"),
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => Some("a private address"),
        (100, 64..=127, _) => Some("a provider's private address"),
        (192, 0, 0) | (198, 18..=19, _) => Some("a reserved address"),
        (224.., ..) => Some("a multicast or reserved address"),
        _ => None,
    }
}

fn forbidden_v6(address: Ipv6Addr) -> Option<&'static str> {
    let embedded = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        forbidden_v4(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        // Deprecated IPv4-compatible addresses, and `::`.
        [0, 0, 0, 0, 0, 0, ..] => Some("an address of this host"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff | 0xfc00..=0xfdff, ..] => Some("a private address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // NAT64 (RFC 6052) and 6to4 (RFC 3056) carry an IPv4 address.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => embedded(high, low),
        [0x64, 0xff9b, 1, ..] => Some("a private address"),
        _ => None,
    }
}

impl FromStr for EgressRule {
    type Err = EgressError;

    fn from_str(given: &str) -> Result<Self, EgressError> {
        let (host, port) = split_port(given)?;
        if let Some(below) = host.strip_prefix("*.") {
            return match normal(below) {
                Some(name) => Ok(Self {
                    host: EgressHost::Below(name),
                    port,
                }),
                None => refused(format!("{} is not *. and a name", quoted(given))),
            };
        }
        if host.contains('*') {
            return refused(format!(
                "{}: a * stands for whole parts at the beginning only, as in *.example.com",
                quoted(given)
            ));
        }
        if let Some(host) = network(host, given)? {
            return Ok(Self { host, port });
        }
        match normal(host) {
            Some(name) => Ok(Self {
                host: EgressHost::Name(name),
                port,
            }),
            None if !host.is_ascii() => refused(format!(
                "{} is not ASCII: write the name as DNS has it (xn--…)",
                quoted(given)
            )),
            None => refused(format!(
                "{} is neither a name nor an address",
                quoted(given)
            )),
        }
    }
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, `v6`.
fn split_port(given: &str) -> Result<(&str, Option<u16>), EgressError> {
    if given.contains("://") {
        return refused(format!("{} is a URL: give only its host", quoted(given)));
    }
    let bracketed = given
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    let (host, port) = match bracketed {
        Some((host, "")) => (host, None),
        // What is behind the bracket and no port is refused as a port.
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None if given.matches(':').count() > 1 => (given, None),
        None => match given.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (given, None),
        },
    };
    let Some(port) = port else {
        return Ok((host, None));
    };
    match port.parse::<u16>() {
        Ok(number) if number > 0 && port.bytes().all(|b| b.is_ascii_digit()) => {
            Ok((host, Some(number)))
        }
        _ => refused(format!(
            "{}: {} is not a port from 1 to 65535",
            quoted(given),
            quoted(port)
        )),
    }
}

/// An address or a network; `None` when it is neither.
fn network(host: &str, given: &str) -> Result<Option<EgressHost>, EgressError> {
    let (address, bits) = match host.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (host, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return match bits {
            Some(_) => refused(format!("{} is not a network", quoted(given))),
            None => Ok(None),
        };
    };
    let whole = width(address);
    let bits = match bits.map(str::parse::<u8>) {
        None => whole,
        Some(Ok(bits)) if bits <= whole => bits,
        Some(_) => return refused(format!("{} does not end in /0 to /{whole}", quoted(given))),
    };
    if address.to_canonical() != address {
        return refused(format!("{}: write it as an IPv4 address", quoted(given)));
    }
    if bits_of(address) & !mask(bits, address) != 0 {
        return refused(format!("{} has bits beyond its /{bits}", quoted(given)));
    }
    if (bits >= 8 && address.is_loopback()) || (bits >= 4 && address.is_multicast()) {
        return refused(format!(
            "{}: loopback is every worker's own and needs no entry, multicast is never allowed",
            quoted(given)
        ));
    }
    Ok(Some(EgressHost::Net(address, bits)))
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            EgressHost::Name(name) => f.write_str(name)?,
            EgressHost::Below(name) => write!(f, "*.{name}")?,
            EgressHost::Net(address, bits) => {
                let (open, close) = match (address, self.port) {
                    (IpAddr::V6(_), Some(_)) => ("[", "]"),
                    _ => ("", ""),
                };
                if *bits == width(*address) {
                    write!(f, "{open}{address}{close}")?;
                } else {
                    write!(f, "{open}{address}/{bits}{close}")?;
                }
            }
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open"),
            Self::None => f.write_str("none"),
            Self::List(rules) => {
                let words: Vec<String> = rules.iter().map(ToString::to_string).collect();
                f.write_str(&words.join(","))
            }
        }
    }
}

impl FromStr for Egress {
    type Err = EgressError;

    /// `open`, `none`, or rules with commas between them: the way it is written on labels.
    fn from_str(given: &str) -> Result<Self, EgressError> {
        match given {
            "open" => Ok(Self::Open),
            "none" => Ok(Self::None),
            list => list
                .split(',')
                .map(EgressRule::from_str)
                .collect::<Result<_, _>>()
                .map(Self::List),
        }
    }
}

impl TryFrom<String> for Egress {
    type Error = EgressError;

    fn try_from(given: String) -> Result<Self, EgressError> {
        given.parse()
    }
}

impl From<Egress> for String {
    fn from(egress: Egress) -> Self {
        egress.to_string()
    }
}

#[cfg(test)]
#[path = "egress_tests.rs"]
mod tests;
