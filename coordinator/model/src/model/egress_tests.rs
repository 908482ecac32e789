//! Lists of where a worker may connect to.

use super::*;
use proptest::prelude::*;

fn list(rules: &[&str]) -> Egress {
    Egress::List(rules.iter().map(|r| r.parse().unwrap()).collect())
}

#[test]
fn names_ports_wildcards_and_networks_are_told_apart() {
    let egress = list(&[
        "API.Example.com.",
        "*.example.org",
        "git.example.net:22",
        "192.0.2.0/24",
        "[2001:db8::/32]:8443",
    ]);
    for (name, port, allowed) in [
        ("api.example.com", 443, true),
        ("api.example.com", 80, true),
        ("api.example.com", 8080, false),
        ("x.api.example.com", 443, false),
        ("a.example.org", 443, true),
        ("a.b.example.org", 80, true),
        ("example.org", 443, false),
        ("evilexample.org", 443, false),
        ("example.org.evil.com", 443, false),
        ("git.example.net", 22, true),
        ("git.example.net", 443, false),
    ] {
        assert_eq!(egress.allows_name(name, port), allowed, "{name}:{port}");
    }
    for (address, port, allowed) in [
        ("192.0.2.255", 443, true),
        ("192.0.3.0", 443, false),
        ("::ffff:192.0.2.1", 80, true),
        ("2001:db8:1::1", 8443, true),
        ("2001:db8:1::1", 443, false),
        ("2001:db9::1", 8443, false),
    ] {
        let parsed = address.parse().unwrap();
        assert_eq!(egress.allows_address(parsed, port), allowed, "{address}");
    }
}

#[test]
fn what_is_no_rule_is_refused_with_what_would_be_one() {
    for bad in [
        "",
        "*",
        "*.",
        "a.*.com",
        "api*.com",
        "https://a.com",
        "a.com:0",
        "a.com:x",
        "a.com:70000",
        "a.com:+1",
        "a b",
        "-a.com",
        "a..com",
        "127.0.0.1",
        "127.0.0.0/8",
        "::1",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "224.0.0.0/4",
        "ff02::1",
        "127.1",
        "0x7f.0x1",
        "2130706433",
        "bücher.de",
        "::ffff:10.0.0.1",
        "[::2]x",
        "a,b",
    ] {
        let error = bad.parse::<EgressRule>().expect_err(bad);
        assert!(!error.wrong.is_empty() && !error.right.is_empty(), "{bad}");
    }
}

#[test]
fn addresses_that_a_name_must_not_lead_to_are_known() {
    for bad in [
        "127.0.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.17.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::7f00:1",
        "fe80::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
    ] {
        assert!(forbidden(bad.parse().unwrap()).is_some(), "{bad}");
    }
    for good in [
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "203.0.113.7",
        "2606:4700::1111",
        "64:ff9b::101:101",
    ] {
        assert_eq!(forbidden(good.parse().unwrap()), None, "{good}");
    }
}

fn label() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,8}"
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn a_wildcard_matches_what_is_below_and_nothing_else(
        front in prop::collection::vec(label(), 0..3),
        name in prop::collection::vec(label(), 1..4),
        glued in label(),
    ) {
        let base = name.join(".");
        let egress = list(&[&format!("*.{base}")]);
        let full = front.iter().chain(&name).cloned().collect::<Vec<_>>().join(".");
        prop_assert_eq!(egress.allows_name(&full, 443), !front.is_empty());
        let no_dot = format!("{glued}{base}");
        prop_assert!(!egress.allows_name(&no_dot, 443));
        let after = format!("{full}.{glued}x");
        prop_assert_eq!(
            egress.allows_name(&after, 443),
            after.ends_with(&format!(".{base}")) && after != base
        );
    }

    #[test]
    fn no_text_panics_and_what_is_read_is_written_the_same(text in ".{0,40}") {
        if let Ok(rule) = text.parse::<EgressRule>() {
            prop_assert_eq!(rule.to_string().parse::<EgressRule>().unwrap(), rule);
        }
        drop(normal(&text));
    }

    #[test]
    fn rules_survive_their_own_words(
        address in any::<u32>(),
        bits in 9u8..=32,
        port in prop::option::of(1u16..),
    ) {
        let net = Ipv4Addr::from_bits(address);
        let net = Ipv4Addr::from_bits(net.to_bits() & u32::try_from(mask(bits, net.into())).unwrap());
        let rule = EgressRule { host: EgressHost::Net(net.into(), bits), port };
        let read = rule.to_string().parse::<EgressRule>();
        prop_assert_eq!(read.is_err(), net.is_loopback() || net.is_multicast());
        if let Ok(read) = read {
            prop_assert_eq!(&read, &rule);
            let port = port.unwrap_or(443);
            prop_assert!(Egress::List(vec![read]).allows_address(net.into(), port));
        }
    }

    #[test]
    fn an_address_is_never_public_in_one_spelling_and_private_in_another(bits in any::<u32>()) {
        let v4 = Ipv4Addr::from_bits(bits);
        prop_assert_eq!(forbidden(v4.into()), forbidden(v4.to_ipv6_mapped().into()));
    }
}
