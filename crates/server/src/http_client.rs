//! One request to an HTTP server and its answer, over a connection of its own: what callbacks and the commands that talk to
//! servers share. Which address may be called, whose certificate is believed, how long all of it may take and how much
//! is read is for the caller to say.

use std::fmt;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::http::request;
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

/// The address of a server, or of something on it: `http://HOST:PORT/PATH?QUERY`, or the same with `https`.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    uri: Uri,
    is_secure: bool,
}

impl Address {
    /// Reads an address; `None` when it is none, of another scheme, or without a host.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let is_secure = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        uri.host().filter(|host| !host.is_empty())?;
        Some(Self { uri, is_secure })
    }

    /// Whether it is one of `https`.
    pub(crate) fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// The host as resolvers want it: an IPv6 address without its brackets.
    pub(crate) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, that of the scheme when none is written.
    pub(crate) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_secure { 443 } else { 80 })
    }

    /// Host and port as they are written, for the header `Host`.
    pub(crate) fn authority(&self) -> &str {
        self.uri.authority().map_or("", |authority| authority.as_str())
    }

    /// The beginning of a request for what it names.
    pub(crate) fn request(&self, method: Method) -> request::Builder {
        let target = self.uri.path_and_query().map_or("/", |target| target.as_str());
        Request::builder().method(method).uri(target)
    }

    /// Shakes hands of TLS with the server at the other end of a connection.
    ///
    /// # Errors
    /// When the host cannot stand in a certificate, or the server is not believed.
    pub(crate) async fn secure(&self, plain: TcpStream, trust: ClientConfig) -> io::Result<Connected> {
        let name = ServerName::try_from(self.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::new(trust)).connect(name, plain).await?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

/// A connection, plain or within TLS.
pub(crate) type Connected = Box<dyn Stream>;

/// What a [`Connected`] is.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The authorities that the operating system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. Read once; empty where
/// there are none.
pub(crate) async fn authorities() -> Arc<RootCertStore> {
    static AUTHORITIES: OnceCell<Arc<RootCertStore>> = OnceCell::const_new();
    let read = || async {
        let found = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await.ok();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.map(|found| found.certs).unwrap_or_default());
        Arc::new(store)
    };
    AUTHORITIES.get_or_init(read).await.clone()
}

/// An answer whose body has not been read. The connection ends with it.
#[derive(Debug)]
pub(crate) struct Answer {
    response: Response<Incoming>,
    _connection: Connection,
}

/// The task that carries a connection, ended with the value.
#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Why a body was not read.
#[derive(Debug, Error)]
pub(crate) enum BodyError {
    /// The connection ended within it.
    #[error("the connection was lost: {0}")]
    Lost(#[from] hyper::Error),
    /// There is more of it than is wanted.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
}

/// Sends a request and waits for the head of its answer.
///
/// # Errors
/// When the connection is lost, or what comes back is not HTTP.
pub(crate) async fn send(stream: Connected, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = Connection(crate::panics::spawn("http client", async move {
        // How it ends shows in the answer.
        let _ = connection.await;
    }));
    Ok(Answer { response: sender.send_request(request).await?, _connection: connection })
}

impl Answer {
    /// The status.
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// The headers.
    pub(crate) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Reads the body.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub(crate) async fn body(self, max_bytes: usize) -> Result<Bytes, BodyError> {
        let mut incoming = self.response.into_body();
        let mut whole = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            if let Ok(data) = frame?.into_data() {
                if whole.len() + data.len() > max_bytes {
                    return Err(BodyError::TooLong(max_bytes));
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(whole.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn addresses_have_hosts_and_ports() {
        for (text, expected) in [
            ("http://127.0.0.1:9000", Some(("127.0.0.1", 9000, false, "127.0.0.1:9000", "/"))),
            ("https://media.example.com/x?y=z", Some(("media.example.com", 443, true, "media.example.com", "/x?y=z"))),
            ("http://[::1]/", Some(("::1", 80, false, "[::1]", "/"))),
            ("127.0.0.1:9000", None),
            ("rtmp://127.0.0.1:9000", None),
            ("http://", None),
            ("http://:80/", None),
        ] {
            let read = Address::parse(text);
            let target = read.as_ref().map(|read| read.request(Method::GET).body(()).unwrap().uri().to_string());
            let found = read
                .as_ref()
                .zip(target.as_deref())
                .map(|(read, target)| (read.host(), read.port(), read.is_secure(), read.authority(), target));
            assert_eq!(found, expected, "{text}");
        }
    }

    /// What comes of an answer of which so many bytes are wanted.
    async fn ask(answer: &'static [u8], max_bytes: usize) -> Result<Bytes, Option<BodyError>> {
        let (near, mut far) = tokio::io::duplex(4096);
        let server = tokio::spawn(async move {
            let mut asked = [0; 1024];
            let _ = far.read(&mut asked).await;
            let _ = far.write_all(answer).await;
        });
        let request = Request::get("/").header("host", "h").body(Full::default()).unwrap();
        let answer = send(Box::new(near), request).await;
        server.await.unwrap();
        answer.map_err(|_| None)?.body(max_bytes).await.map_err(Some)
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_wanted() {
        const PLAIN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
        const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        for answer in [PLAIN, CHUNKED] {
            assert_eq!(ask(answer, 5).await.unwrap(), "hello");
            assert!(matches!(ask(answer, 4).await, Err(Some(BodyError::TooLong(4)))));
        }
        assert!(matches!(ask(&PLAIN[..PLAIN.len() - 1], 5).await, Err(Some(BodyError::Lost(_)))));
        assert!(matches!(ask(b"no HTTP at all\r\n\r\n", 5).await, Err(None)));
    }
}
