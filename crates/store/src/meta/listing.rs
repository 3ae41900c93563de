//! Walking through names in order, folding those that share a prefix up to a delimiter (HTTP API 8.7, 10.7).
//!
//! A folded group costs one seek, however many names it holds: the map goes on after the group's last possible name.

use model::name::{BucketName, ObjectKey};
use model::{ETag, ObjectType, StorageClass};

use super::key::{self, Table};
use super::object::StoredObject;
use super::{Meta, UploadRecord};
use crate::error::Result;
use crate::kv::{Entry, Groups, Kv, Range, after_prefix};
use crate::record::decode;

/// Which objects to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// What keys begin with.
    pub prefix: String,
    /// What ends a group; empty for none.
    pub delimiter: String,
    /// The key or group after which to begin.
    pub after: String,
    /// The most objects and groups together.
    pub limit: usize,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// Its entity tag.
    pub etag: ETag,
    /// When its bytes were last written, Unix milliseconds.
    pub modified_ms: i64,
    /// How it came to be.
    pub object_type: ObjectType,
    /// Its label.
    pub storage_class: StorageClass,
}

/// A page of objects and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing<T> {
    /// The objects, in order of key.
    pub entries: Vec<T>,
    /// The groups, each up to and including the delimiter, in order.
    pub prefixes: Vec<String>,
    /// Whether at least one more object or group follows.
    pub is_truncated: bool,
    /// The last object or group on the page, when more follow.
    pub next: Option<String>,
}

/// Which uploads to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UploadListQuery {
    /// What keys begin with.
    pub prefix: String,
    /// What ends a group; empty for none.
    pub delimiter: String,
    /// The key or group after which to begin.
    pub after_key: String,
    /// The upload of that key after which to begin; empty to begin after all of them.
    pub after_id: String,
    /// The most uploads and groups together.
    pub limit: usize,
}

/// An upload in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// The key it will have.
    pub key: ObjectKey,
    /// Its id.
    pub id: String,
    /// What is known of it.
    pub record: UploadRecord,
}

/// Where a list of uploads ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadMarker {
    /// The last key or group on the page.
    pub key: String,
    /// The last upload id; empty after a group.
    pub id: String,
}

/// A page of uploads and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadListing {
    /// The uploads, in order of key and id.
    pub entries: Vec<ListedUpload>,
    /// The groups.
    pub prefixes: Vec<String>,
    /// Whether at least one more upload or group follows.
    pub is_truncated: bool,
    /// Where the page ended, when more follow.
    pub next: Option<UploadMarker>,
}

/// One step of a walk.
enum Step<T> {
    Item(T),
    Group(String),
}

/// How a table writes names in its keys.
struct Names<T> {
    /// What every key of the walk begins with, up to where names begin.
    base: Vec<u8>,
    /// What comes behind a name, where that is not the end of the key.
    end: Option<&'static [u8]>,
    encode: fn(&[u8]) -> Vec<u8>,
    decode: Decode<T>,
}

/// The name in what follows the base of a row's key, and the item the row becomes.
type Decode<T> = fn(&[u8], &Entry) -> Result<(String, T)>;

impl<T> Names<T> {
    /// What the keys begin with whose names begin with `prefix`.
    fn prefix(&self, prefix: &str) -> Vec<u8> {
        let mut key = self.base.clone();
        key.extend((self.encode)(prefix.as_bytes()));
        key
    }
}

