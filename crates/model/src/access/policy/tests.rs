//! Documents that are refused, and what accepted ones say (access control 4).

use proptest::prelude::*;

use super::*;
use crate::access::AssumedRole;
use crate::error::ErrorCode;
use crate::name::AccessKeyId;

const OWNER: &str = "1000000000000001";
const USER: &str = "200000000000000001";

fn bucket() -> BucketName {
    BucketName::parse("examplebucket").unwrap()
}

fn parse(document: &str) -> Result<Policy, crate::Error> {
    Policy::parse_for_bucket(document.as_bytes(), &bucket(), "cn-hangzhou")
}

#[test]
fn documents_follow_the_grammar() {
    let check = |document: &str, expected: bool| match parse(document) {
        Ok(_) => assert!(expected, "{document}"),
        Err(error) => {
            assert!(!expected, "{document}: {error}");
            assert_eq!(error.code, ErrorCode::InvalidPolicyDocument);
        }
    };
    let statement = |members: &str| format!(r#"{{"Version":"1","Statement":[{{{members}}}]}}"#);
    let resource = r#""Resource":"acs:oss:*:*:examplebucket/*""#;
    let start = r#""Effect":"Allow","Principal":"*","Action":"oss:GetObject""#;
    check(
        r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":["oss:GetObject","oss:ListObjects"],"Principal":["*"],"Resource":["acs:oss:*:1000000000000001:examplebucket","acs:oss:*:1000000000000001:examplebucket/*"],"Condition":{"IpAddress":{"acs:SourceIp":["10.0.0.0/8"]}}}]}"#,
        true,
    );
    check(&format!(r#"{{"Version":"1","Statement":{{{start},{resource}}}}}"#), true);
    check(&statement(&format!(r#"{start},{resource},"Sid":"x""#)), true);
    check(
        &statement(
            r#""Effect":"Deny","Principal":[],"NotAction":"oss:Get*","NotResource":"acs:oss:cn-hangzhou:1:examplebucket""#,
        ),
        true,
    );
    check(&statement(&format!(r#"{start},"Resource":"acs:oss:oss-cn-hangzhou:*:examplebucket/a:b""#)), true);
    check(&statement(&format!(r#"{start},"Resource":"acs:oss:*:*:examplebucket*""#)), true);
    for principal in [r#""*""#, r#""123""#, r#"["123","*"]"#, r#""arn:sts::1:assumed-role/r/*""#] {
        check(&statement(&format!(r#""Effect":"Allow","Principal":{principal},"Action":"oss:*",{resource}"#)), true);
    }
    for principal in
        [r#""me""#, r#""""#, r#""arn:sts::1:assumed-role""#, r#""arn:sts::1:assumed-role/r""#, "1", "[1]", "null"]
    {
        check(&statement(&format!(r#""Effect":"Allow","Principal":{principal},"Action":"oss:*",{resource}"#)), false);
    }
    for bad in [
        "",
        "[]",
        "{}",
        r#"{"Version":"1"}"#,
        r#"{"Version":"1","Statement":[]}"#,
        r#"{"Version":"1","Statement":[1]}"#,
        r#"{"Version":"1","Statement":"x"}"#,
        &format!(r#"{{"Version":"2","Statement":{{{start},{resource}}}}}"#),
        &format!(r#"{{"Version":1,"Statement":{{{start},{resource}}}}}"#),
        &format!(r#"{{"Statement":{{{start},{resource}}}}}"#),
        &format!(r#"{{"Version":"1","Other":1,"Statement":{{{start},{resource}}}}}"#),
        &format!(r#"{{"Version":"1","Version":"1","Statement":{{{start},{resource}}}}}"#),
        &format!(r#"{{"Version":"1","Statement":{{{start},{resource}}}}} x"#),
        &statement(&format!("{start},{resource},{start}")),
        &statement(start),
        &statement(&format!(r#"{start},{resource},"Other":1"#)),
        &statement(&format!(r#"{start},{resource},"NotAction":"oss:*""#)),
        &statement(&format!(r#"{start},{resource},"NotResource":"acs:oss:*:*:examplebucket""#)),
        &statement(&format!(r#"{start},"Resource":"acs:oss:*:*:otherbucket/*""#)),
        &statement(&format!(r#"{start},"Resource":"acs:oss:cn-beijing:*:examplebucket/*""#)),
        &statement(&format!(r#"{start},"Resource":"acs:oss:*:me:examplebucket/*""#)),
        &statement(&format!(r#"{start},"Resource":"acs:oss:*:*:""#)),
        &statement(&format!(r#"{start},"Resource":"acs:s3:*:*:examplebucket""#)),
        &statement(&format!(r#"{start},"Resource":"*""#)),
        &statement(&format!(r#"{start},"Resource":[]"#)),
        &statement(&format!(r#""Effect":"allow","Principal":"*","Action":"oss:*",{resource}"#)),
        &statement(&format!(r#""Effect":"Allow","Principal":"*","Action":"GetObject",{resource}"#)),
        &statement(&format!(r#""Effect":"Allow","Principal":"*","Action":"oss:",{resource}"#)),
        &statement(&format!(r#""Effect":"Allow","Principal":"*","Action":[],{resource}"#)),
        &statement(&format!(r#""Effect":"Allow","Action":"oss:*",{resource}"#)),
    ] {
        check(bad, false);
    }
    for condition in [
        r#"{"StringEquals":{"acs:UserAgent":"x"}}"#,
        r#"{"Bool":{"acs:SecureTransport":true}}"#,
        r#"{"Bool":{"acs:SecureTransport":"HTTPS"}}"#,
        r#"{"NumericLessThan":{"oss:ExistingObjectTag/n":[1,"2.5"]}}"#,
        r#"{"DateLessThan":{"acs:CurrentTime":"2024-01-02T03:04:05+08:00"}}"#,
        r#"{"IpAddress":{"acs:SourceIp":["::1","10.1.*","fe80::/10"]}}"#,
        r#"{"StringEquals":{"acs:SourceVpc":"v","acs:MFAPresent":"true"}}"#,
        "{}",
    ] {
        check(&statement(&format!(r#"{start},{resource},"Condition":{condition}"#)), true);
    }
    for condition in [
        "[]",
        r#"{"StringEquals":{}}"#,
        r#"{"StringEquals":{"acs:UserAgent":[]}}"#,
        r#"{"StringEquals":{"acs:UserAgent":null}}"#,
        r#"{"StringEquals":{"acs:Unknown":"x"}}"#,
        r#"{"StringEquals":{"oss:BucketTag/":"x"}}"#,
        r#"{"StringMatches":{"acs:UserAgent":"x"}}"#,
        r#"{"Numeric":{"acs:UserAgent":"1"}}"#,
        r#"{"NumericEquals":{"acs:UserAgent":"x"}}"#,
        r#"{"NumericEquals":{"acs:UserAgent":"NaN"}}"#,
        r#"{"DateEquals":{"acs:CurrentTime":"now"}}"#,
        r#"{"IpAddress":{"acs:SourceIp":"10.0.0.0/33"}}"#,
        r#"{"IpAddress":{"acs:SourceIp":"10.0.0"}}"#,
        r#"{"IpAddress":{"acs:SourceIp":"x*"}}"#,
        r#"{"Bool":{"acs:SecureTransport":"yes"}}"#,
        r#"{"StringEquals":{"acs:UserAgent":"a","acs:UserAgent":"b"}}"#,
    ] {
        check(&statement(&format!(r#"{start},{resource},"Condition":{condition}"#)), false);
    }
    check(&format!(r#"{{"Version":"1","Statement":{{{start},{resource}}}{}}}"#, " ".repeat(16_384)), false);
}

#[test]
fn a_stored_user_policy_outlives_a_change_of_region() {
    let document =
        br#"{"Version":"1","Statement":{"Effect":"Allow","Action":"oss:*","Resource":"acs:oss:cn-beijing:*:b/*"}}"#;
    assert!(Policy::parse_for_user(document, "cn-beijing").is_ok());
    assert!(Policy::parse_for_user(document, "cn-hangzhou").is_err());
    assert!(Policy::read_for_user(document).is_ok());
}

#[test]
fn user_policies_have_no_principal() {
    let check = |document: &str, expected: bool| {
        assert_eq!(Policy::parse_for_user(document.as_bytes(), "cn-hangzhou").is_ok(), expected, "{document}");
    };
    let with = |rest: &str| {
        format!(r#"{{"Version":"1","Statement":{{"Effect":"Allow","Action":"oss:*","Resource":"*"{rest}}}}}"#)
    };
    check(&with(""), true);
    check(&with(r#","Principal":"*""#), false);
    assert!(Policy::predefined("AliyunOSSFullAccess").is_some());
    assert!(Policy::predefined("AliyunOSSReadOnlyAccess").is_some());
    assert!(Policy::predefined("Other").is_none());
}

fn user(role: Option<AssumedRole>) -> Caller {
    Caller::User {
        owner: OwnerId(OWNER.to_owned()),
        uid: OwnerId(USER.to_owned()),
        access_key: AccessKeyId::parse("AK").unwrap(),
        policies: Vec::new().into(),
        session_policy: None,
        role,
    }
}

/// What one Allow statement says to a caller.
fn allows(members: &str, caller: &Caller, action: &'static str, below: Option<&str>, values: &ConditionValues) -> bool {
    let policy = parse(&format!(r#"{{"Version":"1","Statement":{{"Effect":"Allow",{members}}}}}"#)).unwrap();
    let (owner, bucket) = (OwnerId(OWNER.to_owned()), bucket());
    let question = PolicyQuestion {
        action,
        owner: Some(&owner),
        bucket: Some(&bucket),
        below,
        caller,
        is_root: matches!(caller, Caller::Root { .. }),
        is_listing: action == "oss:ListObjects",
        values,
    };
    policy.decide(&question) == Decision::Allow
}

#[test]
fn actions_and_resources_are_matched() {
    for (action, resource, asked, below, expected) in [
        (
            r#""Action":"oss:GetObject""#,
            r#""Resource":"acs:oss:*:*:examplebucket/*""#,
            "oss:GetObject",
            Some("a/b"),
            true,
        ),
        (
            r#""Action":"OSS:getobject""#,
            r#""Resource":"acs:oss:*:*:examplebucket/*""#,
            "oss:GetObject",
            Some("a"),
            true,
        ),
        (r#""Action":"oss:Get*""#, r#""Resource":"acs:oss:*:*:examplebucket/*""#, "oss:GetObjectAcl", Some("a"), true),
        (r#""Action":"oss:Get*""#, r#""Resource":"acs:oss:*:*:examplebucket/*""#, "oss:PutObject", Some("a"), false),
        (
            r#""Action":["oss:A","oss:PutObject"]"#,
            r#""Resource":"acs:oss:*:*:examplebucket/*""#,
            "oss:PutObject",
            Some("a"),
            true,
        ),
        (r#""NotAction":"oss:Get*""#, r#""Resource":"acs:oss:*:*:examplebucket/*""#, "oss:PutObject", Some("a"), true),
        (r#""NotAction":"oss:Get*""#, r#""Resource":"acs:oss:*:*:examplebucket/*""#, "oss:GetObject", Some("a"), false),
        (r#""Action":"oss:*""#, r#""Resource":"acs:oss:*:*:examplebucket/*""#, "oss:ListObjects", None, false),
        (r#""Action":"oss:*""#, r#""Resource":"acs:oss:*:*:examplebucket""#, "oss:ListObjects", None, true),
        (r#""Action":"oss:*""#, r#""Resource":"acs:oss:*:*:examplebucket""#, "oss:GetObject", Some("a"), false),
        (
            r#""Action":"oss:*""#,
            r#""Resource":"acs:oss:*:1000000000000001:examplebucket/live/*""#,
            "oss:GetObject",
            Some("live/1.ts"),
            true,
        ),
        (
            r#""Action":"oss:*""#,
            r#""Resource":"acs:oss:*:1000000000000002:examplebucket/*""#,
            "oss:GetObject",
            Some("a"),
            false,
        ),
        (r#""Action":"oss:*""#, r#""Resource":"acs:oss:*:*:examplebucket/a?""#, "oss:GetObject", Some("ab"), false),
        (r#""Action":"oss:*""#, r#""Resource":"acs:oss:*:*:examplebucket/a?""#, "oss:GetObject", Some("a?"), true),
        (r#""Action":"oss:*""#, r#""NotResource":"acs:oss:*:*:examplebucket/a""#, "oss:GetObject", Some("b"), true),
        (r#""Action":"oss:*""#, r#""NotResource":"acs:oss:*:*:examplebucket/a""#, "oss:GetObject", Some("a"), false),
    ] {
        let members = format!(r#""Principal":"*",{action},{resource}"#);
        let found = allows(&members, &Caller::Anonymous, asked, below, &ConditionValues::default());
        assert_eq!(found, expected, "{members} {asked} {below:?}");
    }
}

#[test]
fn principals_are_matched() {
    let root = Caller::Root { owner: OwnerId(OWNER.to_owned()), access_key: AccessKeyId::parse("AK").unwrap() };
    let role = |session: &str| user(Some(AssumedRole { role: "recorder".to_owned(), session: session.to_owned() }));
    for (principal, caller, expected) in [
        ("*", &Caller::Anonymous, true),
        ("*", &user(None), true),
        ("*", &root, false),
        (OWNER, &root, true),
        (OWNER, &user(None), false),
        (USER, &user(None), true),
        (USER, &Caller::Anonymous, false),
        ("arn:sts::1000000000000001:assumed-role/recorder/*", &role("night"), true),
        ("arn:sts::1000000000000001:assumed-role/recorder/day", &role("night"), false),
        ("arn:sts::1000000000000002:assumed-role/recorder/*", &role("night"), false),
        ("arn:sts::*:assumed-role/*/*", &user(None), false),
    ] {
        let members = format!(r#""Principal":"{principal}","Action":"oss:*","Resource":"acs:oss:*:*:examplebucket/*""#);
        let found = allows(&members, caller, "oss:GetObject", Some("a"), &ConditionValues::default());
        assert_eq!(found, expected, "{principal} {caller:?}");
    }
    let members = r#""Principal":"*","Action":"oss:*","Resource":"acs:oss:*:*:examplebucket/*","Condition":{"Bool":{"acs:SecureTransport":"false"}}"#;
    assert!(allows(members, &root, "oss:GetObject", Some("a"), &ConditionValues::default()));
}

#[test]
fn conditions_hold_or_not() {
    let values = ConditionValues {
        source_ip: Some("10.1.2.3".parse().unwrap()),
        user_agent: Some("Lavf/60".to_owned()),
        now_s: 1_704_164_645,
        secure: true,
        prefix: Some("user1/a".to_owned()),
        delimiter: None,
        existing_tags: vec![("kind".to_owned(), "live".to_owned()), ("n".to_owned(), "5".to_owned())],
        request_tags: Vec::new(),
        bucket_tags: vec![("stage".to_owned(), "test".to_owned())],
    };
    let check = |values: &ConditionValues, condition: &str, expected: bool| {
        let members = format!(
            r#""Principal":"*","Action":"oss:*","Resource":"acs:oss:*:*:examplebucket","Condition":{condition}"#
        );
        let found = allows(&members, &user(None), "oss:ListObjects", None, values);
        assert_eq!(found, expected, "{condition}");
    };
    for (condition, expected) in [
        ("{}", true),
        (r#"{"StringEquals":{"acs:UserAgent":["x","Lavf/60"]}}"#, true),
        (r#"{"StringEquals":{"acs:UserAgent":"lavf/60"}}"#, false),
        (r#"{"StringEqualsIgnoreCase":{"acs:UserAgent":"lavf/60"}}"#, true),
        (r#"{"StringNotEquals":{"acs:UserAgent":["x","Lavf/60"]}}"#, false),
        (r#"{"StringNotEqualsIgnoreCase":{"acs:UserAgent":"x"}}"#, true),
        (r#"{"StringLike":{"oss:Prefix":"user1/*"}}"#, true),
        (r#"{"StringLike":{"oss:Prefix":"user2/*"}}"#, false),
        (r#"{"StringLike":{"acs:UserAgent":"Lavf/?0"}}"#, true),
        (r#"{"StringNotLike":{"oss:Prefix":["user2/*","user1/*"]}}"#, false),
        (r#"{"StringEquals":{"oss:Delimiter":""}}"#, true),
        (r#"{"StringEquals":{"oss:Delimiter":"/"}}"#, false),
        (r#"{"IpAddress":{"acs:SourceIp":"10.0.0.0/8"}}"#, true),
        (r#"{"IpAddress":{"acs:SourceIp":"10.1.2.3"}}"#, true),
        (r#"{"IpAddress":{"acs:SourceIp":"10.1.2.2/31"}}"#, true),
        (r#"{"IpAddress":{"acs:SourceIp":"10.1.2.0/31"}}"#, false),
        (r#"{"IpAddress":{"acs:SourceIp":"0.0.0.0/0"}}"#, true),
        (r#"{"IpAddress":{"acs:SourceIp":"::/0"}}"#, false),
        (r#"{"IpAddress":{"acs:SourceIp":"10.1.*"}}"#, true),
        (r#"{"IpAddress":{"acs:SourceIp":"10.2.*"}}"#, false),
        (r#"{"NotIpAddress":{"acs:SourceIp":"10.0.0.0/8"}}"#, false),
        (r#"{"NotIpAddress":{"acs:SourceIp":"192.168.0.0/16"}}"#, true),
        (r#"{"Bool":{"acs:SecureTransport":"true"}}"#, true),
        (r#"{"Bool":{"acs:SecureTransport":"HTTP"}}"#, false),
        (r#"{"DateEquals":{"acs:CurrentTime":"2024-01-02T03:04:05Z"}}"#, true),
        (r#"{"DateNotEquals":{"acs:CurrentTime":"2024-01-02T03:04:05Z"}}"#, false),
        (r#"{"DateLessThan":{"acs:CurrentTime":"2024-01-02T03:04:05Z"}}"#, false),
        (r#"{"DateLessThanEquals":{"acs:CurrentTime":"2024-01-02T11:04:05+08:00"}}"#, true),
        (r#"{"DateGreaterThan":{"acs:CurrentTime":"2024-01-02"}}"#, true),
        (r#"{"DateGreaterThanEquals":{"acs:CurrentTime":"2024-01-03"}}"#, false),
        (r#"{"NumericEquals":{"oss:ExistingObjectTag/n":"5.0"}}"#, true),
        (r#"{"NumericLessThan":{"oss:ExistingObjectTag/n":5}}"#, false),
        (r#"{"NumericGreaterThan":{"oss:ExistingObjectTag/n":4}}"#, true),
        (r#"{"NumericGreaterThan":{"oss:ExistingObjectTag/kind":4}}"#, false),
        (r#"{"StringEquals":{"oss:ExistingObjectTag/kind":"live"}}"#, true),
        (r#"{"StringEquals":{"oss:RequestObjectTag/kind":"live"}}"#, false),
        (r#"{"StringNotEquals":{"oss:RequestObjectTag/kind":"live"}}"#, true),
        (r#"{"StringEquals":{"oss:BucketTag/stage":"test"}}"#, true),
        (r#"{"StringEquals":{"acs:AccessId":"AK"}}"#, true),
        (r#"{"StringEquals":{"acs:SourceVpc":"x"}}"#, false),
        (r#"{"StringNotEquals":{"acs:SourceVpc":"x"}}"#, true),
        (r#"{"StringEquals":{"acs:AccessId":"AK","acs:UserAgent":"x"}}"#, false),
        (r#"{"StringEquals":{"acs:AccessId":"AK"},"Bool":{"acs:SecureTransport":"false"}}"#, false),
    ] {
        check(&values, condition, expected);
    }
    let mapped = ConditionValues { source_ip: Some("::ffff:10.1.2.3".parse().unwrap()), ..values.clone() };
    check(&mapped, r#"{"IpAddress":{"acs:SourceIp":"10.1.2.3"}}"#, true);
    let six = ConditionValues { source_ip: Some("fe80::1".parse().unwrap()), ..values };
    check(&six, r#"{"IpAddress":{"acs:SourceIp":"fe80::/10"}}"#, true);
    check(&six, r#"{"IpAddress":{"acs:SourceIp":"fec0::/10"}}"#, false);
    check(&six, r#"{"IpAddress":{"acs:SourceIp":"::/0"}}"#, true);
}

proptest! {
    #[test]
    fn no_document_panics(bytes: Vec<u8>, text in r#"[\[\]{}":,A-Za-z0-9*./ -]{0,80}"#) {
        let _ = Policy::parse_for_bucket(&bytes, &bucket(), "r");
        let _ = parse(&text);
    }

    #[test]
    fn no_condition_panics(
        operator in "(String|Date|Numeric|Ip|Not)[A-Za-z]{0,16}",
        key in "(acs:SourceIp|acs:CurrentTime|oss:Prefix|oss:BucketTag/a)",
        value in "[0-9a-f:./*TZ+-]{0,20}",
    ) {
        let members = format!(r#""Principal":"*","Action":"oss:*","Resource":"acs:oss:*:*:examplebucket","Condition":{{"{operator}":{{"{key}":"{value}"}}}}"#);
        let document = format!(r#"{{"Version":"1","Statement":{{"Effect":"Allow",{members}}}}}"#);
        if parse(&document).is_ok() {
            allows(&members, &user(None), "oss:ListObjects", None, &ConditionValues::default());
        }
    }
}

#[test]
fn public_is_what_lets_strangers_in() {
    let allow = |principal: &str, condition: &str| {
        let condition = if condition.is_empty() { String::new() } else { format!(r#","Condition":{{{condition}}}"#) };
        format!(
            r#"{{"Effect":"Allow","Action":"oss:GetObject","Resource":"acs:oss:*:*:examplebucket/*","Principal":{principal}{condition}}}"#
        )
    };
    let deny = allow(r#""*""#, "").replace("Allow", "Deny");
    let user = allow(r#""123""#, "");
    for (statements, is_public) in [
        (allow(r#""*""#, ""), true),
        (allow("[]", ""), true),
        (allow(r#"["123","*"]"#, ""), true),
        (user.clone(), false),
        (allow(r#""arn:sts::1:assumed-role/r/*""#, ""), false),
        (deny.clone(), false),
        (format!("{user},{deny}"), false),
        (format!("{user},{}", allow(r#""*""#, "")), true),
        (allow(r#""*""#, r#""IpAddress":{"acs:SourceIp":["10.0.0.0/8","192.0.2.1"]}"#), false),
        (allow(r#""*""#, r#""IpAddress":{"acs:SourceIp":["10.0.0.0/8","0.0.0.0/0"]}"#), true),
        (allow(r#""*""#, r#""IpAddress":{"acs:SourceIp":"10.*"}"#), false),
        (allow(r#""*""#, r#""IpAddress":{"acs:SourceIp":"*"}"#), true),
        (allow(r#""*""#, r#""NotIpAddress":{"acs:SourceIp":"10.0.0.0/8"}"#), true),
        (allow(r#""*""#, r#""StringEquals":{"acs:SourceVpc":"vpc-1"}"#), false),
        (allow(r#""*""#, r#""StringNotEquals":{"acs:SourceVpc":"vpc-1"}"#), true),
        (allow(r#""*""#, r#""StringEquals":{"acs:AccessId":"KEY1"}"#), false),
        (allow(r#""*""#, r#""StringLike":{"acs:AccessId":"KEY*"}"#), true),
        (allow(r#""*""#, r#""Bool":{"acs:SecureTransport":"true"}"#), true),
        (allow(r#""*""#, r#""StringLike":{"acs:UserAgent":"Mozilla"}"#), true),
    ] {
        let policy = parse(&format!(r#"{{"Version":"1","Statement":[{statements}]}}"#)).unwrap();
        assert_eq!(policy.is_public(), is_public, "{statements}");
    }
}
