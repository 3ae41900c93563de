//! The order of evaluation and the matrix of access control 3 and 5.2, and the messages of 8.

use super::*;

const OWNER: &str = "1000000000000001";

fn key_id() -> AccessKeyId {
    AccessKeyId::parse("AK").unwrap()
}

fn bucket_name() -> BucketName {
    BucketName::parse("examplebucket").unwrap()
}

fn root(owner: &str) -> Caller {
    Caller::Root { owner: OwnerId(owner.to_owned()), access_key: key_id() }
}

fn user(owner: &str, policies: Vec<Policy>) -> Caller {
    Caller::User {
        owner: OwnerId(owner.to_owned()),
        uid: OwnerId("200000000000000001".to_owned()),
        access_key: key_id(),
        policies: policies.into(),
        session_policy: None,
        role: None,
    }
}

fn user_policy(effect: &str, action: &str, resource: &str) -> Policy {
    let text = format!(
        r#"{{"Version":"1","Statement":{{"Effect":"{effect}","Action":"{action}","Resource":"acs:oss:*:*:{resource}"}}}}"#
    );
    Policy::parse_for_user(text.as_bytes(), "cn-hangzhou").unwrap()
}

fn bucket_policy(effect: &str, action: &str, principal: &str, resource: &str, rest: &str) -> Arc<Policy> {
    let text = format!(
        r#"{{"Version":"1","Statement":[{{"Effect":"{effect}","Action":["{action}"],"Principal":["{principal}"],"Resource":["acs:oss:*:{OWNER}:{resource}"]{rest}}}]}}"#
    );
    Arc::new(Policy::parse_for_bucket(text.as_bytes(), &bucket_name(), "cn-hangzhou").unwrap())
}

fn bucket(acl: BucketAcl) -> BucketAccess {
    BucketAccess {
        name: bucket_name(),
        owner: OwnerId(OWNER.to_owned()),
        acl,
        referer: None,
        referer_hosts: RefererHosts::Prefix,
        policy: None,
    }
}

fn object(key: &str) -> Resource {
    Resource::Object(bucket_name(), ObjectKey::parse(key.as_bytes()).unwrap())
}

/// Asks with everything that a test does not care about left out.
fn ask(
    caller: &Caller,
    operation: OperationKind,
    resource: &Resource,
    bucket: Option<&BucketAccess>,
    object_acl: Option<ObjectAcl>,
) -> Result<Grant, Error> {
    authorize(&AccessRequest {
        caller,
        operation,
        resource,
        bucket,
        object_acl,
        names_version: false,
        is_get: true,
        url_signed: false,
        referer: None,
        conditions: &ConditionValues::default(),
    })
}

/// What the table of access control 2 says of each operation, written down a second time.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Class {
    Always,
    Control,
    Read,
    Write,
    OwnerOnly,
}

fn class(kind: OperationKind) -> Class {
    use OperationKind::*;
    match kind {
        Preflight => Class::Always,
        GetObject | HeadObject | GetObjectMeta | GetSymlink | GetSignedPlaylist | ProcessObject | GetVideoSnapshot
        | GetLiveStill | PostStoryboard => Class::Read,
        PutObject
        | PostObject
        | AppendObject
        | PutSymlink
        | InitiateMultipartUpload
        | UploadPart
        | UploadPartCopy
        | CompleteMultipartUpload
        | CopyObject
        | AbortMultipartUpload
        | ListParts
        | DeleteObject
        | DeleteMultipleObjects => Class::Write,
        GetObjectAcl | PutObjectAcl | GetObjectTagging | PutObjectTagging | DeleteObjectTagging | RestoreObject => {
            Class::OwnerOnly
        }
        ListBuckets
        | DescribeRegions
        | PutBucket
        | HeadBucket
        | DeleteBucket
        | GetBucketInfo
        | GetBucketLocation
        | GetBucketStat
        | ListObjects
        | ListObjectsV2
        | ListObjectVersions
        | PutBucketAcl
        | GetBucketAcl
        | PutBucketCors
        | GetBucketCors
        | DeleteBucketCors
        | PutBucketReferer
        | GetBucketReferer
        | DeleteBucketReferer
        | PutBucketLifecycle
        | GetBucketLifecycle
        | DeleteBucketLifecycle
        | PutBucketPolicy
        | GetBucketPolicy
        | DeleteBucketPolicy
        | GetBucketPolicyStatus
        | PutBucketLogging
        | GetBucketLogging
        | DeleteBucketLogging
        | PutBucketWebsite
        | GetBucketWebsite
        | DeleteBucketWebsite
        | PutBucketTags
        | GetBucketTags
        | DeleteBucketTags
        | PutBucketVersioning
        | GetBucketVersioning
        | ListMultipartUploads
        | PutLiveChannel
        | PutLiveChannelStatus
        | GetLiveChannelInfo
        | GetLiveChannelStat
        | GetLiveChannelHistory
        | ListLiveChannel
        | DeleteLiveChannel
        | PostVodPlaylist
        | GetVodPlaylist
        | PublishRtmpStream
        | GetSubResource
        | PutSubResource
        | DeleteSubResource => Class::Control,
    }
}

