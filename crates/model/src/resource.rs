//! What requests and decisions are about.

use crate::name::{BucketName, ObjectKey};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    /// The service itself.
    Service,
    /// A bucket.
    Bucket(BucketName),
    /// An object, or a channel: the key is the decoded path below the bucket.
    Object(BucketName, ObjectKey),
}

impl Resource {
    /// The bucket, if there is one.
    pub fn bucket(&self) -> Option<&BucketName> {
        match self {
            Self::Service => None,
            Self::Bucket(bucket) | Self::Object(bucket, _) => Some(bucket),
        }
    }

    /// The key, if there is one.
    pub fn key(&self) -> Option<&ObjectKey> {
        match self {
            Self::Object(_, key) => Some(key),
            Self::Service | Self::Bucket(_) => None,
        }
    }
}
