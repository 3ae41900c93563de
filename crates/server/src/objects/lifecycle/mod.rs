//! Lifecycle rules at work (HTTP API 8.13): objects expire or change their label, unfinished uploads are given up.
//!
//! What is due is decided from a list and done a batch at a time; a batch touches only objects that are still the ones
//! that were seen, so that a write in between always wins. Deleting a segment takes it out of the segment index too.

mod preview;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::name::{BucketName, ObjectKey};
use model::{LifecycleAction, LifecycleRule, StorageClass};
use store::meta::{ListQuery, ListedObject, Meta, SeenObject, UploadListQuery, UploadMarker};

use super::internal_grants::LifecycleGrant;
use crate::clock::Clock;
use crate::peers::{Duty, Peers};
use crate::shutdown::Shutdown;

pub(crate) use preview::{Due, Preview};

/// Objects or uploads looked at, and objects deleted, at once.
const BATCH: usize = 500;
/// After a start, requests and pushes come first.
const FIRST_RUN: Duration = Duration::from_secs(60);

/// Something that rules want done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LifecycleStep {
    /// An object is deleted.
    Expire(ObjectKey),
    /// An object gets another label.
    Relabel(ObjectKey, StorageClass),
    /// An unfinished upload is given up.
    Abort(ObjectKey, String),
}

impl fmt::Display for LifecycleStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Debug, because keys may have line breaks.
            Self::Expire(key) => write!(f, "delete {:?}", key.as_str()),
            Self::Relabel(key, class) => write!(f, "label {:?} {class}", key.as_str()),
            Self::Abort(key, id) => write!(f, "abort the upload {id} of {:?}", key.as_str()),
        }
    }
}

/// What a run did, or would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    /// Objects deleted.
    pub(crate) expired: usize,
    /// Objects with another label.
    pub(crate) relabelled: usize,
    /// Uploads given up.
    pub(crate) aborted: usize,
}

/// Runs the rules of all buckets again and again until the server stops.
pub(crate) async fn watch(meta: Meta, clock: Clock, peers: Arc<Peers>, interval: Duration, mut shutdown: Shutdown) {
    let mut pause = interval.min(FIRST_RUN);
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = interval;
        if !peers.has_duty(Duty::Lifecycle).await {
            continue;
        }
        let run = Run { meta: &meta, now_ms: clock.now_ms(), is_dry: false };
        let log = |bucket: &BucketName, step: &LifecycleStep| tracing::info!(%bucket, "lifecycle: {step}");
        tokio::select! {
            () = shutdown.wait() => return,
            outcome = run.all(&log) => match outcome {
                Ok(totals) if totals != Totals::default() => tracing::info!(
                    expired = totals.expired, relabelled = totals.relabelled, aborted = totals.aborted,
                    "lifecycle rules ran"
                ),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "lifecycle rules cannot run now"),
            },
        }
    }
}

/// One look at everything that has rules.
pub(crate) struct Run<'a> {
    /// Where the buckets are.
    pub(crate) meta: &'a Meta,
    /// The time that decides.
    pub(crate) now_ms: i64,
    /// Only say what would be done.
    pub(crate) is_dry: bool,
}

/// Is called with each step, done or to be done.
type Report<'a> = &'a (dyn Fn(&BucketName, &LifecycleStep) + Sync);

