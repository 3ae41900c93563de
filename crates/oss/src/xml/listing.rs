//! Listings of objects (HTTP API 8.7 to 8.9).

use std::borrow::Cow;

use super::service::write_owner;
use super::writer::Document;
use crate::request::{ContinuationToken, ListObjectsParameters, ListObjectsV2Parameters, ListVersionsParameters};
use model::date::format_iso8601;
use model::percent::percent_encode;
use model::{ETag, ObjectType, OwnerId, StorageClass};

/// A key, or part of one, as the answer carries it (HTTP API 5.7).
pub(super) fn encoded(text: &str, url_encoding: bool) -> Cow<'_, str> {
    if url_encoding { Cow::Owned(percent_encode(text.as_bytes(), true)) } else { Cow::Borrowed(text) }
}

pub(super) fn write_encoding(document: &mut Document, url_encoding: bool) {
    document.optional("EncodingType", url_encoding.then_some("url"));
}

pub(super) fn write_prefixes(document: &mut Document, prefixes: &[String], url_encoding: bool) {
    for prefix in prefixes {
        document.within("CommonPrefixes", |element| {
            element.text("Prefix", &encoded(prefix, url_encoding));
        });
    }
}

/// One object of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: String,
    /// Unix ms.
    pub modified_ms: i64,
    /// Its entity tag.
    pub etag: ETag,
    /// How it came to be.
    pub object_type: ObjectType,
    /// In bytes; 0 for a symbolic link.
    pub size: u64,
    /// Its class.
    pub storage_class: StorageClass,
}

/// A page of objects and groups, for all three listings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectPage {
    /// Ascending by key.
    pub objects: Vec<ListedObject>,
    /// Groups up to and including the delimiter, ascending.
    pub prefixes: Vec<String>,
    /// The last key or group of the page, when there are more.
    pub next: Option<String>,
}

impl ListedObject {
    fn write_facts(&self, element: &mut Document, owner: Option<&OwnerId>) {
        element
            .text("LastModified", &format_iso8601(self.modified_ms))
            .text("ETag", &self.etag.quoted())
            .value("Type", self.object_type)
            .value("Size", self.size)
            .value("StorageClass", self.storage_class);
        if let Some(owner) = owner {
            write_owner(element, owner);
        }
    }

    fn write(&self, document: &mut Document, url_encoding: bool, owner: Option<&OwnerId>) {
        document.within("Contents", |element| {
            element.text("Key", &encoded(&self.key, url_encoding));
            self.write_facts(element, owner);
        });
    }
}

impl ObjectPage {
    /// Writes the answer of the first version (HTTP API 8.7).
    pub fn render(&self, bucket: &str, asked: &ListObjectsParameters, owner: &OwnerId) -> String {
        let url = asked.url_encoding;
        let mut document = Document::new("ListBucketResult");
        document
            .text("Name", bucket)
            .text("Prefix", &encoded(&asked.prefix, url))
            .text("Marker", &encoded(&asked.marker, url))
            .value("MaxKeys", asked.max_keys)
            .text("Delimiter", &encoded(&asked.delimiter, url));
        write_encoding(&mut document, url);
        document
            .value("IsTruncated", self.next.is_some())
            .optional("NextMarker", self.next.as_deref().map(|next| encoded(next, url)));
        for object in &self.objects {
            object.write(&mut document, url, Some(owner));
        }
        write_prefixes(&mut document, &self.prefixes, url);
        document.finish()
    }

    /// Writes the answer of the second version (HTTP API 8.8).
    pub fn render_v2(&self, bucket: &str, asked: &ListObjectsV2Parameters, owner: &OwnerId) -> String {
        let url = asked.url_encoding;
        let mut document = Document::new("ListBucketResult");
        document
            .text("Name", bucket)
            .text("Prefix", &encoded(&asked.prefix, url))
            .optional("StartAfter", asked.start_after.as_deref().map(|after| encoded(after, url)))
            .value("MaxKeys", asked.max_keys)
            .text("Delimiter", &encoded(&asked.delimiter, url));
        write_encoding(&mut document, url);
        document
            .value("IsTruncated", self.next.is_some())
            .optional("ContinuationToken", asked.continuation.as_ref().map(ContinuationToken::encode))
            .optional(
                "NextContinuationToken",
                self.next.as_deref().map(|next| ContinuationToken::after(next).encode()),
            );
        for object in &self.objects {
            object.write(&mut document, url, asked.fetch_owner.then_some(owner));
        }
        write_prefixes(&mut document, &self.prefixes, url);
        document.value("KeyCount", self.objects.len().saturating_add(self.prefixes.len()));
        document.finish()
    }

