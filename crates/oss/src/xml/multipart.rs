//! Documents of multipart uploads (HTTP API 10).

use super::listing::{encoded, write_encoding, write_prefixes};
use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::{ListPartsParameters, ListUploadsParameters, parse_decimal};
use model::date::format_iso8601;
use model::{ETag, StorageClass};
use model::{ErrorCode, Result};

/// The longest document that is read, in bytes: 10 000 parts as the SDKs write them are about 1.1 MB.
pub const MAX_COMPLETE_BYTES: usize = 2 * 1024 * 1024;
const MAX_PARTS: usize = 10_000;
/// What is wrong with the document of a completion.
const EC_MALFORMED: &str = "0042-00000205";

/// Writes an `InitiateMultipartUploadResult` (HTTP API 10.1).
pub fn render_initiate_result(bucket: &str, key: &str, upload_id: &str, url_encoding: bool) -> String {
    let mut document = Document::new("InitiateMultipartUploadResult");
    write_encoding(&mut document, url_encoding);
    document.text("Bucket", bucket).text("Key", &encoded(key, url_encoding)).text("UploadId", upload_id);
    document.finish()
}

/// One part that CompleteMultipartUpload lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedPart {
    /// Its number, as sent.
    pub number: u32,
    /// Its tag as sent, to be compared with [`ETag::matches`].
    pub etag: String,
}

/// Reads a `CompleteMultipartUpload` (HTTP API 10.4): numbers strictly ascending. It may list no part, which fits an
/// upload that has none.
///
/// # Errors
/// `MalformedXML` with EC 0042-00000205, `InvalidPartOrder`.
pub fn parse_complete(body: &[u8]) -> Result<Vec<CompletedPart>> {
    let parts = read_complete(body).map_err(|error| error.ec(EC_MALFORMED))?;
    if parts.windows(2).any(|pair| matches!(pair, [a, b] if a.number >= b.number)) {
        return Err(ErrorCode::InvalidPartOrder.into());
    }
    Ok(parts)
}

fn read_complete(body: &[u8]) -> Result<Vec<CompletedPart>> {
    let root = Element::parse(body, "CompleteMultipartUpload", MAX_COMPLETE_BYTES)?;
    let mut parts = Vec::new();
    for part in root.children_named("Part") {
        if parts.len() >= MAX_PARTS {
            return Err(malformed("There are more than 10000 parts."));
        }
        let number = parse_decimal(part.required("PartNumber")?).and_then(|number| u32::try_from(number).ok());
        parts.push(CompletedPart {
            number: number.ok_or_else(|| malformed("The PartNumber element must be a number."))?,
            etag: part.required("ETag")?.to_owned(),
        });
    }
    Ok(parts)
}

/// Writes a `CompleteMultipartUploadResult` (HTTP API 10.4).
pub fn render_complete_result(bucket: &str, key: &str, etag: &ETag, location: &str, url_encoding: bool) -> String {
    let mut document = Document::new("CompleteMultipartUploadResult");
    write_encoding(&mut document, url_encoding);
    document
        .text("Location", location)
        .text("Bucket", bucket)
        .text("Key", &encoded(key, url_encoding))
        .text("ETag", &etag.quoted());
    document.finish()
}

/// One part of an unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPart {
    /// Its number.
    pub number: u32,
    /// When it arrived, unix ms.
    pub modified_ms: i64,
    /// Its tag.
    pub etag: ETag,
    /// Its CRC-64.
    pub crc64: u64,
    /// In bytes.
    pub size: u64,
}

/// A page of parts (HTTP API 10.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPartsResult {
    /// The class the object will have.
    pub storage_class: StorageClass,
    /// Ascending by number.
    pub parts: Vec<ListedPart>,
    /// Whether there are more.
    pub is_truncated: bool,
}

impl ListPartsResult {
    /// Writes the document.
    pub fn render(&self, bucket: &str, key: &str, asked: &ListPartsParameters) -> String {
        let mut document = Document::new("ListPartsResult");
        write_encoding(&mut document, asked.url_encoding);
        document
            .text("Bucket", bucket)
            .text("Key", &encoded(key, asked.url_encoding))
            .text("UploadId", &asked.upload_id)
            .value("StorageClass", self.storage_class)
            .value("PartNumberMarker", asked.part_number_marker)
            .value("NextPartNumberMarker", self.parts.last().map_or(0, |part| part.number))
            .value("MaxParts", asked.max_parts)
            .value("IsTruncated", self.is_truncated);
        for part in &self.parts {
            document.within("Part", |element| {
                element
                    .value("PartNumber", part.number)
                    .text("LastModified", &format_iso8601(part.modified_ms))
                    .text("ETag", &part.etag.quoted())
                    .value("HashCrc64ecma", part.crc64)
                    .value("Size", part.size);
            });
        }
        document.finish()
    }
}

