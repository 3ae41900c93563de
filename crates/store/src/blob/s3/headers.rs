//! The headers of each response, which the client does not pass on: what a store says of itself beside its answers, and that an
//! answer is the part that was asked for.

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
        let is_ranged = request.headers().contains_key("range");
        let mut response = self.inner.execute(request).await?;
        self.headers.note(&response);
        if is_ranged {
            say_that_it_is_a_part(&mut response);
        }
        Ok(response)
    }
}

/// `rclone serve s3` (1.75) sends the part that was asked for and says in Content-Range which it is, but with the status of a
/// whole. The client takes only 206 (RFC 9110, section 15.3.7), and compares Content-Range itself.
fn say_that_it_is_a_part(response: &mut HttpResponse) {
    if response.status().as_u16() == 200
        && response.headers().contains_key("content-range")
        && let Ok(partial) = 206_u16.try_into()
    {
        *response.status_mut() = partial;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_part_is_known_by_its_range() {
        for (status, range, seen) in [(200, Some("bytes 0-9/10"), 206), (200, None, 200), (404, Some("bytes */0"), 404)]
        {
            let mut response = HttpResponse::new(Bytes::new().into());
            *response.status_mut() = u16::try_into(status).unwrap();
            if let Some(range) = range {
                response.headers_mut().insert("content-range", range.parse().unwrap());
            }
            say_that_it_is_a_part(&mut response);
            assert_eq!(response.status().as_u16(), seen, "{range:?}");
        }
    }
}
