//! TLS for HTTPS and RTMPS (D5): one certificate for both, read again when its files change.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use parking_lot::{Mutex, RwLock};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::signal::unix::Signal;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificate::Validity;
use crate::config::TlsConfig;
use crate::shutdown::Shutdown;

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How long a peer may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A certificate in use.
#[derive(Debug)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<ServerConfig>>,
    /// What the certificate says about itself.
    validity: RwLock<Option<Validity>>,
    /// The files as they were when they were last looked at.
    seen: Mutex<Stamp>,
}

/// Tells whether files have changed without reading them.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// When the files cannot be read, hold no certificate or no key, or do not belong together.
    pub(crate) fn load(config: &TlsConfig) -> anyhow::Result<Option<Self>> {
        let (certificate, key) = match (&config.certificate, &config.key) {
            (None, None) => return Ok(None),
            (Some(certificate), Some(key)) => (certificate.clone(), key.clone()),
            _ => anyhow::bail!("`tls.certificate` and `tls.key` are given together or not at all"),
        };
        let seen = stamp(&certificate, &key);
        let current = server_config(&certificate, &key)?;
        let validity = RwLock::new(validity_of(&certificate));
        Ok(Some(Self { certificate, key, current: RwLock::new(Arc::new(current)), validity, seen: Mutex::new(seen) }))
    }

    /// For whom the certificate is, and until when; `None` where it does not say.
    pub(crate) fn validity(&self) -> Option<Validity> {
        self.validity.read().clone()
    }

    /// Shakes hands with a peer.
    ///
    /// # Errors
    /// When the peer speaks no TLS 1.2 or 1.3, does not trust the certificate, or takes too long.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.current.read().clone();
        tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Reads the files again when they have changed, or `always`. What is wrong leaves the old certificate in use: the
    /// two files are often replaced one after the other.
    fn reload(&self, always: bool) {
        let now = stamp(&self.certificate, &self.key);
        if std::mem::replace(&mut *self.seen.lock(), now) == now && !always {
            return;
        }
        match server_config(&self.certificate, &self.key) {
            Ok(config) => {
                *self.current.write() = Arc::new(config);
                *self.validity.write() = validity_of(&self.certificate);
                tracing::info!(certificate = %self.certificate.display(), "the certificate was read again");
            }
            Err(error) => tracing::warn!("the old certificate stays in use: {error:#}"),
        }
    }
}

/// Reads the certificate again when its files change, or the process hangs up (SIGHUP), until the word to stop is given.
/// Without a certificate there is nothing to read again, and a hang-up (SIGHUP) is only logged.
pub(crate) async fn watch(tls: Option<Arc<Tls>>, mut hang_up: Signal, mut shutdown: Shutdown) {
    loop {
        let is_asked = tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(RELOAD_EVERY), if tls.is_some() => false,
            Some(()) = hang_up.recv() => true,
        };
        match &tls {
            Some(tls) => tls.reload(is_asked),
            None => {
                tracing::info!("SIGHUP: no certificate is configured, and other settings are read at the start only")
            }
        }
    }
}

fn stamp(certificate: &Path, key: &Path) -> Stamp {
    [certificate, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn validity_of(certificate: &Path) -> Option<Validity> {
    let first = CertificateDer::pem_file_iter(certificate).ok()?.next()?.ok()?;
    crate::certificate::validity(&first)
}

fn server_config(certificate: &Path, key: &Path) -> anyhow::Result<ServerConfig> {
    let unreadable = |path: &Path| format!("cannot read {}", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable(certificate))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", certificate.display());
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .with_context(|| format!("{} and {} do not fit", certificate.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A stream whose first byte was read already, to see what it is.
#[derive(Debug)]
pub(crate) struct Rewound<S> {
    first: Option<u8>,
    inner: S,
}

impl<S> Rewound<S> {
    /// Puts a byte back in front of a stream.
    pub(crate) fn new(first: Option<u8>, inner: S) -> Self {
        Self { first, inner }
    }

    /// The stream.
    pub(crate) fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Whether the byte is still to be read.
    pub(crate) fn is_rewound(&self) -> bool {
        self.first.is_some()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buffer.remaining() > 0
            && let Some(first) = self.first.take()
        {
            buffer.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn the_byte_that_was_looked_at_comes_first() {
        for (first, expected) in [(Some(b'a'), "abc"), (None, "bc")] {
            let mut read = String::new();
            Rewound::new(first, &b"bc"[..]).read_to_string(&mut read).await.unwrap();
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn settings_that_lead_nowhere_are_refused() {
        let none = TlsConfig { certificate: None, key: None };
        assert!(Tls::load(&none).unwrap().is_none());
        let half = TlsConfig { certificate: Some("a.pem".into()), key: None };
        assert!(Tls::load(&half).unwrap_err().to_string().contains("together"));
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let no_certificate = TlsConfig { certificate: Some(empty.clone()), key: Some(empty) };
        assert!(Tls::load(&no_certificate).unwrap_err().to_string().contains("holds no certificate"));
    }
}
