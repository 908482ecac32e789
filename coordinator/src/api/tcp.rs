//! The API over TCP: TLS and a token, or nothing.
//!
//! Owns: the certificate, the token's file, and what one connection may cost. All of it is read once,
//! at the start; what cannot be used is an error there.

use super::{connection, peer::Peer, security::ApiAuth};
use crate::{config::TcpConfig, daemon::Daemon};
use anyhow::{Context, bail};
use axum::Router;
use rustix::net::sockopt;
use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    version::TLS13,
};
use std::{
    fs::OpenOptions,
    io::{ErrorKind, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_rustls::TlsAcceptor;

/// Connections served at once; more wait in the kernel's queue.
const CONNECTIONS: usize = 128;
/// A connection is encrypted by then.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// A request's head has come by then; also the longest pause between two requests.
const HEAD_DEADLINE: Duration = Duration::from_secs(30);
/// A peer that takes or answers nothing for so long is gone.
const SILENCE_MS: u32 = 60_000;

/// What listens.
pub(super) struct Tcp {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    gate: Arc<ApiAuth>,
}

impl Tcp {
    /// Reads certificate, key and token, makes the token when there is none, and binds.
    pub(super) fn open(config: &TcpConfig) -> anyhow::Result<Self> {
        let certificates = CertificateDer::pem_file_iter(&config.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .with_context(|| format!("api.tls_cert {}", config.cert.display()))?;
        let key = PrivateKeyDer::from_pem_file(&config.key)
            .with_context(|| format!("api.tls_key {}", config.key.display()))?;
        let mut tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_protocol_versions(&[&TLS13])
            .context("TLS 1.3")?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .context("api.tls_cert and api.tls_key")?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let token = token(&config.token_file)
            .with_context(|| format!("api.token_file {}", config.token_file.display()))?;
        let listener = std::net::TcpListener::bind(config.listen)
            .with_context(|| format!("api.listen {}", config.listen))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let mut hosts = vec!["localhost".to_owned()];
        hosts.extend(config.hosts.iter().cloned());
        let gate = Arc::new(ApiAuth::new(token, config.origins.clone(), hosts));
        tracing::info!(address = %listener.local_addr()?, token = gate.id(), "serving over TLS");
        Ok(Self {
            listener,
            acceptor: TlsAcceptor::from(Arc::new(tls)),
            gate,
        })
    }

    /// Serves until the coordinator stops.
    pub(super) async fn serve(self, daemon: Arc<Daemon>, router: Router) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let Ok(slot) = slots.clone().acquire_owned().await else {
                return;
            };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = daemon.stopped() => return,
            };
            let (socket, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    connection::pause(&error).await;
                    continue;
                }
            };
            if let Err(error) = bounded(&socket) {
                tracing::debug!(%error, "a connection keeps the system's bounds");
            }
            let (acceptor, gate) = (self.acceptor.clone(), self.gate.clone());
            let (daemon, router) = (daemon.clone(), router.clone());
            tokio::spawn(async move {
                match tokio::time::timeout(HANDSHAKE, acceptor.accept(socket)).await {
                    Ok(Ok(stream)) => {
                        let peer = Arc::new(Peer::Tcp { address });
                        let mut http = connection::http();
                        http.timer(hyper_util::rt::TokioTimer::new())
                            .header_read_timeout(HEAD_DEADLINE);
                        connection::serve(&http, stream, peer, Some(gate), router, &daemon).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS"),
                    Err(_) => tracing::debug!(%address, "no TLS in time"),
                }
                drop(slot);
            });
        }
    }
}

/// Notices a peer that went away without a word.
fn bounded(socket: &tokio::net::TcpStream) -> anyhow::Result<()> {
    socket.set_nodelay(true)?;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10))?;
    sockopt::set_tcp_user_timeout(socket, SILENCE_MS)?;
    Ok(())
}

/// The token of a file: 64 hexadecimal digits, made by the system's randomness when there is none.
fn token(path: &Path) -> anyhow::Result<String> {
    let mut file = match OpenOptions::new().read(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return make_token(path),
        Err(error) => return Err(error.into()),
    };
    let meta = file.metadata()?;
    if meta.mode() & 0o077 != 0 {
        bail!(
            "others may read it (mode {:o}): chmod 600",
            meta.mode() & 0o777
        );
    }
    let mut text = String::new();
    (&mut file).take(1024).read_to_string(&mut text)?;
    let token = text.trim();
    if token.len() != 64 || !token.bytes().all(|b| b.is_ascii_hexdigit()) {
        bail!("it has no token of 64 hexadecimal digits: remove it, and one is made");
    }
    Ok(token.to_owned())
}

fn make_token(path: &Path) -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|e| anyhow::anyhow!("no random numbers: {e}"))?;
    let token: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    made.and_then(|mut file| file.write_all(format!("{token}\n").as_bytes()))?;
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_is_made_once_and_for_the_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let made = token(&path).unwrap();
        assert_eq!(made.len(), 64);
        assert_eq!(token(&path).unwrap(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        assert!(token(&path).unwrap_err().to_string().contains("chmod 600"));
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        std::fs::write(&path, "short\n").unwrap();
        let error = token(&path).unwrap_err().to_string();
        assert!(
            error.contains("64 hexadecimal") && !error.contains("short"),
            "{error}"
        );
    }
}
