//! What a store says of itself beside its answers: the headers of each response, which the client does not pass on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use crate::clock::Clock;

/// The longest value of a header that is kept.
const MAX: usize = 100;

/// What the responses had. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Headers(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    server: Option<String>,
    /// The last Date, and when it came, Unix milliseconds.
    date: Option<(String, i64)>,
    /// A header that the next request gets.
    next: Option<(&'static str, &'static str)>,
}

impl Headers {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name that the store gives itself.
    pub(super) fn server(&self) -> Option<String> {
        self.kept().server.clone()
    }

    /// What the clock of the store showed, and ours then, Unix milliseconds.
    pub(super) fn date_ms(&self) -> Option<(i64, i64)> {
        let (text, here_ms) = self.kept().date.clone()?;
        Some((model::date::parse_http(&text, here_ms)?, here_ms))
    }

    /// Adds a header to the next request. It is not signed.
    pub(super) fn add_to_next(&self, name: &'static str, value: &'static str) {
        self.kept().next = Some((name, value));
    }

    fn note(&self, response: &HttpResponse) {
        let text = |name: &str| {
            let value = response.headers().get(name)?.to_str().ok()?;
            Some(value.chars().take(MAX).collect::<String>())
        };
        let mut kept = self.kept();
        if let Some(server) = text("server") {
            kept.server = Some(server);
        }
        if let Some(date) = text("date") {
            kept.date = Some((date, Clock::system().now_ms()));
        }
    }
}

/// Makes clients that listen to the headers.
#[derive(Debug)]
pub(super) struct Listening(pub(super) Headers);

impl HttpConnector for Listening {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Listener { inner, headers: self.0.clone() }))
    }
}

#[derive(Debug)]
struct Listener {
    inner: HttpClient,
    headers: Headers,
}

#[async_trait]
impl HttpService for Listener {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let next = self.headers.kept().next.take();
        if let Some((name, value)) = next
            && let Ok(value) = value.parse()
        {
            request.headers_mut().insert(name, value);
        }
        let response = self.inner.execute(request).await?;
        self.headers.note(&response);
        Ok(response)
    }
}
