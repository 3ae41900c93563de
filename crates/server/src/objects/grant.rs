//! The right to an object, with the record that the decision looked at.

use std::sync::Arc;

use model::access::Grant;
use model::name::{BucketName, ObjectKey};
use model::{Error, ErrorCode, ObjectAcl, Resource, Tag};
use store::meta::{ObjectRecord, Stored, Tally};
use usage::Counters;

use crate::metering::{tally, user_of};

/// What the decision saw of the object.
#[derive(Debug, Clone)]
pub(crate) enum Judged {
    /// Nothing: it depended on nothing that the object says.
    Unread,
    /// That there is none.
    Absent,
    /// The object as it was.
    Found(Arc<Stored<ObjectRecord>>),
}

impl Judged {
    /// What was read, for whoever read it.
    pub(crate) fn of(found: Option<Stored<ObjectRecord>>) -> Self {
        found.map_or(Judged::Absent, |found| Judged::Found(Arc::new(found)))
    }

    fn found(&self) -> Option<&ObjectRecord> {
        match self {
            Judged::Found(found) => Some(&found.value),
            Judged::Unread | Judged::Absent => None,
        }
    }

    /// Whether it was read and is there.
    pub(crate) fn exists(&self) -> bool {
        self.found().is_some()
    }

    /// Its ACL, at which decisions look.
    pub(crate) fn acl(&self) -> Option<ObjectAcl> {
        self.found().map(|object| object.acl)
    }

    /// Its tags, at which policies look.
    pub(crate) fn tags(&self) -> &[Tag] {
        self.found().map_or(&[], |object| &object.tags)
    }
}

/// The proof that something may be done to an object. The doors of [`super::Objects`] take nothing else.
#[derive(Debug, Clone)]
pub(crate) struct ObjectGrant {
    grant: Grant,
    bucket: BucketName,
    key: ObjectKey,
    judged: Judged,
    tally: Tally,
}

impl ObjectGrant {
    /// A grant about an object, with what was judged.
    ///
    /// # Errors
    /// `InvalidArgument` when the grant is not about an object.
    pub(crate) fn new(grant: Grant, judged: Judged) -> Result<Self, Error> {
        match grant.resource() {
            Resource::Object(bucket, key) => {
                let (bucket, key) = (bucket.clone(), key.clone());
                Ok(Self { grant, bucket, key, judged, tally: Tally::default() })
            }
            Resource::Service | Resource::Bucket(_) => Err(Error::new(ErrorCode::InvalidArgument)),
        }
    }

    /// The grant for a change that counts this as usage of its caller, in the commit that makes the change. `channel` is
    /// that for which it is counted, in this bucket; empty for none.
    #[must_use]
    pub(crate) fn counting(self, channel: &str, counts: Counters) -> Self {
        let bucket = self.bucket.clone();
        self.counting_for(&bucket, channel, counts)
    }

    /// The same for a channel of another bucket.
    #[must_use]
    pub(crate) fn counting_for(mut self, bucket: &BucketName, channel: &str, counts: Counters) -> Self {
        self.tally = tally(bucket, channel, user_of(self.grant.caller()), counts);
        self
    }

    /// What a change with this grant counts.
    pub(super) fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// What was decided.
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The bucket of the object.
    pub(crate) fn bucket(&self) -> &BucketName {
        &self.bucket
    }

    /// The key of the object.
    pub(crate) fn key(&self) -> &ObjectKey {
        &self.key
    }

    /// What the decision saw.
    pub(super) fn judged(&self) -> &Judged {
        &self.judged
    }
}
