//! A request of a stranger, before anybody knows who asks: route, credentials and every parameter parser.
//!
//! The input is text: `METHOD PATH?QUERY`, a line with the host, one line per header, then an empty line and the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use model::name::ChannelName;
use model::percent::percent_decode;
use model::percent::percent_encode;
use oss::request::{Addressing, BodyDigests, Conditions, CopyDirective, CopySource, ListBucketsParameters, ListLiveChannelParameters, ListObjectsParameters, ListObjectsV2Parameters, ListPartsParameters, ListUploadsParameters, ListVersionsParameters, ObjectHeaders, PlaylistTarget, RangeBehaviour, RangeOutcome, RawRequest, ResponseOverrides, Route, VodParameters, apply_range, check_comp, check_no_conditions, check_part_headers, check_put_bucket_headers, copy_range, parse_append_position, parse_bucket_acl, parse_channel, parse_channel_status, parse_complete_all, parse_part_number, parse_symlink_target, parse_tag_keys, parse_tagging_header, route, route_as_path_style};
use oss::sign::{Credentials, SecretKey, SignOptions};

const NOW_MS: i64 = 1_704_164_645_000;

fuzz_target!(|data: &[u8]| {
    let Some((raw, body)) = read(data) else { return };
    let addressing = Addressing { base_domains: vec!["oss.example.com".to_owned()], ..Addressing::default() };
    assert_eq!(percent_decode(&percent_encode(raw.path.as_bytes(), false)), raw.path.as_bytes());
    if let Some(other) = route_as_path_style(&raw, &addressing) {
        ask(&raw, &other, body);
    }
    if let Ok(found) = route(&raw, &addressing) {
        ask(&raw, &found, body);
    }
});

fn ask(raw: &RawRequest, route: &Route, body: &[u8]) {
    if let Ok(credentials) = Credentials::extract(raw, route, &SignOptions::default(), NOW_MS) {
        let secret = SecretKey::new("a secret that no input can know".to_owned());
        assert!(credentials.verify(&secret, raw, route).is_err(), "a signature was forged");
    }
    let query = &route.query;
    drop(ListBucketsParameters::parse(query));
    drop(ListObjectsParameters::parse(query));
    drop(ListObjectsV2Parameters::parse(query));
    drop(ListVersionsParameters::parse(query));
    drop(ListUploadsParameters::parse(query));
    drop(ListPartsParameters::parse(query));
    drop(ListLiveChannelParameters::parse(query));
    drop(VodParameters::parse(query));
    drop(PlaylistTarget::parse(route, ChannelName::DEFAULT_MAX_BYTES));
    drop(parse_channel(route, ChannelName::DEFAULT_MAX_BYTES));
    drop(check_comp(query));
    drop(parse_channel_status(query));
    drop(parse_part_number(query));
    drop(parse_append_position(query));
    drop(parse_tag_keys(query));
    drop(ResponseOverrides::parse(query, true));
    drop(ResponseOverrides::parse(query, false));
    drop(query.encoding_is_url());

    drop(ObjectHeaders::parse(raw));
    drop(BodyDigests::parse(raw));
    drop(Conditions::of_read(raw, NOW_MS));
    drop(Conditions::of_copy_source(raw, NOW_MS));
    drop(CopySource::parse(raw));
    drop(CopyDirective::of_metadata(raw));
    drop(CopyDirective::of_tags(raw));
    drop(parse_bucket_acl(raw));
    drop(check_put_bucket_headers(raw));
    drop(check_no_conditions(raw));
    drop(check_part_headers(raw));
    drop(parse_complete_all(raw, body));
    drop(parse_symlink_target(raw));
    if let Some(text) = raw.header_text("x-oss-tagging") {
        drop(parse_tagging_header(text));
    }
    for size in [0, 1, 1000, u64::MAX] {
        for outcome in [apply_range(raw.header_text("range"), RangeBehaviour::of(raw, RangeBehaviour::Usual), size), copy_range(raw, size)] {
            if let RangeOutcome::Part { start, end } = outcome {
                assert!(start <= end && end < size, "{start}-{end} of {size}");
            }
        }
    }
}

/// The request that the text describes; `None` when the first line has no method.
fn read(data: &[u8]) -> Option<(RawRequest, &[u8])> {
    let (head, body) = match data.windows(2).position(|pair| pair == b"\n\n") {
        Some(end) => (data.get(..end)?, data.get(end + 2..)?),
        None => (data, &data[..0]),
    };
    let mut lines = head.split(|&byte| byte == b'\n');
    let first = String::from_utf8_lossy(lines.next()?).into_owned();
    let (method, target) = first.split_once(' ')?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let host = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let headers = lines
        .filter_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            let name = String::from_utf8_lossy(line.get(..colon)?).to_ascii_lowercase();
            Some((name, line.get(colon + 1..)?.trim_ascii().to_vec()))
        })
        .collect();
    let raw = RawRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
        headers,
        host,
        secure: false,
    };
    Some((raw, body))
}