    /// Writes the versions of a bucket that was never versioned: one per key, called `null` (HTTP API 8.9).
    pub fn render_versions(&self, bucket: &str, asked: &ListVersionsParameters, owner: &OwnerId) -> String {
        let url = asked.url_encoding;
        let mut document = Document::new("ListVersionsResult");
        document
            .text("Name", bucket)
            .text("Prefix", &encoded(&asked.prefix, url))
            .text("KeyMarker", &encoded(&asked.key_marker, url))
            .text("VersionIdMarker", &asked.version_id_marker)
            .value("MaxKeys", asked.max_keys)
            .text("Delimiter", &encoded(&asked.delimiter, url));
        write_encoding(&mut document, url);
        document.value("IsTruncated", self.next.is_some());
        if let Some(next) = &self.next {
            document.text("NextKeyMarker", &encoded(next, url)).text("NextVersionIdMarker", "null");
        }
        for object in &self.objects {
            document.within("Version", |element| {
                element.text("Key", &encoded(&object.key, url)).text("VersionId", "null").text("IsLatest", "true");
                object.write_facts(element, Some(owner));
            });
        }
        write_prefixes(&mut document, &self.prefixes, url);
        document.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use crate::request::Query;

    fn owner() -> OwnerId {
        OwnerId("1000000000000001".into())
    }

    fn page() -> ObjectPage {
        ObjectPage {
            objects: vec![ListedObject {
                key: "live/playlist 1.m3u8".into(),
                modified_ms: 1_704_164_645_000,
                etag: ETag::from_text("5B3C1A2E053D763E1B002CC607C5A0FE"),
                object_type: ObjectType::Normal,
                size: 344_606,
                storage_class: StorageClass::Standard,
            }],
            prefixes: vec!["live/ch1/".into()],
            next: None,
        }
    }

    #[test]
    fn the_first_version_is_as_documented() {
        let asked = ListObjectsParameters::parse(&Query::parse("prefix=live/&delimiter=/&encoding-type=url")).unwrap();
        check_text(
            &ObjectPage { next: Some("live/ch1/".into()), ..page() }.render("examplebucket", &asked, &owner()),
            "<ListBucketResult>
  <Name>examplebucket</Name>
  <Prefix>live/</Prefix>
  <Marker></Marker>
  <MaxKeys>100</MaxKeys>
  <Delimiter>/</Delimiter>
  <EncodingType>url</EncodingType>
  <IsTruncated>true</IsTruncated>
  <NextMarker>live/ch1/</NextMarker>
  <Contents>
    <Key>live/playlist%201.m3u8</Key>
    <LastModified>2024-01-02T03:04:05.000Z</LastModified>
    <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag>
    <Type>Normal</Type>
    <Size>344606</Size>
    <StorageClass>Standard</StorageClass>
    <Owner>
      <ID>1000000000000001</ID>
      <DisplayName>1000000000000001</DisplayName>
    </Owner>
  </Contents>
  <CommonPrefixes>
    <Prefix>live/ch1/</Prefix>
  </CommonPrefixes>
</ListBucketResult>
",
        );
    }

    #[test]
    fn the_second_version_counts_and_continues() {
        let token = ContinuationToken::after("live/a").encode();
        let raw = format!("list-type=2&start-after=b&continuation-token={token}");
        let asked = ListObjectsV2Parameters::parse(&Query::parse(&raw)).unwrap();
        check_text(
            &ObjectPage { next: Some("live/ch1/".into()), ..page() }.render_v2("examplebucket", &asked, &owner()),
            &format!(
                "<ListBucketResult>
  <Name>examplebucket</Name>
  <Prefix></Prefix>
  <StartAfter>b</StartAfter>
  <MaxKeys>100</MaxKeys>
  <Delimiter></Delimiter>
  <IsTruncated>true</IsTruncated>
  <ContinuationToken>{token}</ContinuationToken>
  <NextContinuationToken>{}</NextContinuationToken>
  <Contents>
    <Key>live/playlist 1.m3u8</Key>
    <LastModified>2024-01-02T03:04:05.000Z</LastModified>
    <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag>
    <Type>Normal</Type>
    <Size>344606</Size>
    <StorageClass>Standard</StorageClass>
  </Contents>
  <CommonPrefixes>
    <Prefix>live/ch1/</Prefix>
  </CommonPrefixes>
  <KeyCount>2</KeyCount>
</ListBucketResult>
",
                ContinuationToken::after("live/ch1/").encode()
            ),
        );
    }

    #[test]
    fn versions_are_as_documented() {
        let asked = ListVersionsParameters::parse(&Query::parse("versions")).unwrap();
        check_text(
            &ObjectPage { prefixes: Vec::new(), ..page() }.render_versions("examplebucket", &asked, &owner()),
            "<ListVersionsResult>
  <Name>examplebucket</Name>
  <Prefix></Prefix>
  <KeyMarker></KeyMarker>
  <VersionIdMarker></VersionIdMarker>
  <MaxKeys>100</MaxKeys>
  <Delimiter></Delimiter>
  <IsTruncated>false</IsTruncated>
  <Version>
    <Key>live/playlist 1.m3u8</Key>
    <VersionId>null</VersionId>
    <IsLatest>true</IsLatest>
    <LastModified>2024-01-02T03:04:05.000Z</LastModified>
    <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag>
    <Type>Normal</Type>
    <Size>344606</Size>
    <StorageClass>Standard</StorageClass>
    <Owner>
      <ID>1000000000000001</ID>
      <DisplayName>1000000000000001</DisplayName>
    </Owner>
  </Version>
</ListVersionsResult>
",
        );
    }
}
