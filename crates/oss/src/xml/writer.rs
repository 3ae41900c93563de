//! Writes documents in the one layout that clients have been seen to need (LiveChannel 0.6): declaration, two spaces
//! per level, one element per line, no attributes, never self-closed.

use std::fmt::{Display, Write};

/// A document being written. Elements are opened and closed in pairs; `finish` closes what is still open.
pub(crate) struct Document {
    out: String,
    open: Vec<&'static str>,
}

impl Document {
    /// Begins a document with its root element.
    pub(crate) fn new(root: &'static str) -> Self {
        let mut document =
            Self { out: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), open: Vec::with_capacity(4) };
        document.open(root);
        document
    }

    fn indent(&mut self) {
        for _ in 0..self.open.len() {
            self.out.push_str("  ");
        }
    }

    /// Begins an element that has children.
    pub(crate) fn open(&mut self, name: &'static str) -> &mut Self {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        self.out.push_str(">\n");
        self.open.push(name);
        self
    }

    /// Ends the innermost open element. One without children is closed on its line, so that no parser takes the line
    /// break for its text; only the root keeps its two lines (LiveChannel 10).
    pub(crate) fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            let has_children = !self.out.ends_with(&format!("<{name}>\n"));
            if has_children || self.open.is_empty() {
                self.indent();
            } else {
                self.out.pop();
            }
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push_str(">\n");
        }
        self
    }

    /// An element with children written by `content`.
    pub(crate) fn within(&mut self, name: &'static str, content: impl FnOnce(&mut Self)) -> &mut Self {
        self.open(name);
        content(self);
        self.close()
    }

    /// An element with text.
    pub(crate) fn text(&mut self, name: &'static str, text: &str) -> &mut Self {
        self.indent();
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
        escape_into(text, &mut self.out);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push_str(">\n");
        self
    }

    /// An element with a number, a flag or a spelled value.
    pub(crate) fn value(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.text(name, &value.to_string())
    }

    /// An element that is left out without a value.
    pub(crate) fn optional(&mut self, name: &'static str, value: Option<impl Display>) -> &mut Self {
        match value {
            Some(value) => self.value(name, value),
            None => self,
        }
    }

    /// The whole text.
    pub(crate) fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }
}

/// Escapes what would end the text, and a carriage return, which readers would turn into a line feed. Characters that
/// XML 1.0 forbids become references all the same: strict parsers fail on them either way (HTTP API 5.5).
fn escape_into(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\r' => out.push_str("&#13;"),
            '\t' | '\n' => out.push(character),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => {
                let _ = write!(out, "&#x{:02X};", u32::from(character));
            }
            _ => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Element;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_is_fixed() {
        let mut document = Document::new("A");
        document.text("B", "").within("C", |c| {
            c.value("D", 7).optional("E", None::<u8>).within("F", |_| {});
        });
        let text = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<A>\n  <B></B>\n  <C>\n    <D>7</D>\n    <F></F>\n  </C>\n</A>\n";
        assert_eq!(document.finish(), text);
    }

    #[test]
    fn text_is_escaped() {
        let mut document = Document::new("A");
        document.text("B", "a&b<c>d\re\"f'\u{1}");
        assert!(document.finish().contains("<B>a&amp;b&lt;c&gt;d&#13;e\"f'&#x01;</B>"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in "[^\0]*") {
            let mut document = Document::new("A");
            document.text("B", &text);
            let root = Element::parse(document.finish().as_bytes(), "A", usize::MAX).unwrap();
            prop_assert_eq!(&root.children[0].text, &text);
        }
    }
}