impl Run<'_> {
    /// The rules of all buckets.
    ///
    /// # Errors
    /// When the store fails; what was done until then stays done.
    pub(crate) async fn all(&self, report: Report<'_>) -> store::Result<Totals> {
        let mut totals = Totals::default();
        let mut after = String::new();
        loop {
            let page = self.meta.list_buckets(None, "", &after, BATCH).await?;
            for bucket in &page.items {
                let rules: Vec<_> = bucket.lifecycle.iter().flatten().filter(|rule| rule.enabled).cloned().collect();
                let Ok(name) = BucketName::parse(&bucket.name) else { continue };
                match self.bucket(&name, &rules, report, &mut totals).await {
                    // It was deleted in between.
                    Err(error) if error.is_not_found() => {}
                    done => done?,
                }
            }
            match page.items.last() {
                Some(last) if page.is_truncated => after.clone_from(&last.name),
                _ => return Ok(totals),
            }
        }
    }

    async fn bucket(
        &self,
        bucket: &BucketName,
        rules: &[LifecycleRule],
        report: Report<'_>,
        totals: &mut Totals,
    ) -> store::Result<()> {
        for prefix in prefixes(rules, |rule| rule.expiration.is_some() || !rule.transitions.is_empty()) {
            self.objects(bucket, &prefix, rules, report, totals).await?;
        }
        for prefix in prefixes(rules, |rule| rule.abort_multipart.is_some()) {
            self.uploads(bucket, &prefix, rules, report, totals).await?;
        }
        Ok(())
    }

    async fn objects(
        &self,
        bucket: &BucketName,
        prefix: &str,
        rules: &[LifecycleRule],
        report: Report<'_>,
        totals: &mut Totals,
    ) -> store::Result<()> {
        let grant = LifecycleGrant::new(bucket, rules);
        let mut query = ListQuery { prefix: prefix.to_owned(), limit: BATCH, ..ListQuery::default() };
        loop {
            let page = self.meta.list_objects(bucket, &query).await?;
            let mut expired = Vec::new();
            for object in &page.entries {
                match self.due(bucket, object, rules).await? {
                    Some(LifecycleAction::Expire) => expired.push(SeenObject {
                        key: object.key.clone(),
                        modified_ms: object.modified_ms,
                        etag: object.etag.clone(),
                    }),
                    Some(LifecycleAction::Transition(class)) if is_colder(class, object.storage_class) => {
                        if self.is_dry || grant.relabel(self.meta, object, class).await? {
                            report(bucket, &LifecycleStep::Relabel(object.key.clone(), class));
                            totals.relabelled += 1;
                        }
                    }
                    Some(LifecycleAction::Transition(_)) | None => {}
                }
            }
            let deleted = match self.is_dry {
                true => expired.into_iter().map(|object| object.key).collect(),
                false => grant.delete(self.meta, &expired).await?,
            };
            totals.expired += deleted.len();
            for key in deleted {
                report(bucket, &LifecycleStep::Expire(key));
            }
            match page.next {
                Some(next) => query.after = next,
                None => return Ok(()),
            }
        }
    }

    /// What the rules want done with an object. Its tags are read only when a rule asks for them.
    async fn due(
        &self,
        bucket: &BucketName,
        object: &ListedObject,
        rules: &[LifecycleRule],
    ) -> store::Result<Option<LifecycleAction>> {
        let key = object.key.as_str();
        let asks_for_tags = rules.iter().any(|rule| {
            let by_filter = rule.filter.iter().flat_map(|filter| &filter.not).any(|not| not.tag.is_some());
            key.starts_with(&rule.prefix) && (by_filter || !rule.tags.is_empty())
        });
        let tags = match asks_for_tags {
            true => self.meta.object(bucket, &object.key).await?.map(|object| object.value.tags).unwrap_or_default(),
            false => Vec::new(),
        };
        let due = rules.iter().filter_map(|rule| rule.due(key, &tags, object.size, object.modified_ms, self.now_ms));
        Ok(due.reduce(stronger))
    }

    async fn uploads(
        &self,
        bucket: &BucketName,
        prefix: &str,
        rules: &[LifecycleRule],
        report: Report<'_>,
        totals: &mut Totals,
    ) -> store::Result<()> {
        let grant = LifecycleGrant::new(bucket, rules);
        let mut query = UploadListQuery { prefix: prefix.to_owned(), limit: BATCH, ..UploadListQuery::default() };
        loop {
            let page = self.meta.list_uploads(bucket, &query).await?;
            for upload in page.entries {
                let (key, record) = (upload.key.as_str(), &upload.record);
                let is_due =
                    |rule: &LifecycleRule| rule.aborts_upload(key, &record.tags, record.initiated_ms, self.now_ms);
                if !rules.iter().any(is_due) {
                    continue;
                }
                // It may have been completed or aborted in between.
                if !self.is_dry && !grant.abort(self.meta, &upload.key, &upload.id).await? {
                    continue;
                }
                report(bucket, &LifecycleStep::Abort(upload.key, upload.id));
                totals.aborted += 1;
            }
            match page.next {
                Some(UploadMarker { key, id }) => (query.after_key, query.after_id) = (key, id),
                None => return Ok(()),
            }
        }
    }
}

