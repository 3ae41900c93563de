//! Parameters of multipart uploads (HTTP API 10).

use super::query::{parse_decimal, shown};
use super::{Query, RawRequest};
use model::{Error, ErrorCode, Result};

/// The highest part number.
pub const MAX_PART_NUMBER: u32 = 10_000;

/// The upload that a request names. Whether it exists is not known yet.
pub fn upload_id(query: &Query) -> &str {
    query.first("uploadId").unwrap_or_default()
}

/// The number of the part that UploadPart brings.
///
/// # Errors
/// `InvalidArgument`.
pub fn parse_part_number(query: &Query) -> Result<u32> {
    let text = query.first("partNumber").unwrap_or_default();
    parse_decimal(text)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (1..=MAX_PART_NUMBER).contains(number))
        .ok_or_else(|| {
            let message = "Part number must be an integer between 1 and 10000, inclusive.";
            Error::argument("partNumber", shown(text), message)
        })
}

/// Refuses encryption headers on UploadPart: they belong to the initiation (HTTP API 10.2).
///
/// # Errors
/// `InvalidArgument`.
pub fn check_part_headers(raw: &RawRequest) -> Result<()> {
    match raw.header_text("x-oss-server-side-encryption") {
        None => Ok(()),
        Some(value) => {
            let message = "The encryption header is not allowed for a part.";
            Err(Error::argument("x-oss-server-side-encryption", shown(value), message))
        }
    }
}

/// Whether CompleteMultipartUpload takes all parts there are (`x-oss-complete-all: yes`).
///
/// # Errors
/// `InvalidArgument` when the request has a body as well, or for any other value.
pub fn parse_complete_all(raw: &RawRequest, body: &[u8]) -> Result<bool> {
    match raw.header_text("x-oss-complete-all") {
        None | Some("") => Ok(false),
        Some(text) if text.eq_ignore_ascii_case("yes") => {
            if body.is_empty() {
                return Ok(true);
            }
            let message = "Should not speficy both complete all header and http body.";
            Err(Error::new(ErrorCode::InvalidArgument).message(message).ec("0042-00000216"))
        }
        Some(text) => Err(Error::argument("x-oss-complete-all", shown(text), "The value must be yes.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn part_numbers_have_bounds() {
        for (raw, number) in [
            ("partNumber=1&uploadId=U", Some(1)),
            ("partNumber=10000", Some(10_000)),
            ("partNumber=0", None),
            ("partNumber=10001", None),
            ("partNumber=", None),
            ("uploadId=U", None),
            ("partNumber=1.0", None),
        ] {
            assert_eq!(parse_part_number(&Query::parse(raw)).ok(), number, "{raw}");
        }
        assert_eq!(upload_id(&Query::parse("uploadId=U%2F")), "U/");
    }

    #[test]
    fn complete_all_excludes_a_body() {
        let request = |value: &str| RawRequest {
            headers: vec![("x-oss-complete-all".into(), value.as_bytes().to_vec())],
            ..RawRequest::default()
        };
        assert_eq!(parse_complete_all(&RawRequest::default(), b"<x/>").ok(), Some(false));
        assert_eq!(parse_complete_all(&request("yes"), b"").ok(), Some(true));
        assert_eq!(parse_complete_all(&request("yes"), b"x").unwrap_err().ec, Some("0042-00000216"));
        assert!(parse_complete_all(&request("no"), b"").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_number_or_not(text: String) {
            let _ = parse_part_number(&Query::parse(&format!("partNumber={text}")));
        }
    }
}
