//! A request, free of any HTTP library: where it is addressed, which operation it asks for, and what its parameters say.

mod addressing;
mod callback;
mod conditions;
mod copy_source;
mod listing;
mod live;
mod location;
mod multipart;
mod object_headers;
mod post;
mod query;
mod range;
mod read_options;
mod route;
mod row;
mod sub_resource;

pub use addressing::{Addressing, HostFallback, Style, bare_host};
pub use callback::{Callback, CallbackBodyType, CallbackFacts, callback_failed};
pub use conditions::{ConditionOutcome, Conditions, range_is_current};
pub use copy_source::{CopyDirective, CopySource, copy_range};
pub use listing::{
    ContinuationToken, ListBucketsParameters, ListLiveChannelParameters, ListObjectsParameters,
    ListObjectsV2Parameters, ListPartsParameters, ListUploadsParameters, ListVersionsParameters, parse_regions,
};
pub use live::{PlaylistTarget, VodParameters, check_comp, parse_channel, parse_channel_status};
pub use location::{ChannelUrlRules, ChannelUrls, endpoint_of, object_location};
pub use multipart::{MAX_PART_NUMBER, check_part_headers, parse_complete_all, parse_part_number, upload_id};
pub use object_headers::{
    BodyDigests, ObjectHeaders, check_body_length, check_no_conditions, check_object_tags, check_put_bucket_headers,
    parse_append_position, parse_bucket_acl, parse_object_acl, parse_symlink_target, parse_tag_keys,
    parse_tagging_header, required_object_acl,
};
pub use post::{FormEvent, FormReader, PostFields, PostPolicy, PostPolicyFacts, PostSuccess};
pub use query::{Query, QueryPair};
pub(crate) use query::{parse_decimal, shown};
pub use range::{RangeBehaviour, RangeOutcome, apply_range, invalid_range};
pub use read_options::{
    PictureProcess, ResponseOverrides, is_sign_process, not_implemented, restore_not_supported, unknown_process,
};
pub use route::{Route, route, route_as_path_style};
pub(crate) use row::check_form_headers;
pub use row::check_row;
pub use sub_resource::{Absence, absence};

/// A request as it arrived, before anything was understood.
#[derive(Debug, Clone, Default)]
pub struct RawRequest {
    /// Upper-case method.
    pub method: String,
    /// The path exactly as sent, percent-escapes included, beginning with `/`.
    pub path: String,
    /// The query exactly as sent, without `?`; empty when there is none.
    pub query: String,
    /// Header names in lower case, values as bytes, in order of arrival.
    pub headers: Vec<(String, Vec<u8>)>,
    /// `Host` header or `:authority`, with port, as sent.
    pub host: String,
    /// Whether it came over TLS.
    pub secure: bool,
}

impl RawRequest {
    /// The first value of a header, as sent.
    pub fn header(&self, lower_name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(name, _)| name == lower_name).map(|(_, value)| value.as_slice())
    }

    /// The first value of a header without surrounding white space; `None` also when it is not UTF-8.
    pub fn header_text(&self, lower_name: &str) -> Option<&str> {
        self.header(lower_name).and_then(|value| std::str::from_utf8(value).ok()).map(str::trim)
    }

    /// All values of a header, in order of arrival.
    pub fn headers_named<'a>(&'a self, lower_name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |(name, _)| name == lower_name).map(|(_, value)| value.as_slice())
    }
}
