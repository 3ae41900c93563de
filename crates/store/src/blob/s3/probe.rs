//! Tries an S3-compatible store for what servers ask of it, and says what was seen.

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, S3ConditionalPut};
use object_store::list::{PaginatedListOptions, PaginatedListStore as _};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error as StoreError, MultipartUpload as _, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions,
    PutPayload, RetryConfig,
};
use tokio::time::Instant;

use super::S3Address;
use super::headers::{Headers, Listening};
use super::products;
use crate::clock::{Clock, Randomness};
use crate::error::{Error, Result, Subject};
use crate::probe::Seen;

/// How far the clocks may be apart, milliseconds; stores refuse signatures that are 15 minutes off.
const MAX_SKEW_MS: i64 = 5_000;
/// The least length of a part but the last.
const PART: usize = 5 << 20;
/// Objects that are listed, and those on a page.
const LISTED: usize = 5;
const PAGE: usize = 2;

/// Tries the store. All names are below one that nobody else has, and all are deleted at the end.
///
/// # Errors
/// `Unavailable` when the credentials are not found; what the store answers is in the lines.
pub async fn probe(address: &S3Address, randomness: &Randomness, clock: &Clock) -> Result<Vec<Seen>> {
    let (store, headers) = client(address)?;
    let mut random = [0; 8];
    randomness.fill(&mut random);
    let name = format!("probe-{:016x}", u64::from_be_bytes(random));
    let folder = if address.prefix.is_empty() { name } else { format!("{}/{name}", address.prefix) };
    let probe = Probe { store, headers, folder };
    let mut seen = Vec::new();
    if let Err(error) = probe.store.put(&probe.path("first"), PutPayload::from_static(b"millpond")).await {
        seen.push(Seen::bad("write", said(&error)));
        return Ok(seen);
    }
    seen.push(answered("write", probe.writes().await));
    seen.push(answered("head", probe.heads().await));
    seen.push(answered("ranges", probe.ranges().await));
    seen.push(answered("pages of a list", probe.pages().await));
    seen.push(answered("list from a name on", probe.list_from().await));
    seen.push(answered("multipart", probe.multipart().await));
    seen.push(answered("multipart, ended", probe.aborted().await));
    seen.push(answered("delete", probe.deletes().await));
    seen.push(probe.clock(clock));
    seen.push(Seen::note("conditional write", probe.conditional().await));
    seen.push(Seen::note("append", probe.append().await));
    seen.extend(probe.product().await);
    seen.push(answered("left behind", probe.clean().await));
    Ok(seen)
}

fn client(address: &S3Address) -> Result<(AmazonS3, Headers)> {
    let headers = Headers::default();
    let options = ClientOptions::new()
        .with_timeout(Duration::from_secs(20))
        .with_connect_timeout(Duration::from_secs(5))
        .with_allow_http(address.endpoint.as_deref().is_some_and(|url| url.starts_with("http://")));
    let retry = RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
    let store = address
        .builder()?
        .with_client_options(options)
        .with_retry(retry)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_http_connector(Listening(headers.clone()))
        .build()
        .map_err(|error| Error::unavailable(Subject::Blob, error))?;
    Ok((store, headers))
}

/// What something came to: what was right about it, or what was not.
type Answer = Result<String, String>;

fn answered(what: &'static str, answer: Answer) -> Seen {
    match answer {
        Ok(text) => Seen::good(what, text),
        Err(text) => Seen::bad(what, text),
    }
}

/// An error of the store on one line. It names requests, never keys.
fn said(error: &StoreError) -> String {
    let text = error.to_string();
    let line: Vec<&str> = text.split_whitespace().collect();
    line.join(" ").chars().take(400).collect()
}

fn failed(error: StoreError) -> String {
    said(&error)
}

struct Probe {
    store: AmazonS3,
    headers: Headers,
    folder: String,
}