#[test]
fn acls_open_what_the_matrix_says() {
    let bucket_acls = [BucketAcl::Private, BucketAcl::PublicRead, BucketAcl::PublicReadWrite];
    let object_acls = [
        None,
        Some(ObjectAcl::Default),
        Some(ObjectAcl::Private),
        Some(ObjectAcl::PublicRead),
        Some(ObjectAcl::PublicReadWrite),
    ];
    let others = [Caller::Anonymous, root("9"), user(OWNER, vec![]), user("9", vec![Policy::full_access()])];
    let mut asked = 0;
    for &kind in OperationKind::ALL {
        let resource = match class(kind) {
            Class::Always | Class::Control => Resource::Bucket(bucket_name()),
            Class::Read | Class::Write | Class::OwnerOnly => object("a"),
        };
        for acl in bucket_acls {
            for object_acl in object_acls {
                let bucket = bucket(acl);
                assert!(ask(&root(OWNER), kind, &resource, Some(&bucket), object_acl).is_ok(), "{kind} {acl}");
                let effective = match object_acl {
                    None | Some(ObjectAcl::Default) => acl.as_str(),
                    Some(own) => own.as_str(),
                };
                for caller in &others {
                    let expected = match class(kind) {
                        Class::Always => true,
                        Class::Read => effective != "private",
                        Class::Write => effective == "public-read-write",
                        Class::OwnerOnly => false,
                        Class::Control if kind == OperationKind::PublishRtmpStream => acl == BucketAcl::PublicReadWrite,
                        // PutBucket answers for itself when the name is taken.
                        Class::Control if kind == OperationKind::PutBucket => {
                            *caller == root("9") || *caller == others[3]
                        }
                        Class::Control => false,
                    };
                    let outcome = ask(caller, kind, &resource, Some(&bucket), object_acl);
                    assert_eq!(outcome.is_ok(), expected, "{kind} {acl} {object_acl:?} {caller:?}");
                    if let Err(error) = outcome {
                        assert_eq!(error.code, ErrorCode::AccessDenied);
                        assert_eq!(error.elements, [("BucketName", "examplebucket".to_owned())]);
                    }
                    asked += 1;
                }
            }
        }
    }
    assert_eq!(asked, OperationKind::ALL.len() * 60);
}

fn check(outcome: Result<Grant, Error>, message: &str, ec: Option<&str>) {
    let error = outcome.unwrap_err();
    assert_eq!((error.code, error.message.as_ref(), error.ec), (ErrorCode::AccessDenied, message, ec));
}

