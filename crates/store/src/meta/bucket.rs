//! Buckets, their settings and their counters.

use std::sync::Arc;

use model::name::BucketName;
use model::{
    BucketAcl, CorsConfiguration, DataRedundancy, LifecycleRule, LoggingConfiguration, OwnerId, RefererConfiguration,
    StorageClass, Tag, WebsiteConfiguration,
};
use serde::{Deserialize, Serialize};

use super::key::{self, Table};
use super::{ATTEMPTS, Meta, Page, Stored, gave_up};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Commit, Outcome, Precondition, Range, Write, counters};
use crate::record::{Record, decode, encode};

/// A bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketRecord {
    /// Its name.
    pub name: String,
    /// The account it belongs to.
    pub owner: OwnerId,
    /// When it was made, Unix milliseconds.
    pub created_ms: i64,
    /// Who may do what with it.
    pub acl: BucketAcl,
    /// The label of objects that name none.
    pub storage_class: StorageClass,
    /// Where its data is said to live.
    pub redundancy: DataRedundancy,
    /// Which web pages may read it (HTTP API 8.11).
    #[serde(default)]
    pub cors: Option<CorsConfiguration>,
    /// Which web pages may show it (HTTP API 8.12).
    #[serde(default)]
    pub referer: Option<RefererConfiguration>,
    /// The policy document as it was sent (HTTP API 8.14).
    #[serde(default)]
    pub policy_json: Option<String>,
    /// What happens to old objects (HTTP API 8.13).
    #[serde(default)]
    pub lifecycle: Option<Vec<LifecycleRule>>,
    /// How it answers as a web site (HTTP API 8.16).
    #[serde(default)]
    pub website: Option<WebsiteConfiguration>,
    /// Where its access log goes (HTTP API 8.15).
    #[serde(default)]
    pub logging: Option<LoggingConfiguration>,
    /// Its tags (HTTP API 8.17).
    #[serde(default)]
    pub tags: Vec<Tag>,
    /// The region that the server said to be in when the bucket was made; older buckets have none.
    #[serde(default)]
    pub region: Option<String>,
}

impl BucketRecord {
    /// A bucket with nothing set.
    pub fn new(name: &BucketName, owner: OwnerId, created_ms: i64) -> Self {
        Self {
            name: name.as_str().to_owned(),
            owner,
            created_ms,
            acl: BucketAcl::Private,
            storage_class: StorageClass::Standard,
            redundancy: DataRedundancy::Lrs,
            cors: None,
            referer: None,
            policy_json: None,
            lifecycle: None,
            website: None,
            logging: None,
            tags: Vec::new(),
            region: None,
        }
    }
}

impl Record for BucketRecord {
    const SUBJECT: Subject = Subject::Bucket;
}

/// How much of a bucket has one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClassStatistics {
    /// Objects.
    pub objects: u64,
    /// The sum of their sizes.
    pub bytes: u64,
}

/// How much is in a bucket (HTTP API 8.6). Kept up to date by every commit, so reading it costs two rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BucketStatistics {
    /// Everything together.
    pub total: ClassStatistics,
    /// By storage class, in the order of [`BucketStatistics::CLASSES`].
    pub classes: [ClassStatistics; 5],
    /// Unfinished multipart uploads.
    pub uploads: u64,
    /// Their parts.
    pub parts: u64,
    /// LiveChannels.
    pub channels: u64,
}

impl BucketStatistics {
    /// The order of [`BucketStatistics::classes`].
    pub const CLASSES: [StorageClass; 5] = [
        StorageClass::Standard,
        StorageClass::InfrequentAccess,
        StorageClass::Archive,
        StorageClass::ColdArchive,
        StorageClass::DeepColdArchive,
    ];

    /// What has this label.
    pub fn class(&self, class: StorageClass) -> ClassStatistics {
        self.classes.get(position(class)).copied().unwrap_or_default()
    }
}

fn position(class: StorageClass) -> usize {
    match class {
        StorageClass::Standard => 0,
        StorageClass::InfrequentAccess => 1,
        StorageClass::Archive => 2,
        StorageClass::ColdArchive => 3,
        StorageClass::DeepColdArchive => 4,
    }
}

/// How the counters of a bucket move: objects and bytes by class, then uploads and parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StatisticsDelta([i64; 12]);

impl StatisticsDelta {
    const UPLOADS: usize = 10;
    const PARTS: usize = 11;

    pub(crate) fn add_object(&mut self, class: StorageClass, size: u64, times: i64) {
        self.add(2 * position(class), times);
        self.add(2 * position(class) + 1, size.cast_signed().wrapping_mul(times));
    }

    pub(crate) fn add_uploads(&mut self, count: i64) {
        self.add(Self::UPLOADS, count);
    }

