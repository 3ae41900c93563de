//! The ways to an upload in parts: each takes the grant for the object that it is to become (HTTP API 10).

use model::Error;
use model::access::Grant;
use store::kv::Version;
use store::meta::{
    ObjectRecord, Page, PartRecord, PutGuard, Source, Stored, UploadListQuery, UploadListing, UploadRecord,
};

use super::buckets::named;
use super::doors::{CopiedFrom, check_may_write};
use super::{ObjectGrant, Objects, internal};

impl Objects {
    /// Begins an upload.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn initiate(&self, grant: &ObjectGrant, id: &str, record: &UploadRecord) -> Result<(), Error> {
        check_may_write(grant).map_err(internal)?;
        self.meta.initiate_upload(grant.bucket(), grant.key(), id, record).await.map_err(internal)
    }

    /// An upload; `None` when there is no such id for that key.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn upload(&self, grant: &ObjectGrant, id: &str) -> Result<Option<Stored<UploadRecord>>, Error> {
        match id {
            "" => Ok(None),
            id => self.meta.upload(grant.bucket(), grant.key(), id).await.map_err(internal),
        }
    }

    /// Sets a part, whose blobs are durable. They are deleted when the part is refused.
    ///
    /// # Errors
    /// `NotFound` when the upload is over; those of the store.
    pub(crate) async fn put_part(
        &self,
        grant: &ObjectGrant,
        id: &str,
        number: u16,
        part: &PartRecord,
    ) -> Result<(), store::Error> {
        check_may_write(grant)?;
        let counting = self.meta.counting(grant.tally());
        let Err(error) = counting.put_part(grant.bucket(), grant.key(), id, number, part).await else { return Ok(()) };
        self.discard(part.extents.iter().map(|extent| extent.blob), &error).await;
        Err(error)
    }

    /// Sets a part that shares the blobs of an object.
    ///
    /// # Errors
    /// Those of [`store::meta::Meta::put_part_from`].
    pub(crate) async fn put_part_from(
        &self,
        grant: &ObjectGrant,
        id: &str,
        number: u16,
        part: &PartRecord,
        from: CopiedFrom<'_>,
    ) -> Result<(), store::Error> {
        check_may_write(grant)?;
        let source = Source { bucket: from.grant.bucket(), key: from.grant.key(), version: from.version };
        self.meta.put_part_from(grant.bucket(), grant.key(), id, number, part, &source).await
    }

    /// The parts of an upload after number `after`, in order.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn list_parts(
        &self,
        grant: &ObjectGrant,
        id: &str,
        after: u16,
        limit: usize,
    ) -> Result<Page<(u16, PartRecord)>, Error> {
        self.meta.list_parts(grant.bucket(), id, after, limit).await.map_err(internal)
    }

    /// Makes an upload an object. `seen` is the version of the upload before its parts were read.
    ///
    /// # Errors
    /// Those of [`store::meta::Meta::complete_upload`].
    pub(crate) async fn complete(
        &self,
        grant: &ObjectGrant,
        id: &str,
        seen: Version,
        record: &ObjectRecord,
        guard: PutGuard,
    ) -> Result<Version, store::Error> {
        check_may_write(grant)?;
        self.meta.complete_upload(grant.bucket(), grant.key(), id, seen, record, guard).await
    }

    /// Gives an upload up.
    ///
    /// # Errors
    /// `NotFound`; those of the store.
    pub(crate) async fn abort(&self, grant: &ObjectGrant, id: &str) -> Result<(), store::Error> {
        check_may_write(grant)?;
        self.meta.abort_upload(grant.bucket(), grant.key(), id).await
    }

    /// A page of the uploads in the bucket of the grant.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn list_uploads(&self, grant: &Grant, query: &UploadListQuery) -> Result<UploadListing, Error> {
        self.meta.list_uploads(named(grant)?, query).await.map_err(internal)
    }
}