#[test]
fn denials_say_why() {
    use OperationKind::*;
    let private = bucket(BucketAcl::Private);
    let whole = Resource::Bucket(bucket_name());
    let stranger = user(OWNER, vec![]);
    let by_acl = "You have no right to access this object because of bucket acl.";
    check(
        ask(&Caller::Anonymous, ListObjects, &whole, Some(&private), None),
        "Anonymous access is forbidden for this operation.",
        None,
    );
    check(
        ask(&stranger, ListObjects, &whole, Some(&private), None),
        "The bucket you access does not belong to you.",
        None,
    );
    check(ask(&stranger, ListBuckets, &Resource::Service, None, None), "You are forbidden to list buckets.", None);
    let of = |caller, kind, acl| ask(caller, kind, &object("a"), Some(&private), acl);
    check(of(&Caller::Anonymous, GetObject, None), by_acl, Some("0003-00000001"));
    check(of(&stranger, PutObject, Some(ObjectAcl::Default)), by_acl, Some("0003-00000001"));
    check(of(&stranger, GetObject, Some(ObjectAcl::Private)), "You do not have read permission on this object.", None);
    check(
        of(&stranger, DeleteObject, Some(ObjectAcl::PublicRead)),
        "You do not have write permission on this object.",
        None,
    );
    check(
        of(&stranger, GetObjectAcl, None),
        "You do not have read acl permission on this object.",
        Some("0003-00000007"),
    );
    check(of(&stranger, PutObjectAcl, None), "You do not have write acl permission on this object.", None);
    check(of(&stranger, PutObjectTagging, Some(ObjectAcl::PublicReadWrite)), by_acl, Some("0003-00000001"));

    let denying = BucketAccess { policy: Some(bucket_policy("Deny", "oss:*", "*", "*", "")), ..private.clone() };
    let denied = "Access denied by bucket policy.";
    check(ask(&stranger, GetObject, &object("a"), Some(&denying), None), denied, Some("0003-00000201"));
    check(ask(&stranger, DeleteMultipleObjects, &object("a"), Some(&denying), None), denied, Some("0003-00000204"));
    let limited = user(OWNER, vec![user_policy("Deny", "oss:*", "*")]);
    check(ask(&limited, GetObject, &object("a"), Some(&private), None), "Access denied by authorizer's policy.", None);
}

#[test]
fn missing_buckets_come_before_permissions() {
    use OperationKind::*;
    let whole = Resource::Bucket(bucket_name());
    for kind in [ListObjects, DeleteBucket, PutObject, PutLiveChannel] {
        let error = ask(&Caller::Anonymous, kind, &whole, None, None).unwrap_err();
        assert_eq!(error.code, ErrorCode::NoSuchBucket);
        assert_eq!(error.elements, [("BucketName", "examplebucket".to_owned())]);
    }
    let may_make = user(OWNER, vec![user_policy("Allow", "oss:PutBucket", "examplebucket")]);
    for kind in [PutBucket, PutBucketAcl] {
        assert!(ask(&root(OWNER), kind, &whole, None, None).is_ok());
        assert!(ask(&may_make, kind, &whole, None, None).is_ok());
        assert!(ask(&user(OWNER, vec![]), kind, &whole, None, None).is_err());
        assert!(ask(&Caller::Anonymous, kind, &whole, None, None).is_err());
    }
    assert!(ask(&may_make, PutBucketAcl, &whole, Some(&bucket(BucketAcl::Private)), None).is_err());
    assert!(ask(&root(OWNER), ListBuckets, &Resource::Service, None, None).is_ok());
    assert!(ask(&user(OWNER, vec![Policy::read_only_access()]), ListBuckets, &Resource::Service, None, None).is_ok());
}

