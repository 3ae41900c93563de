//! Reads request bodies into a small tree (HTTP API 5.6, LiveChannel 0.6): names without prefixes, text, children.
//! Attributes, comments and processing instructions are dropped; DTDs and entities of their own are refused.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use model::{Error, ErrorCode, Result};

/// Nothing we read nests deeper than six.
const MAX_DEPTH: usize = 32;
/// Enough for 10 000 parts of an upload or 1000 lifecycle rules.
const MAX_ELEMENTS: usize = 65_536;

/// One element.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// The name without its namespace prefix.
    pub(crate) name: String,
    /// All text directly inside, references resolved.
    pub(crate) text: String,
    /// The elements directly inside, in order.
    pub(crate) children: Vec<Element>,
}

/// The refusal of a document that cannot be read, with the reason.
pub(crate) fn malformed(detail: impl Into<String>) -> Error {
    Error::new(ErrorCode::MalformedXML).with("ErrorDetail", detail)
}

impl Element {
    /// Reads a document of at most `max_bytes` whose root is called `root`.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub(crate) fn parse(body: &[u8], root: &str, max_bytes: usize) -> Result<Self> {
        if body.len() > max_bytes {
            return Err(malformed(format!("The document exceeds {max_bytes} bytes.")));
        }
        let text = std::str::from_utf8(body).map_err(|_| malformed("The document is not UTF-8."))?;
        let element = read(text.strip_prefix('\u{feff}').unwrap_or(text))?;
        if element.name == root { Ok(element) } else { Err(malformed(format!("The root element must be {root}."))) }
    }

    /// The text without surrounding white space.
    pub(crate) fn trimmed(&self) -> &str {
        self.text.trim()
    }

    /// All children of this name.
    pub(crate) fn children_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Element> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The child of this name.
    ///
    /// # Errors
    /// `MalformedXML` when there are several.
    pub(crate) fn child(&self, name: &str) -> Result<Option<&Element>> {
        let mut found = self.children.iter().filter(|child| child.name == name);
        let first = found.next();
        if found.next().is_some() {
            return Err(malformed(format!("The element {name} must not be repeated.")));
        }
        Ok(first)
    }

    /// The trimmed text of the child of this name; `None` when it is missing or empty, which mean the same.
    ///
    /// # Errors
    /// `MalformedXML` when there are several.
    pub(crate) fn value(&self, name: &str) -> Result<Option<&str>> {
        Ok(self.child(name)?.map(Element::trimmed).filter(|text| !text.is_empty()))
    }

    /// Like [`Element::value`], for elements that must not be missing or empty.
    ///
    /// # Errors
    /// `MalformedXML`.
    pub(crate) fn required(&self, name: &str) -> Result<&str> {
        self.value(name)?.ok_or_else(|| malformed(format!("The {name} element must be specified.")))
    }

    /// A value spelled `true` or `false`; `None` when missing or empty.
    ///
    /// # Errors
    /// `MalformedXML` for any other spelling.
    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>> {
        match self.value(name)? {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(malformed(format!("The {name} element must be true or false."))),
        }
    }
}

fn read(text: &str) -> Result<Element> {
    let broken = |error: quick_xml::Error| malformed(error.to_string());
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut count = 0usize;
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(start) => {
                count = admit(count, open.len(), root.is_some())?;
                open.push(named(&start));
            }
            Event::Empty(start) => {
                count = admit(count, open.len(), root.is_some())?;
                place(named(&start), &mut open, &mut root);
            }
            // The reader has compared the name with that of the start tag.
            Event::End(_) => {
                if let Some(element) = open.pop() {
                    place(element, &mut open, &mut root);
                }
            }
            Event::Text(text) => add_text(&text.xml10_content(), &mut open)?,
            Event::CData(text) => add_text(&text.xml10_content(), &mut open)?,
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref().map_err(broken)? {
                    Some(character) => character,
                    None => match &*reference.xml10_content() {
                        "lt" => '<',
                        "gt" => '>',
                        "amp" => '&',
                        "apos" => '\'',
                        "quot" => '"',
                        _ => return Err(malformed("Entities are not allowed.")),
                    },
                };
                let parent = open.last_mut().ok_or_else(|| malformed("There is text outside the root element."))?;
                if !is_allowed(resolved) {
                    return Err(malformed("The text has characters that XML does not allow."));
                }
                parent.text.push(resolved);
            }
            Event::DocType(_) => return Err(malformed("A document type declaration is not allowed.")),
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    match root {
        Some(root) if open.is_empty() => Ok(root),
        _ => Err(malformed("The document ends too early.")),
    }
}