/// A walk through the names that begin with `prefix`, from the key `from` on. Returns at most `limit` steps, and
/// whether there is one more.
async fn walk<T>(
    kv: &dyn Kv,
    names: &Names<T>,
    prefix: &str,
    delimiter: &str,
    from: Vec<u8>,
    limit: usize,
) -> Result<(Vec<Step<T>>, bool)> {
    let start = names.prefix(prefix);
    let after = start.len();
    let mut range = Range::prefix(start).limit(limit.saturating_add(1));
    range.from = range.from.max(from);
    let mut rows = if delimiter.is_empty() {
        kv.range(&range).await?
    } else {
        let delimiter = (names.encode)(delimiter.as_bytes());
        kv.skipping_range(&range, &Groups { after, delimiter, until: names.end.map(<[u8]>::to_vec) }).await?
    };
    let is_truncated = rows.len() > limit;
    rows.truncate(limit);
    let step = |row: &Entry| {
        let (name, item) = (names.decode)(key::last(row, &names.base)?, row)?;
        let rest = name.get(prefix.len()..).unwrap_or_default();
        let group = match (delimiter.is_empty(), rest.find(delimiter)) {
            (false, Some(at)) => name.get(..prefix.len() + at + delimiter.len()),
            _ => None,
        };
        Ok(group.map_or(Step::Item(item), |group| Step::Group(group.to_owned())))
    };
    Ok((rows.iter().map(step).collect::<Result<_>>()?, is_truncated))
}

/// Whether `after` is itself a group, so that all its names come before what is to be listed.
fn is_group(prefix: &str, delimiter: &str, after: &str) -> bool {
    let rest = after.strip_prefix(prefix).unwrap_or_default();
    !delimiter.is_empty() && rest.find(delimiter).is_some_and(|at| at + delimiter.len() == rest.len())
}

impl Meta {
    /// A page of a bucket's objects. Empty when there is no such bucket.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn list_objects(&self, bucket: &BucketName, query: &ListQuery) -> Result<Listing<ListedObject>> {
        let names = Names {
            base: Table::Object.below(bucket.as_str()),
            end: None,
            encode: <[u8]>::to_vec,
            decode: |name, row| {
                let key = key::object_key(name, row)?;
                let stored: StoredObject = decode(&row.value)?;
                let listed = ListedObject {
                    size: stored.size,
                    etag: stored.etag,
                    modified_ms: stored.modified_ms,
                    object_type: stored.object_type,
                    storage_class: stored.storage_class,
                    key,
                };
                Ok((listed.key.as_str().to_owned(), listed))
            },
        };
        let mut from = names.prefix(&query.after);
        if is_group(&query.prefix, &query.delimiter, &query.after) {
            let Some(end) = after_prefix(&from) else { return Ok(nothing()) };
            from = end;
        } else if !query.after.is_empty() {
            from.push(0);
        }
        let (steps, is_truncated) = walk(self.kv(), &names, &query.prefix, &query.delimiter, from, query.limit).await?;
        let mut listing = Listing { is_truncated, ..nothing() };
        if is_truncated {
            listing.next = steps.last().map(|step| match step {
                Step::Item(object) => object.key.as_str().to_owned(),
                Step::Group(group) => group.clone(),
            });
        }
        for step in steps {
            match step {
                Step::Item(object) => listing.entries.push(object),
                Step::Group(group) => listing.prefixes.push(group),
            }
        }
        Ok(listing)
    }

    /// A page of a bucket's unfinished uploads. Empty when there is no such bucket.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn list_uploads(&self, bucket: &BucketName, query: &UploadListQuery) -> Result<UploadListing> {
        let names = Names {
            base: Table::Upload.below(bucket.as_str()),
            end: Some(&key::END_OF_ESCAPED),
            encode: key::escape,
            decode: |rest, row| {
                let (name, id) = key::split_upload(rest).ok_or_else(|| key::strange(row))?;
                let key = key::object_key(&name, row)?;
                Ok((key.as_str().to_owned(), ListedUpload { key, id: id.to_owned(), record: decode(&row.value)? }))
            },
        };
        let mut listing = UploadListing { entries: Vec::new(), prefixes: Vec::new(), is_truncated: false, next: None };
        let mut from = names.prefix(&query.after_key);
        if is_group(&query.prefix, &query.delimiter, &query.after_key) {
            let Some(end) = after_prefix(&from) else { return Ok(listing) };
            from = end;
        } else if let Ok(key) = ObjectKey::parse(query.after_key.as_bytes()) {
            if query.after_id.is_empty() {
                let Some(end) = after_prefix(&key::uploads_of(bucket, &key)) else { return Ok(listing) };
                from = end;
            } else {
                from = key::upload(bucket, &key, &query.after_id);
                from.push(0);
            }
        }
        let (steps, is_truncated) = walk(self.kv(), &names, &query.prefix, &query.delimiter, from, query.limit).await?;
        listing.is_truncated = is_truncated;
        if is_truncated {
            listing.next = steps.last().map(|step| match step {
                Step::Item(upload) => UploadMarker { key: upload.key.as_str().to_owned(), id: upload.id.clone() },
                Step::Group(group) => UploadMarker { key: group.clone(), id: String::new() },
            });
        }
        for step in steps {
            match step {
                Step::Item(upload) => listing.entries.push(upload),
                Step::Group(group) => listing.prefixes.push(group),
            }
        }
        Ok(listing)
    }
}

