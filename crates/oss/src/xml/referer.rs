//! The hotlink protection of a bucket (HTTP API 8.12).

use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::shown;
use model::RefererConfiguration;
use model::{Error, Result};

/// The longest document that is read, in bytes. It holds the longest lists of usual entries.
pub const MAX_REFERER_BYTES: usize = 64 * 1024;
const MAX_ENTRIES: usize = 500;
const MAX_ENTRY_BYTES: usize = 1024;

/// Reads a `RefererConfiguration`.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`.
pub fn parse_referer(body: &[u8]) -> Result<RefererConfiguration> {
    let root = Element::parse(body, "RefererConfiguration", MAX_REFERER_BYTES)?;
    let allow_empty_referer =
        root.flag("AllowEmptyReferer")?.ok_or_else(|| malformed("The AllowEmptyReferer element must be specified."))?;
    let list = root
        .child("RefererList")?
        .ok_or_else(|| malformed("The RefererList element must be specified.").ec("0033-00000005"))?;
    Ok(RefererConfiguration {
        allow_empty_referer,
        allow_truncate_query_string: root.flag("AllowTruncateQueryString")?.unwrap_or(true),
        truncate_path: root.flag("TruncatePath")?.unwrap_or(false),
        referers: parse_list(list)?,
        blacklist: root.child("RefererBlacklist")?.map(parse_list).transpose()?,
    })
}

/// Empty entries stand for nothing: SDKs write an empty list as one of them.
fn parse_list(list: &Element) -> Result<Vec<String>> {
    let mut entries = Vec::new();
    for entry in list.children_named("Referer").map(Element::trimmed).filter(|entry| !entry.is_empty()) {
        if entry.len() > MAX_ENTRY_BYTES {
            return Err(Error::argument("Referer", shown(entry), "The Referer exceeds 1024 bytes."));
        }
        if entries.len() >= MAX_ENTRIES {
            return Err(Error::argument("RefererList", "", "The list has more than 500 entries."));
        }
        entries.push(entry.to_owned());
    }
    Ok(entries)
}

/// Writes a `RefererConfiguration`; for a bucket without one, its default.
pub fn render_referer(referer: &RefererConfiguration) -> String {
    let mut document = Document::new("RefererConfiguration");
    document
        .value("AllowEmptyReferer", referer.allow_empty_referer)
        .value("AllowTruncateQueryString", referer.allow_truncate_query_string)
        .value("TruncatePath", referer.truncate_path);
    write_list(&mut document, "RefererList", &referer.referers);
    if let Some(blacklist) = &referer.blacklist {
        write_list(&mut document, "RefererBlacklist", blacklist);
    }
    document.finish()
}

fn write_list(document: &mut Document, name: &'static str, entries: &[String]) {
    document.within(name, |element| {
        for entry in entries {
            element.text("Referer", entry);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "<RefererConfiguration>
  <AllowEmptyReferer>true</AllowEmptyReferer>
  <AllowTruncateQueryString>true</AllowTruncateQueryString>
  <TruncatePath>false</TruncatePath>
  <RefererList>
    <Referer>http://www.example.com</Referer>
    <Referer>https://*.example.com</Referer>
  </RefererList>
  <RefererBlacklist>
    <Referer>https://bad.example.com</Referer>
  </RefererBlacklist>
</RefererConfiguration>
";

    #[test]
    fn the_example_is_read_and_written() {
        check_text(&render_referer(&parse_referer(EXAMPLE.as_bytes()).unwrap()), EXAMPLE);
    }

    #[test]
    fn a_fresh_bucket_has_the_documented_answer() {
        check_text(
            &render_referer(&RefererConfiguration::default()),
            "<RefererConfiguration>
  <AllowEmptyReferer>true</AllowEmptyReferer>
  <AllowTruncateQueryString>true</AllowTruncateQueryString>
  <TruncatePath>false</TruncatePath>
  <RefererList></RefererList>
</RefererConfiguration>
",
        );
    }

    fn read(inside: &str) -> Result<RefererConfiguration> {
        parse_referer(format!("<RefererConfiguration>{inside}</RefererConfiguration>").as_bytes())
    }

    #[test]
    fn required_elements_and_limits() {
        let empty = "<AllowEmptyReferer>false</AllowEmptyReferer><RefererList><Referer></Referer></RefererList>";
        let found = read(empty).unwrap();
        assert!(!found.allow_empty_referer && found.referers.is_empty() && found.blacklist.is_none());
        assert_eq!(read("<AllowEmptyReferer>true</AllowEmptyReferer>").unwrap_err().ec, Some("0033-00000005"));
        assert!(read("<RefererList/>").is_err());
        assert!(read("<AllowEmptyReferer>True</AllowEmptyReferer><RefererList/>").is_err());
        let many = |count: usize, entry: &str| {
            let entries = format!("<Referer>{entry}</Referer>").repeat(count);
            read(&format!("<AllowEmptyReferer>true</AllowEmptyReferer><RefererList>{entries}</RefererList>"))
        };
        assert!(many(500, "a").is_ok());
        assert!(many(501, "a").is_err());
        assert!(many(1, &"a".repeat(1024)).is_ok());
        assert!(many(1, &"a".repeat(1025)).is_err());
    }

    proptest! {
        #[test]
        fn any_inside_is_read_or_refused(inside in "(<RefererList>|</RefererList>|<Referer>|</Referer>|<|a|true){0,9}") {
            let _ = read(&inside);
            let _ = read(&format!("<AllowEmptyReferer>true</AllowEmptyReferer>{inside}"));
        }
    }
}
