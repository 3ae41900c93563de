//! The website configuration of a bucket (HTTP API 8.16).

use super::MAX_DOCUMENT_BYTES;
use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::shown;
use model::name::ObjectKey;
use model::{Error, ErrorCode, Result};
use model::{ErrorDocument, IndexDocument, WebsiteConfiguration};

/// Reads a `WebsiteConfiguration`.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, and `NotImplemented` for routing rules.
pub fn parse_website(body: &[u8]) -> Result<WebsiteConfiguration> {
    let root = Element::parse(body, "WebsiteConfiguration", MAX_DOCUMENT_BYTES)?;
    if root.child("RoutingRules")?.is_some_and(|rules| !rules.children.is_empty()) {
        return Err(Error::new(ErrorCode::NotImplemented).with("Element", "RoutingRules"));
    }
    let website = WebsiteConfiguration {
        index_document: root.child("IndexDocument")?.map(parse_index).transpose()?,
        error_document: root.child("ErrorDocument")?.map(parse_error_page).transpose()?,
    };
    if website == WebsiteConfiguration::default() {
        return Err(malformed("There must be an IndexDocument or an ErrorDocument."));
    }
    Ok(website)
}

fn parse_index(index: &Element) -> Result<IndexDocument> {
    let suffix = index.required("Suffix")?;
    if suffix.contains('/') || suffix.len() > ObjectKey::MAX_BYTES {
        return Err(Error::argument("Suffix", shown(suffix), "The Suffix must be an object name without '/'."));
    }
    let sub_dir_type = match index.value("Type")? {
        None | Some("0") => 0,
        Some("1") => 1,
        Some("2") => 2,
        Some(text) => return Err(Error::argument("Type", shown(text), "The Type must be 0, 1 or 2.")),
    };
    Ok(IndexDocument {
        suffix: suffix.to_owned(),
        support_sub_dir: index.flag("SupportSubDir")?.unwrap_or(false),
        sub_dir_type,
    })
}

fn parse_error_page(error: &Element) -> Result<ErrorDocument> {
    let key = error.required("Key")?;
    if ObjectKey::parse(key.as_bytes()).is_err() {
        return Err(Error::argument("Key", shown(key), "The Key must be a legal object name."));
    }
    let http_status = match error.value("HttpStatus")? {
        None | Some("404") => 404,
        Some("200") => 200,
        Some(text) => return Err(Error::argument("HttpStatus", shown(text), "The HttpStatus must be 200 or 404.")),
    };
    Ok(ErrorDocument { key: key.to_owned(), http_status })
}

/// Writes a `WebsiteConfiguration`.
pub fn render_website(website: &WebsiteConfiguration) -> String {
    let mut document = Document::new("WebsiteConfiguration");
    if let Some(index) = &website.index_document {
        document.within("IndexDocument", |element| {
            element
                .text("Suffix", &index.suffix)
                .value("SupportSubDir", index.support_sub_dir)
                .value("Type", index.sub_dir_type);
        });
    }
    if let Some(error) = &website.error_document {
        document.within("ErrorDocument", |element| {
            element.text("Key", &error.key).value("HttpStatus", error.http_status);
        });
    }
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use proptest::prelude::*;

    fn read(inside: &str) -> Result<WebsiteConfiguration> {
        parse_website(format!("<WebsiteConfiguration>{inside}</WebsiteConfiguration>").as_bytes())
    }

    #[test]
    fn both_documents_come_back() {
        let website = read(
            "<IndexDocument><Suffix>index.html</Suffix></IndexDocument><ErrorDocument><Key>e/404.html</Key></ErrorDocument>",
        )
        .unwrap();
        check_text(
            &render_website(&website),
            "<WebsiteConfiguration>
  <IndexDocument>
    <Suffix>index.html</Suffix>
    <SupportSubDir>false</SupportSubDir>
    <Type>0</Type>
  </IndexDocument>
  <ErrorDocument>
    <Key>e/404.html</Key>
    <HttpStatus>404</HttpStatus>
  </ErrorDocument>
</WebsiteConfiguration>
",
        );
        assert_eq!(parse_website(render_website(&website).as_bytes()).unwrap(), website);
    }

    #[test]
    fn what_cannot_act_is_refused() {
        let index = |inside: &str| format!("<IndexDocument><Suffix>i</Suffix>{inside}</IndexDocument>");
        for (inside, code) in [
            (index("<SupportSubDir>true</SupportSubDir><Type>2</Type>"), None),
            (String::new(), Some(ErrorCode::MalformedXML)),
            ("<IndexDocument/>".into(), Some(ErrorCode::MalformedXML)),
            (index("<Type>3</Type>"), Some(ErrorCode::InvalidArgument)),
            ("<IndexDocument><Suffix>a/b</Suffix></IndexDocument>".into(), Some(ErrorCode::InvalidArgument)),
            ("<ErrorDocument><Key>/a</Key></ErrorDocument>".into(), Some(ErrorCode::InvalidArgument)),
            (format!("{}<RoutingRules><RoutingRule/></RoutingRules>", index("")), Some(ErrorCode::NotImplemented)),
        ] {
            assert_eq!(read(&inside).err().map(|error| error.code), code, "{inside}");
        }
    }

    proptest! {
        #[test]
        fn any_inside_is_read_or_refused(inside in "(<IndexDocument>|</IndexDocument>|<Suffix>|</Suffix>|<|a){0,9}") {
            let _ = read(&inside);
        }
    }
}
