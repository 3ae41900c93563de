//! The connection of a command to a server: TCP, or TLS with a certificate that is checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::Request;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;

use crate::http_client::{self, Address, Answer, Connected};

/// Whose certificates are believed.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Trust {
    /// PEM file with the issuer of the server's certificate (or the certificate itself, when it signs itself); without it
    /// the issuers that this machine trusts.
    #[arg(long, env = "MILLPOND_CA", value_name = "FILE")]
    pub(super) ca: Option<PathBuf>,
}

/// Where a server is, and whom to believe that it is there.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    address: Address,
    trust: Trust,
}

impl Endpoint {
    /// Reads `http://HOST:PORT` or `https://HOST:PORT`.
    ///
    /// # Errors
    /// When it is no such URL.
    pub(crate) fn parse(text: &str, trust: &Trust) -> anyhow::Result<Self> {
        let address = Address::parse(text).with_context(|| {
            format!("{text:?} is no address of a server; write http://HOST:PORT or https://HOST:PORT, such as http://127.0.0.1:9000")
        })?;
        Ok(Self { address, trust: trust.clone() })
    }

    /// Host, port, and what is named there.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Sends a request over a new connection.
    ///
    /// # Errors
    /// When nobody is there, or its certificate is not believed; both say what to try.
    pub(super) async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        Ok(http_client::send(self.connect().await?, request).await?)
    }

    async fn connect(&self) -> anyhow::Result<Connected> {
        let address = &self.address;
        let stream = TcpStream::connect((address.host(), address.port()))
            .await
            .with_context(|| format!("no server at {address} (start one with: millpond serve)"))?;
        if !address.is_secure() {
            return Ok(Box::new(stream));
        }
        address.secure(stream, self.config().await?).await.with_context(|| {
            let hint = match self.trust.ca {
                Some(_) => "",
                None => " (for a certificate of your own: --ca FILE)",
            };
            format!("no TLS with {address}{hint}")
        })
    }

    async fn config(&self) -> anyhow::Result<ClientConfig> {
        let own = self.trust.ca.as_deref().map(read).transpose()?;
        let roots = match &own {
            Some(own) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(own.iter().cloned());
                Arc::new(roots)
            }
            None => http_client::authorities().await,
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let issuers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
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
            let found = Endpoint::parse(text, &Trust::default()).ok().map(|endpoint| endpoint.address().is_secure());
            assert_eq!(found, expected, "{text}");
        }
    }
}
