//! The ways to an object. Each takes the grant for it, and none takes a name.

use std::sync::Arc;

use model::access::Grant;
use model::{Error, ErrorCode, Permission};
use store::kv::Version;
use store::meta::{ObjectRecord, PutGuard, Source, Stored};

use super::{Judged, ObjectGrant, Objects, internal};

/// A source of a copy: the right to it, and the version that was read.
pub(crate) struct CopiedFrom<'a> {
    /// The right to read it.
    pub(crate) grant: &'a ObjectGrant,
    /// The commit that wrote what was read.
    pub(crate) version: Version,
}

impl Objects {
    /// The object as it was judged; read now where nothing of it was looked at. `None` when there is none.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn read(&self, grant: &ObjectGrant) -> Result<Option<Arc<Stored<ObjectRecord>>>, Error> {
        match grant.judged() {
            Judged::Found(found) => Ok(Some(found.clone())),
            Judged::Absent => Ok(None),
            Judged::Unread => self.read_again(grant).await,
        }
    }

    /// The object as it is now, for whoever lost a race.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn read_again(&self, grant: &ObjectGrant) -> Result<Option<Arc<Stored<ObjectRecord>>>, Error> {
        let found = self.meta.object(grant.bucket(), grant.key()).await.map_err(internal)?;
        Ok(found.map(Arc::new))
    }

    /// The object, with the refusal that belongs to its absence.
    ///
    /// # Errors
    /// `NoSuchKey`, and those of the store.
    pub(crate) async fn find(&self, grant: &ObjectGrant) -> Result<Arc<Stored<ObjectRecord>>, Error> {
        let absent = || Error::new(ErrorCode::NoSuchKey).with("Key", grant.key().as_str());
        self.read(grant).await?.ok_or_else(absent)
    }

    /// Names an object whose blobs are durable. Blobs of the record that are not in `kept` are deleted when it is refused.
    ///
    /// # Errors
    /// Those of [`store::meta::Meta::put_object`]; `NotFound` when the grant is not one to write.
    pub(crate) async fn write(
        &self,
        grant: &ObjectGrant,
        record: &ObjectRecord,
        guard: PutGuard,
        kept: &[store::blob::BlobId],
    ) -> Result<Version, store::Error> {
        check_may_write(grant)?;
        match self.meta.counting(grant.tally()).put_object(grant.bucket(), grant.key(), record, guard).await {
            Ok(version) => Ok(version),
            Err(error) => {
                self.discard(record.body.blobs().filter(|blob| !kept.contains(blob)), &error).await;
                Err(error)
            }
        }
    }

    /// As [`Objects::write`], for a record that shares the blobs of another object.
    ///
    /// # Errors
    /// Those of [`store::meta::Meta::put_object_from`].
    pub(crate) async fn write_from(
        &self,
        grant: &ObjectGrant,
        record: &ObjectRecord,
        guard: PutGuard,
        from: CopiedFrom<'_>,
    ) -> Result<(), store::Error> {
        check_may_write(grant)?;
        let source = Source { bucket: from.grant.bucket(), key: from.grant.key(), version: from.version };
        self.meta
            .counting(grant.tally())
            .put_object_from(grant.bucket(), grant.key(), record, guard, &source)
            .await
            .map(drop)
    }

    /// Changes what is known of an object in one commit.
    ///
    /// # Errors
    /// `NoSuchKey`, and those of the store; `InternalError` when the grant is one to look only.
    pub(crate) async fn update(
        &self,
        grant: &ObjectGrant,
        change: impl FnMut(&mut ObjectRecord) + Send,
    ) -> Result<(), Error> {
        check_may_change(grant.grant())?;
        match self.meta.update_object(grant.bucket(), grant.key(), change).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_not_found() => {
                Err(Error::new(ErrorCode::NoSuchKey).with("Key", grant.key().as_str()))
            }
            Err(error) => Err(internal(error)),
        }
    }

    /// Deletes an object; there need not be one.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn delete(&self, grant: &ObjectGrant) -> Result<(), Error> {
        check_may_write(grant).map_err(internal)?;
        self.meta.delete_object(grant.bucket(), grant.key()).await.map(drop).map_err(internal)
    }

    /// Deletes objects of one bucket in one commit; none of them need be there.
    ///
    /// # Errors
    /// Those of the store; nothing is deleted then.
    pub(crate) async fn delete_all(&self, grants: &[ObjectGrant]) -> Result<(), Error> {
        let Some(first) = grants.first() else { return Ok(()) };
        let mut keys = Vec::with_capacity(grants.len());
        for grant in grants {
            check_may_write(grant).map_err(internal)?;
            if grant.bucket() != first.bucket() {
                return Err(Error::new(ErrorCode::InternalError));
            }
            keys.push(grant.key().clone());
        }
        self.meta.delete_objects(first.bucket(), &keys).await.map(drop).map_err(internal)
    }
}

/// A grant to look at something opens no door to change what is known of it.
pub(super) fn check_may_change(grant: &Grant) -> Result<(), Error> {
    if grant.operation().only_looks() {
        tracing::error!(operation = grant.operation().name(), "a grant that gives no right to change anything");
        return Err(Error::new(ErrorCode::InternalError));
    }
    Ok(())
}

/// A grant to read opens no door to write.
pub(super) fn check_may_write(grant: &ObjectGrant) -> Result<(), store::Error> {
    match grant.grant().operation().permission() {
        Permission::Write => Ok(()),
        Permission::Public | Permission::Control | Permission::Read | Permission::OwnerOnly => {
            tracing::error!(operation = grant.grant().operation().name(), "a grant that gives no right to write");
            Err(store::Error::new(store::ErrorKind::NotFound, store::Subject::Object, "no right to write"))
        }
    }
}