/// The prefixes of the rules that matter, none of which begins with another: each name is looked at once.
fn prefixes(rules: &[LifecycleRule], matters: impl Fn(&LifecycleRule) -> bool) -> Vec<String> {
    let sorted: BTreeSet<&str> = rules.iter().filter(|rule| matters(rule)).map(|rule| rule.prefix.as_str()).collect();
    let mut apart: Vec<String> = Vec::new();
    for prefix in sorted {
        // A prefix sorts before all that begin with it.
        if apart.last().is_none_or(|shorter| !prefix.starts_with(shorter.as_str())) {
            apart.push(prefix.to_owned());
        }
    }
    apart
}

/// Deleting wins, then the colder label.
fn stronger(one: LifecycleAction, other: LifecycleAction) -> LifecycleAction {
    match (one, other) {
        (LifecycleAction::Transition(a), LifecycleAction::Transition(b)) => {
            LifecycleAction::Transition(if is_colder(b, a) { b } else { a })
        }
        _ => LifecycleAction::Expire,
    }
}

/// Labels only ever get colder, or two rules would change them for ever.
fn is_colder(class: StorageClass, than: StorageClass) -> bool {
    let cold = |class| match class {
        StorageClass::Standard => 0,
        StorageClass::InfrequentAccess => 1,
        StorageClass::Archive => 2,
        StorageClass::ColdArchive => 3,
        StorageClass::DeepColdArchive => 4,
    };
    cold(class) > cold(than)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use parking_lot::Mutex;

    use bytes::Bytes;
    use model::{ETag, ObjectAcl, ObjectType, OwnerId, Tag};
    use oss::xml::lifecycle::parse_lifecycle;
    use store::kv::MemoryKv;
    use store::meta::{Body, BucketRecord, ObjectRecord, PutGuard, UploadRecord};

    const DAY_MS: i64 = 86_400_000;
    const NOW_MS: i64 = 1_704_164_645_000;

    /// What `rules` (the elements of one document) do to objects of these keys, ages in days and tags, done and dry.
    async fn check(rules: &str, objects: &[(&str, i64, &str)], expected: &[&str]) {
        let clock = store::clock::Clock::new(|| NOW_MS);
        let meta = Meta::new(Arc::new(MemoryKv::new(clock.clone())), clock);
        let bucket = BucketName::parse("bkt").unwrap();
        let mut record = BucketRecord::new(&bucket, OwnerId("1".into()), 0);
        let text = format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>");
        record.lifecycle = Some(parse_lifecycle(text.as_bytes(), true, &mut || "id".into()).unwrap());
        meta.create_bucket(&bucket, &record, 10).await.unwrap();
        for (key, age, tag) in objects {
            let key = ObjectKey::parse(key.as_bytes()).unwrap();
            let tags = tag.split_once('=').map(|(key, value)| Tag { key: key.into(), value: value.into() });
            let object = ObjectRecord {
                size: 1,
                etag: ETag::from_bits(1),
                crc64: 0,
                md5: None,
                modified_ms: NOW_MS - age * DAY_MS,
                object_type: ObjectType::Normal,
                role: Default::default(),
                acl: ObjectAcl::Default,
                storage_class: StorageClass::Standard,
                headers: Default::default(),
                user_meta: Vec::new(),
                tags: tags.into_iter().collect(),
                body: Body::Inline(Bytes::from_static(b"x")),
            };
            meta.put_object(&bucket, &key, &object, PutGuard::Any).await.unwrap();
            let upload = UploadRecord {
                initiated_ms: object.modified_ms,
                storage_class: StorageClass::Standard,
                headers: Default::default(),
                user_meta: Vec::new(),
                tags: Vec::new(),
                initiator: None,
            };
            meta.initiate_upload(&bucket, &key, &format!("U{age}"), &upload).await.unwrap();
        }
        for is_dry in [true, false] {
            let said = Mutex::new(Vec::new());
            let run = Run { meta: &meta, now_ms: NOW_MS, is_dry };
            run.all(&|_, step| said.lock().push(step.to_string())).await.unwrap();
            assert_eq!(said.into_inner(), expected, "{rules} dry: {is_dry}");
            if is_dry {
                let stored = meta.bucket(&bucket).await.unwrap().unwrap().lifecycle.unwrap();
                let preview = run.preview(&bucket, &stored).await.unwrap();
                let told: usize = preview.rules.iter().map(|due| due.objects + due.relabelled + due.uploads).sum();
                assert_eq!((told, preview.is_truncated), (expected.len(), false), "{rules}: {preview:?}");
            }
        }
        let run = Run { meta: &meta, now_ms: NOW_MS, is_dry: false };
        assert_eq!(run.all(&|_, _| ()).await.unwrap(), Totals::default(), "nothing is done twice");
    }

    const OLD: &str = "<Expiration><Days>10</Days></Expiration>";

    fn rule(id: &str, prefix: &str, status: &str, rest: &str) -> String {
        format!("<Rule><ID>{id}</ID><Prefix>{prefix}</Prefix><Status>{status}</Status>{rest}</Rule>")
    }

    #[tokio::test]
    async fn objects_expire_by_age_prefix_and_tag() {
        let objects =
            [("a/new", 9, ""), ("a/old", 10, ""), ("a/tagged", 30, "k=v"), ("b/old", 99, ""), ("b/tagged", 30, "k=v")];
        check(&rule("1", "a/", "Enabled", OLD), &objects, &["delete \"a/old\"", "delete \"a/tagged\""]).await;
        check(&rule("1", "a/", "Disabled", OLD), &objects, &[]).await;
        let tagged = format!("<Tag><Key>k</Key><Value>v</Value></Tag>{OLD}");
        check(&rule("1", "", "Enabled", &tagged), &objects, &["delete \"a/tagged\"", "delete \"b/tagged\""]).await;
        let nested = [rule("1", "a/", "Enabled", OLD), rule("2", "a/t", "Enabled", OLD)].concat();
        check(&nested, &objects, &["delete \"a/old\"", "delete \"a/tagged\""]).await;
        let date = "<Expiration><CreatedBeforeDate>2023-12-01T00:00:00.000Z</CreatedBeforeDate></Expiration>";
        check(&rule("1", "", "Enabled", date), &objects, &["delete \"b/old\""]).await;
    }

    #[tokio::test]
    async fn labels_get_colder_and_deletion_wins() {
        let to =
            |days, class| format!("<Transition><Days>{days}</Days><StorageClass>{class}</StorageClass></Transition>");
        let objects = [("a", 5, ""), ("b", 15, ""), ("c", 25, "")];
        let both = to(3, "IA") + &to(12, "Archive");
        let expected = ["label \"a\" IA", "label \"b\" Archive", "label \"c\" Archive"];
        check(&rule("1", "", "Enabled", &both), &objects, &expected).await;
        let apart = [rule("1", "", "Enabled", &to(3, "Archive")), rule("2", "", "Enabled", &to(12, "IA"))].concat();
        let expected = ["label \"a\" Archive", "label \"b\" Archive", "label \"c\" Archive"];
        check(&apart, &objects, &expected).await;
        let last = [
            rule("1", "", "Enabled", &to(12, "IA")),
            rule("2", "", "Enabled", "<Expiration><Days>20</Days></Expiration>"),
        ]
        .concat();
        check(&last, &objects, &["label \"b\" IA", "delete \"c\""]).await;
    }

    #[tokio::test]
    async fn unfinished_uploads_are_given_up() {
        let rest = "<AbortMultipartUpload><Days>2</Days></AbortMultipartUpload>";
        let objects = [("a/1", 1, ""), ("a/2", 2, ""), ("b/3", 3, "")];
        check(&rule("1", "a/", "Enabled", rest), &objects, &["abort the upload U2 of \"a/2\""]).await;
    }
}
