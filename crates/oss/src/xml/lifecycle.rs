//! The lifecycle configuration of a bucket (HTTP API 8.13).

use super::MAX_DOCUMENT_BYTES;
use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::{parse_decimal, shown};
use model::date::{format_iso8601, parse_iso8601};
use model::{Error, ErrorCode, Result};
use model::{LifecycleFilter, LifecycleNot, LifecycleRule, LifecycleTransition, LifecycleTrigger, StorageClass, Tag};

const MAX_RULES: usize = 1000;
const MAX_ID_BYTES: usize = 255;
const DAY_MS: i64 = 86_400_000;
/// Nobody writes down when objects are read: each element has one value that changes nothing.
const TRANSITION_OPTIONS: [(&str, bool); 3] =
    [("IsAccessTime", false), ("ReturnToStdWhenVisit", false), ("AllowSmallFile", true)];

/// Reads a `LifecycleConfiguration`. `allow_overlap` is the header `x-oss-allow-same-action-overlap`; `new_id` names the
/// rules that came without an id.
///
/// # Errors
/// `MalformedXML`, `InvalidArgument`, `InvalidRequest`, and `NotImplemented` for what would otherwise be ignored.
pub fn parse_lifecycle(
    body: &[u8],
    allow_overlap: bool,
    new_id: &mut dyn FnMut() -> String,
) -> Result<Vec<LifecycleRule>> {
    let root = Element::parse(body, "LifecycleConfiguration", MAX_DOCUMENT_BYTES)?;
    let mut rules = Vec::new();
    for element in root.children_named("Rule") {
        if rules.len() >= MAX_RULES {
            return Err(malformed("There are more than 1000 rules."));
        }
        let mut rule = parse_rule(element)?;
        if rule.id.is_empty() {
            rule.id = new_id();
        }
        rules.push(rule);
    }
    if rules.is_empty() {
        return Err(malformed("The Rule element must be specified."));
    }
    let mut ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(Error::new(ErrorCode::InvalidRequest).message("Rule ID must be unique."));
    }
    if !allow_overlap {
        for (index, rule) in rules.iter().enumerate() {
            if let Some(action) = rules.iter().take(index).find_map(|earlier| overlap(earlier, rule)) {
                let message = format!("Overlap for same action type {action}.");
                return Err(Error::new(ErrorCode::InvalidArgument).message(message));
            }
        }
    }
    Ok(rules)
}

/// The action that two enabled rules may both want for one object.
fn overlap(a: &LifecycleRule, b: &LifecycleRule) -> Option<&'static str> {
    let prefixes_meet = a.prefix.starts_with(&b.prefix) || b.prefix.starts_with(&a.prefix);
    let tags_conflict = a.tags.iter().any(|x| b.tags.iter().any(|y| x.key == y.key && x.value != y.value));
    if !a.enabled || !b.enabled || !prefixes_meet || tags_conflict {
        return None;
    }
    let same_class = a.transitions.iter().any(|x| b.transitions.iter().any(|y| x.storage_class == y.storage_class));
    if a.expiration.is_some() && b.expiration.is_some() {
        Some("Expiration")
    } else if same_class {
        Some("Transition")
    } else if a.abort_multipart.is_some() && b.abort_multipart.is_some() {
        Some("AbortMultipartUpload")
    } else {
        None
    }
}

