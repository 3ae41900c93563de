//! The body of an error answer (HTTP API 6.1, LiveChannel 0.7).

use super::MAX_DOCUMENT_BYTES;
use super::tree::Element;
use super::writer::Document;
use model::{Error, Result};

/// Writes an error as the client reads it. `host_id` is the host of the request without its port.
pub fn render_error(error: &Error, request_id: &str, host_id: &str) -> String {
    let mut document = Document::new("Error");
    document
        .text("Code", error.code.as_str())
        .text("Message", &error.message)
        .text("RequestId", request_id)
        .text("HostId", host_id);
    for (name, value) in &error.elements {
        document.text(name, value);
    }
    if let Some(ec) = error.ec {
        document.text("EC", ec);
        document.text("RecommendDoc", &format!("https://api.aliyun.com/troubleshoot?q={ec}"));
    }
    document.finish()
}

/// What a client reads of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code, for example `NoSuchKey`; empty when the document has none.
    pub code: String,
    /// The sentence for people; empty when the document has none.
    pub message: String,
}

/// Reads the body of an error answer.
///
/// # Errors
/// `MalformedXML` when it is another document, or none.
pub fn read_error(body: &[u8]) -> Result<Refusal> {
    let document = Element::parse(body, "Error", MAX_DOCUMENT_BYTES)?;
    let text = |name| document.value(name).map(|text| text.unwrap_or_default().to_owned());
    Ok(Refusal { code: text("Code")?, message: text("Message")? })
}

#[cfg(test)]
mod tests {
    use super::super::check_golden;
    use super::*;
    use model::ErrorCode;

    #[test]
    fn the_documented_error_is_byte_exact() {
        let text = render_error(
            &Error::new(ErrorCode::NoSuchLiveChannel),
            "5F0A1B2C3D4E5F6071829304",
            "examplebucket.oss.example.com",
        );
        check_golden(&text, 360, "510E55818DE95D7973FBFDA56947C71D");
    }

    #[test]
    fn elements_stand_between_host_and_ec() {
        let error = Error::argument("max-keys", "<0>", "no").ec("0044-00000101");
        let text = render_error(&error, "R", "h");
        assert!(text.contains(
            "  <HostId>h</HostId>\n  <ArgumentName>max-keys</ArgumentName>\n  \
             <ArgumentValue>&lt;0&gt;</ArgumentValue>\n  <EC>0044-00000101</EC>\n"
        ));
    }

    #[test]
    fn what_is_written_is_read() {
        let error = Error::argument("max-keys", "<0>", "<0> & less");
        let refusal = Refusal { code: "InvalidArgument".to_owned(), message: "<0> & less".to_owned() };
        assert_eq!(read_error(render_error(&error, "R", "h").as_bytes()), Ok(refusal));
        for text in ["", "{}", "<Other><Code>x</Code></Other>", "<Error><Code>x</Code><Code>y</Code></Error>"] {
            assert!(read_error(text.as_bytes()).is_err(), "{text}");
        }
    }
}
