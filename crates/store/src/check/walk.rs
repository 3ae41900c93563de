//! Walks over every row of a snapshot, gathers what names a blob, and notes rows that disagree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use model::name::{BucketName, ChannelName, ObjectKey};

use super::repair::Mending;
use super::{Finding, Report};
use crate::blob::BlobId;
use crate::error::{Error, Result};
use crate::kv::{Entry, Range, Snapshot, Version, counters};
use crate::live::WindowRecord;
use crate::meta::key::{self, Table};
use crate::meta::secret;
use crate::meta::{
    BodyRow, BucketRecord, ChannelRecord, Extent, GarbageRecord, Meta, PartRecord, PublicationRecord, SegmentEntry,
    StatisticsDelta, StoredBody, StoredObject, UploadRecord,
};
use crate::record::decode;

/// Rows read at once.
const CHUNK: usize = 1024;

/// Every blob that is named, by whom, and how often that is counted.
#[derive(Default)]
pub(super) struct Names {
    pub(super) blobs: HashMap<BlobId, Named>,
    /// What is counted beyond the first name.
    counted: HashMap<BlobId, u64>,
    pub(super) garbage: HashSet<BlobId>,
    /// Those that pushes write to.
    pub(super) open: HashSet<BlobId>,
}

/// Who names a blob, and how much of it.
pub(super) struct Named {
    pub(super) by: String,
    pub(super) names: u64,
    pub(super) end: u64,
    pub(super) row: (Vec<u8>, Version),
}

/// A check under way.
pub(super) struct Check<'a> {
    pub(super) snapshot: &'a dyn Snapshot,
    pub(super) report: Report,
    pub(super) names: Names,
}

