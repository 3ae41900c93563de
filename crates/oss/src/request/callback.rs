//! What an upload asks to be reported to the application's server (HTTP API 13). Sending it, and deciding which addresses
//! may be reached, is the server's business.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::Value;

use super::{PostFields, Query, RawRequest};
use model::percent::percent_encode;
use model::{Error, ErrorCode, Result};

const MAX_PARAMETER_BYTES: usize = 5 * 1024;
const MAX_URLS: usize = 5;

/// How the body of a callback is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackBodyType {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `application/json`.
    Json,
}

impl CallbackBodyType {
    /// The `Content-Type` of the callback.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Form => "application/x-www-form-urlencoded",
            Self::Json => "application/json",
        }
    }
}

/// A callback that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// 1 to 5 absolute `http` or `https` addresses, to be tried in this order.
    pub urls: Vec<String>,
    /// The `Host` header to send; that of the address when absent.
    pub host: Option<String>,
    /// How the body is written.
    pub body_type: CallbackBodyType,
    /// Whether TLS names the host.
    pub sni: bool,
    body: String,
    variables: Vec<(String, String)>,
}

/// What is known about the stored object and the request that stored it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallbackFacts<'a> {
    /// The bucket.
    pub bucket: &'a str,
    /// The key.
    pub object: &'a str,
    /// The entity tag without quotes.
    pub etag: &'a str,
    /// Bytes.
    pub size: u64,
    /// The stored content type.
    pub mime_type: &'a str,
    /// The CRC-64 of the object.
    pub crc64: u64,
    /// The base64 MD5, where it is known.
    pub content_md5: &'a str,
    /// The address of the client.
    pub client_ip: &'a str,
    /// The id of the request.
    pub request_id: &'a str,
    /// The operation, for example `PutObject`.
    pub operation: &'a str,
}

fn refuse(name: &'static str, message: &'static str) -> Error {
    Error::argument(name, "", message)
}

impl Callback {
    /// The callback of a request, in its headers or its query.
    ///
    /// # Errors
    /// `InvalidArgument`. To be called before anything is stored.
    pub fn of_request(raw: &RawRequest, query: &Query) -> Result<Option<Self>> {
        let either = |header: &'static str, parameter: &'static str| {
            let header = raw.header(header).map(|value| String::from_utf8_lossy(value).trim().to_owned());
            let parameter = query.first(parameter).filter(|text| !text.is_empty()).map(str::to_owned);
            match (header.filter(|text| !text.is_empty()), parameter) {
                (Some(_), Some(_)) => Err(refuse(
                    "callback",
                    "Either the callback query string parameter or the x-oss-callback header should be specified, not both.",
                )),
                (header, parameter) => Ok(header.or(parameter)),
            }
        };
        let callback = either("x-oss-callback", "callback")?;
        let variables = either("x-oss-callback-var", "callback-var")?;
        let Some(callback) = callback else { return Ok(None) };
        let variables = variables.map(|text| decode_json("callback-var", &text)).transpose()?;
        let variables = match variables {
            None => Vec::new(),
            Some(Value::Object(members)) => members
                .into_iter()
                .filter(|(name, _)| name.starts_with("x:"))
                .map(|(name, value)| match value {
                    Value::String(text) => (name, text),
                    other => (name, other.to_string()),
                })
                .collect(),
            Some(_) => return Err(refuse("callback-var", "The callback configuration is not json format.")),
        };
        Self::parse(&callback, variables).map(Some)
    }

