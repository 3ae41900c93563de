//! The connection of a command to a server: TCP, or TLS with a certificate that is checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use clap::Args;
use hyper::Uri;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Whose certificates are believed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Trust {
    /// PEM file with the issuer of the server's certificate (or the certificate itself, when it signs itself); without it
    /// the issuers that this machine trusts.
    #[arg(long, env = "MILLPOND_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

/// Either kind of stream.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Where a server is.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    uri: Uri,
    is_tls: bool,
    trust: Trust,
}

impl Endpoint {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// # Errors
    /// When it is no such URL.
    pub(crate) fn parse(text: &str, trust: &Trust) -> anyhow::Result<Self> {
        let uri: Uri = text.parse().with_context(|| format!("{text:?} is no URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => bail!("the server is http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:9000"),
        };
        ensure!(uri.host().is_some(), "{text:?} names no host");
        Ok(Self { uri, is_tls, trust: trust.clone() })
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// Whether the server speaks TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody is there, or its certificate is not believed; both say what to try.
    pub(super) async fn connect(&self) -> anyhow::Result<Box<dyn Stream>> {
        let host = self.uri.host().unwrap_or_default();
        let port = self.uri.port_u16().unwrap_or(if self.is_tls { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, port))
            .await
            .with_context(|| format!("no server at {} (start one with: millpond serve)", self.uri))?;
        if !self.is_tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(bare.to_owned()).with_context(|| format!("{host} is no host name"))?;
        let stream = TlsConnector::from(Arc::new(self.config()?)).connect(name, stream).await.with_context(|| {
            let hint = match self.trust.ca {
                Some(_) => "",
                None => " (for a certificate of your own: --ca FILE)",
            };
            format!("no TLS with {}{hint}", self.uri)
        })?;
        Ok(Box::new(stream))
    }

    fn config(&self) -> anyhow::Result<ClientConfig> {
        let own = self.trust.ca.as_deref().map(read).transpose()?;
        let mut roots = RootCertStore::empty();
        match &own {
            Some(own) => roots.add_parsable_certificates(own.iter().cloned()),
            None => roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let issuers = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .context("no certificate is trusted here; name one with --ca FILE")?;
        let verifier = Verifier { own: own.unwrap_or_default(), issuers };
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(config)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let unreadable = || format!("cannot read {}", path.display());
    let found = CertificateDer::pem_file_iter(path).with_context(unreadable)?;
    let found = found.collect::<Result<Vec<_>, _>>().with_context(unreadable)?;
    ensure!(!found.is_empty(), "{} holds no certificate", path.display());
    Ok(found)
}

/// The usual checks; a certificate that was named itself needs no issuer, only the right name. What `openssl req -x509`
/// makes is its own issuer, which the usual checks refuse to take for a server's.
#[derive(Debug)]
struct Verifier {
    own: Vec<CertificateDer<'static>>,
    issuers: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.own.iter().any(|own| own.as_ref() == end_entity.as_ref()) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        self.issuers.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issuers.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.issuers.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.issuers.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_http_or_https() {
        for (text, expected) in [
            ("http://127.0.0.1:9000", Some(false)),
            ("https://media.example.com", Some(true)),
            ("127.0.0.1:9000", None),
            ("rtmp://127.0.0.1:9000", None),
            ("http://", None),
        ] {
            let found = Endpoint::parse(text, &Trust::default()).ok().map(|endpoint| endpoint.is_tls());
            assert_eq!(found, expected, "{text}");
        }
    }
}