impl Check<'_> {
    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
    }

    /// Notes what must not be, and how to mend it.
    fn find_mendable(&mut self, finding: Finding, mending: Mending) {
        self.report.findings.push(finding);
        self.report.mendings.push(mending);
    }

    /// What `read` makes of a row, or a finding.
    fn readable<T>(&mut self, row: &Entry, read: Result<T>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.find(Finding::Unreadable(format!("{}: {error}", show(&row.key))));
                None
            }
        }
    }

    /// Calls `visit` with each row of a range.
    async fn each(&mut self, prefix: Vec<u8>, mut visit: impl FnMut(&mut Self, &Entry)) -> Result<()> {
        let mut range = Range::prefix(prefix).limit(CHUNK);
        loop {
            let rows = self.snapshot.range(&range).await?;
            for row in &rows {
                visit(self, row);
            }
            match rows.last() {
                Some(last) if rows.len() == CHUNK => range.from = [last.key.as_ref(), &[0]].concat(),
                _ => return Ok(()),
            }
        }
    }

    fn name(&mut self, row: &Entry, extents: &[Extent]) {
        let by = show(&row.key);
        for extent in extents {
            let end = extent.offset.saturating_add(extent.len);
            let named = self.names.blobs.entry(extent.blob).or_insert_with(|| Named {
                by: by.clone(),
                names: 0,
                end: 0,
                row: (row.key.to_vec(), row.version),
            });
            named.end = named.end.max(end);
            named.names += 1;
        }
    }

    /// Compares the names that were found with those that are counted.
    pub(super) fn name_counts(&mut self) {
        let mut wrong: Vec<(BlobId, u64, u64)> = Vec::new();
        for (blob, named) in &self.names.blobs {
            let counted = self.names.counted.remove(blob).unwrap_or(0).saturating_add(1);
            if counted != named.names {
                wrong.push((*blob, named.names, counted));
            }
        }
        wrong.extend(self.names.counted.drain().map(|(blob, further)| (blob, 0, further)));
        for (blob, names, counted) in wrong {
            let mending = Mending::NameCount(blob, names.saturating_sub(1));
            self.find_mendable(Finding::WrongNameCount(blob, names, counted), mending);
        }
    }

    pub(super) async fn buckets(&mut self) -> Result<()> {
        let mut buckets = Vec::new();
        self.each(Table::Bucket.all(), |check, row| {
            let name = key::last(row, &Table::Bucket.all()).and_then(|name| key::bucket_name(name, row));
            let record = decode::<BucketRecord>(&row.value);
            if let Some(name) = check.readable(row, record.and(name)) {
                buckets.push(name);
            }
        })
        .await?;
        for bucket in &buckets {
            let mut counted = StatisticsDelta::default();
            self.objects(bucket, &mut counted).await?;
            self.uploads(bucket, &mut counted).await?;
            self.counters(bucket, &counted).await?;
            self.channels(bucket).await?;
        }
        self.homeless(&buckets).await?;
        self.each(Table::Sharing.all(), |check, row| {
            let further = counters(&row.value).next().and_then(|further| u64::try_from(further).ok());
            let read = key::shared_blob(row).and_then(|blob| Ok((blob, further.ok_or_else(|| key::strange(row))?)));
            if let Some((blob, further)) = check.readable(row, read) {
                check.names.counted.insert(blob, further);
            }
        })
        .await?;
        self.each(Table::Garbage.all(), |check, row| {
            if let Some(record) = check.readable(row, decode::<GarbageRecord>(&row.value)) {
                check.names.garbage.extend(record.blobs);
            }
        })
        .await
    }

    pub(super) async fn secrets(&mut self, meta: &Meta) -> Result<()> {
        let vault = meta.vault().ok();
        self.each(Table::AccessKey.all(), |check, row| {
            if check.readable(row, secret::can_open_key(&row.value, vault)) == Some(false) {
                check.find(Finding::SealedSecret(show(&row.key)));
            }
        })
        .await?;
        self.each(Table::Session.all(), |check, row| {
            if check.readable(row, secret::can_open_session(&row.value, vault)) == Some(false) {
                check.find(Finding::SealedSecret(show(&row.key)));
            }
        })
        .await
    }

    async fn objects(&mut self, bucket: &BucketName, counted: &mut StatisticsDelta) -> Result<()> {
        // What each object with a row of bodies expects of it.
        let mut bodies: BTreeMap<Vec<u8>, (u64, Version)> = BTreeMap::new();
        let base = Table::Object.below(bucket.as_str());
        self.each(base.clone(), |check, row| {
            let key = key::last(row, &base).and_then(|name| key::object_key(name, row));
            let read = key.and_then(|key| Ok((key, decode::<StoredObject>(&row.value)?)));
            let Some((key, object)) = check.readable(row, read) else { return };
            check.report.objects += 1;
            counted.add_object(object.storage_class, object.size, 1);
            match &object.body {
                StoredBody::Blobs(extents) => {
                    check.size(row, object.size, extents.iter().map(|extent| extent.len));
                    check.name(row, extents);
                }
                StoredBody::Inline | StoredBody::ManyBlobs => {
                    bodies.insert(key::body(bucket, &key), (object.size, row.version));
                }
                StoredBody::Link(_) => {}
            }
        })
        .await?;
        self.each(Table::Body.below(bucket.as_str()), |check, row| {
            let Some(body) = check.readable(row, decode::<BodyRow>(&row.value)) else {
                bodies.remove(row.key.as_ref());
                return;
            };
            match bodies.remove(row.key.as_ref()) {
                Some((size, version)) if version == row.version => match &body {
                    BodyRow::Inline(bytes) => check.size(row, size, [bytes.len() as u64]),
                    BodyRow::Blobs(extents) => {
                        check.size(row, size, extents.iter().map(|extent| extent.len));
                        check.name(row, extents);
                    }
                },
                _ => check.find(Finding::StrayRow(show(&row.key))),
            }
        })
        .await?;
        for key in bodies.keys() {
            self.find(Finding::WrongSize(show(key)));
        }
        Ok(())
    }

    fn size(&mut self, row: &Entry, size: u64, parts: impl IntoIterator<Item = u64>) {
        if parts.into_iter().fold(0, u64::saturating_add) != size {
            self.find(Finding::WrongSize(show(&row.key)));
        }
    }

    async fn uploads(&mut self, bucket: &BucketName, counted: &mut StatisticsDelta) -> Result<()> {
        let mut ids = BTreeSet::new();
        let base = Table::Upload.below(bucket.as_str());
        self.each(base.clone(), |check, row| {
            let id = key::last(row, &base)
                .and_then(|rest| key::split_upload(rest).ok_or_else(|| key::strange(row)))
                .map(|(_, id)| id.to_owned());
            let record = decode::<UploadRecord>(&row.value);
            if let Some(id) = check.readable(row, record.and(id)) {
                ids.insert(id);
                counted.add_uploads(1);
            }
        })
        .await?;
        let base = Table::Part.below(bucket.as_str());
        self.each(base.clone(), |check, row| {
            // What follows the bucket is the id, a zero byte and two bytes of number.
            let rest = key::last(row, &base).unwrap_or_default();
            let id = rest.len().checked_sub(3).and_then(|end| rest.get(..end)).unwrap_or_default();
            let Some(part) = check.readable(row, decode::<PartRecord>(&row.value)) else { return };
            counted.add_parts(1);
            check.size(row, part.size, part.extents.iter().map(|extent| extent.len));
            check.name(row, &part.extents);
            if !std::str::from_utf8(id).is_ok_and(|id| ids.contains(id)) {
                check.find(Finding::StrayRow(show(&row.key)));
            }
        })
        .await
    }

    async fn counters(&mut self, bucket: &BucketName, counted: &StatisticsDelta) -> Result<()> {
        let kept = self.snapshot.get(&Table::Statistics.name(bucket.as_str())).await?;
        let kept = kept.map(|row| counters(&row.value).collect::<Vec<_>>()).unwrap_or_default();
        let mut expected = counted.deltas().unwrap_or_default();
        expected.resize(expected.len().max(kept.len()), 0);
        if kept.iter().copied().chain(std::iter::repeat(0)).take(expected.len()).ne(expected.iter().copied()) {
            let row = Table::Statistics.name(bucket.as_str());
            self.find_mendable(Finding::WrongCounters(bucket.to_string()), Mending::Counters(row, expected));
        }
        Ok(())
    }

    async fn channels(&mut self, bucket: &BucketName) -> Result<()> {
        let mut channels: BTreeSet<ChannelName> = BTreeSet::new();
        self.each(Table::Channel.below(bucket.as_str()), |check, row| {
            let read = decode::<ChannelRecord>(&row.value).and_then(|_| key::channel_of(row));
            if let Some((_, channel)) = check.readable(row, read) {
                channels.insert(channel);
            }
        })
        .await?;
        let kept = self.snapshot.get(&Table::ChannelCount.name(bucket.as_str())).await?;
        let kept = kept.and_then(|row| counters(&row.value).next()).unwrap_or(0);
        if usize::try_from(kept) != Ok(channels.len()) {
            let row = Table::ChannelCount.name(bucket.as_str());
            let count = i64::try_from(channels.len()).unwrap_or(i64::MAX);
            let finding = Finding::WrongCounters(format!("{bucket}, channels"));
            self.find_mendable(finding, Mending::Counters(row, vec![count]));
        }
        for channel in &channels {
            let row = key::channel_by_name(channel, bucket);
            if self.snapshot.get(&row).await?.is_none() {
                self.find(Finding::StrayRow(format!("{bucket}/{channel} is not in the index by name")));
            }
        }
        for table in [Table::Window, Table::History, Table::Publication] {
            self.each(table.below(bucket.as_str()), |check, row| {
                if let Some((_, channel)) = check.readable(row, key::channel_of(row))
                    && !channels.contains(&channel)
                {
                    check.find(Finding::StrayRow(show(&row.key)));
                }
            })
            .await?;
        }
        self.each(Table::Window.below(bucket.as_str()), |check, row| {
            check.readable(row, decode::<WindowRecord>(&row.value));
        })
        .await?;
        self.each(Table::Publication.below(bucket.as_str()), |check, row| {
            let Some(record) = check.readable(row, decode::<PublicationRecord>(&row.value)) else { return };
            for segment in record.unlisted() {
                check.names.open.insert(segment.blob);
                check.name(row, &[Extent { blob: segment.blob, offset: 0, len: 0 }]);
            }
        })
        .await?;
        self.segments(bucket).await
    }

    async fn segments(&mut self, bucket: &BucketName) -> Result<()> {
        let mut objects = Vec::new();
        self.each(Table::Segment.below(bucket.as_str()), |check, row| {
            let read = SegmentEntry::read(row).and_then(|entry| {
                // Behind the channel's name come a zero byte and eight bytes of number.
                let (_, rest) = key::two(row)?;
                let channel = rest.len().checked_sub(9).and_then(|end| rest.get(..end)).unwrap_or_default();
                let name = [channel, b"/", entry.file_name().as_bytes()].concat();
                key::object_key(&name, row)
            });
            objects.extend(check.readable(row, read).map(|object: ObjectKey| (object, row.key.clone(), row.version)));
        })
        .await?;
        for (segment, row, version) in objects {
            if self.snapshot.get(&key::object(bucket, &segment)).await?.is_none() {
                let finding = Finding::StrayRow(format!("segment {bucket}/{segment} has no object"));
                self.find_mendable(finding, Mending::SegmentWithoutObject(row.to_vec(), version));
            }
        }
        Ok(())
    }

    /// Rows of buckets that are not there.
    async fn homeless(&mut self, buckets: &[BucketName]) -> Result<()> {
        let tables = [
            Table::Object,
            Table::Body,
            Table::Upload,
            Table::Part,
            Table::Channel,
            Table::Window,
            Table::History,
            Table::Publication,
            Table::Numbering,
            Table::Segment,
            Table::Moment,
        ];
        let known: BTreeSet<&str> = buckets.iter().map(BucketName::as_str).collect();
        for table in tables {
            let mut range = Range::prefix(table.all()).limit(1);
            // One seek for each bucket: from its first row to the first row after it.
            while let Some(row) = self.snapshot.range(&range).await?.first() {
                let bucket = key::two(row).map(|(bucket, _)| bucket).and_then(|bucket| key::bucket_name(bucket, row));
                let Some(bucket) = self.readable(row, bucket) else { break };
                if !known.contains(bucket.as_str()) {
                    self.find(Finding::StrayRow(show(&row.key)));
                }
                match crate::kv::after_prefix(&table.below(bucket.as_str())) {
                    Some(end) => range.from = end,
                    None => break,
                }
            }
        }
        let mut strays = Vec::new();
        self.each(Table::ChannelByName.all(), |check, row| {
            let read = key::two(row).and_then(|(channel, bucket)| {
                let channel = ChannelName::parse(channel).map_err(|_| key::strange(row))?;
                Ok::<_, Error>((key::bucket_name(bucket, row)?, channel))
            });
            strays.extend(check.readable(row, read));
        })
        .await?;
        for (bucket, channel) in strays {
            if self.snapshot.get(&key::of_channel(Table::Channel, &bucket, &channel)).await?.is_none() {
                self.find(Finding::StrayRow(format!("{bucket}/{channel} in the index by name")));
            }
        }
        Ok(())
    }
}

/// A key as people can read it.
pub(super) fn show(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}