    /// The callback of a form: its fields `callback` and `x:…`.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub fn of_form(fields: &PostFields) -> Result<Option<Self>> {
        let Some(callback) = fields.text("callback").filter(|text| !text.trim().is_empty()) else { return Ok(None) };
        let variables = fields.pairs().iter().filter(|(name, _)| name.starts_with("x:"));
        let variables = variables.map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()));
        Self::parse(callback, variables.collect()).map(Some)
    }

    fn parse(text: &str, variables: Vec<(String, String)>) -> Result<Self> {
        // A short body can repeat a variable often, so that each must be short too.
        if variables.iter().any(|(_, value)| value.len() > MAX_PARAMETER_BYTES) {
            return Err(refuse("callback-var", "The callback configuration exceeds 5 KB."));
        }
        let json = decode_json("callback", text)?;
        let member = |name: &str| json.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let invalid_url = || refuse("callback", "The callback url configuration is invalid.");
        let list = member("callbackUrl").ok_or_else(invalid_url)?;
        let mut urls = Vec::new();
        for url in list.split(';').map(str::trim).filter(|url| !url.is_empty()) {
            if urls.len() >= MAX_URLS {
                return Err(refuse("callback", "The number of callback url exceed max value."));
            }
            urls.push(absolute(url).ok_or_else(invalid_url)?);
        }
        if urls.is_empty() {
            return Err(invalid_url());
        }
        let is_host = |text: &&str| text.bytes().all(|byte| byte > b' ' && byte < 0x7f && byte != b'/');
        let host = match member("callbackHost") {
            None => None,
            Some(text) => Some(Some(text).filter(is_host).ok_or_else(invalid_url)?.to_owned()),
        };
        let body = member("callbackBody").ok_or_else(|| refuse("callback", "The callback body is empty."))?.to_owned();
        let body_type = match member("callbackBodyType") {
            None | Some("application/x-www-form-urlencoded") => CallbackBodyType::Form,
            Some("application/json") => CallbackBodyType::Json,
            Some(_) => return Err(refuse("callback", "The body type of callback is not supported.")),
        };
        let sni = json.get("callbackSNI").and_then(Value::as_bool).unwrap_or(false);
        Ok(Self { urls, host, body_type, sni, body, variables })
    }

    /// The body to send: each `${name}` replaced, written as the body type wants it. Names that are not known stand for
    /// nothing.
    pub fn body(&self, facts: CallbackFacts<'_>) -> String {
        let mut out = String::with_capacity(self.body.len());
        let mut rest = self.body.as_str();
        while let Some((before, after)) = rest.split_once("${") {
            out.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                out.push_str("${");
                rest = after;
                continue;
            };
            let value = self.value(name, facts);
            match self.body_type {
                CallbackBodyType::Form => out.push_str(&percent_encode(value.text().as_bytes(), false)),
                CallbackBodyType::Json => {
                    // Templates are written with and without quotes around a placeholder; both become JSON.
                    let is_quoted = out.ends_with('"') && after.starts_with('"');
                    let json = value.json();
                    let bare = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
                    out.push_str(bare.filter(|_| is_quoted).unwrap_or(&json));
                }
            }
            rest = after;
        }
        out.push_str(rest);
        out
    }

    fn value<'a>(&'a self, name: &str, facts: CallbackFacts<'a>) -> Substitute<'a> {
        match name {
            "bucket" => Substitute::Text(facts.bucket),
            "object" => Substitute::Text(facts.object),
            "etag" => Substitute::Text(facts.etag),
            "size" => Substitute::Number(facts.size),
            "mimeType" => Substitute::Text(facts.mime_type),
            "crc64" => Substitute::Number(facts.crc64),
            "contentMd5" => Substitute::Text(facts.content_md5),
            "clientIp" => Substitute::Text(facts.client_ip),
            "reqId" => Substitute::Text(facts.request_id),
            "operation" => Substitute::Text(facts.operation),
            other => {
                let found = self.variables.iter().find(|(known, _)| known == other);
                Substitute::Text(found.map_or("", |(_, value)| value))
            }
        }
    }
}

enum Substitute<'a> {
    Text(&'a str),
    Number(u64),
}

impl Substitute<'_> {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => (*text).to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Text(text) => Value::from(*text).to_string(),
            Self::Number(number) => number.to_string(),
        }
    }
}

fn decode_json(name: &'static str, text: &str) -> Result<Value> {
    if text.len() > MAX_PARAMETER_BYTES {
        return Err(refuse(name, "The callback configuration exceeds 5 KB."));
    }
    let bytes = STANDARD.decode(text.trim()).or_else(|_| URL_SAFE.decode(text.trim()));
    let bytes = bytes.map_err(|_| refuse(name, "The callback configuration is not base64 encoded."))?;
    serde_json::from_slice(&bytes).map_err(|_| refuse(name, "The callback configuration is not json format."))
}

/// An address with its scheme, or `None` when it could not be one.
fn absolute(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let is_legal = matches!(scheme.as_str(), "http" | "https")
        && !authority.is_empty()
        && !authority.contains('@')
        && rest.bytes().all(|byte| byte > b' ' && byte != 0x7f);
    is_legal.then(|| format!("{scheme}://{rest}"))
}