/// One unfinished upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedUpload {
    /// The key it is for.
    pub key: String,
    /// Its id.
    pub upload_id: String,
    /// The class the object will have.
    pub storage_class: StorageClass,
    /// When it began, unix ms.
    pub initiated_ms: i64,
}

/// A page of unfinished uploads (HTTP API 10.7).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListMultipartUploadsResult {
    /// Ascending by key, then by id.
    pub uploads: Vec<ListedUpload>,
    /// Groups up to and including the delimiter.
    pub prefixes: Vec<String>,
    /// Where the page ended, when there are more: a key and an upload id, or a group and nothing.
    pub next: Option<(String, String)>,
}

impl ListMultipartUploadsResult {
    /// Writes the document.
    pub fn render(&self, bucket: &str, asked: &ListUploadsParameters) -> String {
        let url = asked.url_encoding;
        let (next_key, next_id) = match &self.next {
            Some((key, id)) => (key.as_str(), id.as_str()),
            None => ("", ""),
        };
        let mut document = Document::new("ListMultipartUploadsResult");
        write_encoding(&mut document, url);
        document
            .text("Bucket", bucket)
            .text("KeyMarker", &encoded(&asked.key_marker, url))
            .text("UploadIdMarker", &asked.upload_id_marker)
            .text("NextKeyMarker", &encoded(next_key, url))
            .text("NextUploadIdMarker", next_id)
            .text("Delimiter", &encoded(&asked.delimiter, url))
            .text("Prefix", &encoded(&asked.prefix, url))
            .value("MaxUploads", asked.max_uploads)
            .value("IsTruncated", self.next.is_some());
        for upload in &self.uploads {
            document.within("Upload", |element| {
                element
                    .text("Key", &encoded(&upload.key, url))
                    .text("UploadId", &upload.upload_id)
                    .value("StorageClass", upload.storage_class)
                    .text("Initiated", &format_iso8601(upload.initiated_ms));
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
    use proptest::prelude::*;

    const ID: &str = "0004B9894A22E5B1888A1E29F8236E2D";
    const T0: i64 = 1_704_164_645_000;

    fn check(inside: &str, expected: Result<&[(u32, &str)], ErrorCode>) {
        let found = parse_complete(format!("<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>").as_bytes());
        let found = found
            .as_ref()
            .map(|parts| parts.iter().map(|part| (part.number, part.etag.as_str())).collect::<Vec<_>>())
            .map_err(|error| error.code);
        assert_eq!(found, expected.map(<[_]>::to_vec), "{inside}");
    }

    #[test]
    fn completions_are_read() {
        let part =
            |number: &str, etag: &str| format!("<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>");
        check(&format!("{}{}", part("1", "&quot;A&quot;"), part("5", "B")), Ok(&[(1, "\"A\""), (5, "B")]));
        check(&format!("{}{}", part("2", "A"), part("1", "B")), Err(ErrorCode::InvalidPartOrder));
        check(&format!("{}{}", part("1", "A"), part("1", "B")), Err(ErrorCode::InvalidPartOrder));
        check("", Ok(&[]));
        check(&part("x", "A"), Err(ErrorCode::MalformedXML));
        check(&part("1", ""), Err(ErrorCode::MalformedXML));
        check("<Part><ETag>A</ETag></Part>", Err(ErrorCode::MalformedXML));
        assert_eq!(parse_complete(b"").unwrap_err().ec, Some("0042-00000205"));
        let all: String =
            (1..=10_000).map(|n| part(&n.to_string(), "&#34;302D3A0C8E319EAA95B059B346DE1D1D&#34;")).collect();
        let body = format!("<CompleteMultipartUpload>{all}</CompleteMultipartUpload>");
        assert_eq!(parse_complete(body.as_bytes()).unwrap().len(), 10_000);
    }

    #[test]
    fn results_are_as_documented() {
        check_text(
            &render_initiate_result("examplebucket", "big.mp4", ID, true),
            "<InitiateMultipartUploadResult>
  <EncodingType>url</EncodingType>
  <Bucket>examplebucket</Bucket>
  <Key>big.mp4</Key>
  <UploadId>0004B9894A22E5B1888A1E29F8236E2D</UploadId>
</InitiateMultipartUploadResult>
",
        );
        let etag = ETag::from_text("16F2D8490DA86AC7AA4B726C3553BAC8-2");
        check_text(
            &render_complete_result("examplebucket", "big.mp4", &etag, "http://h/big.mp4", false),
            "<CompleteMultipartUploadResult>
  <Location>http://h/big.mp4</Location>
  <Bucket>examplebucket</Bucket>
  <Key>big.mp4</Key>
  <ETag>\"16F2D8490DA86AC7AA4B726C3553BAC8-2\"</ETag>
</CompleteMultipartUploadResult>
",
        );
    }

    #[test]
    fn parts_are_listed_as_documented() {
        let asked = ListPartsParameters::parse(&Query::parse(&format!("uploadId={ID}"))).unwrap();
        let part = ListedPart {
            number: 1,
            modified_ms: T0,
            etag: ETag::from_text("302D3A0C8E319EAA95B059B346DE1D1D"),
            crc64: 12_345_678_901_234_567_890,
            size: 102_400,
        };
        let mut result =
            ListPartsResult { storage_class: StorageClass::Standard, parts: vec![part], is_truncated: false };
        check_text(
            &result.render("examplebucket", "big.mp4", &asked),
            "<ListPartsResult>
  <Bucket>examplebucket</Bucket>
  <Key>big.mp4</Key>
  <UploadId>0004B9894A22E5B1888A1E29F8236E2D</UploadId>
  <StorageClass>Standard</StorageClass>
  <PartNumberMarker>0</PartNumberMarker>
  <NextPartNumberMarker>1</NextPartNumberMarker>
  <MaxParts>1000</MaxParts>
  <IsTruncated>false</IsTruncated>
  <Part>
    <PartNumber>1</PartNumber>
    <LastModified>2024-01-02T03:04:05.000Z</LastModified>
    <ETag>\"302D3A0C8E319EAA95B059B346DE1D1D\"</ETag>
    <HashCrc64ecma>12345678901234567890</HashCrc64ecma>
    <Size>102400</Size>
  </Part>
</ListPartsResult>
",
        );
        result.parts.clear();
        assert!(result.render("b", "k", &asked).contains("<NextPartNumberMarker>0</NextPartNumberMarker>"));
    }

    #[test]
    fn uploads_are_listed_as_documented() {
        let asked = ListUploadsParameters::parse(&Query::parse("uploads&delimiter=/")).unwrap();
        let upload = ListedUpload {
            key: "big.mp4".into(),
            upload_id: ID.into(),
            storage_class: StorageClass::Standard,
            initiated_ms: T0,
        };
        let result = ListMultipartUploadsResult { uploads: vec![upload], prefixes: vec!["dir/".into()], next: None };
        check_text(
            &result.render("examplebucket", &asked),
            "<ListMultipartUploadsResult>
  <Bucket>examplebucket</Bucket>
  <KeyMarker></KeyMarker>
  <UploadIdMarker></UploadIdMarker>
  <NextKeyMarker></NextKeyMarker>
  <NextUploadIdMarker></NextUploadIdMarker>
  <Delimiter>/</Delimiter>
  <Prefix></Prefix>
  <MaxUploads>1000</MaxUploads>
  <IsTruncated>false</IsTruncated>
  <Upload>
    <Key>big.mp4</Key>
    <UploadId>0004B9894A22E5B1888A1E29F8236E2D</UploadId>
    <StorageClass>Standard</StorageClass>
    <Initiated>2024-01-02T03:04:05.000Z</Initiated>
  </Upload>
  <CommonPrefixes>
    <Prefix>dir/</Prefix>
  </CommonPrefixes>
</ListMultipartUploadsResult>
",
        );
    }

    proptest! {
        #[test]
        fn any_inside_is_read_or_refused(inside in "(<Part>|</Part>|<PartNumber>|</PartNumber>|1|<ETag>|</ETag>|<|a){0,12}") {
            let _ = parse_complete(format!("<CompleteMultipartUpload>{inside}</CompleteMultipartUpload>").as_bytes());
        }
    }
}