#[test]
fn consequences_of_the_order() {
    use OperationKind::*;
    let whole = Resource::Bucket(bucket_name());
    let open = bucket(BucketAcl::PublicReadWrite);
    assert!(ask(&Caller::Anonymous, ListObjects, &whole, Some(&open), None).is_err());
    let listing = BucketAccess {
        policy: Some(bucket_policy("Allow", "oss:ListObjects", "*", "examplebucket", "")),
        ..open.clone()
    };
    assert!(ask(&Caller::Anonymous, ListObjects, &whole, Some(&listing), None).is_ok());
    let readable = bucket(BucketAcl::PublicRead);
    assert!(ask(&user(OWNER, vec![]), GetObject, &object("a"), Some(&readable), None).is_ok());
    assert!(ask(&user(OWNER, vec![]), ListObjects, &whole, Some(&readable), None).is_err());

    // Deny for everybody spares root, with a condition it does not; but root can always repair the policy.
    let elsewhere = r#","Condition":{"NotIpAddress":{"acs:SourceIp":"10.0.0.0/8"}}"#;
    for (rest, expected) in [("", true), (elsewhere, false)] {
        let denying = BucketAccess { policy: Some(bucket_policy("Deny", "oss:*", "*", "*", rest)), ..open.clone() };
        assert_eq!(ask(&root(OWNER), GetObject, &object("a"), Some(&denying), None).is_ok(), expected, "{rest}");
        assert!(ask(&Caller::Anonymous, GetObject, &object("a"), Some(&denying), None).is_err());
        for kind in [GetBucketPolicy, PutBucketPolicy, DeleteBucketPolicy] {
            assert!(ask(&root(OWNER), kind, &whole, Some(&denying), None).is_ok());
        }
    }
    let named = BucketAccess { policy: Some(bucket_policy("Deny", "oss:GetObject", OWNER, "*", "")), ..open };
    assert!(ask(&root(OWNER), GetObject, &object("a"), Some(&named), None).is_err());
    assert!(ask(&user(OWNER, vec![]), GetObject, &object("a"), Some(&named), None).is_ok());
}

#[test]
fn sessions_may_do_at_most_what_their_policy_says() {
    use OperationKind::*;
    let readable = bucket(BucketAcl::PublicRead);
    let session = |policy: Policy| match user(OWNER, vec![Policy::full_access()]) {
        Caller::User { owner, uid, access_key, policies, .. } => {
            Caller::User { owner, uid, access_key, policies, session_policy: Some(Arc::new(policy)), role: None }
        }
        other => other,
    };
    let reader = session(user_policy("Allow", "oss:GetObject", "examplebucket/live/*"));
    assert!(ask(&reader, GetObject, &object("live/a"), Some(&readable), None).is_ok());
    let refused = "Access denied by authorizer's policy.";
    check(ask(&reader, GetObject, &object("vod/a"), Some(&readable), None), refused, None);
    check(ask(&reader, PutObject, &object("live/a"), Some(&readable), None), refused, None);
}

#[test]
fn documented_user_policies() {
    use OperationKind::*;
    let private = bucket(BucketAcl::Private);
    let publisher = user(
        OWNER,
        vec![
            user_policy("Allow", "oss:PutLiveChannel", "examplebucket/*"),
            user_policy("Allow", "oss:PublishRtmpStream", "examplebucket/*"),
        ],
    );
    assert!(ask(&publisher, PutLiveChannel, &object("ch1"), Some(&private), None).is_ok());
    assert!(ask(&publisher, PublishRtmpStream, &object("ch1"), Some(&private), None).is_ok());
    assert!(ask(&publisher, DeleteLiveChannel, &object("ch1"), Some(&private), None).is_err());
    assert!(ask(&publisher, GetObject, &object("ch1"), Some(&private), None).is_err());
    let viewer = user(OWNER, vec![user_policy("Allow", "oss:GetObject", "examplebucket/live/*")]);
    assert!(ask(&viewer, GetSignedPlaylist, &object("live/a.m3u8"), Some(&private), None).is_ok());
    assert!(ask(&viewer, GetObject, &object("vod/a.ts"), Some(&private), None).is_err());
    let foreign = user("9", vec![Policy::full_access()]);
    assert!(ask(&foreign, GetObject, &object("a"), Some(&private), None).is_err());
    let invited = BucketAccess {
        policy: Some(bucket_policy("Allow", "oss:GetObject", "200000000000000001", "examplebucket/*", "")),
        ..private
    };
    assert!(ask(&foreign, GetObject, &object("a"), Some(&invited), None).is_ok());
}

#[test]
fn versions_have_actions_of_their_own() {
    let private = bucket(BucketAcl::Private);
    let reader = user(OWNER, vec![user_policy("Allow", "oss:GetObject", "*")]);
    let conditions = ConditionValues::default();
    let request = |names_version| {
        authorize(&AccessRequest {
            caller: &reader,
            operation: OperationKind::GetObject,
            resource: &object("a"),
            bucket: Some(&private),
            object_acl: None,
            names_version,
            is_get: true,
            url_signed: false,
            referer: None,
            conditions: &conditions,
        })
    };
    assert!(request(false).is_ok());
    assert!(request(true).is_err());
}

