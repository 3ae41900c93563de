//! What the operations do, one file a family: from a typed request, and a body where content flows, to a typed outcome. They
//! know neither HTTP nor any wire; `dialect` parses and renders.

pub(crate) mod append;
mod asking;
mod authorization;
pub(crate) mod batch_delete;
pub(crate) mod bucket;
pub(crate) mod bucket_settings;
pub(crate) mod caching;
pub(crate) mod callback;
pub(crate) mod channel_sessions;
pub(crate) mod copy;
pub(crate) mod expiration;
pub(crate) mod listing;
pub(crate) mod live_channel;
pub(crate) mod multipart;
pub(crate) mod object;
pub(crate) mod object_settings;
pub(crate) mod picture;
pub(crate) mod policy;
pub(crate) mod post_object;
mod recording;
pub(crate) mod signed_playlist;
pub(crate) mod storyboard;
pub(crate) mod symlink;
mod upload;
pub(crate) mod vod_playlist;
mod website;

use std::net::SocketAddr;
use std::sync::Arc;

use model::access::Grant;
use model::name::ObjectKey;
use model::{Error, ErrorCode, Resource, Tag};

pub(crate) use asking::{Asking, judge};
pub(crate) use recording::bad_process;
pub(crate) use signed_playlist::SignedPlaylists;

use crate::config::CacheConfig;
use crate::files::Files;
use crate::live::Live;
use crate::objects::{BodySource, Bucket, Judged, ObjectGrant, Objects, internal, no_such_bucket};
use crate::stills::Stills;

/// What the operations work with.
pub(crate) struct Services {
    /// Buckets and objects.
    pub(crate) objects: Arc<Objects>,
    /// Channels and pushes.
    pub(crate) live: Arc<Live>,
    /// What makes pictures.
    pub(crate) stills: Arc<Stills>,
    /// Playlists signed lately.
    pub(crate) signed_playlists: SignedPlaylists,
    /// The share of descriptors that callbacks are made with.
    pub(crate) files: Arc<Files>,
    /// How long browsers and caches may keep what was recorded (D23).
    pub(crate) cache: CacheConfig,
    /// Whether callbacks may go to addresses of this network (HTTP API 13).
    pub(crate) callback_allow_private: bool,
}

/// A request that may be carried out.
pub(crate) struct Call<'a> {
    pub(crate) services: &'a Services,
    pub(crate) granted: Granted,
    pub(crate) peer: SocketAddr,
    pub(crate) now_ms: i64,
    pub(crate) request_id: &'a str,
}

/// What authorisation leaves for the operation.
pub(crate) struct Granted {
    /// The proof that the caller may.
    pub(crate) grant: Grant,
    /// The bucket concerned, when it exists.
    pub(crate) bucket: Option<Bucket>,
    /// What the decision saw of the object.
    pub(crate) judged: Judged,
    /// What further decisions look at.
    pub(crate) asking: Asking,
    /// The tags in the body, which PutObjectTagging reads before it is granted.
    pub(crate) tagging: Option<Result<Vec<Tag>, Error>>,
    /// Until when the URL is good whose signature let the caller in, Unix seconds; `None` without one.
    pub(crate) url_expires_at_s: Option<i64>,
}

impl Granted {
    /// How long the URL will still be good whose signature let the caller in, seconds; `None` without one.
    fn expires_in_s(&self, now_ms: i64) -> Option<u64> {
        let left_s = self.url_expires_at_s?.saturating_sub(now_ms.div_euclid(1000));
        Some(u64::try_from(left_s).unwrap_or(0))
    }
}

impl<'a> Call<'a> {
    /// Buckets and objects.
    pub(crate) fn objects(&self) -> &'a Objects {
        &self.services.objects
    }

    /// Channels and pushes.
    pub(crate) fn live(&self) -> &'a Arc<Live> {
        &self.services.live
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

    /// The bucket; every operation on one has it, since a missing bucket is refused before.
    fn bucket(&self) -> Result<&Bucket, Error> {
        let absent = || match self.granted.grant.resource().bucket() {
            Some(name) => no_such_bucket(name),
            None => Error::new(ErrorCode::NoSuchBucket).with("BucketName", ""),
        };
        self.granted.bucket.as_ref().ok_or_else(absent)
    }

    fn key(&self) -> Result<&ObjectKey, Error> {
        match self.granted.grant.resource() {
            Resource::Object(_, key) => Ok(key),
            Resource::Service | Resource::Bucket(_) => Err(Error::new(ErrorCode::InvalidArgument)),
        }
    }
}
