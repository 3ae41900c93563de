//! The fields of a form, and what they say about the object (HTTP API 11).

use crate::request::{ObjectHeaders, RawRequest, check_form_headers};
use model::ETag;
use model::name::{BucketName, ObjectKey};
use model::percent::percent_encode;
use model::{Error, ErrorCode, Result};

/// The largest number of fields that are kept.
const MAX_FIELDS: usize = 1000;

/// The fields before the file, names in lower case because they are case-insensitive. The first of several counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PostFields {
    pairs: Vec<(String, Vec<u8>)>,
    bytes: usize,
}

/// How a successful upload is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostSuccess {
    /// 303 to this address.
    Redirect(String),
    /// 200 without a body.
    Ok,
    /// 201 with a `PostResponse`.
    Created,
    /// 204.
    NoContent,
}

impl PostFields {
    /// Adds a field.
    ///
    /// # Errors
    /// `MaxPOSTPreDataLengthExceededError` when there are too many.
    pub fn push(&mut self, name: &str, value: Vec<u8>) -> Result<()> {
        if self.pairs.len() >= MAX_FIELDS {
            return Err(ErrorCode::MaxPOSTPreDataLengthExceededError.into());
        }
        self.bytes = self.bytes.saturating_add(name.len()).saturating_add(value.len());
        self.pairs.push((name.to_ascii_lowercase(), value));
        Ok(())
    }

    /// Bytes of names and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a field says something.
    fn says(&self, lower_name: &str) -> bool {
        self.text(lower_name).is_some_and(|text| !text.trim().is_empty())
    }

    /// Whether the form has said who sends it: a signature of either version, its key and its policy, and for a temporary
    /// key its token (OSS auth 7). What comes later adds nothing to that.
    pub fn name_sender(&self) -> bool {
        let id = match self.says("x-oss-signature-version") {
            true if self.says("x-oss-signature") && self.says("x-oss-date") => self.text("x-oss-credential"),
            false if self.says("signature") => self.text("ossaccesskeyid"),
            _ => None,
        };
        let is_temporary = |id: &str| id.trim().starts_with("STS.");
        self.says("policy") && id.is_some_and(|id| !is_temporary(id) || self.says("x-oss-security-token"))
    }

