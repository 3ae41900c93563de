//! What a request means. Clients write the same thing in several ways, and some of them wrongly; all of that is read here, so
//! that nothing behind it has to know. The signature decides between the readings of one request, which is why a caller is
//! authenticated in the middle of it; afterwards the route is final.
//!
//! * Virtual host or path, and a bucket named in both (ali-oss with an IP endpoint, HTTP API 1.5).
//! * A plus in the query that stands for a space (oss2, HTTP API 1.4).
//! * A process that was written into the key (browser players, OSS auth 9.7).
//! * The index page of a web site (HTTP API 8.16).

use std::borrow::Cow;

use model::access::Caller;
use model::name::ObjectKey;
use model::{Error, ErrorCode, OperationKind, Resource};
use oss::playlist_sign::{check_request, split_process_key};
use oss::request::{Addressing, Query, RawRequest, Route, is_sign_process, route, route_as_path_style};
use oss::sign::Credentials;

use crate::accounts::{Accounts, Authenticated};
use crate::objects::{Bucket, Objects};

/// A request that was read and whose caller is not known yet.
pub(super) struct Interpreted<'a> {
    raw: &'a RawRequest,
    addressing: &'a Addressing,
    route: Route,
    /// The request with spaces where pluses are in its query.
    with_spaces: Option<RawRequest>,
}

/// A request that can be judged: its reading and its caller are known.
pub(crate) struct Understood<'a> {
    /// The request as its client meant it.
    pub(crate) raw: Cow<'a, RawRequest>,
    /// What it asks for and who calls.
    pub(crate) authenticated: Authenticated,
    /// The bucket concerned, when it exists.
    pub(crate) bucket: Option<Bucket>,
}

impl<'a> Interpreted<'a> {
    /// The plain reading of a request, which holds for whatever is refused before anybody is authenticated.
    ///
    /// # Errors
    /// What no reading makes sense of.
    pub(super) fn of(raw: &'a RawRequest, addressing: &'a Addressing) -> Result<Self, Error> {
        let route = route(raw, addressing)?;
        // A plus is a plus, but the HTTP library below oss2 writes the spaces of listing parameters this way, and every
        // SDK writes a plus as `%2B`.
        let has_pluses = raw.header("authorization").is_some() && raw.query.contains('+');
        let with_spaces = has_pluses.then(|| RawRequest { query: raw.query.replace('+', "%20"), ..raw.clone() });
        Ok(Self { raw, addressing, route, with_spaces })
    }

    /// The plain reading.
    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// Finds out who calls, and which reading was meant.
    ///
    /// # Errors
    /// The refusals of OSS auth 8.
    pub(super) async fn authenticate(
        self,
        accounts: &Accounts,
        now_ms: i64,
    ) -> Result<(Cow<'a, RawRequest>, Authenticated), Error> {
        let addressing = self.addressing;
        let first = authenticate(accounts, self.raw, self.route, addressing, now_ms).await;
        let Some(other) = self.with_spaces else { return first.map(|found| (Cow::Borrowed(self.raw), found)) };
        match first {
            // V1 does not sign what a listing asks for.
            Ok(first) if is_v1_listing(&first) => {
                let found = Authenticated { route: route(&other, addressing)?, ..first };
                Ok((Cow::Owned(other), found))
            }
            Ok(first) => Ok((Cow::Borrowed(self.raw), first)),
            // The signature of V4 tells which reading the client meant.
            Err(error) if error.code == ErrorCode::SignatureDoesNotMatch => {
                let route = route(&other, addressing)?;
                match authenticate(accounts, &other, route, addressing, now_ms).await {
                    Ok(found) => Ok((Cow::Owned(other), found)),
                    Err(_) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }
}

impl<'a> Understood<'a> {
    /// Settles what is asked for, now that the caller is known. `bucket` is the one of the plain reading.
    ///
    /// # Errors
    /// Those of the store; what a request for a signed playlist must not carry (OSS auth 9).
    pub(super) async fn new(
        raw: Cow<'a, RawRequest>,
        mut authenticated: Authenticated,
        bucket: Option<Bucket>,
        objects: &Objects,
    ) -> Result<Self, Error> {
        let route = &mut authenticated.route;
        if authenticated.credentials.is_url_signed() {
            read_process_in_key(objects, &raw, route).await?;
        }
        if route.kind == OperationKind::GetSignedPlaylist
            && let Some(key) = route.resource.key()
        {
            check_request(&raw, &authenticated.credentials, key)?;
        }
        // An odd spelling of the host may have led to another bucket than the one that was looked up.
        let bucket = match (&route.bucket, bucket) {
            (Some(name), Some(bucket)) if bucket.name == *name => Some(bucket),
            (Some(name), Some(_)) => objects.bucket(name).await?,
            (_, bucket) => bucket,
        };
        enter_website(route, &raw, &authenticated.caller, bucket.as_ref());
        Ok(Self { raw, authenticated, bucket })
    }
}

/// Who calls, by one reading of the query.
pub(super) async fn authenticate(
    accounts: &Accounts,
    raw: &RawRequest,
    route: Route,
    addressing: &Addressing,
    now_ms: i64,
) -> Result<Authenticated, Error> {
    let credentials = accounts.claim(raw, &route, now_ms)?;
    accounts.authenticate(credentials, raw, route, || route_as_path_style(raw, addressing), now_ms).await
}

fn is_v1_listing(authenticated: &Authenticated) -> bool {
    matches!(authenticated.credentials, Credentials::V1Header(_)) && authenticated.route.kind.row().is_listing
}

/// Undoes what a client that wrote `x-oss-process` into the key has done, unless there is an object with that very key
/// (OSS auth 9.7, forms D and E). The signature was verified with the key as it was sent.
async fn read_process_in_key(objects: &Objects, raw: &RawRequest, route: &mut Route) -> Result<(), Error> {
    if !matches!(route.kind, OperationKind::GetObject | OperationKind::HeadObject) {
        return Ok(());
    }
    let Resource::Object(bucket, key) = &route.resource else { return Ok(()) };
    let Some((name, parameters)) = split_process_key(key) else { return Ok(()) };
    let asks_for_signing = parameters.iter().any(|(name, value)| name == "x-oss-process" && is_sign_process(value));
    if !asks_for_signing || objects.judge(bucket, key).await?.exists() {
        return Ok(());
    }
    let mut query = raw.query.clone();
    for (name, value) in &parameters {
        let encode = |text: &str| model::percent::percent_encode(text.as_bytes(), false);
        query.push_str(&format!("&{}={}", encode(name), encode(value)));
    }
    route.query = Query::parse(&query);
    route.resource = Resource::Object(bucket.clone(), name);
    route.kind = OperationKind::GetSignedPlaylist;
    Ok(())
}

/// Turns an anonymous GET of the root of a web site into one of its index document.
fn enter_website(route: &mut Route, raw: &RawRequest, caller: &Caller, bucket: Option<&Bucket>) {
    let Some(bucket) = bucket else { return };
    let index = bucket.record.website.as_ref().and_then(|website| website.index_document.as_ref());
    let is_visit = raw.method == "GET" && *caller == Caller::Anonymous && route.kind == OperationKind::ListObjects;
    if let (true, Some(index)) = (is_visit, index)
        && let Ok(key) = ObjectKey::parse(index.suffix.as_bytes())
    {
        route.kind = OperationKind::GetObject;
        route.resource = Resource::Object(bucket.name.clone(), key);
    }
}
