//! Small documents about one object (HTTP API 9.7, 10.3, 11).

use super::writer::Document;
use model::ETag;
use model::date::format_iso8601;

/// Writes a `CopyObjectResult` (HTTP API 9.7).
pub fn render_copy_object_result(etag: &ETag, modified_ms: i64) -> String {
    let mut document = Document::new("CopyObjectResult");
    document.text("ETag", &etag.quoted()).text("LastModified", &format_iso8601(modified_ms));
    document.finish()
}

/// Writes a `CopyPartResult` (HTTP API 10.3).
pub fn render_copy_part_result(etag: &ETag, modified_ms: i64) -> String {
    let mut document = Document::new("CopyPartResult");
    document.text("LastModified", &format_iso8601(modified_ms)).text("ETag", &etag.quoted());
    document.finish()
}

/// Writes a `PostResponse` (HTTP API 11).
pub fn render_post_response(bucket: &str, key: &str, etag: &ETag, location: &str) -> String {
    let mut document = Document::new("PostResponse");
    document.text("Bucket", bucket).text("ETag", &etag.quoted()).text("Key", key).text("Location", location);
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;

    #[test]
    fn results_are_as_documented() {
        let etag = ETag::from_text("5B3C1A2E053D763E1B002CC607C5A0FE");
        check_text(
            &render_copy_object_result(&etag, 1_704_164_645_999),
            "<CopyObjectResult>
  <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag>
  <LastModified>2024-01-02T03:04:05.000Z</LastModified>
</CopyObjectResult>
",
        );
        check_text(
            &render_copy_part_result(&etag, 1_704_164_645_000),
            "<CopyPartResult>
  <LastModified>2024-01-02T03:04:05.000Z</LastModified>
  <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag>
</CopyPartResult>
",
        );
        check_text(
            &render_post_response("examplebucket", "upload/a.jpg", &etag, "http://h/upload/a.jpg"),
            "<PostResponse>
  <Bucket>examplebucket</Bucket>
  <ETag>\"5B3C1A2E053D763E1B002CC607C5A0FE\"</ETag>
  <Key>upload/a.jpg</Key>
  <Location>http://h/upload/a.jpg</Location>
</PostResponse>
",
        );
    }
}
