//! Requests of pages from other origins (access control 7).

use super::wildcard::{self, QuestionMark};
use crate::error::{Error, ErrorCode};
use crate::types::{CorsConfiguration, CorsRule};

/// The headers with which a bucket answers another origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorsHeaders {
    /// `Access-Control-Allow-Origin`: `*`, or the origin of the request.
    pub allow_origin: String,
    /// `Access-Control-Allow-Methods`: all methods of the rule.
    pub allow_methods: String,
    /// `Access-Control-Allow-Headers`: what a preflight asked for.
    pub allow_headers: Option<String>,
    /// `Access-Control-Expose-Headers`.
    pub expose_headers: Option<String>,
    /// `Access-Control-Max-Age`, seconds.
    pub max_age_s: Option<u32>,
}

impl CorsHeaders {
    /// Names and values, in the order of access control 7.2. `Vary` is not among them: with `ResponseVary` every answer
    /// of the bucket has it (7.4).
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("Access-Control-Allow-Origin", self.allow_origin.clone()),
            ("Access-Control-Allow-Methods", self.allow_methods.clone()),
        ];
        pairs.extend(self.allow_headers.clone().map(|value| ("Access-Control-Allow-Headers", value)));
        pairs.extend(self.expose_headers.clone().map(|value| ("Access-Control-Expose-Headers", value)));
        pairs.extend(self.max_age_s.map(|value| ("Access-Control-Max-Age", value.to_string())));
        pairs
    }

    /// Whether the origin of the request is repeated, so that a shared cache would have to tell origins apart (7.4).
    pub fn echoes_origin(&self) -> bool {
        self.allow_origin != "*"
    }
}

/// The headers for a request with an `Origin`, by the first rule that fits; `None` when no rule does, and the request
/// goes on without them. `requested_headers` is the `Access-Control-Request-Headers` of a preflight, `None` for any
/// other request.
pub fn evaluate(
    configuration: &CorsConfiguration,
    origin: &str,
    method: &str,
    requested_headers: Option<&str>,
) -> Option<CorsHeaders> {
    let requested = requested_headers.map(str::trim).filter(|list| !list.is_empty());
    let fits = |rule: &CorsRule| {
        let allowed = rule.allowed_origins.iter().find(|pattern| fits_ignoring_case(pattern, origin))?;
        let fits_method = rule.allowed_methods.iter().any(|allowed| allowed == method);
        let fits_headers = requested.is_none_or(|list| {
            let mut names = list.split(',').map(str::trim).filter(|name| !name.is_empty());
            names.all(|name| rule.allowed_headers.iter().any(|pattern| fits_ignoring_case(pattern, name)))
        });
        (fits_method && fits_headers).then(|| if allowed == "*" { "*" } else { origin })
    };
    let (rule, allow_origin) = configuration.rules.iter().find_map(|rule| Some((rule, fits(rule)?)))?;
    Some(CorsHeaders {
        allow_origin: allow_origin.to_owned(),
        allow_methods: rule.allowed_methods.join(", "),
        allow_headers: requested.map(str::to_owned),
        expose_headers: (!rule.expose_headers.is_empty()).then(|| rule.expose_headers.join(", ")),
        max_age_s: rule.max_age_seconds,
    })
}

/// Answers an OPTIONS request (access control 7.2). `configuration` is `None` for the service, and for a bucket that
/// has none. Whether the bucket exists is looked at by the caller, after [`check_preflight`].
///
/// # Errors
/// `BadRequest` without `Origin` or method, `AccessForbidden` when no rule fits.
pub fn preflight(
    configuration: Option<&CorsConfiguration>,
    origin: Option<&str>,
    requested_method: Option<&str>,
    requested_headers: Option<&str>,
) -> Result<CorsHeaders, Error> {
    let (origin, method) = check_preflight(origin, requested_method)?;
    let configuration = configuration
        .filter(|configuration| !configuration.rules.is_empty())
        .ok_or_else(|| Error::new(ErrorCode::AccessForbidden))?;
    evaluate(configuration, origin, method, requested_headers).ok_or_else(|| {
        Error::new(ErrorCode::AccessForbidden).message(
            "CORSResponse: This CORS request is not allowed. This is usually because the evalution of Origin, request \
             method / Access-Control-Request-Method or Access-Control-Requet-Headers are not whitelisted by the \
             resource's CORS spec.",
        )
    })
}

