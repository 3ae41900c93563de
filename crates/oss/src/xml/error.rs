//! The body of an error answer (HTTP API 6.1, LiveChannel 0.7).

use super::writer::Document;
use model::Error;

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
}