/// Bytes of which no two neighbouring runs are the same.
fn sample(len: usize) -> Bytes {
    (0..u32::try_from(len).unwrap_or(u32::MAX)).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn expect(right: bool, wrong: &str) -> Result<(), String> {
    if right { Ok(()) } else { Err(wrong.to_owned()) }
}

/// What pages of a list came to. Their order matters: a walk over all blobs goes on behind the last name that it has seen, so names that come in no
/// order would be missed (directory buckets of S3 are so).
fn in_pages(found: Vec<String>, wanted: &[String], pages: usize) -> Answer {
    let mut sorted = found.clone();
    sorted.sort_unstable();
    expect(sorted == wanted, &format!("of {LISTED} names, pages of {PAGE} brought {}", found.len()))?;
    expect(sorted == found, "names do not come in their order, so not all of what is stored could be listed")?;
    Ok(format!("{LISTED} names on {pages} pages, each once, in order"))
}

impl Probe {
    fn path(&self, name: &str) -> Path {
        Path::from(format!("{}/{name}", self.folder))
    }

    async fn read(&self, path: &Path) -> Result<Bytes, String> {
        self.store.get(path).await.map_err(failed)?.bytes().await.map_err(failed)
    }

    async fn writes(&self) -> Answer {
        let (path, bytes) = (self.path("written"), sample(100_000));
        let begun = Instant::now();
        self.store.put(&path, bytes.clone().into()).await.map_err(failed)?;
        let put = begun.elapsed();
        let found = self.read(&path).await?;
        let get = begun.elapsed().saturating_sub(put);
        expect(found == bytes, "what was read at once is not what was written")?;
        self.store.put(&path, sample(10).into()).await.map_err(failed)?;
        expect(self.read(&path).await? == sample(10), "after a second write the first is still read")?;
        Ok(format!("read at once, whole; 100 kB written in {} ms, read in {} ms", put.as_millis(), get.as_millis()))
    }

    async fn heads(&self) -> Answer {
        let found = self.store.head(&self.path("first")).await.map_err(failed)?;
        expect(found.size == 8, "HEAD says another length than was written")?;
        match self.store.head(&self.path("never-written")).await {
            Err(StoreError::NotFound { .. }) => Ok("lengths are right, and what is not there is 404".to_owned()),
            Err(error) => Err(format!(
                "what is not there should be 404 (the right to list the bucket is missing?): {}",
                said(&error)
            )),
            Ok(_) => Err("there is an object that nobody wrote".to_owned()),
        }
    }

    async fn ranges(&self) -> Answer {
        let (path, bytes) = (self.path("ranged"), sample(300_000));
        self.store.put(&path, bytes.clone().into()).await.map_err(failed)?;
        for (from, to) in [(0, 1), (1_000, 200_000), (299_999, 300_000)] {
            let found = self.store.get_range(&path, from..to).await.map_err(failed)?;
            let wanted = usize::try_from(from).ok().zip(usize::try_from(to).ok()).and_then(|(a, b)| bytes.get(a..b));
            expect(Some(found.as_ref()) == wanted, &format!("bytes {from} to {to} are others"))?;
        }
        Ok("first, middle and last bytes are right".to_owned())
    }

    async fn put_listed(&self) -> Result<Vec<String>, String> {
        let mut names = Vec::new();
        for n in 0..LISTED {
            let path = self.path(&format!("list/{n}"));
            self.store.put(&path, PutPayload::from_static(b"x")).await.map_err(failed)?;
            names.push(path.to_string());
        }
        Ok(names)
    }

    async fn pages(&self) -> Answer {
        let wanted = self.put_listed().await?;
        let prefix = format!("{}/list/", self.folder);
        let (mut found, mut pages, mut token) = (Vec::new(), 0, None);
        loop {
            let options =
                PaginatedListOptions { max_keys: Some(PAGE), page_token: token, ..PaginatedListOptions::default() };
            let page = self.store.list_paginated(Some(&prefix), options).await.map_err(failed)?;
            expect(page.result.objects.len() <= PAGE, "a page has more names than were asked for")?;
            found.extend(page.result.objects.into_iter().map(|object| object.location.to_string()));
            pages += 1;
            token = page.page_token;
            if token.is_none() || pages > LISTED * 2 {
                break;
            }
        }
        in_pages(found, &wanted, pages)
    }

    async fn list_from(&self) -> Answer {
        let wanted = self.put_listed().await?;
        let (offset, rest) = wanted.split_at(2);
        let after = Path::from(offset.last().map_or("", String::as_str));
        let listed = self.store.list_with_offset(Some(&self.path("list")), &after);
        let listed: Vec<_> = listed.try_collect().await.map_err(failed)?;
        let mut found: Vec<String> = listed.into_iter().map(|object| object.location.to_string()).collect();
        found.sort_unstable();
        expect(found == rest, "a list that should begin behind a name does not")?;
        Ok("begins behind it".to_owned())
    }

    async fn multipart(&self) -> Answer {
        let (path, bytes) = (self.path("parts"), sample(PART + 1_000_000));
        let mut upload = self.store.put_multipart(&path).await.map_err(failed)?;
        for part in [bytes.slice(..PART), bytes.slice(PART..)] {
            if let Err(error) = upload.put_part(part.into()).await {
                let _ = upload.abort().await;
                return Err(failed(error));
            }
        }
        if let Err(error) = upload.complete().await {
            let _ = upload.abort().await;
            return Err(failed(error));
        }
        expect(self.read(&path).await? == bytes, "what was joined is not what was sent")?;
        let (from, to) = (PART as u64 - 10, PART as u64 + 10);
        let across = self.store.get_range(&path, from..to).await.map_err(failed)?;
        expect(across == bytes.slice(PART - 10..PART + 10), "a range across two parts is wrong")?;
        Ok("two parts are joined, and read across their border".to_owned())
    }

    async fn aborted(&self) -> Answer {
        let path = self.path("given-up");
        let mut upload = self.store.put_multipart(&path).await.map_err(failed)?;
        let sent = upload.put_part(sample(1000).into()).await;
        upload.abort().await.map_err(failed)?;
        sent.map_err(failed)?;
        match self.store.head(&path).await {
            Err(StoreError::NotFound { .. }) => Ok("leaves no object".to_owned()),
            _ => Err("left an object".to_owned()),
        }
    }

    async fn deletes(&self) -> Answer {
        let path = self.path("first");
        self.store.delete(&path).await.map_err(failed)?;
        match self.store.get(&path).await {
            Err(StoreError::NotFound { .. }) => {}
            _ => return Err("what was deleted is still there".to_owned()),
        }
        match self.store.delete(&path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok("gone at once, and again without an error".to_owned()),
            Err(error) => Err(format!("deleting what is not there: {}", said(&error))),
        }
    }

    fn clock(&self, clock: &Clock) -> Seen {
        match self.headers.date_ms() {
            // The header has whole seconds.
            Some((there_ms, here_ms)) => Seen::clock(there_ms.saturating_add(500).saturating_sub(here_ms), MAX_SKEW_MS),
            None => Seen::note("clock", format!("no Date header; here it is {}", clock.now_ms())),
        }
    }

    /// Nothing relies on it: some stores take every one of several writes that each should be the first.
    async fn conditional(&self) -> String {
        let path = self.path("once");
        let create = || PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        if let Err(error) = self.store.put_opts(&path, PutPayload::from_static(b"a"), create()).await {
            return format!("refused: {}", said(&error));
        }
        match self.store.put_opts(&path, PutPayload::from_static(b"b"), create()).await {
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => "understood".to_owned(),
            Err(error) => format!("the second is refused: {}", said(&error)),
            Ok(_) => "NOT understood: it answers with success and overwrites; servers here never rely on it".to_owned(),
        }
    }

    async fn append(&self) -> String {
        let path = self.path("appended");
        if let Err(error) = self.store.put(&path, PutPayload::from_static(b"one")).await {
            return said(&error);
        }
        self.headers.add_to_next("x-amz-write-offset-bytes", "3");
        let appended = self.store.put(&path, PutPayload::from_static(b"two")).await;
        match (appended, self.read(&path).await.as_deref()) {
            (Err(_), Ok(b"one")) => "refused, and the object is as it was".to_owned(),
            (Ok(_), Ok(b"onetwo")) => "understood".to_owned(),
            (Ok(_), Ok(b"two")) => {
                "NOT understood: it answers with success and overwrites; servers here never rely on it".to_owned()
            }
            _ => "neither done nor refused; servers here never rely on it".to_owned(),
        }
    }

    async fn product(&self) -> Vec<Seen> {
        // What is said of something that is not there tells some products from others.
        let refusal = match self.store.get(&self.path("never-written")).await {
            Err(error) => error.to_string(),
            Ok(_) => String::new(),
        };
        let server = self.headers.server();
        match products::known(server.as_deref(), &refusal) {
            Some(product) => vec![
                Seen::note("product", format!("{} (Server: {})", product.name, server.unwrap_or_default())),
                Seen::note("durability", product.durability),
            ],
            None => vec![
                Seen::note("product", format!("not known (Server: {})", server.unwrap_or_default())),
                Seen::note("durability", "find out whether it flushes to disk what it acknowledges"),
            ],
        }
    }

    async fn clean(&self) -> Answer {
        let prefix = Path::from(self.folder.as_str());
        for _ in 0..2 {
            let left: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.map_err(failed)?;
            if left.is_empty() {
                return Ok("nothing".to_owned());
            }
            for object in left {
                self.store.delete(&object.location).await.map_err(failed)?;
            }
        }
        let left: Vec<_> = self.store.list(Some(&prefix)).try_collect().await.map_err(failed)?;
        expect(left.is_empty(), &format!("{} objects below {} could not be deleted", left.len(), self.folder))?;
        Ok("nothing".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_come_in_no_order_are_a_fault() {
        let names: Vec<String> = (0..LISTED).map(|n| n.to_string()).collect();
        assert_eq!(in_pages(names.clone(), &names, 3).unwrap(), "5 names on 3 pages, each once, in order");
        let mut turned = names.clone();
        turned.swap(1, 3);
        assert!(in_pages(turned, &names, 3).unwrap_err().contains("order"));
        assert!(in_pages(names[1..].to_vec(), &names, 2).unwrap_err().contains("brought 4"));
    }
}
