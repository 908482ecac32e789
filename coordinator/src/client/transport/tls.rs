//! The coordinator over TCP, with TLS and a token.

use super::connection::{Connection, Notes, unreachable};
use crate::client::ClientError;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
    version::TLS13,
};
use std::{path::Path, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The port of an address that names none.
const PORT: u16 = 7777;
/// A connection is there and encrypted by then.
const DEADLINE: Duration = Duration::from_secs(10);

/// Where the coordinator listens, and what opens it.
pub struct TlsTarget {
    /// Host and port.
    pub(in crate::client) authority: String,
    host: String,
    port: u16,
    token: String,
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for TlsTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TlsTarget({})", self.authority)
    }
}

impl PartialEq for TlsTarget {
    fn eq(&self, other: &Self) -> bool {
        self.authority == other.authority && self.token == other.token
    }
}

impl Eq for TlsTarget {}

impl TlsTarget {
    /// The target of `https://HOST[:PORT]`. The server's certificate has to be one of `ca`, or signed
    /// by one.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] with what is wrong with the address or a file.
    pub fn new(url: &str, token: &Path, ca: &Path) -> Result<Self, ClientError> {
        let failed = |reason: String| ClientError::Unreachable {
            target: url.to_owned(),
            reason,
        };
        let rest = url
            .strip_prefix("https://")
            .unwrap_or(url)
            .trim_end_matches('/');
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                let port = port.parse();
                (
                    host,
                    port.map_err(|_| failed("give https://HOST:PORT".into()))?,
                )
            }
            _ => (rest, PORT),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if host.is_empty() || !host.chars().all(plain) {
            return Err(failed("give https://HOST:PORT".into()));
        }
        let text = std::fs::read_to_string(token)
            .map_err(|e| failed(format!("token file {}: {e}", token.display())))?;
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(failed(format!(
                "token file {}: there is no token in it",
                token.display()
            )));
        }
        let wrong = |e: String| failed(format!("CA file {}: {e}", ca.display()));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).map_err(|e| wrong(e.to_string()))? {
            let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
            roots.add(certificate).map_err(|e| wrong(e.to_string()))?;
        }
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .map_err(|e| failed(e.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            authority: format!("{host}:{port}"),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            token: text.to_owned(),
            config: Arc::new(config),
        })
    }

    pub(in crate::client) fn bearer(&self) -> String {
        format!("Bearer {}", self.token)
    }

    pub(super) async fn connect(&self, target: &str) -> Result<Connection, ClientError> {
        let name = ServerName::try_from(self.host.clone()).map_err(|e| unreachable(target, e))?;
        let opening = async {
            let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
            socket.set_nodelay(true)?;
            TlsConnector::from(self.config.clone())
                .connect(name, socket)
                .await
        };
        match tokio::time::timeout(DEADLINE, opening).await {
            Ok(Ok(stream)) => Ok(Connection::new(stream, Notes::default())),
            Ok(Err(error)) => Err(unreachable(target, error)),
            Err(_) => Err(unreachable(target, "no answer in time")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_wrong_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (token, ca) = (folder.path().join("token"), folder.path().join("ca"));
        std::fs::write(&token, "abc\n").unwrap();
        std::fs::write(&ca, "").unwrap();
        for (url, authority, host) in [
            ("https://bay.example", "bay.example:7777", "bay.example"),
            ("https://127.0.0.1:1/", "127.0.0.1:1", "127.0.0.1"),
            ("https://[::1]:2", "[::1]:2", "::1"),
            ("https://[::1]", "[::1]:7777", "::1"),
        ] {
            let target = TlsTarget::new(url, &token, &ca).unwrap();
            assert_eq!(
                (target.authority.as_str(), target.host.as_str()),
                (authority, host)
            );
            assert!(!format!("{target:?}").contains("abc"));
        }
        for (url, token, word) in [
            ("https://", &token, "HOST:PORT"),
            ("https://a:b", &token, "HOST:PORT"),
            ("https://a b", &token, "HOST:PORT"),
            ("https://a", &folder.path().join("none"), "token file"),
            ("https://a", &ca, "no token"),
        ] {
            let error = TlsTarget::new(url, token, &ca).unwrap_err().to_string();
            assert!(error.contains(word), "{url}: {error}");
        }
    }
}
