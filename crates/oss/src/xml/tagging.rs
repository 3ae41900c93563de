//! The tags of a bucket or an object (HTTP API 8.17, 9.11).

use super::MAX_DOCUMENT_BYTES;
use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::{check_object_tags, shown};
use model::Tag;
use model::{Error, ErrorCode, Result};

const MAX_BUCKET_TAGS: usize = 20;

/// Reads the `Tagging` of an object.
///
/// # Errors
/// `MalformedXML`, `InvalidTag`.
pub fn parse_object_tagging(body: &[u8]) -> Result<Vec<Tag>> {
    let tags = parse(body)?;
    check_object_tags(&tags)?;
    Ok(tags)
}

/// Reads the `Tagging` of a bucket.
///
/// # Errors
/// `MalformedXML`, `TooManyTags`, `InvalidTag`.
pub fn parse_bucket_tagging(body: &[u8]) -> Result<Vec<Tag>> {
    let tags = parse(body)?;
    if tags.len() > MAX_BUCKET_TAGS {
        return Err(ErrorCode::TooManyTags.into());
    }
    for (index, tag) in tags.iter().enumerate() {
        let is_reserved = ["http://", "https://", "Aliyun"].iter().any(|start| tag.key.starts_with(start));
        let is_repeated = tags.iter().take(index).any(|earlier| earlier.key == tag.key);
        if !(1..=64).contains(&tag.key.len()) || is_reserved || is_repeated {
            return Err(Error::new(ErrorCode::InvalidTag).with("TagKey", shown(&tag.key)));
        }
        if tag.value.len() > 128 {
            return Err(Error::new(ErrorCode::InvalidTag)
                .message("The TagValue you have provided is invalid.")
                .with("TagValue", shown(&tag.value)));
        }
    }
    Ok(tags)
}

fn parse(body: &[u8]) -> Result<Vec<Tag>> {
    let root = Element::parse(body, "Tagging", MAX_DOCUMENT_BYTES)?;
    let set = root.child("TagSet")?.ok_or_else(|| malformed("The TagSet element must be specified."))?;
    let text = |tag: &Element, name: &str| {
        Ok::<_, Error>(tag.child(name)?.map(|element| element.trimmed().to_owned()).unwrap_or_default())
    };
    set.children_named("Tag").map(|tag| Ok(Tag { key: text(tag, "Key")?, value: text(tag, "Value")? })).collect()
}

/// Writes a `Tagging`, with an empty `TagSet` when there are none.
pub fn render_tagging(tags: &[Tag]) -> String {
    let mut document = Document::new("Tagging");
    document.within("TagSet", |set| {
        for tag in tags {
            set.within("Tag", |element| {
                element.text("Key", &tag.key).text("Value", &tag.value);
            });
        }
    });
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use proptest::prelude::*;

    fn body(tags: &[(&str, &str)]) -> String {
        let tags: Vec<Tag> =
            tags.iter().map(|(key, value)| Tag { key: (*key).into(), value: (*value).into() }).collect();
        render_tagging(&tags)
    }

    #[test]
    fn tags_are_written_as_documented() {
        check_text(
            &body(&[("k", "v")]),
            "<Tagging>
  <TagSet>
    <Tag>
      <Key>k</Key>
      <Value>v</Value>
    </Tag>
  </TagSet>
</Tagging>
",
        );
        check_text(&body(&[]), "<Tagging>\n  <TagSet></TagSet>\n</Tagging>\n");
    }

    fn check(tags: &[(&str, &str)], bucket: Option<ErrorCode>, object: Option<ErrorCode>) {
        let body = body(tags);
        assert_eq!(parse_bucket_tagging(body.as_bytes()).err().map(|error| error.code), bucket, "{tags:?}");
        assert_eq!(parse_object_tagging(body.as_bytes()).err().map(|error| error.code), object, "{tags:?}");
    }

    #[test]
    fn limits_differ_between_buckets_and_objects() {
        let invalid = Some(ErrorCode::InvalidTag);
        let keys: Vec<String> = (0..21).map(|index| format!("k{index}")).collect();
        let many: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "")).collect();
        let (k65, k129, v129, v257) = ("a".repeat(65), "a".repeat(129), "a".repeat(129), "a".repeat(257));
        check(&many[..10], None, None);
        check(&many[..20], None, invalid);
        check(&many, Some(ErrorCode::TooManyTags), invalid);
        check(&[("", "v")], invalid, invalid);
        check(&[("a", "1"), ("a", "2")], invalid, invalid);
        check(&[("http://a", "")], invalid, None);
        check(&[("Aliyun", "")], invalid, None);
        check(&[(&k65, "")], invalid, None);
        check(&[(&k129, "")], invalid, invalid);
        check(&[("a", &v129)], invalid, None);
        check(&[("a", &v257)], invalid, invalid);
        check(&[("a,b", "")], None, invalid);
        assert_eq!(parse_object_tagging(b"<Tagging/>").unwrap_err().code, ErrorCode::MalformedXML);
    }

    proptest! {
        #[test]
        fn any_inside_is_read_or_refused(inside in "(<Tag>|</Tag>|<Key>|</Key>|<Value>|</Value>|<|a){0,9}") {
            let body = format!("<Tagging><TagSet>{inside}</TagSet></Tagging>");
            let _ = (parse_bucket_tagging(body.as_bytes()), parse_object_tagging(body.as_bytes()));
        }
    }
}
