//! What the server itself writes and deletes, by a right that is not a request's: a publish covers the keys below its
//! channel, the lifecycle rules of a bucket cover what begins with their prefixes, its logging rule covers its target.
//! Each kind of right has doors of its own, which refuse every key that it does not cover.

use model::access::Grant;
use model::name::{BucketName, ObjectKey};
use model::{LifecycleRule, StorageClass};
use store::lease::PublisherLease;
use store::meta::{ListedObject, Meta, ObjectRecord, SeenObject, SegmentCommit};

/// The right to write the segments and playlists of a channel.
pub(crate) struct ChannelGrant<'a> {
    lease: &'a PublisherLease,
    /// What the publish was admitted for; `None` for who repairs or ends what a publish left.
    publish: Option<&'a Grant>,
}

impl<'a> ChannelGrant<'a> {
    /// The right of an admitted publish that holds its channel.
    pub(crate) fn admitted(publish: &'a Grant, lease: &'a PublisherLease) -> Self {
        Self { lease, publish: Some(publish) }
    }

    /// The right of who holds a channel to close what an admitted publish left there.
    pub(crate) fn holding(lease: &'a PublisherLease) -> Self {
        Self { lease, publish: None }
    }

    fn check(&self, key: &ObjectKey) -> Result<(), store::Error> {
        let below = key.as_str().strip_prefix(self.lease.channel().as_str());
        let is_below = below.is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'));
        let is_admitted = self.publish.is_none_or(|publish| {
            publish.resource().bucket() == Some(self.lease.bucket()) && publish.put_below_channel(key.clone()).is_ok()
        });
        if is_below && is_admitted { Ok(()) } else { Err(not_covered(key)) }
    }

    /// Names a finished segment and the playlist that lists it, in one commit that counts what `meta` counts.
    ///
    /// # Errors
    /// Those of [`Meta::commit_segment`]; `Conflict` when a key is not below the channel.
    pub(crate) async fn commit_segment(&self, meta: &Meta, commit: &SegmentCommit) -> Result<(), store::Error> {
        self.check(&commit.key)?;
        if let Some((playlist, _)) = &commit.playlist {
            self.check(playlist)?;
        }
        meta.commit_segment(self.lease, commit).await
    }

    /// Writes the live playlist again without a new segment, with the state of its window.
    ///
    /// # Errors
    /// Those of [`Meta::commit_playlist`]; `Conflict` when the key is not below the channel.
    pub(crate) async fn commit_playlist(
        &self,
        meta: &Meta,
        key: &ObjectKey,
        playlist: &ObjectRecord,
        window: bytes::Bytes,
    ) -> Result<(), store::Error> {
        self.check(key)?;
        meta.commit_playlist(self.lease, key, playlist, window).await
    }
}

/// The right of the enabled lifecycle rules of a bucket (HTTP API 8.13).
pub(super) struct LifecycleGrant<'a> {
    bucket: &'a BucketName,
    rules: &'a [LifecycleRule],
}

impl<'a> LifecycleGrant<'a> {
    /// That of the rules of a bucket, of which those that are disabled give no right.
    pub(super) fn new(bucket: &'a BucketName, rules: &'a [LifecycleRule]) -> Self {
        Self { bucket, rules }
    }

    /// A rule with this prefix must want such a thing at all; whether it is due is the caller's decision.
    fn check(&self, key: &ObjectKey, wants: impl Fn(&LifecycleRule) -> bool) -> Result<(), store::Error> {
        let covers = |rule: &LifecycleRule| rule.enabled && key.as_str().starts_with(&rule.prefix) && wants(rule);
        if self.rules.iter().any(covers) { Ok(()) } else { Err(not_covered(key)) }
    }

    /// Deletes objects that are still as they were seen; which they were.
    ///
    /// # Errors
    /// Those of [`Meta::delete_unchanged`]; `Conflict` when no rule expires one of them.
    pub(super) async fn delete(&self, meta: &Meta, seen: &[SeenObject]) -> Result<Vec<ObjectKey>, store::Error> {
        for object in seen {
            self.check(&object.key, |rule| rule.expiration.is_some())?;
        }
        meta.delete_unchanged(self.bucket, seen).await
    }

