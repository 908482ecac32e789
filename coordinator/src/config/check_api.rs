//! `[api]`: the keys that open a port only make sense together.

use super::check::Checker;
use super::fields::{self, Refused};
use super::raw::RawApi;
use super::types::TcpConfig;
use std::net::SocketAddr;

impl Checker<'_> {
    /// The API over TCP; with a fault noted, `None`.
    pub(super) fn tcp(&mut self, raw: &RawApi) -> Option<TcpConfig> {
        let listen = self.value("api.listen", &raw.listen, None, |given| {
            address(given).map(Some)
        });
        let files = [
            ("api.tls_cert", &raw.tls_cert),
            ("api.tls_key", &raw.tls_key),
            ("api.token_file", &raw.token_file),
        ];
        let [cert, key, token_file] = files.map(|(name, field)| {
            self.value(name, field, None, |given| fields::absolute(given).map(Some))
        });
        let hosts = self.list("api.hosts", &raw.hosts, host).unwrap_or_default();
        let origins = self
            .list("api.origins", &raw.origins, origin)
            .unwrap_or_default();
        let Some(given) = &raw.listen else {
            for (name, field) in files {
                if let Some(field) = field {
                    let right = "add api.listen, or remove this key";
                    let wrong = "means nothing without api.listen";
                    self.layers.fault(&field.span(), name, wrong, right);
                }
            }
            return None;
        };
        let missing: Vec<&str> = files
            .iter()
            .filter(|(_, field)| field.is_none())
            .map(|(name, _)| name.trim_start_matches("api."))
            .collect();
        if !missing.is_empty() {
            let keys = missing.join(", ");
            let wrong =
                format!("the API is not served over TCP without TLS and a token: {keys} missing");
            let right = format!("add {keys} to [api], or remove listen");
            self.layers.fault(&given.span(), "api.listen", wrong, right);
        }
        Some(TcpConfig {
            listen: listen?,
            cert: cert?,
            key: key?,
            token_file: token_file?,
            hosts,
            origins,
        })
    }
}

fn address(given: &str) -> Result<SocketAddr, Refused> {
    match given.trim().parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(address),
        _ => Err(Refused {
            wrong: format!("{given:?} is no address with a port"),
            right: "give an IP address and a port, such as \"0.0.0.0:7777\" or \"[::1]:7777\""
                .into(),
        }),
    }
}

fn host(given: &str) -> Result<String, Refused> {
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'[' | b']' | b':');
    if !given.is_empty() && given.len() <= 253 && given.bytes().all(plain) {
        Ok(given.to_ascii_lowercase())
    } else {
        Err(Refused {
            wrong: format!(
                "{:?} is no host name",
                given.chars().take(60).collect::<String>()
            ),
            right: "give the name alone, such as \"bay.example\"".into(),
        })
    }
}

fn origin(given: &str) -> Result<String, Refused> {
    let rest = given
        .strip_prefix("https://")
        .or_else(|| given.strip_prefix("http://"));
    match rest {
        Some(rest) if host(rest).is_ok() && given.bytes().all(|b| !b.is_ascii_uppercase()) => {
            Ok(given.to_owned())
        }
        _ => Err(Refused {
            wrong: format!(
                "{:?} is no origin",
                given.chars().take(60).collect::<String>()
            ),
            right: "give scheme and host in small letters, such as \"https://bay.example\"".into(),
        }),
    }
}