fn parse_rule(rule: &Element) -> Result<LifecycleRule> {
    for unbuilt in ["NoncurrentVersionExpiration", "NoncurrentVersionTransition", "AtimeBase"] {
        if rule.child(unbuilt)?.is_some() {
            return Err(not_implemented(unbuilt));
        }
    }
    let id = rule.value("ID")?.unwrap_or_default().to_owned();
    if id.len() > MAX_ID_BYTES {
        return Err(Error::argument("ID", shown(&id), "The ID exceeds 255 bytes."));
    }
    let enabled = match rule.value("Status")? {
        Some("Enabled") => true,
        Some("Disabled") => false,
        _ => return Err(malformed("The Status element must be Enabled or Disabled.")),
    };
    // A prefix may begin or end with white space, as keys may.
    let prefix = rule.child("Prefix")?.map(|element| element.text.clone()).unwrap_or_default();
    if prefix.len() > model::name::ObjectKey::MAX_BYTES {
        return Err(Error::argument("Prefix", shown(&prefix), "The Prefix exceeds 1023 bytes."));
    }
    let expiration = rule.child("Expiration")?.map(parse_expiration).transpose()?;
    let transitions = rule.children_named("Transition").map(parse_transition).collect::<Result<Vec<_>>>()?;
    let abort_multipart = rule
        .child("AbortMultipartUpload")?
        .map(|element| parse_trigger(element, &["Days", "CreatedBeforeDate"]))
        .transpose()?;
    if expiration.is_none() && transitions.is_empty() && abort_multipart.is_none() {
        return Err(Error::new(ErrorCode::InvalidRequest).message("A rule must have at least one action."));
    }
    check_order(expiration, &transitions)?;
    Ok(LifecycleRule {
        id,
        enabled,
        tags: rule.children_named("Tag").map(parse_tag).collect::<Result<_>>()?,
        filter: rule.child("Filter")?.map(|filter| parse_filter(filter, &prefix)).transpose()?,
        prefix,
        expiration,
        transitions,
        abort_multipart,
    })
}

fn not_implemented(element: &'static str) -> Error {
    Error::new(ErrorCode::NotImplemented).with("Element", element)
}

fn parse_expiration(expiration: &Element) -> Result<LifecycleTrigger> {
    if expiration.flag("ExpiredObjectDeleteMarker")? == Some(true) {
        return Err(not_implemented("ExpiredObjectDeleteMarker"));
    }
    parse_trigger(expiration, &["Days", "Date", "CreatedBeforeDate"])
}

fn parse_transition(transition: &Element) -> Result<LifecycleTransition> {
    let mut options = [None; TRANSITION_OPTIONS.len()];
    for (option, (name, built)) in options.iter_mut().zip(TRANSITION_OPTIONS) {
        *option = transition.flag(name)?;
        if option.is_some_and(|value| value != built) {
            return Err(not_implemented(name));
        }
    }
    let storage_class = match StorageClass::parse(transition.required("StorageClass")?) {
        None | Some(StorageClass::Standard) => return Err(malformed("The StorageClass element is not valid.")),
        Some(class) => class,
    };
    let trigger = parse_trigger(transition, &["Days", "CreatedBeforeDate"])?;
    Ok(LifecycleTransition { trigger, storage_class, options })
}

