//! The CORS configuration of a bucket (HTTP API 8.11).

use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::{parse_decimal, shown};
use model::{CorsConfiguration, CorsRule};
use model::{Error, ErrorCode, Result};

/// The longest document that is read, in bytes.
pub const MAX_CORS_BYTES: usize = 16 * 1024;
const MAX_RULES: usize = 10;
const METHODS: [&str; 5] = ["GET", "PUT", "DELETE", "POST", "HEAD"];

/// Reads a `CORSConfiguration`.
///
/// # Errors
/// `MalformedXML`, `CORSRuleBeyondLimit`, `InvalidArgument`.
pub fn parse_cors(body: &[u8]) -> Result<CorsConfiguration> {
    let root = Element::parse(body, "CORSConfiguration", MAX_CORS_BYTES)?;
    let rules: Vec<&Element> = root.children_named("CORSRule").collect();
    if rules.is_empty() {
        return Err(malformed("The CORSRule element must be specified."));
    }
    if rules.len() > MAX_RULES {
        return Err(ErrorCode::CORSRuleBeyondLimit.into());
    }
    Ok(CorsConfiguration {
        rules: rules.into_iter().map(parse_rule).collect::<Result<_>>()?,
        response_vary: root.flag("ResponseVary")?.unwrap_or(false),
    })
}

fn parse_rule(rule: &Element) -> Result<CorsRule> {
    let values = |name: &'static str, most_stars: usize| {
        let texts = rule.children_named(name).map(Element::trimmed);
        texts
            .map(|text| {
                if text.is_empty() || text.chars().any(char::is_control) {
                    return Err(Error::argument(name, shown(text), format!("The {name} must not be empty.")));
                }
                if text.matches('*').count() > most_stars {
                    let message = format!("The {name} must not have more than {most_stars} *.");
                    return Err(Error::argument(name, shown(text), message));
                }
                Ok(text.to_owned())
            })
            .collect::<Result<Vec<_>>>()
    };
    let allowed_origins = values("AllowedOrigin", 1)?;
    if allowed_origins.is_empty() {
        return Err(malformed("The AllowedOrigin element must be specified."));
    }
    let allowed_methods = values("AllowedMethod", 0)?;
    if allowed_methods.is_empty() {
        return Err(malformed("The AllowedMethod element must be specified."));
    }
    if let Some(method) = allowed_methods.iter().find(|method| !METHODS.contains(&method.as_str())) {
        let message = "The AllowedMethod must be GET, PUT, DELETE, POST or HEAD.";
        return Err(Error::argument("AllowedMethod", shown(method), message));
    }
    let max_age_seconds = match rule.value("MaxAgeSeconds")? {
        None => None,
        Some(text) => Some(
            parse_decimal(text)
                .and_then(|number| u32::try_from(number).ok())
                .filter(|number| *number <= 999_999_999)
                .ok_or_else(|| {
                let message = "The MaxAgeSeconds must be an integer between 0 and 999999999.";
                Error::argument("MaxAgeSeconds", shown(text), message)
            })?,
        ),
    };
    Ok(CorsRule {
        allowed_origins,
        allowed_methods,
        allowed_headers: values("AllowedHeader", 1)?,
        expose_headers: values("ExposeHeader", 0)?,
        max_age_seconds,
    })
}

