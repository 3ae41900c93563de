//! May they: collects what the decision needs, and asks `model::access`, which alone can say yes.

use std::net::SocketAddr;

use model::access::policy::ConditionValues;
use model::access::{AccessRequest, authorize, tag_pairs};
use model::{Error, OperationKind, Permission, Tag};
use oss::request::{RawRequest, Route, check_row, parse_tagging_header};
use oss::sign::Credentials;
use oss::xml::tagging::parse_object_tagging;

use super::read::document;
use crate::accounts::{Authenticated, Identity};
use crate::memory::Memory;
use crate::objects::{BodySource, Bucket, Judged, Objects};
use crate::ops::{Asking, Granted, judge};

/// What a decision is made with.
#[derive(Clone, Copy)]
pub(crate) struct Judge<'a> {
    /// Buckets and objects.
    pub(crate) objects: &'a Objects,
    /// The room for documents.
    pub(crate) memory: &'a Memory,
    /// From where the request comes.
    pub(crate) peer: SocketAddr,
    /// When it came, unix ms.
    pub(crate) now_ms: i64,
}

impl Judge<'_> {
    /// Decides whether the caller may do what the request asks for, and whether that is all that the request asks for.
    ///
    /// # Errors
    /// `NoSuchBucket`, the refusals of access control 8, and for who may: what [`check_row`] refuses.
    pub(crate) async fn grant(
        self,
        raw: &RawRequest,
        authenticated: &Authenticated,
        bucket: Option<Bucket>,
        body: &mut dyn BodySource,
    ) -> Result<Granted, Error> {
        let Authenticated { route, credentials, caller, identity } = authenticated;
        let objects = self.objects;
        let access = bucket.as_ref().map(|bucket| objects.access(&bucket.name, &bucket.record)).transpose()?;
        let judged = match (&access, route.resource.key(), route.kind.permission()) {
            (Some(access), Some(key), Permission::Read | Permission::Write | Permission::OwnerOnly) => {
                judge(objects, caller, access, key).await?
            }
            _ => Judged::Unread,
        };
        let mut asking = self.asking(raw, route, credentials);
        let mut conditions = asking.conditions.clone();
        conditions.existing_tags = tag_pairs(judged.tags());
        let in_row = check_row(route, raw, bucket.as_ref().map(|bucket| bucket.record.acl));
        // The tags are in the body, and policies have a say in them.
        let tagging = match route.kind {
            OperationKind::PutObjectTagging if in_row.is_ok() => Some(self.read_tags(raw, credentials, body).await),
            _ => None,
        };
        if let Some(Ok(tags)) = &tagging {
            conditions.request_tags = tag_pairs(tags);
            asking.conditions.request_tags.clone_from(&conditions.request_tags);
        }
        conditions.bucket_tags = bucket.as_ref().map(|bucket| tag_pairs(&bucket.record.tags)).unwrap_or_default();
        let grant = authorize(&AccessRequest {
            caller,
            operation: route.kind,
            resource: &route.resource,
            bucket: access.as_ref(),
            object_acl: judged.acl(),
            names_version: route.query.has("versionId"),
            is_get: asking.is_get,
            url_signed: asking.url_signed,
            referer: asking.referer.as_deref(),
            conditions: &conditions,
        })?;
        // Only now, so that a stranger hears what strangers hear; and here, where everything that runs comes by (D22).
        in_row?;
        let of_key_s = identity.as_deref().and_then(Identity::expires_at_s).unwrap_or(i64::MAX);
        let url_expires_at_s = credentials.expires_at_s().map(|of_url_s| of_url_s.min(of_key_s));
        Ok(Granted { grant, bucket, judged, asking, tagging, url_expires_at_s })
    }

    /// The tags in the body of PutObjectTagging, which policies look at before it is granted.
    async fn read_tags(
        self,
        raw: &RawRequest,
        credentials: &Credentials,
        body: &mut dyn BodySource,
    ) -> Result<Vec<Tag>, Error> {
        let kind = OperationKind::PutObjectTagging;
        parse_object_tagging(&document(raw, credentials, kind, body, self.memory).await?)
    }

    fn asking(self, raw: &RawRequest, route: &Route, credentials: &Credentials) -> Asking {
        Asking {
            conditions: conditions(raw, route, self.peer, self.now_ms),
            is_get: matches!(raw.method.as_str(), "GET" | "HEAD"),
            url_signed: credentials.is_url_signed(),
            referer: raw.header_text("referer").map(str::to_owned),
        }
    }
}

fn conditions(raw: &RawRequest, route: &Route, peer: SocketAddr, now_ms: i64) -> ConditionValues {
    ConditionValues {
        // A socket for both families shows IPv4 peers as IPv6 addresses.
        source_ip: Some(peer.ip().to_canonical()),
        user_agent: raw.header_text("user-agent").map(str::to_owned),
        now_s: now_ms.div_euclid(1000),
        secure: raw.secure,
        prefix: route.query.first("prefix").map(str::to_owned),
        delimiter: route.query.first("delimiter").map(str::to_owned),
        // A header that breaks the rules is refused by the operation; no condition fits it.
        request_tags: raw
            .header_text("x-oss-tagging")
            .and_then(|text| parse_tagging_header(text).ok())
            .map(|tags| tag_pairs(&tags))
            .unwrap_or_default(),
        ..ConditionValues::default()
    }
}
