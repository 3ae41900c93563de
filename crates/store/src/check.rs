//! The invariants as a program: finds blobs without a name, names that lead nowhere, and rows that disagree.
//!
//! It may run beside a server: everything is read from one snapshot, blobs are listed before names, and what is younger
//! than a grace is left alone. It holds one id for every blob in memory, about 64 bytes each.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use model::name::{BucketName, ChannelName, ObjectKey};

use crate::blob::{BlobId, BlobInfo, BlobState, BlobStore};
use crate::error::{Error, Result};
use crate::kv::{Entry, Range, Snapshot, Version, counters};
use crate::meta::key::{self, Table};
use crate::meta::secret;
use crate::meta::{
    BodyRow, BucketRecord, ChannelRecord, Extent, GarbageRecord, Meta, PartRecord, PublicationRecord, SegmentEntry,
    StatisticsDelta, StoredBody, StoredObject, UploadRecord,
};
use crate::record::decode;

/// Rows read at once.
const CHUNK: usize = 1024;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A blob that nothing names, of this length. A crash leaves those; [`sweep`] deletes them.
    OrphanBlob(BlobId, u64),
    /// A name that leads to a blob that is not there.
    MissingBlob(String, BlobId),
    /// A name that leads beyond the end of a blob.
    ShortBlob(String, BlobId),
    /// A blob with so many names, of which so many are counted: it would be deleted too early, or never.
    WrongNameCount(BlobId, u64, u64),
    /// An object whose size is not that of its bytes.
    WrongSize(String),
    /// A row that belongs to another which is not there, or says otherwise.
    StrayRow(String),
    /// Counters of a bucket that are not what is in it.
    WrongCounters(String),
    /// An access key or a session whose secret cannot be opened.
    SealedSecret(String),
    /// A row that cannot be read.
    Unreadable(String),
    /// The engine of the map found itself damaged.
    Engine(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::OrphanBlob(blob, len) => write!(f, "blob {blob} of {len} bytes has no name"),
            Finding::MissingBlob(name, blob) => write!(f, "{name}: blob {blob} is not there"),
            Finding::ShortBlob(name, blob) => write!(f, "{name}: blob {blob} is too short"),
            Finding::WrongNameCount(blob, names, counted) => {
                write!(f, "blob {blob} has {names} names, of which {counted} are counted")
            }
            Finding::WrongSize(name) => write!(f, "{name}: the size is not that of the bytes"),
            Finding::StrayRow(name) => write!(f, "{name}: belongs to nothing"),
            Finding::WrongCounters(name) => write!(f, "{name}: the counters are wrong"),
            Finding::SealedSecret(name) => {
                write!(f, "{name}: the secret cannot be opened; is this the key that secrets were sealed with?")
            }
            Finding::Unreadable(detail) => write!(f, "unreadable: {detail}"),
            Finding::Engine(detail) => write!(f, "the metadata file is damaged: {detail}"),
        }
    }
}

/// What a check saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What must not be.
    pub findings: Vec<Finding>,
    /// Objects read.
    pub objects: u64,
    /// Blobs listed.
    pub blobs: u64,
}

/// Reads everything and reports what must not be. Blobs changed less than `grace_ms` before `now_ms` may still be
/// waiting for their name.
///
/// # Errors
/// `Unavailable`; rows that cannot be read are findings.
pub async fn check(meta: &Meta, blobs: &dyn BlobStore, now_ms: i64, grace_ms: i64) -> Result<Report> {
    let found = list_blobs(blobs).await?;
    let snapshot = meta.kv().snapshot().await?;
    let mut check = Check { snapshot: snapshot.as_ref(), report: Report::default(), names: Names::default() };
    check.report.blobs = found.len() as u64;
    check.report.findings.extend(meta.kv().faults().await?.into_iter().map(Finding::Engine));
    if !check.report.findings.is_empty() {
        // What a damaged map says of its rows is worth nothing.
        return Ok(check.report);
    }
    check.buckets().await?;
    check.secrets(meta).await?;
    let mut dangling = Vec::new();
    for (blob, named) in &check.names.blobs {
        let len = match found.get(blob) {
            Some(info) => Some(info.len),
            // It may have been written after the blobs were listed.
            None => match blobs.open(*blob).await {
                Ok(reader) => Some(reader.len()),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error),
            },
        };
        match len {
            Some(len) if len >= named.end => {}
            Some(_) => dangling.push((Finding::ShortBlob(named.by.clone(), *blob), named.row.clone())),
            None => dangling.push((Finding::MissingBlob(named.by.clone(), *blob), named.row.clone())),
        }
    }
    for (finding, (row, version)) in dangling {
        // A name that changed since the snapshot may have let the blob go in between.
        if meta.kv().get(&row).await?.is_some_and(|now| now.version == version) {
            check.report.findings.push(finding);
        }
    }
    check.name_counts();
    for info in found.values() {
        let is_old = info.modified_ms.max(info.id.created_ms()) < now_ms.saturating_sub(grace_ms);
        let is_named = check.names.blobs.contains_key(&info.id) || check.names.garbage.contains(&info.id);
        if is_old && !is_named && info.state != BlobState::Growing {
            check.report.findings.push(Finding::OrphanBlob(info.id, info.len));
        }
    }
    Ok(check.report)
}