/// The two headers without which an OPTIONS request is not a preflight.
///
/// # Errors
/// `BadRequest` naming the one that is missing.
pub fn check_preflight<'h>(
    origin: Option<&'h str>,
    requested_method: Option<&'h str>,
) -> Result<(&'h str, &'h str), Error> {
    let sent = |value: Option<&'h str>| value.map(str::trim).filter(|value| !value.is_empty());
    let missing = |message| Error::new(ErrorCode::BadRequest).message(message);
    let origin = sent(origin).ok_or_else(|| missing("Insufficient information. Origin request header needed."))?;
    let method = sent(requested_method)
        .ok_or_else(|| missing("Insufficient information. Request Access-Control-Request-Method header needed."))?;
    Ok((origin, method))
}

fn fits_ignoring_case(pattern: &str, text: &str) -> bool {
    wildcard::matches(&pattern.to_ascii_lowercase(), &text.to_ascii_lowercase(), QuestionMark::Literal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    fn configuration() -> CorsConfiguration {
        let page = CorsRule {
            allowed_origins: texts(&["http://198.51.100.7:8080", "https://*.example.com"]),
            allowed_methods: texts(&["GET", "HEAD"]),
            allowed_headers: texts(&["x-oss-*", "Range"]),
            expose_headers: texts(&["ETag", "Content-Length"]),
            max_age_seconds: Some(600),
        };
        let all = CorsRule {
            allowed_origins: texts(&["*"]),
            allowed_methods: texts(&["PUT"]),
            allowed_headers: texts(&["*"]),
            ..CorsRule::default()
        };
        CorsConfiguration { rules: vec![page, all], response_vary: false }
    }

    fn check(origin: &str, method: &str, headers: Option<&str>, expected: Option<&str>) {
        let outcome = preflight(Some(&configuration()), Some(origin), Some(method), headers);
        match (outcome, expected) {
            (Ok(found), Some(allow_origin)) => {
                assert_eq!(found.allow_origin, allow_origin, "{origin} {method} {headers:?}");
                assert_eq!(found.allow_headers.as_deref(), headers.filter(|list| !list.is_empty()));
            }
            (outcome, expected) => assert_eq!(outcome.is_ok(), expected.is_some(), "{origin} {method} {headers:?}"),
        }
    }

    #[test]
    fn the_first_rule_that_fits_answers() {
        let page = "http://198.51.100.7:8080";
        check(page, "GET", None, Some(page));
        check(page, "PUT", None, Some("*"));
        check(page, "DELETE", None, None);
        check(page, "get", None, None);
        check("http://198.51.100.7", "GET", None, None);
        check("https://198.51.100.7:8080", "GET", None, None);
        check("HTTPS://A.example.com", "GET", None, Some("HTTPS://A.example.com"));
        check("https://example.com", "GET", None, None);
        check("null", "PUT", None, Some("*"));
        check(page, "GET", Some("range, X-OSS-Date"), Some(page));
        check(page, "GET", Some(""), Some(page));
        check(page, "GET", Some("range, authorization"), None);
        check(page, "PUT", Some("anything, at-all"), Some("*"));
    }

    #[test]
    fn actual_requests_look_at_origin_and_method_only() {
        let found = evaluate(&configuration(), "https://a.example.com", "GET", None).unwrap();
        assert_eq!(
            found.pairs(),
            [
                ("Access-Control-Allow-Origin", "https://a.example.com".to_owned()),
                ("Access-Control-Allow-Methods", "GET, HEAD".to_owned()),
                ("Access-Control-Expose-Headers", "ETag, Content-Length".to_owned()),
                ("Access-Control-Max-Age", "600".to_owned()),
            ]
        );
        assert!(found.echoes_origin());
        let any = evaluate(&configuration(), "http://x", "PUT", Some("a,b")).unwrap();
        assert!(!any.echoes_origin());
        assert_eq!(any.pairs()[2], ("Access-Control-Allow-Headers", "a,b".to_owned()));
        assert_eq!(evaluate(&configuration(), "http://x", "GET", None), None);
    }

    #[test]
    fn preflights_need_two_headers_and_a_configuration() {
        let configuration = configuration();
        for (stored, origin, method, code, message) in [
            (
                Some(&configuration),
                None,
                Some("GET"),
                ErrorCode::BadRequest,
                "Insufficient information. Origin request header needed.",
            ),
            (
                Some(&configuration),
                Some("http://x"),
                Some(" "),
                ErrorCode::BadRequest,
                "Insufficient information. Request Access-Control-Request-Method header needed.",
            ),
            (
                None,
                Some("http://x"),
                Some("GET"),
                ErrorCode::AccessForbidden,
                "CORSResponse: CORS is not enabled for this bucket.",
            ),
        ] {
            let error = preflight(stored, origin, method, None).unwrap_err();
            assert_eq!((error.code, error.message.as_ref()), (code, message));
        }
    }
}