    pub(crate) fn add_parts(&mut self, count: i64) {
        self.add(Self::PARTS, count);
    }

    /// What to add to the counters, unless it is nothing.
    pub(crate) fn deltas(&self) -> Option<Vec<i64>> {
        self.0.iter().any(|delta| *delta != 0).then(|| self.0.to_vec())
    }

    fn add(&mut self, index: usize, delta: i64) {
        if let Some(sum) = self.0.get_mut(index) {
            *sum = sum.wrapping_add(delta);
        }
    }

    /// The sums that counters hold.
    pub(crate) fn statistics(value: &[u8], channels: u64) -> BucketStatistics {
        let mut sums = counters(value).map(|sum| u64::try_from(sum).unwrap_or(0));
        let mut next = || sums.next().unwrap_or(0);
        let mut statistics = BucketStatistics { channels, ..BucketStatistics::default() };
        for class in &mut statistics.classes {
            *class = ClassStatistics { objects: next(), bytes: next() };
            statistics.total.objects = statistics.total.objects.saturating_add(class.objects);
            statistics.total.bytes = statistics.total.bytes.saturating_add(class.bytes);
        }
        statistics.uploads = next();
        statistics.parts = next();
        statistics
    }
}

impl Meta {
    /// Makes a bucket.
    ///
    /// # Errors
    /// `AlreadyExists`; `QuotaExceeded` when its owner has `max_per_owner` buckets. Two that are made at the same
    /// moment may both see the last free place.
    pub async fn create_bucket(&self, name: &BucketName, record: &BucketRecord, max_per_owner: usize) -> Result<()> {
        let row = key::bucket(name);
        if self.kv().get(&row).await?.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, Subject::Bucket, name));
        }
        let owned = self.list_buckets(Some(&record.owner), "", "", max_per_owner).await?;
        if owned.items.len() >= max_per_owner {
            return Err(Error::new(ErrorKind::QuotaExceeded, Subject::Bucket, name));
        }
        let commit = Commit::new().require(Precondition::Absent(row.clone())).write(Write::Put(row, encode(record)?));
        match self.kv().commit(commit).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(_) => Err(Error::new(ErrorKind::AlreadyExists, Subject::Bucket, name)),
        }
    }

    /// A bucket.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn bucket(&self, name: &BucketName) -> Result<Option<BucketRecord>> {
        let stored = self.popular_record::<BucketRecord>(&key::bucket(name)).await?;
        Ok(stored.map(|stored| Arc::unwrap_or_clone(stored.value)))
    }

    /// The buckets of one owner, or of all, whose names begin with `prefix` and follow `after`. Costs what there are
    /// buckets of others between them.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn list_buckets(
        &self,
        owner: Option<&OwnerId>,
        prefix: &str,
        after: &str,
        limit: usize,
    ) -> Result<Page<BucketRecord>> {
        let mut page = Page { items: Vec::new(), is_truncated: false };
        let mut range = Range::prefix(Table::Bucket.name(prefix)).limit(256);
        if after >= prefix {
            range.from = Table::Bucket.below(after);
        }
        loop {
            let rows = self.kv().range(&range).await?;
            for row in &rows {
                let record: BucketRecord = decode(&row.value)?;
                if owner.is_some_and(|owner| record.owner != *owner) {
                    continue;
                }
                if page.items.len() == limit {
                    page.is_truncated = true;
                    return Ok(page);
                }
                page.items.push(record);
            }
            match rows.last() {
                Some(last) if rows.len() == range.limit => range.from = [last.key.as_ref(), &[0]].concat(),
                _ => return Ok(page),
            }
        }
    }

    /// Changes a bucket and returns it as it is now. `change` may run more than once.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn update_bucket(
        &self,
        name: &BucketName,
        mut change: impl FnMut(&mut BucketRecord) + Send,
    ) -> Result<BucketRecord> {
        let row = key::bucket(name);
        for _ in 0..ATTEMPTS {
            let stored = self.record::<BucketRecord>(&row).await?;
            let Stored { mut value, version } = stored.ok_or_else(|| Error::not_found(Subject::Bucket, name))?;
            change(&mut value);
            let commit = Commit::new()
                .require(Precondition::VersionIs(row.clone(), version))
                .write(Write::Put(row.clone(), encode(&value)?));
            if let Outcome::Done(_) = self.kv().commit(commit).await? {
                return Ok(value);
            }
        }
        Err(gave_up(Subject::Bucket, name))
    }

    /// Deletes a bucket that holds nothing, with what it remembers of channels that are gone.
    ///
    /// # Errors
    /// `NotFound`; `NotEmpty` with the subject that is still there: `Object`, `Upload` or `Channel`.
    pub async fn delete_bucket(&self, name: &BucketName) -> Result<()> {
        let contents =
            [(Table::Object, Subject::Object), (Table::Upload, Subject::Upload), (Table::Channel, Subject::Channel)];
        let row = key::bucket(name);
        let mut commit = Commit::new().require(Precondition::Exists(row.clone())).write(Write::Delete(row));
        for (table, _) in contents {
            commit = commit.require(Precondition::PrefixEmpty(table.below(name.as_str())));
        }
        for table in [
            Table::Body,
            Table::History,
            Table::Publication,
            Table::Numbering,
            Table::Part,
            Table::Segment,
            Table::Moment,
            Table::Window,
        ] {
            commit = commit.write(Write::DeletePrefix(table.below(name.as_str())));
        }
        for table in [Table::Statistics, Table::ChannelCount] {
            commit = commit.write(Write::Delete(table.name(name.as_str())));
        }
        match self.kv().commit(commit).await? {
            Outcome::Done(_) => Ok(()),
            Outcome::Refused(index) => Err(match index.checked_sub(1).and_then(|index| contents.get(index)) {
                Some((_, subject)) => Error::new(ErrorKind::NotEmpty, *subject, name),
                None => Error::not_found(Subject::Bucket, name),
            }),
        }
    }

    /// How much is in a bucket; all zero when there is no such bucket.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn bucket_statistics(&self, name: &BucketName) -> Result<BucketStatistics> {
        let channels = self.count_channels(name).await?;
        let row = self.kv().get(&Table::Statistics.name(name.as_str())).await?;
        Ok(StatisticsDelta::statistics(&row.map(|row| row.value).unwrap_or_default(), channels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, channel, fixture, inline, key, object, owner};
    use crate::meta::{Body, ChannelRecord, PutGuard, UploadRecord};
    use model::{ContentHeaders, LiveChannelConfig};

    fn name(text: &str) -> BucketName {
        BucketName::parse(text).unwrap()
    }

    async fn create(f: &Fixture, text: &str, owner: &str, max: usize) -> Option<ErrorKind> {
        let record = BucketRecord::new(&name(text), OwnerId(owner.to_owned()), 1);
        f.meta.create_bucket(&name(text), &record, max).await.err().map(|error| error.kind)
    }

    #[tokio::test]
    async fn buckets_are_made_within_their_quota() {
        let f = fixture().await;
        assert_eq!(create(&f, "bucket", "2", 100).await, Some(ErrorKind::AlreadyExists));
        assert_eq!(create(&f, "second", "2", 2).await, None);
        assert_eq!(create(&f, "third", "2", 2).await, None);
        assert_eq!(create(&f, "fourth", "2", 2).await, Some(ErrorKind::QuotaExceeded));
        assert_eq!(create(&f, "fourth", "3", 2).await, None);
        assert_eq!(f.meta.bucket(&name("third")).await.unwrap().unwrap().owner.0, "2");
        assert_eq!(f.meta.bucket(&name("fifth")).await.unwrap(), None);
    }

    async fn check_list(f: &Fixture, owner: Option<&str>, prefix: &str, after: &str, limit: usize, expected: &[&str]) {
        let owner = owner.map(|owner| OwnerId(owner.to_owned()));
        let page = f.meta.list_buckets(owner.as_ref(), prefix, after, limit).await.unwrap();
        let mut shown: Vec<&str> = page.items.iter().map(|bucket| bucket.name.as_str()).collect();
        if page.is_truncated {
            shown.push("...");
        }
        assert_eq!(shown, expected, "{owner:?} {prefix} {after} {limit}");
    }

    #[tokio::test]
    async fn lists_are_by_owner_and_name() {
        let f = fixture().await;
        for text in ["abc", "abc-d", "abd", "xyz"] {
            create(&f, text, "2", 100).await;
        }
        check_list(&f, None, "", "", 9, &["abc", "abc-d", "abd", "bucket", "xyz"]).await;
        check_list(&f, Some("2"), "", "", 9, &["abc", "abc-d", "abd", "xyz"]).await;
        check_list(&f, Some("2"), "", "", 3, &["abc", "abc-d", "abd", "..."]).await;
        check_list(&f, Some("2"), "", "abd", 1, &["xyz"]).await;
        check_list(&f, Some("2"), "abc", "", 1, &["abc", "..."]).await;
        check_list(&f, Some("2"), "abc", "abc", 9, &["abc-d"]).await;
        check_list(&f, Some("2"), "abc", "aaa", 9, &["abc", "abc-d"]).await;
        check_list(&f, Some("2"), "abc", "b", 9, &[]).await;
    }

    #[tokio::test]
    async fn settings_change_and_stay() {
        let f = fixture().await;
        let changed = f.meta.update_bucket(&f.bucket, |bucket| {
            bucket.acl = BucketAcl::PublicRead;
            bucket.referer = Some(RefererConfiguration::default());
            bucket.lifecycle = Some(Vec::new());
        });
        let changed = changed.await.unwrap();
        assert_eq!(f.meta.bucket(&f.bucket).await.unwrap(), Some(changed.clone()));
        assert_eq!((changed.acl, changed.owner), (BucketAcl::PublicRead, owner()));
        assert!(f.meta.update_bucket(&name("absent"), |_| ()).await.unwrap_err().is_not_found());
    }

    #[test]
    fn buckets_of_times_without_regions_are_read() {
        let golden = concat!(
            "018da46e616d65a66275636b6574a56f776e6572a131aa637265617465645f6d7301a361636ca750726976617465ad73746f",
            "726167655f636c617373a85374616e64617264aa726564756e64616e6379a34c7273a4636f7273c0a772656665726572c0ab",
            "706f6c6963795f6a736f6ec0a96c6966656379636c65c0a777656273697465c0a76c6f6767696e67c0a47461677390",
        );
        let bytes: Vec<u8> =
            (0..golden.len() / 2).map(|at| u8::from_str_radix(&golden[2 * at..2 * at + 2], 16).unwrap()).collect();
        let mut record = BucketRecord::new(&name("bucket"), OwnerId("1".to_owned()), 1);
        assert_eq!(decode::<BucketRecord>(&bytes), Ok(record.clone()));
        record.region = Some("cn-beijing".to_owned());
        assert_eq!(decode::<BucketRecord>(&encode(&record).unwrap()), Ok(record));
    }

    async fn check_delete(f: &Fixture, expected: Option<(ErrorKind, Subject)>) {
        let deleted = f.meta.delete_bucket(&f.bucket).await;
        assert_eq!(deleted.err().map(|error| (error.kind, error.subject)), expected);
    }

    #[tokio::test]
    async fn only_an_empty_bucket_goes() {
        let f = fixture().await;
        let upload = UploadRecord {
            initiated_ms: 1,
            storage_class: StorageClass::Standard,
            headers: ContentHeaders::default(),
            user_meta: Vec::new(),
            tags: Vec::new(),
            initiator: None,
        };
        let record = ChannelRecord::new(LiveChannelConfig::default(), 1);
        f.meta.put_object(&f.bucket, &key("a"), &inline("x"), PutGuard::Any).await.unwrap();
        f.meta.initiate_upload(&f.bucket, &key("b"), "ID", &upload).await.unwrap();
        f.meta.put_channel(&f.bucket, &channel("c"), &record, 9).await.unwrap();
        check_delete(&f, Some((ErrorKind::NotEmpty, Subject::Object))).await;
        f.meta.delete_object(&f.bucket, &key("a")).await.unwrap();
        check_delete(&f, Some((ErrorKind::NotEmpty, Subject::Upload))).await;
        f.meta.abort_upload(&f.bucket, &key("b"), "ID").await.unwrap();
        check_delete(&f, Some((ErrorKind::NotEmpty, Subject::Channel))).await;
        f.meta.delete_channel(&f.bucket, &channel("c")).await.unwrap();
        check_delete(&f, None).await;
        check_delete(&f, Some((ErrorKind::NotFound, Subject::Bucket))).await;
        f.check_clean().await;
    }

    #[tokio::test]
    async fn statistics_follow_every_change() {
        let f = fixture().await;
        let mut cold = object(Body::Blobs(vec![f.extent(100).await]));
        cold.storage_class = StorageClass::Archive;
        f.meta.put_object(&f.bucket, &key("a"), &inline("12345"), PutGuard::Any).await.unwrap();
        f.meta.put_object(&f.bucket, &key("a"), &inline("123"), PutGuard::Any).await.unwrap();
        f.meta.put_object(&f.bucket, &key("b"), &cold, PutGuard::Any).await.unwrap();
        f.meta.put_object(&f.bucket, &key("c"), &inline("gone"), PutGuard::Any).await.unwrap();
        f.meta.delete_object(&f.bucket, &key("c")).await.unwrap();
        let statistics = f.meta.bucket_statistics(&f.bucket).await.unwrap();
        assert_eq!(statistics.total, ClassStatistics { objects: 2, bytes: 103 });
        assert_eq!(statistics.class(StorageClass::Standard), ClassStatistics { objects: 1, bytes: 3 });
        assert_eq!(statistics.class(StorageClass::Archive), ClassStatistics { objects: 1, bytes: 100 });
        assert_eq!(f.meta.bucket_statistics(&name("absent")).await, Ok(BucketStatistics::default()));
        f.check_clean().await;
    }
}
