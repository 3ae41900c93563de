//! The documents of DeleteMultipleObjects (HTTP API 9.6).

use super::listing::{encoded, write_encoding};
use super::tree::{Element, malformed};
use super::writer::Document;
use model::Result;
use model::name::ObjectKey;

/// The longest document that is read, in bytes.
pub const MAX_DELETE_BYTES: usize = 2 * 1024 * 1024;
const MAX_OBJECTS: usize = 1000;

/// What is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Answer only with what failed.
    pub quiet: bool,
    /// In the order sent; duplicates are legal.
    pub objects: Vec<DeleteEntry>,
}

/// One object to delete, or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteEntry {
    /// Its key.
    pub key: ObjectKey,
    /// A version as sent. Only `null` exists here.
    pub version_id: Option<String>,
}

impl DeleteRequest {
    /// Reads a `Delete`.
    ///
    /// # Errors
    /// `MalformedXML`, `InvalidObjectName`.
    pub fn parse(body: &[u8]) -> Result<Self> {
        let root = Element::parse(body, "Delete", MAX_DELETE_BYTES)?;
        let mut objects = Vec::new();
        for object in root.children_named("Object") {
            if objects.len() >= MAX_OBJECTS {
                return Err(malformed("There are more than 1000 objects."));
            }
            let key = object.child("Key")?.filter(|key| !key.text.is_empty());
            // Keys may begin and end with white space.
            let key = key.ok_or_else(|| malformed("The Key element must be specified."))?;
            objects.push(DeleteEntry {
                key: ObjectKey::parse(key.text.as_bytes())?,
                version_id: object.value("VersionId")?.map(str::to_owned),
            });
        }
        if objects.is_empty() {
            return Err(malformed("The Object element must be specified."));
        }
        Ok(Self { quiet: root.flag("Quiet")?.unwrap_or(false), objects })
    }
}

/// Writes a `DeleteResult`; in quiet mode nothing at all is sent.
pub fn render_delete_result(deleted: &[DeleteEntry], url_encoding: bool) -> String {
    let mut document = Document::new("DeleteResult");
    write_encoding(&mut document, url_encoding);
    for entry in deleted {
        document.within("Deleted", |element| {
            element.text("Key", &encoded(entry.key.as_str(), url_encoding));
            element.optional("VersionId", entry.version_id.as_ref());
        });
    }
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use model::ErrorCode;
    use proptest::prelude::*;

    fn check(inside: &str, expected: Result<(bool, &[&str]), ErrorCode>) {
        let found = DeleteRequest::parse(format!("<Delete>{inside}</Delete>").as_bytes());
        let found = found
            .as_ref()
            .map(|request| (request.quiet, request.objects.iter().map(|o| o.key.as_str()).collect::<Vec<_>>()))
            .map_err(|error| error.code);
        assert_eq!(found, expected.map(|(quiet, keys)| (quiet, keys.to_vec())), "{inside}");
    }

    #[test]
    fn requests_are_read() {
        let object = |key: &str| format!("<Object><Key>{key}</Key></Object>");
        check(&format!("<Quiet>true</Quiet>{}{}", object("a"), object("a")), Ok((true, &["a", "a"])));
        check(&object(" a\n"), Ok((false, &[" a\n"])));
        check("<Object><Key>b.ts</Key><VersionId>null</VersionId></Object>", Ok((false, &["b.ts"])));
        check("", Err(ErrorCode::MalformedXML));
        check("<Object/>", Err(ErrorCode::MalformedXML));
        check("<Object><Key/></Object>", Err(ErrorCode::MalformedXML));
        check(&object("/a"), Err(ErrorCode::InvalidObjectName));
        check(&format!("<Quiet>x</Quiet>{}", object("a")), Err(ErrorCode::MalformedXML));
        assert!(DeleteRequest::parse(format!("<Delete>{}</Delete>", object("a").repeat(1000)).as_bytes()).is_ok());
        check(&object("a").repeat(1001), Err(ErrorCode::MalformedXML));
    }

    #[test]
    fn results_are_as_documented() {
        let entry = |key: &str| DeleteEntry { key: ObjectKey::parse(key.as_bytes()).unwrap(), version_id: None };
        check_text(
            &render_delete_result(&[entry("a b.ts"), entry("b/c.ts")], true),
            "<DeleteResult>
  <EncodingType>url</EncodingType>
  <Deleted>
    <Key>a%20b.ts</Key>
  </Deleted>
  <Deleted>
    <Key>b/c.ts</Key>
  </Deleted>
</DeleteResult>
",
        );
    }

    proptest! {
        #[test]
        fn any_inside_is_read_or_refused(inside in "(<Object>|</Object>|<Key>|</Key>|<|a|&amp;|/){0,12}") {
            let _ = DeleteRequest::parse(format!("<Delete>{inside}</Delete>").as_bytes());
        }
    }
}