#[test]
fn referers_matter_to_readers_without_authorization() {
    use OperationKind::*;
    let configuration = RefererConfiguration {
        allow_empty_referer: false,
        referers: vec!["http://ok.example/".to_owned()],
        ..RefererConfiguration::default()
    };
    let open = BucketAccess { referer: Some(Arc::new(configuration)), ..bucket(BucketAcl::PublicReadWrite) };
    let conditions = ConditionValues::default();
    let ec = |caller: &Caller, operation, url_signed, referer| {
        let resource = if operation == ListObjects { Resource::Bucket(bucket_name()) } else { object("a") };
        let request = AccessRequest {
            caller,
            operation,
            resource: &resource,
            bucket: Some(&open),
            object_acl: None,
            names_version: false,
            is_get: true,
            url_signed,
            referer,
            conditions: &conditions,
        };
        authorize(&request).err().map(|error| error.ec)
    };
    let owner = root(OWNER);
    for (caller, url_signed) in [(&Caller::Anonymous, false), (&owner, true)] {
        for kind in [GetObject, HeadObject, GetObjectMeta, GetSignedPlaylist, GetSymlink] {
            assert_eq!(ec(caller, kind, url_signed, None), Some(Some("0003-00000501")), "{kind}");
            assert_eq!(ec(caller, kind, url_signed, Some("http://ok.example/")), None);
            assert_eq!(ec(caller, kind, url_signed, Some("http://other.example/")), Some(Some("0003-00000503")));
        }
        for kind in [PutObject, DeleteObject, AppendObject, Preflight] {
            assert_eq!(ec(caller, kind, url_signed, None), None, "{kind}");
        }
    }
    assert_eq!(ec(&owner, ListObjects, true, None), None);
    for referer in [None, Some("http://other.example/")] {
        assert_eq!(ec(&owner, GetObject, false, referer), None);
    }
}

#[test]
fn keys_in_the_body_are_asked_about_one_by_one() {
    use OperationKind::*;
    let private = bucket(BucketAcl::Private);
    let deleter = user(OWNER, vec![user_policy("Allow", "oss:DeleteObject", "examplebucket/live/*")]);
    for kind in [DeleteMultipleObjects, PostObject] {
        let grant = ask(&Caller::Anonymous, kind, &Resource::Bucket(bucket_name()), Some(&private), None).unwrap();
        assert_eq!(grant.resource(), &Resource::Bucket(bucket_name()));
        assert!(ask(&Caller::Anonymous, kind, &object("live/a"), Some(&private), None).is_err());
    }
    assert!(ask(&deleter, DeleteMultipleObjects, &object("live/a"), Some(&private), None).is_ok());
    assert!(ask(&deleter, DeleteMultipleObjects, &object("vod/a"), Some(&private), None).is_err());
}

#[test]
fn a_publish_may_write_below_its_channel() {
    let private = bucket(BucketAcl::Private);
    let grant = ask(&root(OWNER), OperationKind::PublishRtmpStream, &object("ch1"), Some(&private), None).unwrap();
    for (key, expected) in [("ch1/1.ts", true), ("ch1/", false), ("ch1", false), ("ch12/1.ts", false), ("x", false)] {
        let below = grant.put_below_channel(ObjectKey::parse(key.as_bytes()).unwrap());
        assert_eq!(below.is_ok(), expected, "{key}");
        if let Ok(below) = below {
            assert_eq!((below.operation(), below.resource()), (OperationKind::PutObject, &object(key)));
            assert_eq!(below.caller(), &root(OWNER));
        }
    }
    let other = ask(&root(OWNER), OperationKind::GetObject, &object("ch1"), Some(&private), None).unwrap();
    assert!(other.put_below_channel(ObjectKey::parse(b"ch1/1.ts").unwrap()).is_err());
}