/// Exactly one of the elements that say when.
fn parse_trigger(parent: &Element, allowed: &[&'static str]) -> Result<LifecycleTrigger> {
    let mut found = None;
    for &name in allowed {
        let Some(text) = parent.value(name)? else { continue };
        match found {
            None => {}
            Some(LifecycleTrigger::Days(_)) => return Err(mixed()),
            Some(_) => return Err(malformed("There must be one of Days, Date and CreatedBeforeDate.")),
        }
        found = Some(match name {
            "Days" => LifecycleTrigger::Days(
                parse_decimal(text)
                    .and_then(|days| u32::try_from(days).ok())
                    .filter(|days| *days >= 1)
                    .ok_or_else(|| Error::argument("Days", shown(text), "The Days must be a positive integer."))?,
            ),
            "Date" => LifecycleTrigger::Date(parse_midnight("Date", text)?),
            _ => LifecycleTrigger::CreatedBefore(parse_midnight("CreatedBeforeDate", text)?),
        });
    }
    found.ok_or_else(|| malformed("There must be one of Days, Date and CreatedBeforeDate."))
}

fn parse_midnight(name: &'static str, text: &str) -> Result<i64> {
    parse_iso8601(text).filter(|ms| ms.rem_euclid(DAY_MS) == 0).ok_or_else(|| {
        Error::argument(name, shown(text), "The date must be conform to the ISO8601 format and be midnight UTC.")
    })
}

fn check_order(expiration: Option<LifecycleTrigger>, transitions: &[LifecycleTransition]) -> Result<()> {
    let by_days = |trigger: LifecycleTrigger| matches!(trigger, LifecycleTrigger::Days(_));
    let mut kinds = transitions.iter().map(|transition| transition.trigger).chain(expiration).map(by_days);
    if let Some(first) = kinds.next()
        && kinds.any(|kind| kind != first)
    {
        return Err(mixed());
    }
    let Some(expiration) = expiration else { return Ok(()) };
    let place = |trigger: LifecycleTrigger| match trigger {
        LifecycleTrigger::Days(days) => i64::from(days),
        LifecycleTrigger::Date(ms) | LifecycleTrigger::CreatedBefore(ms) => ms,
    };
    if transitions.iter().all(|transition| place(transition.trigger) < place(expiration)) {
        return Ok(());
    }
    let (name, value) = match expiration {
        LifecycleTrigger::Days(days) => ("Days", days.to_string()),
        LifecycleTrigger::Date(ms) => ("Date", format_iso8601(ms)),
        LifecycleTrigger::CreatedBefore(ms) => ("CreatedBeforeDate", format_iso8601(ms)),
    };
    Err(Error::argument(name, value, "The Expiration must be later than the Transition."))
}

fn mixed() -> Error {
    let message = "Days and dates must not be mixed in one rule.";
    Error::new(ErrorCode::InvalidRequest).message(message).ec("0014-00000080")
}

fn parse_tag(tag: &Element) -> Result<Tag> {
    Ok(Tag { key: tag.required("Key")?.to_owned(), value: tag.value("Value")?.unwrap_or_default().to_owned() })
}

fn parse_filter(filter: &Element, prefix: &str) -> Result<LifecycleFilter> {
    let size = |name: &'static str| match filter.value(name)? {
        None => Ok(None),
        Some(text) => {
            parse_decimal(text).map(Some).ok_or_else(|| Error::argument(name, shown(text), "The size is not valid."))
        }
    };
    let mut exceptions = Vec::new();
    for not in filter.children_named("Not") {
        let exception = LifecycleNot {
            prefix: not.child("Prefix")?.map(|element| element.text.clone()).unwrap_or_default(),
            tag: not.child("Tag")?.map(parse_tag).transpose()?,
        };
        if !exception.prefix.starts_with(prefix) || (exception.prefix == prefix && exception.tag.is_none()) {
            let message = "The Prefix of Not must lie below the Prefix of its rule.";
            return Err(Error::new(ErrorCode::InvalidRequest).message(message));
        }
        exceptions.push(exception);
    }
    Ok(LifecycleFilter {
        not: exceptions,
        size_greater_than: size("ObjectSizeGreaterThan")?,
        size_less_than: size("ObjectSizeLessThan")?,
    })
}

/// Writes a `LifecycleConfiguration`.
pub fn render_lifecycle(rules: &[LifecycleRule]) -> String {
    let mut document = Document::new("LifecycleConfiguration");
    for rule in rules {
        document.within("Rule", |element| {
            element.text("ID", &rule.id).text("Prefix", &rule.prefix);
            element.text("Status", if rule.enabled { "Enabled" } else { "Disabled" });
            rule.tags.iter().for_each(|tag| write_tag(element, tag));
            if let Some(filter) = &rule.filter {
                element.within("Filter", |element| write_filter(element, filter));
            }
            if let Some(trigger) = rule.expiration {
                element.within("Expiration", |element| write_trigger(element, trigger));
            }
            for transition in &rule.transitions {
                element.within("Transition", |element| {
                    write_trigger(element, transition.trigger);
                    element.value("StorageClass", transition.storage_class);
                    for ((name, _), option) in TRANSITION_OPTIONS.iter().zip(transition.options) {
                        element.optional(name, option);
                    }
                });
            }
            if let Some(trigger) = rule.abort_multipart {
                element.within("AbortMultipartUpload", |element| write_trigger(element, trigger));
            }
        });
    }
    document.finish()
}

fn write_trigger(element: &mut Document, trigger: LifecycleTrigger) {
    match trigger {
        LifecycleTrigger::Days(days) => element.value("Days", days),
        LifecycleTrigger::Date(ms) => element.text("Date", &format_iso8601(ms)),
        LifecycleTrigger::CreatedBefore(ms) => element.text("CreatedBeforeDate", &format_iso8601(ms)),
    };
}

fn write_tag(element: &mut Document, tag: &Tag) {
    element.within("Tag", |element| {
        element.text("Key", &tag.key).text("Value", &tag.value);
    });
}