/// Deletes the blobs that nothing names and that did not change for `grace_ms`; how many it were. `grace_ms` must be
/// longer than the longest upload takes from its first byte to its name.
///
/// # Errors
/// `Unavailable`.
pub async fn sweep(meta: &Meta, blobs: &dyn BlobStore, now_ms: i64, grace_ms: i64) -> Result<usize> {
    let report = check(meta, blobs, now_ms, grace_ms).await?;
    // A row that cannot be read may name any blob.
    if report.findings.iter().any(|finding| matches!(finding, Finding::Unreadable(_))) {
        return Ok(0);
    }
    let mut swept = 0;
    for finding in report.findings {
        if let Finding::OrphanBlob(blob, _) = finding {
            blobs.delete(blob).await?;
            swept += 1;
        }
    }
    Ok(swept)
}

async fn list_blobs(blobs: &dyn BlobStore) -> Result<HashMap<BlobId, BlobInfo>> {
    let mut found = HashMap::new();
    let mut cursor = None;
    loop {
        let page = blobs.scan(cursor).await?;
        found.extend(page.blobs.into_iter().map(|info| (info.id, info)));
        cursor = page.next;
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

#[derive(Default)]
struct Names {
    blobs: HashMap<BlobId, Named>,
    /// What is counted beyond the first name.
    counted: HashMap<BlobId, u64>,
    garbage: HashSet<BlobId>,
}

/// Who names a blob, and how much of it.
struct Named {
    by: String,
    names: u64,
    end: u64,
    row: (Vec<u8>, Version),
}

struct Check<'a> {
    snapshot: &'a dyn Snapshot,
    report: Report,
    names: Names,
}

impl Check<'_> {
    fn find(&mut self, finding: Finding) {
        self.report.findings.push(finding);
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
    fn name_counts(&mut self) {
        let mut wrong = Vec::new();
        for (blob, named) in &self.names.blobs {
            let counted = self.names.counted.remove(blob).unwrap_or(0).saturating_add(1);
            if counted != named.names {
                wrong.push(Finding::WrongNameCount(*blob, named.names, counted));
            }
        }
        wrong.extend(self.names.counted.drain().map(|(blob, further)| Finding::WrongNameCount(blob, 0, further)));
        self.report.findings.extend(wrong);
    }

    async fn buckets(&mut self) -> Result<()> {
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

    async fn secrets(&mut self, meta: &Meta) -> Result<()> {
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
            let Some(body) = check.readable(row, decode::<BodyRow>(&row.value)) else { return };
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
        if kept.iter().copied().chain(std::iter::repeat(0)).take(expected.len()).ne(expected) {
            self.find(Finding::WrongCounters(bucket.to_string()));
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
            self.find(Finding::WrongCounters(format!("{bucket}, channels")));
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
        self.each(Table::Publication.below(bucket.as_str()), |check, row| {
            if let Some(record) = check.readable(row, decode::<PublicationRecord>(&row.value))
                && let Some(open) = record.open
            {
                check.name(row, &[Extent { blob: open.blob, offset: 0, len: 0 }]);
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
                let name = [channel, format!("/{}.ts", entry.number_ms).as_bytes()].concat();
                key::object_key(&name, row)
            });
            objects.extend(check.readable(row, read));
        })
        .await?;
        for segment in objects {
            let row: &ObjectKey = &segment;
            if self.snapshot.get(&key::object(bucket, row)).await?.is_none() {
                self.find(Finding::StrayRow(format!("segment {bucket}/{segment} has no object")));
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
fn show(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{Commit, Write};
    use crate::meta::fixture::{Fixture, fixture, inline, key as object_key, object};
    use crate::meta::{Body, KeyRecord, PutGuard};

    async fn findings(f: &Fixture) -> Vec<String> {
        let report = check(&f.meta, &f.blobs, f.clock.clock().now_ms(), 1000).await.unwrap();
        report.findings.iter().map(ToString::to_string).collect()
    }

    async fn put(f: &Fixture, name: &str, extents: Vec<Extent>) {
        let record = object(Body::Blobs(extents));
        f.meta.put_object(&f.bucket, &object_key(name), &record, PutGuard::Any).await.unwrap();
    }

    #[tokio::test]
    async fn orphans_are_swept_once_they_are_old() {
        let f = fixture().await;
        let orphan = f.extent(3).await;
        put(&f, "a", vec![f.extent(4).await]).await;
        assert_eq!(findings(&f).await, [""; 0], "it may still be waiting for its name");
        f.clock.advance_ms(1001);
        assert_eq!(findings(&f).await, [format!("blob {} of 3 bytes has no name", orphan.blob)]);
        assert_eq!(sweep(&f.meta, &f.blobs, f.clock.clock().now_ms(), 1000).await, Ok(1));
        assert_eq!(findings(&f).await, [""; 0]);
    }

    #[tokio::test]
    async fn names_that_lead_nowhere_are_told() {
        let f = fixture().await;
        let (gone, short, uncounted) = (f.extent(3).await, f.extent(3).await, f.extent(3).await);
        put(&f, "gone", vec![gone]).await;
        f.blobs.delete(gone.blob).await.unwrap();
        put(&f, "short", vec![Extent { len: 4, ..short }]).await;
        put(&f, "one", vec![uncounted]).await;
        put(&f, "two", vec![uncounted]).await;
        let mut wrong = inline("four");
        wrong.size = 5;
        f.meta.put_object(&f.bucket, &object_key("wrong"), &wrong, PutGuard::Any).await.unwrap();
        let mut found = findings(&f).await;
        found.sort();
        assert_eq!(
            found,
            [
                "Dbucket\\x00wrong: the size is not that of the bytes".to_owned(),
                format!("Obucket\\x00gone: blob {} is not there", gone.blob),
                format!("Obucket\\x00short: blob {} is too short", short.blob),
                format!("blob {} has 2 names, of which 1 are counted", uncounted.blob),
            ]
        );
    }

    #[tokio::test]
    async fn secrets_that_cannot_be_opened_are_told() {
        let f = fixture().await;
        let key = KeyRecord {
            id: "AK".to_owned(),
            secret: "hush".to_owned(),
            uid: model::OwnerId("1".to_owned()),
            enabled: true,
            created_ms: 1,
            description: String::new(),
        };
        f.meta.put_key(&key).await.unwrap();
        assert_eq!(findings(&f).await, [""; 0]);
        let vault = crate::vault::Vault::new(&[8; 32]).unwrap();
        let f = Fixture { meta: f.meta.clone().with_vault(vault), ..f };
        let told = "AAK: the secret cannot be opened; is this the key that secrets were sealed with?";
        assert_eq!(findings(&f).await, [told]);
    }

    async fn check_damage(write: Write, expected: &str) {
        let f = fixture().await;
        f.meta.put_object(&f.bucket, &object_key("a"), &inline("x"), PutGuard::Any).await.unwrap();
        f.meta.kv().commit(Commit::new().write(write)).await.unwrap();
        // What follows from it is told after it.
        assert_eq!(findings(&f).await.first().map(String::as_str), Some(expected));
        let orphan = f.extent(1).await;
        f.clock.advance_ms(10_000);
        let swept = sweep(&f.meta, &f.blobs, f.clock.clock().now_ms(), 1000).await.unwrap();
        assert_eq!(swept, usize::from(!expected.starts_with("unreadable")), "{expected}, {}", orphan.blob);
    }

    #[tokio::test]
    async fn damage_is_told() {
        let put = |key: &[u8], value: &'static [u8]| Write::Put(key.to_vec(), value.into());
        let row = b"Obucket\0a".to_vec();
        check_damage(
            put(b"Obucket\0b", b"\x01\x80"),
            "unreadable: Obucket\\x00b: Object Corrupt: missing field `size`",
        )
        .await;
        check_damage(put(&row, b""), "unreadable: Obucket\\x00a: Object Corrupt: an empty record").await;
        check_damage(Write::Add(b"Tbucket".to_vec(), vec![1]), "bucket: the counters are wrong").await;
        check_damage(put(b"Qbucket", &[0, 0, 0, 0, 0, 0, 0, 1]), "bucket, channels: the counters are wrong").await;
        check_damage(put(b"Obucket2\0b", b""), "Obucket2\\x00b: belongs to nothing").await;
        check_damage(put(b"Wbucket\0ch", b""), "Wbucket\\x00ch: belongs to nothing").await;
        check_damage(put(b"Xch\0bucket", b""), "bucket/ch in the index by name: belongs to nothing").await;
        check_damage(
            put(b"Sbucket\0ch\0\0\0\0\0\0\0\0\x01", b"\x01\x94\x01\x01\x01\xc2"),
            "segment bucket/ch/1.ts has no object: belongs to nothing",
        )
        .await;
    }
}