    /// Gives an object another label, unless it was written or deleted since it was seen; whether it has it now.
    ///
    /// # Errors
    /// Those of the store; `Conflict` when no rule labels it.
    pub(super) async fn relabel(
        &self,
        meta: &Meta,
        seen: &ListedObject,
        class: StorageClass,
    ) -> Result<bool, store::Error> {
        self.check(&seen.key, |rule| !rule.transitions.is_empty())?;
        let changed = meta.update_object(self.bucket, &seen.key, |object| {
            if object.modified_ms == seen.modified_ms && object.etag == seen.etag {
                object.storage_class = class;
            }
        });
        match changed.await {
            Ok(object) => Ok(object.storage_class == class),
            Err(error) if error.is_not_found() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives up an unfinished upload; whether it was there.
    ///
    /// # Errors
    /// Those of the store; `Conflict` when no rule aborts uploads of this key.
    pub(super) async fn abort(&self, meta: &Meta, key: &ObjectKey, id: &str) -> Result<bool, store::Error> {
        self.check(key, |rule| rule.abort_multipart.is_some())?;
        match meta.abort_upload(self.bucket, key, id).await {
            Err(error) if error.is_not_found() => Ok(false),
            aborted => aborted.map(|()| true),
        }
    }
}

/// The right of a bucket's logging rule: its target bucket, below its target prefix (HTTP API 8.15).
#[derive(Debug, Clone)]
pub(crate) struct LogGrant {
    bucket: BucketName,
    key: ObjectKey,
}

impl LogGrant {
    /// The right to one object of a target; `None` when its key does not begin with the prefix of the target.
    pub(crate) fn new(target: BucketName, prefix: &str, key: ObjectKey) -> Option<Self> {
        key.as_str().starts_with(prefix).then_some(Self { bucket: target, key })
    }

    pub(super) fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    pub(super) fn key(&self) -> &ObjectKey {
        &self.key
    }
}

fn not_covered(key: &ObjectKey) -> store::Error {
    tracing::error!(?key, "the server itself was about to write where it has no right to");
    store::Error::new(store::ErrorKind::Conflict, store::Subject::Object, "not covered by the right to write")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use model::name::ChannelName;
    use model::{ETag, LifecycleTrigger, OwnerId};
    use store::kv::{Claim, MemoryKv};
    use store::meta::BucketRecord;

    use super::*;

    fn key(text: &str) -> ObjectKey {
        ObjectKey::parse(text.as_bytes()).unwrap()
    }

    async fn meta() -> (Meta, BucketName) {
        let clock = store::clock::Clock::new(|| 1_704_164_645_000);
        let meta = Meta::new(Arc::new(MemoryKv::new(clock.clone())), clock);
        let bucket = BucketName::parse("bkt").unwrap();
        meta.create_bucket(&bucket, &BucketRecord::new(&bucket, OwnerId("1".into()), 0), 10).await.unwrap();
        (meta, bucket)
    }

    #[tokio::test]
    async fn a_channel_covers_what_lies_below_it() {
        let (meta, bucket) = meta().await;
        let channel = ChannelName::parse(b"ch").unwrap();
        let lease =
            meta.acquire_publisher(&bucket, &channel, "me", Duration::from_secs(9), Claim::IfFree).await.unwrap();
        let grant = ChannelGrant::holding(&lease);
        for (name, is_covered) in [("ch/1.ts", true), ("ch/", false), ("ch", false), ("ch2/1.ts", false), ("x", false)]
        {
            assert_eq!(grant.check(&key(name)).is_ok(), is_covered, "{name}");
        }
        let playlist = crate::objects::playlist_record(Vec::new(), store::meta::ObjectRole::LivePlaylist, 0);
        let refused = grant.commit_playlist(&meta, &key("other/playlist.m3u8"), &playlist, bytes::Bytes::new()).await;
        assert_eq!(refused.unwrap_err().kind, store::ErrorKind::Conflict);
        assert!(meta.object(&bucket, &key("other/playlist.m3u8")).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_rule_covers_its_prefix_and_what_it_wants() {
        let (meta, bucket) = meta().await;
        let rule = |prefix: &str, enabled| LifecycleRule {
            id: String::new(),
            prefix: prefix.into(),
            enabled,
            tags: Vec::new(),
            filter: None,
            expiration: Some(LifecycleTrigger::Days(1)),
            transitions: Vec::new(),
            abort_multipart: None,
        };
        let rules = [rule("old/", true), rule("off/", false)];
        let grant = LifecycleGrant::new(&bucket, &rules);
        let seen = |name: &str| SeenObject { key: key(name), modified_ms: 0, etag: ETag::from_bits(1) };
        assert_eq!(grant.delete(&meta, &[seen("old/x")]).await.unwrap(), []);
        for name in ["off/x", "new/x"] {
            assert!(grant.delete(&meta, &[seen("old/x"), seen(name)]).await.is_err(), "{name}");
        }
        assert!(grant.abort(&meta, &key("old/x"), "U").await.is_err(), "the rule aborts no uploads");
    }

    #[test]
    fn a_logging_rule_covers_its_target_prefix() {
        let target = BucketName::parse("logs").unwrap();
        assert!(LogGrant::new(target.clone(), "a/", key("a/2024")).is_some());
        assert!(LogGrant::new(target, "a/", key("b/2024")).is_none());
    }
}
