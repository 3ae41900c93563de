//! What the operations do, one file a family. They take and give our own types; sockets and HTTP are elsewhere.

mod answer;
pub(crate) mod append;
pub(crate) mod batch_delete;
pub(crate) mod bucket;
pub(crate) mod bucket_settings;
mod caching;
mod callback;
mod channel_sessions;
pub(crate) mod copy;
mod expiration;
mod further;
mod grant;
mod limits;
pub(crate) mod listing;
pub(crate) mod live_channel;
pub(crate) mod multipart;
pub(crate) mod object;
pub(crate) mod object_settings;
pub(crate) mod policy;
pub(crate) mod post_object;
pub(crate) mod signed_playlist;
pub(crate) mod symlink;
mod upload;
pub(crate) mod vod_playlist;
mod website;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use model::access::Grant;
use model::{Error, ErrorCode};
use oss::request::{BodyDigests, Query, RawRequest, Route};
use oss::sign::Credentials;
use sha2::{Digest, Sha256};

pub(crate) use crate::objects::{BodySource, Bucket, internal, read_whole};
use crate::objects::{Judged, ObjectGrant, Objects};
pub(crate) use answer::{Answer, Content};
pub(crate) use channel_sessions::{channel_sessions, sessions_of};
pub(crate) use grant::{Asking, Authenticated, grant, no_such_bucket, tag_pairs};
pub(crate) use limits::RateLimits;
pub(crate) use signed_playlist::SignedPlaylists;
pub(crate) use vod_playlist::playlist_record;
#[cfg(test)]
pub(crate) use vod_playlist::vod_text;

use crate::identity::Identity;
use crate::memory::Held;
use crate::state::State;

/// A request that may be carried out.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a Arc<State>,
    pub(crate) raw: &'a RawRequest,
    pub(crate) granted: Granted,
    pub(crate) peer: SocketAddr,
    pub(crate) now_ms: i64,
    pub(crate) request_id: &'a str,
}

/// What authorisation leaves for the operation.
pub(crate) struct Granted {
    /// The proof that the caller may.
    pub(crate) grant: Grant,
    /// What is asked for.
    pub(crate) route: Route,
    /// How the caller proved who it is.
    pub(crate) credentials: Credentials,
    /// The key that signed.
    pub(crate) identity: Option<Arc<Identity>>,
    /// The bucket concerned, when it exists.
    pub(crate) bucket: Option<Bucket>,
    /// What the decision saw of the object.
    pub(crate) judged: Judged,
    /// What further decisions look at.
    pub(crate) asking: Asking,
    /// The tags in the body, which PutObjectTagging reads before it is granted.
    tagging: Option<Result<Vec<model::Tag>, Error>>,
}

impl Granted {
    /// The secret of the key that signed the request.
    fn secret(&self) -> Result<&oss::sign::SecretKey, Error> {
        self.identity.as_deref().map(Identity::secret).ok_or_else(|| Error::new(ErrorCode::AccessDenied))
    }

    /// How long the URL will still be good whose signature let the caller in, seconds; `None` without one.
    fn expires_in_s(&self, now_ms: i64) -> Option<u64> {
        let of_url_s = self.credentials.expires_at_s()?;
        let of_key_s = self.identity.as_deref().and_then(Identity::expires_at_s).unwrap_or(i64::MAX);
        Some(u64::try_from(of_url_s.min(of_key_s).saturating_sub(now_ms.div_euclid(1000))).unwrap_or(0))
    }
}

impl<'a> Call<'a> {
    /// Buckets and objects.
    pub(crate) fn objects(&self) -> &'a Objects {
        &self.state.objects
    }
}

impl Call<'_> {
    /// The proof that the object of the request may be had, with what the decision saw of it.
    ///
    /// # Errors
    /// `InvalidArgument` when the request is about no object.
    pub(crate) fn object_grant(&self) -> Result<ObjectGrant, Error> {
        ObjectGrant::new(self.granted.grant.clone(), self.granted.judged.clone())
    }

    fn route(&self) -> &Route {
        &self.granted.route
    }

    fn query(&self) -> &Query {
        &self.granted.route.query
    }

    /// The bucket; every operation on one has it, since a missing bucket is refused before.
    fn bucket(&self) -> Result<&Bucket, Error> {
        self.granted.bucket.as_ref().ok_or_else(|| no_such_bucket(self.route()))
    }

    fn key(&self) -> Result<&model::name::ObjectKey, Error> {
        match self.granted.grant.resource() {
            model::Resource::Object(_, key) => Ok(key),
            _ => Err(Error::new(ErrorCode::InvalidArgument)),
        }
    }
}

/// Reads an XML body and checks its digests.
async fn read_xml(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Bytes, Error> {
    let limit = oss::xml::body_limit(call.granted.grant.operation()).unwrap_or(oss::xml::MAX_DOCUMENT_BYTES);
    let held = call.state.memory.receive.hold();
    read_checked(call.raw, &call.granted.credentials, body, limit, Error::new(ErrorCode::MalformedXML), held).await
}

/// Reads a body, which counts as `held`, and checks it against its Content-MD5 and the digest that V4 signed for it (OSS auth 5.2).
async fn read_checked(
    raw: &RawRequest,
    credentials: &Credentials,
    body: &mut dyn BodySource,
    limit: usize,
    too_large: Error,
    held: Held,
) -> Result<Bytes, Error> {
    let digests = BodyDigests::parse(raw)?;
    let whole = read_whole(body, limit, too_large, held).await?;
    if digests.md5.is_some() {
        digests.check(crate::checksums::checksums(&whole).md5, None)?;
    }
    match credentials.payload_sha256() {
        Some(signed) if signed != <[u8; 32]>::from(Sha256::digest(&whole)) => Err(Error::new(ErrorCode::InvalidDigest)),
        _ => Ok(whole),
    }
}