/// Writes a `CORSConfiguration`.
pub fn render_cors(cors: &CorsConfiguration) -> String {
    let mut document = Document::new("CORSConfiguration");
    for rule in &cors.rules {
        document.within("CORSRule", |element| {
            for (name, values) in [
                ("AllowedOrigin", &rule.allowed_origins),
                ("AllowedMethod", &rule.allowed_methods),
                ("AllowedHeader", &rule.allowed_headers),
                ("ExposeHeader", &rule.expose_headers),
            ] {
                for value in values {
                    element.text(name, value);
                }
            }
            element.optional("MaxAgeSeconds", rule.max_age_seconds);
        });
    }
    document.value("ResponseVary", cors.response_vary);
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "<CORSConfiguration>
  <CORSRule>
    <AllowedOrigin>https://www.example.com</AllowedOrigin>
    <AllowedMethod>GET</AllowedMethod>
    <AllowedMethod>HEAD</AllowedMethod>
    <AllowedHeader>*</AllowedHeader>
    <ExposeHeader>ETag</ExposeHeader>
    <ExposeHeader>x-oss-request-id</ExposeHeader>
    <MaxAgeSeconds>600</MaxAgeSeconds>
  </CORSRule>
  <ResponseVary>false</ResponseVary>
</CORSConfiguration>
";

    #[test]
    fn the_example_is_read_and_written() {
        let cors = parse_cors(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(cors.rules[0].max_age_seconds, Some(600));
        check_text(&render_cors(&cors), EXAMPLE);
    }

    fn check(inside: &str, code: Option<ErrorCode>) {
        let body = format!("<CORSConfiguration>{inside}</CORSConfiguration>");
        assert_eq!(parse_cors(body.as_bytes()).err().map(|error| error.code), code, "{inside}");
    }

    #[test]
    fn rules_are_checked() {
        let rule = |inside: &str| {
            format!("<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>{inside}</CORSRule>")
        };
        let invalid = Some(ErrorCode::InvalidArgument);
        let malformed = Some(ErrorCode::MalformedXML);
        check(&rule("").repeat(10), None);
        check(&rule("").repeat(11), Some(ErrorCode::CORSRuleBeyondLimit));
        check("", malformed);
        check("<CORSRule><AllowedMethod>GET</AllowedMethod></CORSRule>", malformed);
        check("<CORSRule><AllowedOrigin>*</AllowedOrigin></CORSRule>", malformed);
        check(&rule("<AllowedOrigin/>"), invalid);
        check(&rule("<AllowedOrigin>*.*</AllowedOrigin>"), invalid);
        check(&rule("<AllowedMethod>PATCH</AllowedMethod>"), invalid);
        check(&rule("<AllowedMethod>get</AllowedMethod>"), invalid);
        check(&rule("<AllowedHeader>x-*-*</AllowedHeader>"), invalid);
        check(&rule("<ExposeHeader>x-*</ExposeHeader>"), invalid);
        check(&rule("<MaxAgeSeconds>1000000000</MaxAgeSeconds>"), invalid);
        check(&rule("<MaxAgeSeconds>1</MaxAgeSeconds><MaxAgeSeconds>2</MaxAgeSeconds>"), malformed);
        check(&format!("{}<ResponseVary>yes</ResponseVary>", rule("")), malformed);
        let long = "a".repeat(MAX_CORS_BYTES);
        check(&rule(&format!("<AllowedHeader>{long}</AllowedHeader>")), malformed);
    }

    proptest! {
        #[test]
        fn any_rule_survives_the_round_trip(
            origin in "[a-z:/.]{1,20}\\*?",
            header in "[a-z-]{1,10}\\*?",
            max_age_seconds in proptest::option::of(0u32..1_000_000_000),
            response_vary: bool,
        ) {
            let rule = CorsRule {
                allowed_origins: vec![origin],
                allowed_methods: vec!["GET".into()],
                allowed_headers: vec![header],
                expose_headers: Vec::new(),
                max_age_seconds,
            };
            let cors = CorsConfiguration { rules: vec![rule], response_vary };
            prop_assert_eq!(parse_cors(render_cors(&cors).as_bytes()).unwrap(), cors);
        }

        #[test]
        fn any_inside_is_read_or_refused(inside in "(<CORSRule>|</CORSRule>|<AllowedOrigin>|\\*|</AllowedOrigin>|<|a){0,9}") {
            let _ = parse_cors(format!("<CORSConfiguration>{inside}</CORSConfiguration>").as_bytes());
        }
    }
}