    /// The value of a field, if it is UTF-8.
    pub fn text(&self, lower_name: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(name, _)| name == lower_name)?;
        std::str::from_utf8(value).ok()
    }

    /// All fields, in order.
    pub fn pairs(&self) -> &[(String, Vec<u8>)] {
        &self.pairs
    }

    /// The key, `${filename}` replaced by the base name of the file.
    ///
    /// # Errors
    /// `InvalidArgument` when there is none, `InvalidObjectName`.
    pub fn key(&self, filename: &str) -> Result<ObjectKey> {
        let Some((_, key)) = self.pairs.iter().find(|(name, _)| name == "key") else {
            let message = "Bucket POST must contain a field named 'key'.";
            return Err(Error::argument("key", "", message));
        };
        match std::str::from_utf8(key) {
            Ok(text) => ObjectKey::parse(text.replace("${filename}", filename).as_bytes()),
            Err(_) => ObjectKey::parse(key),
        }
    }

    /// The content type that is stored: `x-oss-content-type`, else that of the file's part, else the field
    /// `Content-Type`, else none.
    pub fn content_type<'a>(&'a self, of_file: Option<&'a str>) -> Option<&'a str> {
        let text = |name| self.text(name).filter(|text: &&str| !text.is_empty());
        text("x-oss-content-type").or(of_file).or_else(|| text("content-type"))
    }

    /// What the fields say about the object. The ACL of the request's header counts when no field gives one.
    ///
    /// # Errors
    /// As [`ObjectHeaders::parse`].
    pub fn object_headers(&self, raw: &RawRequest, type_of_file: Option<&str>) -> Result<ObjectHeaders> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        // Unlike repeated headers, repeated fields are not a list.
        for (name, value) in self.pairs.iter().filter(|(name, _)| name != "content-type") {
            if !pairs.iter().any(|(earlier, _)| earlier == name) {
                pairs.push((name.clone(), value.clone()));
            }
        }
        if let Some(content_type) = self.content_type(type_of_file) {
            pairs.push(("content-type".to_owned(), content_type.as_bytes().to_vec()));
        }
        if let Some(acl) = raw.header("x-oss-object-acl") {
            pairs.push(("x-oss-object-acl".to_owned(), acl.to_vec()));
        }
        check_form_headers(&pairs)?;
        ObjectHeaders::from_pairs(&pairs)
    }

    /// How success is answered. An address that could not stand in a header is ignored.
    pub fn success(&self, bucket: &BucketName, key: &ObjectKey, etag: &ETag) -> PostSuccess {
        let is_address = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte > b' ' && byte < 0x7f);
        if let Some(address) = self.text("success_action_redirect").map(str::trim).filter(is_address) {
            let separator = if address.contains('?') { '&' } else { '?' };
            let key = percent_encode(key.as_str().as_bytes(), true);
            let etag = percent_encode(etag.quoted().as_bytes(), false);
            return PostSuccess::Redirect(format!("{address}{separator}bucket={bucket}&key={key}&etag={etag}"));
        }
        match self.text("success_action_status").map(str::trim) {
            Some("200") => PostSuccess::Ok,
            Some("201") => PostSuccess::Created,
            _ => PostSuccess::NoContent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ObjectAcl;
    use proptest::prelude::*;

    fn fields(pairs: &[(&str, &str)]) -> PostFields {
        let mut fields = PostFields::default();
        for (name, value) in pairs {
            fields.push(name, value.as_bytes().to_vec()).unwrap();
        }
        fields
    }

    #[test]
    fn keys_take_the_name_of_the_file() {
        assert_eq!(fields(&[("Key", "u/${filename}")]).key("a b.jpg").unwrap().as_str(), "u/a b.jpg");
        let error = fields(&[]).key("a").unwrap_err();
        assert_eq!(error.message, "Bucket POST must contain a field named 'key'.");
        assert_eq!(fields(&[("key", "/a")]).key("").unwrap_err().code, ErrorCode::InvalidObjectName);
        assert_eq!(fields(&[("key", "")]).key("").unwrap_err().code, ErrorCode::InvalidObjectName);
    }

    #[test]
    fn content_types_have_an_order() {
        let of_field = fields(&[("Content-Type", "a/field")]);
        let of_both = fields(&[("content-type", "a/field"), ("x-oss-Content-Type", "a/oss")]);
        assert_eq!(of_field.content_type(None), Some("a/field"));
        assert_eq!(of_field.content_type(Some("a/file")), Some("a/file"));
        assert_eq!(of_both.content_type(Some("a/file")), Some("a/oss"));
        assert_eq!(fields(&[]).content_type(None), None);
        let headers = of_both.object_headers(&RawRequest::default(), None).unwrap();
        assert_eq!(headers.content.content_type.as_deref(), Some(&b"a/oss"[..]));
    }

    #[test]
    fn the_form_wins_over_the_header() {
        let raw =
            RawRequest { headers: vec![("x-oss-object-acl".into(), b"private".to_vec())], ..RawRequest::default() };
        let acl = |pairs: &[(&str, &str)]| fields(pairs).object_headers(&raw, None).unwrap().acl;
        assert_eq!(acl(&[("x-oss-object-acl", "public-read")]), Some(ObjectAcl::PublicRead));
        assert_eq!(acl(&[]), Some(ObjectAcl::Private));
        let meta = fields(&[("x-oss-meta-a", "1"), ("X-Oss-Meta-A", "2")]);
        let headers = meta.object_headers(&raw, None).unwrap();
        assert_eq!(headers.user_meta, [("a".to_owned(), b"1".to_vec())]);
    }

    #[test]
    fn senders_are_named_by_all_that_their_signature_needs() {
        let v1 = [("OSSAccessKeyId", "a"), ("policy", "p"), ("Signature", "s")];
        let v4 = ["x-oss-signature-version", "x-oss-credential", "x-oss-date", "x-oss-signature", "policy"];
        let v4 = v4.map(|name| (name, "x"));
        for whole in [&v1[..], &v4[..]] {
            assert!(fields(whole).name_sender());
            for left_out in 0..whole.len() {
                let rest: Vec<_> =
                    whole.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, p)| *p).collect();
                assert!(!fields(&rest).name_sender(), "{rest:?}");
            }
        }
        let temporary = [("ossaccesskeyid", "STS.a"), v1[1], v1[2]];
        assert!(!fields(&temporary).name_sender());
        assert!(fields(&[&temporary[..], &[("x-oss-security-token", "t")]].concat()).name_sender());
        assert_eq!(fields(&v1).bytes(), "OSSAccessKeyIdapolicypSignatures".len());
    }

    fn check(pairs: &[(&str, &str)], expected: PostSuccess) {
        let found = fields(pairs).success(
            &BucketName::parse("bkt").unwrap(),
            &ObjectKey::parse(b"a b/c").unwrap(),
            &ETag::from_text("E"),
        );
        assert_eq!(found, expected, "{pairs:?}");
    }

    #[test]
    fn success_is_answered_as_asked() {
        let redirect = |text: &str| PostSuccess::Redirect(text.to_owned());
        check(&[], PostSuccess::NoContent);
        check(&[("success_action_status", "200")], PostSuccess::Ok);
        check(&[("success_action_status", "201")], PostSuccess::Created);
        check(&[("success_action_status", "500")], PostSuccess::NoContent);
        check(
            &[("success_action_redirect", "http://h/x"), ("success_action_status", "200")],
            redirect("http://h/x?bucket=bkt&key=a%20b/c&etag=%22E%22"),
        );
        check(
            &[("success_action_redirect", "http://h/x?y=1")],
            redirect("http://h/x?y=1&bucket=bkt&key=a%20b/c&etag=%22E%22"),
        );
        check(&[("success_action_redirect", "http://h/\r\nx: y")], PostSuccess::NoContent);
    }

    proptest! {
        #[test]
        fn any_fields_are_read_or_refused(pairs in proptest::collection::vec(("[a-zA-Z-]{0,20}|key|x-oss-tagging", any::<Vec<u8>>()), 0..5), name: String) {
            let mut fields = PostFields::default();
            for (name, value) in pairs {
                fields.push(&name, value).unwrap();
            }
            let _ = (fields.key(&name), fields.object_headers(&RawRequest::default(), Some(&name)));
        }
    }
}