/// Whether a character can be written back. XML 1.0 forbids most control characters, but keys may hold them, and they are
/// written as references; of NUL not even that can be read again.
fn is_allowed(character: char) -> bool {
    character != '\0'
}

fn named(start: &BytesStart<'_>) -> Element {
    Element { name: start.local_name().as_ref().to_owned(), ..Element::default() }
}

fn admit(count: usize, depth: usize, has_root: bool) -> Result<usize> {
    if depth >= MAX_DEPTH || count >= MAX_ELEMENTS {
        return Err(malformed("The document has too many elements."));
    }
    if depth == 0 && has_root {
        return Err(malformed("There must be one root element."));
    }
    Ok(count + 1)
}

fn place(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn add_text(text: &str, open: &mut [Element]) -> Result<()> {
    if !text.chars().all(is_allowed) {
        return Err(malformed("The text has characters that XML does not allow."));
    }
    match open.last_mut() {
        Some(parent) => parent.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(malformed("There is text outside the root element.")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expected: Option<&str>) {
        fn show(element: &Element) -> String {
            let inside: String = element.children.iter().map(show).collect();
            format!("{}[{}{}]", element.name, element.trimmed(), inside)
        }
        let element = Element::parse(text.as_bytes(), "A", 1000);
        assert_eq!(element.ok().as_ref().map(show).as_deref(), expected, "{text}");
    }

    #[test]
    fn documents_are_read_leniently_where_the_rules_say_so() {
        check("<A/>", Some("A[]"));
        check("<A></A>\n", Some("A[]"));
        check(
            "\u{feff}<?xml version=\"1.0\"?>\n<!-- c --><A xmlns=\"http://x\"><p:B q=\"1\"> x </p:B></A>",
            Some("A[B[x]]"),
        );
        check("<A><B>&lt;&#65;&#x42;&amp;&quot;&apos;&gt;<![CDATA[<c>]]></B></A>", Some("A[B[<AB&\"'><c>]]"));
        check("<A>x<!-- c -->y<?pi z?></A>", Some("A[xy]"));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for text in [
            "",
            " ",
            "<B/>",
            "<A>",
            "<A></B>",
            "</A>",
            "<A/><A/>",
            "<A/>x",
            "<A>&x;</A>",
            "<A>&#0;</A>",
            "<A>&#xFFFFFFFF;</A>",
            "<!DOCTYPE a><A/>",
            "<!DOCTYPE a [<!ENTITY x \"y\">]><A>&x;</A>",
            "<A",
            "not xml",
        ] {
            check(text, None);
        }
        assert!(Element::parse(b"<A>\xff</A>", "A", 1000).is_err());
        assert!(Element::parse(b"<A></A>", "A", 6).is_err());
    }

    #[test]
    fn depth_and_number_of_elements_are_bounded() {
        let nested = |depth: usize| format!("{}{}", "<A>".repeat(depth), "</A>".repeat(depth));
        assert!(Element::parse(nested(MAX_DEPTH).as_bytes(), "A", 1 << 20).is_ok());
        assert!(Element::parse(nested(MAX_DEPTH + 1).as_bytes(), "A", 1 << 20).is_err());
        let wide = |count: usize| format!("<A>{}</A>", "<b/>".repeat(count));
        assert!(Element::parse(wide(MAX_ELEMENTS - 1).as_bytes(), "A", 1 << 20).is_ok());
        assert!(Element::parse(wide(MAX_ELEMENTS).as_bytes(), "A", 1 << 20).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_document_or_not(bytes: Vec<u8>, text in "(<|>|/|A|&|;|#|x|!|\\[|\\]|CDATA|-| |\"|=|\\?){0,60}") {
            let _ = (Element::parse(&bytes, "A", 1000), Element::parse(text.as_bytes(), "A", 1000));
        }
    }
}
