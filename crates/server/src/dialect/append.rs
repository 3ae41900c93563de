//! AppendObject on the wire (HTTP API 9.8).

use model::name::ObjectKey;
use model::{Error, ErrorCode};
use oss::request::parse_append_position;

use super::Answer;
use super::Asked;
use super::object::{announce, expected, new_headers};
use crate::objects::BodySource;
use crate::ops::Call;
use crate::ops::append::{self, AppendObject, Appended};

/// AppendObject.
pub(super) async fn append(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let position = parse_append_position(asked.query())?;
    let headers = new_headers(asked)?;
    let request = AppendObject { position, headers, expected: expected(asked) };
    match append::append(call, request, body).await? {
        Appended::Written(written) => {
            let record = &written.record;
            let answer = Answer::empty(200)
                .header("etag", record.etag.quoted())
                .header("x-oss-next-append-position", record.size.to_string())
                .header("x-oss-hash-crc64ecma", record.crc64.to_string());
            announce(answer, *written)
        }
        Appended::EndsAt(length) => Err(wrong_position(asked.key()?, length)),
    }
}

fn wrong_position(key: &ObjectKey, length: u64) -> Error {
    Error::new(ErrorCode::PositionNotEqualToLength)
        .with("Key", key.as_str())
        .header("x-oss-next-append-position", length.to_string())
}
