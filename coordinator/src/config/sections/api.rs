//! `[api]`: the API's bounds, and its port.

use super::super::{
    key::{About, At, Kind, Shown},
    kinds::{optional_group, path, size, strings, text},
    section::{Section, section},
    values,
};
use serde_json::json;
use std::{net::SocketAddr, path::PathBuf};

/// The largest body of a request that can be configured.
const MAX_BODY: usize = 64 << 20;

section! {
    /// The API.
    pub struct ApiConfig {
        /// Largest request body.
        max_body: usize = size(16 << 10..=MAX_BODY), "1m";
        /// The API over TCP, when it is configured. Read at the start alone.
        tcp: Option<TcpConfig> = optional_group().checked(tcp);
    }
}

section! {
    /// The API over TCP: with TLS and a token, or not at all.
    pub struct TcpConfig {
        /// Address and port, inside the parent, for the API over TCP. Needs tls_cert, tls_key and
        /// token_file.
        //! The API over TCP (inside the parent; publish the port with the parent's). Only with all four of
        //! these: an address with a port, certificate and key (PEM), and the file of a token, which is made
        //! when it is missing. Taken at the coordinator's start.
        listen: SocketAddr = text(values::address, SocketAddr::to_string), null, ["0.0.0.0:7777"];
        /// Certificates for it (PEM, the server's first); an absolute path in the parent.
        cert("tls_cert"): PathBuf = path(), null, ["/var/lib/podbay/config/tls/cert.pem"];
        /// Their private key (PEM).
        key("tls_key"): PathBuf = path(), null, ["/var/lib/podbay/config/tls/key.pem"];
        /// File of the token that clients send: 64 hexadecimal digits, mode 0600. Made when missing.
        token_file: PathBuf = path(), null, ["/var/lib/podbay/config/tls/token"];
        /// Host names by which clients may call it, besides its address and localhost.
        //! Host names by which clients may call it, besides localhost and addresses.
        hosts: Vec<String> = strings(values::host), [], [["bay.example"]];
        /// Origins of web pages that may call it; none by default.
        //! Web pages that may call it, by origin.
        origins: Vec<String> = strings(values::origin), [], [["https://bay.example"]];
    }
}

/// The keys that open a port only make sense together.
fn tcp(_: &mut Option<TcpConfig>, at: &mut At<'_>) {
    let is_given = |name: &&str| at.given(name).is_some();
    let (given, missing): (Vec<&str>, Vec<&str>) = ["tls_cert", "tls_key", "token_file"]
        .into_iter()
        .partition(is_given);
    if at.given("listen").is_none() {
        for name in given {
            let right = "add api.listen, or remove this key";
            at.fault_of(name, "means nothing without api.listen", right);
        }
    } else if !missing.is_empty() {
        let keys = missing.join(", ");
        let wrong =
            format!("the API is not served over TCP without TLS and a token: {keys} missing");
        let right = format!("add {keys} to [api], or remove listen");
        at.fault_of("listen", wrong, right);
    }
}