fn write_filter(element: &mut Document, filter: &LifecycleFilter) {
    for not in &filter.not {
        element.within("Not", |element| {
            element.text("Prefix", &not.prefix);
            not.tag.iter().for_each(|tag| write_tag(element, tag));
        });
    }
    element
        .optional("ObjectSizeGreaterThan", filter.size_greater_than)
        .optional("ObjectSizeLessThan", filter.size_less_than);
}

#[cfg(test)]
mod tests {
    use super::super::check_text;
    use super::*;
    use proptest::prelude::*;

    const EXAMPLE: &str = "<LifecycleConfiguration>
  <Rule>
    <ID>expire-ts</ID>
    <Prefix>live/</Prefix>
    <Status>Enabled</Status>
    <Expiration>
      <Days>1</Days>
    </Expiration>
    <AbortMultipartUpload>
      <Days>1</Days>
    </AbortMultipartUpload>
  </Rule>
</LifecycleConfiguration>
";

    fn read(body: &str, allow_overlap: bool) -> Result<Vec<LifecycleRule>> {
        let mut count = 0;
        parse_lifecycle(body.as_bytes(), allow_overlap, &mut || {
            count += 1;
            format!("generated-{count}")
        })
    }

    fn rules(rules: &[&str]) -> String {
        let rules: String = rules.iter().map(|rule| format!("<Rule>{rule}</Rule>")).collect();
        format!("<LifecycleConfiguration>{rules}</LifecycleConfiguration>")
    }

    #[test]
    fn the_example_is_read_and_written() {
        check_text(&render_lifecycle(&read(EXAMPLE, false).unwrap()), EXAMPLE);
    }

    #[test]
    fn everything_comes_back() {
        let body = rules(&["<ID>all</ID><Prefix> a/</Prefix><Status>Disabled</Status><Tag><Key>k</Key><Value/></Tag>\
            <Filter><Not><Prefix> a/b</Prefix><Tag><Key>x</Key><Value>y</Value></Tag></Not>\
            <ObjectSizeGreaterThan>1</ObjectSizeGreaterThan><ObjectSizeLessThan>9</ObjectSizeLessThan></Filter>\
            <Expiration><CreatedBeforeDate>2024-01-02T00:00:00Z</CreatedBeforeDate></Expiration>\
            <Transition><CreatedBeforeDate>2024-01-01T00:00:00.000Z</CreatedBeforeDate>\
            <StorageClass>IA</StorageClass><IsAccessTime>false</IsAccessTime><AllowSmallFile>true</AllowSmallFile>\
            </Transition>"]);
        let found = read(&body, false).unwrap();
        let options = "<IsAccessTime>false</IsAccessTime>\n      <AllowSmallFile>true</AllowSmallFile>";
        assert!(render_lifecycle(&found).contains(options));
        assert_eq!(read(&render_lifecycle(&found), false).unwrap(), found);
        assert_eq!(found[0].prefix, " a/");
    }

    #[test]
    fn missing_ids_are_made() {
        let rule = "<Prefix>a</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>";
        let other = "<ID/><Prefix>b</Prefix><Status>Enabled</Status><Expiration><Days>1</Days></Expiration>";
        let found = read(&rules(&[rule, other]), false).unwrap();
        assert_eq!(found.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(), ["generated-1", "generated-2"]);
    }

    fn check(inside: &str, code: Option<ErrorCode>) {
        let found = read(&rules(&[&format!("<Status>Enabled</Status>{inside}")]), false);
        assert_eq!(found.err().map(|error| error.code), code, "{inside}");
    }

