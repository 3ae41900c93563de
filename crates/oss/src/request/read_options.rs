//! What a reader may ask beside the object itself (HTTP API 9.2, 14, 15).

use super::query::shown;
use super::{Query, Route};
use model::{Error, ErrorCode, Result};

/// Stored headers that this answer replaces: `response-content-type` and its kin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseOverrides {
    /// Lower-case header names and their values for this answer.
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

impl ResponseOverrides {
    /// Reads the query.
    ///
    /// # Errors
    /// `InvalidRequest` when an anonymous caller asks for any, `InvalidArgument` for values that would break a header.
    pub fn parse(query: &Query, is_anonymous: bool) -> Result<Self> {
        let mut headers = Vec::new();
        for (parameter, header) in [
            ("response-content-type", "content-type"),
            ("response-content-language", "content-language"),
            ("response-expires", "expires"),
            ("response-cache-control", "cache-control"),
            ("response-content-disposition", "content-disposition"),
            ("response-content-encoding", "content-encoding"),
        ] {
            let Some(pair) = query.pair(parameter) else { continue };
            if pair.value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
                let message = "The value has characters that are not allowed.";
                return Err(Error::argument(parameter, shown(pair.text()), message));
            }
            headers.push((header, pair.value.clone()));
        }
        if is_anonymous && !headers.is_empty() {
            let message = "Request specific response headers cannot be used for anonymous GET requests.";
            return Err(Error::new(ErrorCode::InvalidRequest).message(message));
        }
        Ok(Self { headers })
    }
}

/// The refusal of an `x-oss-process` that is not `hls/sign`: 501 for what OSS has and this server does not (HTTP API 14,
/// D35).
pub fn unknown_process(query: &Query) -> Error {
    let text = query.first("x-oss-process").unwrap_or_default();
    let known = ["image/", "video/", "doc/", "style/", "audio/", "imm/"];
    if known.iter().any(|family| text.starts_with(family)) {
        let message = "This kind of processing is not implemented.";
        return Error::new(ErrorCode::NotImplemented).message(message).with("Subresource", "x-oss-process");
    }
    Error::argument("x-oss-process", shown(text), "The x-oss-process is not known.")
}

/// The refusal of a sub-resource that is not built (HTTP API 15, D19).
pub fn not_implemented(route: &Route) -> Error {
    Error::new(ErrorCode::NotImplemented).with("Subresource", route.sub_resource.unwrap_or_default())
}

/// The refusal of RestoreObject: every class is readable at once (HTTP API 15).
pub fn restore_not_supported() -> Error {
    Error::new(ErrorCode::OperationNotSupported).with("ResourceType", "Object")
}

/// Whether a decoded value of `x-oss-process` asks for a signed playlist: `hls/sign`, and parameters after a comma,
/// which have no effect here (OSS auth 9.1).
pub fn is_sign_process(value: &str) -> bool {
    value == "hls/sign" || value.starts_with("hls/sign,")
}

/// What a decoded value of `x-oss-process` asks for, of the processes that are about pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PictureProcess {
    /// `video/snapshot`: a picture of a recording, as OSS has it.
    Snapshot,
    /// `live/still`: the newest picture of a push, of this server.
    Still,
    /// `video/storyboard`: sheets of small pictures, of this server.
    Storyboard,
}

impl PictureProcess {
    /// Reads the name of the process; what follows it is for others to read. `None` for other processes, and for chains
    /// of several.
    pub fn of(value: &str) -> Option<Self> {
        if value.contains('|') {
            return None;
        }
        match value.split(',').next()? {
            "video/snapshot" => Some(Self::Snapshot),
            "live/still" => Some(Self::Still),
            "video/storyboard" => Some(Self::Storyboard),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(raw: &str, is_anonymous: bool, expected: Result<&[(&'static str, &[u8])], ErrorCode>) {
        let found = ResponseOverrides::parse(&Query::parse(raw), is_anonymous);
        let found = found.map(|o| o.headers).map_err(|error| error.code);
        let expected =
            expected.map(|list| list.iter().map(|(name, value)| (*name, value.to_vec())).collect::<Vec<_>>());
        assert_eq!(found, expected, "{raw}");
    }

    #[test]
    fn processing_that_is_not_built_says_so() {
        for (raw, code) in [
            ("x-oss-process=image/resize,w_1", ErrorCode::NotImplemented),
            ("x-oss-process=style%2Fa", ErrorCode::NotImplemented),
            ("x-oss-process=hls", ErrorCode::InvalidArgument),
            ("x-oss-process", ErrorCode::InvalidArgument),
        ] {
            assert_eq!(unknown_process(&Query::parse(raw)).code, code, "{raw}");
        }
    }

    #[test]
    fn signed_callers_may_override() {
        check("response-content-type=video%2Fmp2t", false, Ok(&[("content-type", b"video/mp2t")]));
        check("response-content-type=a", true, Err(ErrorCode::InvalidRequest));
        check("prefix=a", true, Ok(&[]));
        check("response-expires=a%0D%0Ab", false, Err(ErrorCode::InvalidArgument));
    }

    proptest! {
        #[test]
        fn no_override_breaks_a_header(raw in "response-(expires|cache-control)=(%[0-9A-F]{2}|[a-z]){0,9}") {
            if let Ok(overrides) = ResponseOverrides::parse(&Query::parse(&raw), false) {
                prop_assert!(overrides.headers.iter().all(|(_, value)| !value.contains(&b'\n')));
            }
            let _ = unknown_process(&Query::parse(&raw));
        }
    }
}