/// The answer when the object is stored but the callback failed: 203 (HTTP API 13).
pub fn callback_failed(detail: impl Into<String>) -> Error {
    Error::new(ErrorCode::CallbackFailed).message(detail.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FACTS: CallbackFacts<'static> = CallbackFacts {
        bucket: "bkt",
        object: "a/b \"c\"",
        etag: "E",
        size: 5,
        mime_type: "image/jpeg",
        crc64: 9,
        content_md5: "",
        client_ip: "192.0.2.1",
        request_id: "R",
        operation: "PutObject",
    };

    fn request(callback: &str, variables: Option<&str>) -> Result<Option<Callback>> {
        let mut headers = vec![("x-oss-callback".to_owned(), STANDARD.encode(callback).into_bytes())];
        if let Some(variables) = variables {
            headers.push(("x-oss-callback-var".to_owned(), STANDARD.encode(variables).into_bytes()));
        }
        Callback::of_request(&RawRequest { headers, ..RawRequest::default() }, &Query::default())
    }

    fn check(callback: &str, expected: Result<&str, &str>) {
        let variables = "{\"x:who\":\"me & you\",\"other\":\"x\"}";
        let found = request(callback, Some(variables));
        let found = found.map(|found| found.unwrap().body(FACTS)).map_err(|error| error.message.into_owned());
        assert_eq!(found.as_deref().map_err(String::as_str), expected, "{callback}");
    }

    #[test]
    fn bodies_are_filled_in() {
        let form = |body: &str| format!("{{\"callbackUrl\":\"h/x\",\"callbackBody\":\"{body}\"}}");
        check(
            &form("b=${bucket}&o=${object}&w=${x:who}&s=${size}"),
            Ok("b=bkt&o=a%2Fb%20%22c%22&w=me%20%26%20you&s=5"),
        );
        check(&form("i=${imageInfo.height}&x=${other}&${"), Ok("i=&x=&${"));
        let json = |body: &str| {
            let body = Value::from(body).to_string();
            format!("{{\"callbackUrl\":\"h\",\"callbackBody\":{body},\"callbackBodyType\":\"application/json\"}}")
        };
        check(&json("{\"o\":${object},\"s\":${size}}"), Ok("{\"o\":\"a/b \\\"c\\\"\",\"s\":5}"));
        check(&json("{\"b\":\"${bucket}\"}"), Ok("{\"b\":\"bkt\"}"));
        check(&json("{\"o\":\"${object}\"}"), Ok("{\"o\":\"a/b \\\"c\\\"\"}"));
        check(&json("{\"s\":\"${size}\"}"), Ok("{\"s\":\"5\"}"));
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_stored() {
        check("x", Err("The callback configuration is not json format."));
        check("{}", Err("The callback url configuration is invalid."));
        check("{\"callbackUrl\":\"ftp://h\"}", Err("The callback url configuration is invalid."));
        check("{\"callbackUrl\":\"http://a b/\"}", Err("The callback url configuration is invalid."));
        check("{\"callbackUrl\":\"a;b;c;d;e;f\"}", Err("The number of callback url exceed max value."));
        check("{\"callbackUrl\":\"h\"}", Err("The callback body is empty."));
        check(
            "{\"callbackUrl\":\"h\",\"callbackBody\":\"b\",\"callbackBodyType\":\"text/xml\"}",
            Err("The body type of callback is not supported."),
        );
        let raw = RawRequest { headers: vec![("x-oss-callback".into(), b"!".to_vec())], ..RawRequest::default() };
        let error = Callback::of_request(&raw, &Query::default()).unwrap_err();
        assert_eq!(error.message, "The callback configuration is not base64 encoded.");
        assert!(Callback::of_request(&raw, &Query::parse("callback=e30=")).unwrap_err().message.contains("not both"));
        assert_eq!(Callback::of_request(&RawRequest::default(), &Query::default()).unwrap(), None);
    }

    #[test]
    fn addresses_get_a_scheme() {
        let callback =
            request("{\"callbackUrl\":\"h:80/x; HTTPS://g\",\"callbackBody\":\"b\",\"callbackSNI\":true}", None);
        let callback = callback.unwrap().unwrap();
        assert_eq!(callback.urls, ["http://h:80/x", "https://g"]);
        assert!(callback.sni && callback.host.is_none());
    }

    #[test]
    fn forms_bring_their_variables_as_fields() {
        let mut fields = PostFields::default();
        let json = "{\"callbackUrl\":\"h\",\"callbackBody\":\"w=${x:who}\"}";
        fields.push("Callback", STANDARD.encode(json).into_bytes()).unwrap();
        fields.push("x:who", b"me".to_vec()).unwrap();
        assert_eq!(Callback::of_form(&fields).unwrap().unwrap().body(FACTS), "w=me");
        fields.push("x:long", vec![b'a'; MAX_PARAMETER_BYTES + 1]).unwrap();
        assert!(Callback::of_form(&fields).is_err());
    }

    proptest! {
        #[test]
        fn any_callback_is_read_or_refused(bytes: Vec<u8>, body in "(\\$\\{|\\}|\"|bucket|x){0,20}") {
            let raw = RawRequest {
                headers: vec![("x-oss-callback".into(), STANDARD.encode(bytes).into_bytes())],
                ..RawRequest::default()
            };
            let _ = Callback::of_request(&raw, &Query::default());
            for body_type in [CallbackBodyType::Form, CallbackBodyType::Json] {
                let callback = Callback {
                    urls: Vec::new(),
                    host: None,
                    body_type,
                    sni: false,
                    body: body.clone(),
                    variables: Vec::new(),
                };
                let _ = callback.body(FACTS);
            }
        }
    }
}