fn nothing<T>() -> Listing<T> {
    Listing { entries: Vec::new(), prefixes: Vec::new(), is_truncated: false, next: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::fixture::{Fixture, fixture, inline, key};
    use crate::meta::{PutGuard, UploadRecord};
    use model::{ContentHeaders, StorageClass};

    async fn with_objects(keys: impl IntoIterator<Item = &str>) -> Fixture {
        let f = fixture().await;
        for name in keys {
            f.meta.put_object(&f.bucket, &key(name), &inline("x"), PutGuard::Any).await.unwrap();
        }
        f
    }

    /// Keys and groups in one order, then `...` if more follow, and where to go on.
    async fn shown(f: &Fixture, query: &ListQuery) -> (Vec<String>, Option<String>) {
        let listing = f.meta.list_objects(&f.bucket, query).await.unwrap();
        let mut all: Vec<String> = listing.entries.iter().map(|object| object.key.to_string()).collect();
        assert!(all.is_sorted() && listing.prefixes.is_sorted());
        all.extend(listing.prefixes);
        all.sort();
        assert_eq!(listing.is_truncated, listing.next.is_some());
        if listing.is_truncated {
            assert_eq!(listing.next.as_ref(), all.last());
        }
        (all, listing.next)
    }

    fn query(prefix: &str, delimiter: &str, after: &str, limit: usize) -> ListQuery {
        ListQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after: after.to_owned(), limit }
    }

    #[tokio::test]
    async fn groups_fold() {
        let f = with_objects(["a", "dir/", "dir/x", "dir/y/z", "dir-2", "other/1", "zz"]).await;
        for (query, expected, next) in [
            (query("", "", "", 100), vec!["a", "dir-2", "dir/", "dir/x", "dir/y/z", "other/1", "zz"], None),
            (query("", "/", "", 100), vec!["a", "dir-2", "dir/", "other/", "zz"], None),
            (query("", "/", "", 3), vec!["a", "dir-2", "dir/"], Some("dir/")),
            (query("", "/", "dir/", 100), vec!["other/", "zz"], None),
            (query("", "/", "dir/x", 100), vec!["dir/", "other/", "zz"], None),
            (query("dir/", "/", "", 100), vec!["dir/", "dir/x", "dir/y/"], None),
            (query("dir", "/", "", 100), vec!["dir-2", "dir/"], None),
            (query("", "r", "", 100), vec!["a", "dir", "other", "zz"], None),
            (query("", "dir", "", 100), vec!["a", "dir", "other/1", "zz"], None),
            (query("nothing", "/", "", 100), vec![], None),
            (query("", "/", "zz", 100), vec![], None),
            (query("b", "", "a", 100), vec![], None),
        ] {
            let next: Option<String> = next.map(str::to_owned);
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(shown(&f, &query).await, (expected, next), "{query:?}");
        }
    }

    #[tokio::test]
    async fn a_large_group_costs_one_step() {
        let names: Vec<String> = (0..3000).map(|n| format!("live/{n:05}.ts")).chain(["z".to_owned()]).collect();
        let f = with_objects(names.iter().map(String::as_str)).await;
        let (all, next) = shown(&f, &query("", "/", "", 100)).await;
        assert_eq!((all, next), (vec!["live/".to_owned(), "z".to_owned()], None));
        let (all, next) = shown(&f, &query("live/", "/", "", 1000)).await;
        assert_eq!((all.len(), next.as_deref()), (1000, Some("live/00999.ts")));
    }

    /// The rule of HTTP API 8.7, read literally.
    fn naive(keys: &BTreeSet<String>, q: &ListQuery) -> Vec<String> {
        let mut all = BTreeSet::new();
        for key in keys.range::<String, _>((std::ops::Bound::Excluded(&q.after), std::ops::Bound::Unbounded)) {
            let Some(rest) = key.strip_prefix(&q.prefix) else { continue };
            let group = (!q.delimiter.is_empty()).then(|| rest.find(&q.delimiter)).flatten();
            let name = group.map_or(key.clone(), |at| key[..q.prefix.len() + at + q.delimiter.len()].to_owned());
            if name != q.after {
                all.insert(name);
            }
        }
        all.into_iter().collect()
    }

    proptest! {
        #[test]
        fn pages_join_to_what_the_rule_says(
            keys in proptest::collection::btree_set("[a/b\u{0}\u{10ffff}]{1,5}", 0..40),
            prefix in "[ab/]{0,2}",
            delimiter in "[/a]{0,2}",
            after in "[ab/]{0,3}",
            limit in 1usize..6,
        ) {
            let keys: BTreeSet<String> = keys.into_iter().filter(|key| !key.starts_with('/')).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let f = with_objects(keys.iter().map(String::as_str)).await;
                let mut q = ListQuery { prefix, delimiter, after, limit };
                let expected = naive(&keys, &q);
                let mut joined = Vec::new();
                loop {
                    let (page, next) = shown(&f, &q).await;
                    prop_assert!(page.len() <= limit);
                    joined.extend(page);
                    let Some(next) = next else { break };
                    q.after = next;
                }
                prop_assert_eq!(joined, expected);
                Ok(())
            })?;
        }
    }

    #[tokio::test]
    async fn uploads_page_by_key_and_id() {
        let f = fixture().await;
        let record = UploadRecord {
            initiated_ms: 5,
            storage_class: StorageClass::Standard,
            headers: ContentHeaders::default(),
            user_meta: Vec::new(),
            tags: Vec::new(),
            initiator: None,
        };
        for (name, id) in [("a", "02"), ("a", "01"), ("a\0b", "03"), ("d/x", "04"), ("d/y", "05"), ("e", "06")] {
            f.meta.initiate_upload(&f.bucket, &key(name), id, &record).await.unwrap();
        }
        let list = async |delimiter: &str, after_key: &str, after_id: &str, limit| {
            let query = UploadListQuery {
                prefix: String::new(),
                delimiter: delimiter.to_owned(),
                after_key: after_key.to_owned(),
                after_id: after_id.to_owned(),
                limit,
            };
            let listing = f.meta.list_uploads(&f.bucket, &query).await.unwrap();
            assert_eq!(listing.is_truncated, listing.next.is_some());
            let ids: Vec<String> = listing.entries.into_iter().map(|upload| upload.id).collect();
            (ids.join(" "), listing.prefixes.join(" "), listing.next.map(|next| format!("{} {}", next.key, next.id)))
        };
        let text = str::to_owned;
        assert_eq!(list("", "", "", 100).await, (text("01 02 03 04 05 06"), text(""), None));
        assert_eq!(list("/", "", "", 100).await, (text("01 02 03 06"), text("d/"), None));
        assert_eq!(list("", "", "", 1).await, (text("01"), text(""), Some(text("a 01"))));
        assert_eq!(list("", "a", "01", 1).await, (text("02"), text(""), Some(text("a 02"))));
        assert_eq!(list("", "a", "", 2).await, (text("03 04"), text(""), Some(text("d/x 04"))));
        assert_eq!(list("/", "a", "02", 2).await, (text("03"), text("d/"), Some(text("d/ "))));
        assert_eq!(list("/", "d/", "", 2).await, (text("06"), text(""), None));
        // What looks like a delimiter in an id is none.
        assert_eq!(list("0", "", "", 100).await, (text("01 02 03 04 05 06"), text(""), None));
        assert_eq!(list("\0", "", "", 100).await, (text("01 02 04 05 06"), text("a\0"), None));
    }
}