    #[test]
    fn rules_are_checked() {
        let malformed = Some(ErrorCode::MalformedXML);
        let invalid = Some(ErrorCode::InvalidArgument);
        let unbuilt = Some(ErrorCode::NotImplemented);
        let days = |days: &str| format!("<Expiration><Days>{days}</Days></Expiration>");
        check(&days("1"), None);
        check(&days("0"), invalid);
        check(&days("1.5"), invalid);
        check("", Some(ErrorCode::InvalidRequest));
        check("<Expiration/>", malformed);
        let mixed = Some(ErrorCode::InvalidRequest);
        check("<Expiration><Days>1</Days><Date>2024-01-01T00:00:00Z</Date></Expiration>", mixed);
        let date = |name: &str, day: u8| format!("<{name}>2024-01-0{day}T00:00:00Z</{name}>");
        let two = format!("{}{}", date("Date", 1), date("CreatedBeforeDate", 1));
        check(&format!("<Expiration>{two}</Expiration>"), malformed);
        check("<Expiration><Date>2024-01-01T00:00:01Z</Date></Expiration>", invalid);
        let marker = |flag: bool| {
            format!(
                "<Expiration><Days>1</Days><ExpiredObjectDeleteMarker>{flag}</ExpiredObjectDeleteMarker></Expiration>"
            )
        };
        check(&marker(true), unbuilt);
        check(&marker(false), None);
        check(&format!("{}<NoncurrentVersionExpiration/>", days("1")), unbuilt);
        check(&format!("<Status>x</Status>{}", days("1")), malformed);
        check(&format!("<ID>{}</ID>{}", "a".repeat(256), days("1")), invalid);
        let transition = |when: &str| format!("<Transition>{when}<StorageClass>IA</StorageClass></Transition>");
        check(&format!("{}{}", days("2"), transition("<Days>1</Days>")), None);
        check(&format!("{}{}", days("1"), transition("<Days>1</Days>")), invalid);
        let dated = transition("<CreatedBeforeDate>2024-01-01T00:00:00Z</CreatedBeforeDate>");
        check(&format!("{}{dated}", days("1")), Some(ErrorCode::InvalidRequest));
        check("<Transition><Days>1</Days></Transition>", malformed);
        check("<Transition><Days>1</Days><StorageClass>Standard</StorageClass></Transition>", malformed);
        check(&transition("<Days>1</Days><IsAccessTime>true</IsAccessTime>"), unbuilt);
        check(&transition("<Days>1</Days><ReturnToStdWhenVisit>true</ReturnToStdWhenVisit>"), unbuilt);
        check(&transition("<Days>1</Days><AllowSmallFile>false</AllowSmallFile>"), unbuilt);
        check(&transition("<Days>1</Days><AllowSmallFile>true</AllowSmallFile>"), None);
        let before = transition(&date("CreatedBeforeDate", 2));
        check(&format!("{before}<Expiration>{}</Expiration>", date("CreatedBeforeDate", 3)), None);
        check(&format!("{before}<Expiration>{}</Expiration>", date("CreatedBeforeDate", 2)), invalid);
        check(&format!("{before}<Expiration>{}</Expiration>", date("Date", 1)), invalid);
        let not =
            |not: &str| format!("<Prefix>a</Prefix>{}<Filter><Not><Prefix>{not}</Prefix></Not></Filter>", days("1"));
        check(&not("ab"), None);
        check(&not("b"), Some(ErrorCode::InvalidRequest));
        assert_eq!(read("<LifecycleConfiguration/>", false).unwrap_err().code, ErrorCode::MalformedXML);
    }

    #[test]
    fn overlapping_rules_need_consent() {
        let rule = |id: &str, prefix: &str, extra: &str| {
            format!("<ID>{id}</ID><Prefix>{prefix}</Prefix>{extra}<Expiration><Days>1</Days></Expiration>")
        };
        let enabled = "<Status>Enabled</Status>";
        for (a, b, allow, code) in [
            (rule("1", "a", enabled), rule("2", "ab", enabled), false, Some(ErrorCode::InvalidArgument)),
            (rule("1", "a", enabled), rule("2", "ab", enabled), true, None),
            (rule("1", "a", enabled), rule("2", "b", enabled), false, None),
            (rule("1", "a", enabled), rule("2", "a", "<Status>Disabled</Status>"), false, None),
            (rule("1", "a", enabled), rule("1", "b", enabled), false, Some(ErrorCode::InvalidRequest)),
            (
                rule("1", "a", &format!("{enabled}<Tag><Key>k</Key><Value>1</Value></Tag>")),
                rule("2", "a", &format!("{enabled}<Tag><Key>k</Key><Value>2</Value></Tag>")),
                false,
                None,
            ),
        ] {
            assert_eq!(read(&rules(&[&a, &b]), allow).err().map(|error| error.code), code, "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn any_inside_is_read_or_refused(
            inside in "(<Expiration>|</Expiration>|<Days>|</Days>|9|<Filter>|</Filter>|<Not>|</Not>|<|a){0,10}"
        ) {
            let _ = read(&rules(&[&format!("<Status>Enabled</Status>{inside}")]), false);
        }
    }
}
