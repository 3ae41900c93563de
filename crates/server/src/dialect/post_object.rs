//! PostObject on the wire: an upload by a form (HTTP API 11). The form says who sends it and what becomes of the file;
//! everything but the file is known before its first byte.

use std::time::Duration;

use model::name::ObjectKey;
use model::{Error, ErrorCode};
use oss::request::{
    FormEvent, FormReader, PostFields, PostPolicy, PostPolicyFacts, PostSuccess, check_body_length, object_location,
};
use oss::xml::object::render_post_response;
use tokio::time::Instant;

use super::object::{DEFAULT_TYPE, announce, upload_headers};
use super::{Answer, Content};
use super::{Asked, callback};
use crate::accounts::Sender;
use crate::objects::BodySource;
use crate::ops::Call;
use crate::ops::object::{NewHeaders, Written};
use crate::ops::post_object::{self, PostObject, Posted};

/// PostObject.
pub(super) async fn post(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let mut reader = FormReader::new(asked.raw.header_text("content-type").unwrap_or_default())?;
    if !body.is_present() {
        return Err(ErrorCode::MissingContentLength.into());
    }
    check_body_length(body.announced_length())?;
    let mut fields = PostFields::default();
    let mut file: Option<File<'_>> = None;
    let mut held = asked.memory.receive.hold();
    // Known from when the form has said who sends it.
    let mut signed: Option<Option<PostPolicy>> = None;
    let strangers_until = Instant::now() + Duration::from_secs(asked.config.http.body_timeout_s);
    loop {
        let piece = match &mut file {
            Some(file) => file.posted.next_of(body).await?,
            None if signed.is_some() => body.next().await?,
            // Fields that drip at the pace of a body would be held for days.
            None => tokio::time::timeout_at(strangers_until, body.next())
                .await
                .map_err(|_| Error::new(ErrorCode::RequestTimeout))??,
        };
        let Some(piece) = piece else { break };
        reader.feed(&piece);
        while let Some(event) = reader.next_event()? {
            match event {
                FormEvent::Field { name, value } => {
                    fields.push(&name, value)?;
                    if signed.is_none() && fields.name_sender() {
                        signed = Some(early_policy(asked, call, &fields).await?);
                        reader.trust_sender();
                    }
                    // What was signed already does not fit what has come, whatever else comes.
                    if let Some(Some(policy)) = &signed {
                        policy.check_early(&fields, asked.bucket()?.as_str(), asked.now_ms)?;
                    }
                }
                FormEvent::File { filename, content_type } => {
                    file = Some(File::admit(asked, call, &fields, &filename, content_type.as_deref()).await?);
                }
                FormEvent::Data(bytes) => {
                    if let Some(file) = &mut file {
                        file.push(&bytes).await?;
                    }
                }
                FormEvent::End => {
                    // What follows the file is ignored.
                    let complete = file.take().ok_or(ErrorCode::IncorrectNumberOfFilesInPOSTRequest)?;
                    return complete.store(asked, call, &fields).await;
                }
            }
        }
        held.resize(reader.buffered().saturating_add(fields.bytes())).await?;
    }
    reader.finish()?;
    Err(Error::new(ErrorCode::MalformedPOSTRequest))
}

/// A file that may be stored, and what its form allows of it.
struct File<'a> {
    posted: Posted<'a>,
    policy: Option<PostPolicy>,
}

impl<'a> File<'a> {
    /// Decides whether the sender of the form may store the file that begins.
    async fn admit(
        asked: &Asked<'_>,
        call: &Call<'a>,
        fields: &PostFields,
        filename: &str,
        type_of_file: Option<&str>,
    ) -> Result<Self, Error> {
        let key = fields.key(filename)?;
        let Sender { caller, credentials } = sender(asked, call, fields).await?;
        let policy = credentials.policy().map(PostPolicy::parse).transpose()?;
        if let Some(policy) = &policy {
            let content_type = fields.content_type(type_of_file).unwrap_or(DEFAULT_TYPE);
            let bucket = asked.bucket()?.as_str();
            policy.check(fields, PostPolicyFacts { bucket, key: key.as_str(), content_type, now_ms: asked.now_ms })?;
        }
        let request = PostObject {
            sender: caller,
            key,
            headers: fields.object_headers(asked.raw, type_of_file).map(NewHeaders::from),
            callback: callback::of_form(fields),
        };
        Ok(Self { posted: post_object::begin(call, request).await?, policy })
    }

    async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = self.posted.len().saturating_add(bytes.len() as u64);
        if self.policy.as_ref().is_some_and(|policy| len > policy.max_length()) {
            return Err(Error::new(ErrorCode::EntityTooLarge));
        }
        self.posted.push(bytes).await
    }

    async fn store(self, asked: &Asked<'_>, call: &Call<'_>, fields: &PostFields) -> Result<Answer, Error> {
        let Self { posted, policy } = self;
        if let Some(policy) = &policy {
            policy.check_length(posted.len())?;
        }
        let key = posted.key().clone();
        let written = posted.store(call).await?;
        stored(asked, fields, &key, written)
    }
}

/// Tells of a stored file as the form wants it.
fn stored(asked: &Asked<'_>, fields: &PostFields, key: &ObjectKey, written: Written) -> Result<Answer, Error> {
    let (bucket, record) = (asked.bucket()?, &written.record);
    let answer = upload_headers(Answer::empty(204), record);
    let answer = match fields.success(bucket, key, &record.etag) {
        PostSuccess::NoContent => answer,
        PostSuccess::Ok => Answer { status: 200, ..answer },
        PostSuccess::Redirect(address) => Answer { status: 303, ..answer }.header("location", address),
        PostSuccess::Created => {
            let location = object_location(asked.raw, asked.route.style, bucket, key);
            let text = render_post_response(bucket.as_str(), key.as_str(), &record.etag, &location);
            Answer { status: 201, content: Content::Xml(text), ..answer }.header("location", location)
        }
    };
    announce(answer, written)
}

/// The policy of a form that has said who sends it, so that one whose signature is wrong is refused before more of it is
/// kept. All of this is decided again when the file begins.
async fn early_policy(asked: &Asked<'_>, call: &Call<'_>, fields: &PostFields) -> Result<Option<PostPolicy>, Error> {
    sender(asked, call, fields).await?.credentials.policy().map(PostPolicy::parse).transpose()
}

/// Who sent the form (OSS auth 7).
async fn sender(asked: &Asked<'_>, call: &Call<'_>, fields: &PostFields) -> Result<Sender, Error> {
    asked.accounts.sender(fields, call.peer.ip(), call.now_ms).await
}
