//! Every document that a client may send: no bytes panic, and what was understood reads the same after it was written.
//!
//! The first input byte chooses the reader, the rest is the body.
#![no_main]

use libfuzzer_sys::fuzz_target;
use oss::xml::live_channel::ConfigurationRules;
use oss::xml::{bucket, cors, delete, lifecycle, live_channel, multipart, referer, tagging, website};

fuzz_target!(|data: &[u8]| {
    let Some((&reader, body)) = data.split_first() else { return };
    match reader % 12 {
        0 => same(
            body,
            |body| live_channel::parse_configuration(body, ConfigurationRules::default()),
            |config| live_channel::render_configuration(config),
        ),
        1 => same(body, cors::parse_cors, cors::render_cors),
        2 => same(body, referer::parse_referer, referer::render_referer),
        3 => same(body, tagging::parse_object_tagging, |tags| tagging::render_tagging(tags)),
        4 => same(body, tagging::parse_bucket_tagging, |tags| tagging::render_tagging(tags)),
        5 => same(body, website::parse_website, website::render_website),
        6 => same(body, parse_lifecycle, |rules| lifecycle::render_lifecycle(rules)),
        7 => same(body, bucket::parse_logging, |logging| bucket::render_logging(logging.as_ref())),
        8 => drop(delete::DeleteRequest::parse(body)),
        9 => drop(multipart::parse_complete(body)),
        10 => drop(bucket::CreateBucketConfiguration::parse(body, "cn-hangzhou")),
        _ => drop(bucket::parse_versioning(body)),
    }
});

fn parse_lifecycle(body: &[u8]) -> model::Result<Vec<model::LifecycleRule>> {
    let mut count = 0;
    lifecycle::parse_lifecycle(body, true, &mut || {
        count += 1;
        format!("generated-{count}")
    })
}

/// Reading what was written gives what was read.
fn same<T: PartialEq + std::fmt::Debug>(
    body: &[u8],
    parse: impl Fn(&[u8]) -> model::Result<T>,
    render: impl Fn(&T) -> String,
) {
    let Ok(value) = parse(body) else { return };
    let text = render(&value);
    match parse(text.as_bytes()) {
        Ok(again) => assert_eq!(again, value, "{text}"),
        Err(error) => panic!("our own document is refused: {error:?}\n{text}"),
    }
}
