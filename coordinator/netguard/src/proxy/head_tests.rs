//! Requests to the proxy, sound and not.

use super::*;
use proptest::prelude::*;

fn whole(text: &str) -> Result<Head, Bad> {
    read(text.as_bytes()).map(|found| found.expect("a whole head").0)
}

fn name(name: &str) -> Host {
    Host::Name(name.into())
}

#[test]
fn a_tunnel_is_asked_for_by_host_and_port() {
    for (target, host, port) in [
        ("api.example.com:443", name("api.example.com"), 443),
        ("API.Example.COM.:8443", name("api.example.com"), 8443),
        (
            "192.0.2.1:443",
            Host::Address("192.0.2.1".parse().unwrap()),
            443,
        ),
        (
            "[2001:db8::1]:443",
            Host::Address("2001:db8::1".parse().unwrap()),
            443,
        ),
    ] {
        let head = whole(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")).unwrap();
        assert!(head.connect && head.forward.is_empty());
        assert_eq!((head.host, head.port), (host, port), "{target}");
    }
    for target in [
        "api.example.com",
        "api.example.com:",
        "api.example.com:0",
        "api.example.com:99999",
        "api.example.com:+1",
        ":443",
        "[name]:443",
        "[::1]443",
        "user@host:443",
        "0x7f.1:443",
        "2130706433:443",
        "127.1:443",
        "http://a.com/",
        "a%2ecom:443",
    ] {
        let refused = whole(&format!("CONNECT {target} HTTP/1.1\r\n\r\n")).unwrap_err();
        assert_eq!(refused.0, 400, "{target}: {refused:?}");
    }
}

#[test]
fn a_plain_request_goes_on_with_its_path_and_its_own_host_only() {
    let head = whole(
        "POST http://a.example.com:8080/x?y#z HTTP/1.1\r\nHost: evil.example\r\n\
         Proxy-Authorization: Basic eA==\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\n\
         Content-Length: 3\r\nAccept: */*\r\n\r\nabc",
    )
    .unwrap();
    assert_eq!((head.host, head.port), (name("a.example.com"), 8080));
    assert_eq!(
        String::from_utf8(head.forward).unwrap(),
        "POST /x?y HTTP/1.1\r\nHost: a.example.com:8080\r\nConnection: close\r\n\
         Content-Length: 3\r\nAccept: */*\r\n\r\n"
    );
    let bare = whole("GET http://a.com HTTP/1.1\r\n\r\n").unwrap();
    assert!(bare.forward.starts_with(b"GET / HTTP/1.1\r\n"));
    let query = whole("GET http://a.com?x HTTP/1.1\r\n\r\n").unwrap();
    assert!(query.forward.starts_with(b"GET /?x HTTP/1.1\r\n"));
}

#[test]
fn what_is_no_request_to_a_proxy_is_told_so() {
    for (text, status) in [
        ("GET / HTTP/1.1\r\nHost: a.com\r\n\r\n", 400),
        ("GET https://a.com/ HTTP/1.1\r\n\r\n", 400),
        ("GET http:///x HTTP/1.1\r\n\r\n", 400),
        ("GET http://u:p@a.com/ HTTP/1.1\r\n\r\n", 400),
        ("PRI * HTTP/2.0\r\n\r\n", 400),
        ("\u{16}\u{3}\u{1}", 400),
    ] {
        assert_eq!(whole(text).unwrap_err().0, status, "{text:?}");
    }
    let many = format!(
        "CONNECT a.com:443 HTTP/1.1\r\n{}\r\n",
        "a: b\r\n".repeat(100)
    );
    assert_eq!(whole(&many).unwrap_err().0, 431);
    let long = format!("CONNECT a.com:443 HTTP/1.1\r\na: {}", "x".repeat(MOST_HEAD));
    assert_eq!(whole(&long).unwrap_err().0, 431);
    assert_eq!(read(b"CONNECT a.com:443 HTTP/1.1\r\na: b\r\n"), Ok(None));
}

proptest! {
    #![proptest_config(crate::seeds::config())]

    #[test]
    fn a_head_ends_at_its_blank_line_whatever_comes_before_and_behind(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "GET ", "CONNECT ", "http://a.test/b", "a.test:443", " HTTP/1.1\r\n", "Host: a.test\r\n",
                "X: y\r\n", "\r\n", "\n", " ", "\0", "\u{e9}", "Content-Length: 1\r\n",
            ]),
            0..10,
        ),
        behind in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let bytes = parts.concat().into_bytes();
        let told = read(&bytes);
        if let Ok(Some((_, length))) = &told {
            let head = &bytes[..*length];
            prop_assert!(head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n"));
            prop_assert_eq!(&read(head), &told);
        }
        // What follows a head is not looked at, and makes no head good that was none.
        let more = read(&[bytes.as_slice(), &behind].concat());
        if !matches!(told, Ok(None)) {
            prop_assert_eq!(more, told);
        }
    }

    #[test]
    fn bytes_that_are_no_request_are_refused_or_waited_for(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        match read(&bytes) {
            Ok(Some(_)) => prop_assert!(bytes.contains(&b'\n')),
            Ok(None) => {}
            Err(Bad(status, _)) => prop_assert!((400..500).contains(&status)),
        }
    }

    #[test]
    fn whatever_the_target_one_head_goes_on(target in "[ -~]{0,40}", value in "[ -~]{0,20}") {
        let text = format!("GET http://{target} HTTP/1.1\r\nX: {value}\r\n\r\n");
        if let Ok(Some((head, _))) = read(text.as_bytes()) {
            let forward = String::from_utf8(head.forward).unwrap();
            prop_assert_eq!(forward.matches("\r\n\r\n").count(), 1);
            prop_assert_eq!(forward.matches("\r\nHost: ").count(), 1);
            prop_assert!(!forward.trim_end().contains('\0'));
        }
    }

    #[test]
    fn a_head_cut_anywhere_is_waited_for(cut in 0usize..60) {
        let text = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n";
        let cut = cut.min(text.len() - 1);
        prop_assert_eq!(read(&text.as_bytes()[..cut]), Ok(None));
    }
}
