//! PostObject: an upload by a form (HTTP API 11). The form says who sends it and what becomes of the file; everything
//! but the file is known before its first byte, and the file is never kept in memory.

use std::time::Duration;

use model::ObjectType;
use model::OperationKind;
use model::access::Caller;
use model::name::ObjectKey;
use model::{Error, ErrorCode};
use oss::request::{
    Callback, FormEvent, FormReader, ObjectHeaders, PostFields, PostPolicy, PostPolicyFacts, PostSuccess,
    check_body_length, object_location,
};
use oss::sign::{FormCredentials, SignOptions};
use oss::xml::object::render_post_response;
use tokio::time::Instant;

use super::further::Wording;
use super::object::{DEFAULT_TYPE, already_exists, exists, guard_of, store, upload_headers, uploaded};
use super::{Answer, BodySource, Call, Content, callback, expiration};
use crate::identity::{self, Identity};
use crate::objects::{Intake, Keep};

/// PostObject (HTTP API 11).
pub(crate) async fn post(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let mut reader = FormReader::new(call.raw.header_text("content-type").unwrap_or_default())?;
    if !body.is_present() {
        return Err(ErrorCode::MissingContentLength.into());
    }
    check_body_length(body.announced_length())?;
    let mut fields = PostFields::default();
    let mut file: Option<File<'_>> = None;
    let mut held = call.state.memory.receive.hold();
    // Known from when the form has said who sends it.
    let mut signed: Option<Option<PostPolicy>> = None;
    let strangers_until = Instant::now() + Duration::from_secs(call.state.config.http.body_timeout_s);
    loop {
        let piece = match &mut file {
            Some(file) => file.intake.next_of(body).await?,
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
                        signed = Some(early_policy(call, &fields).await?);
                        reader.trust_sender();
                    }
                    // What was signed already does not fit what has come, whatever else comes.
                    if let Some(Some(policy)) = &signed {
                        policy.check_early(&fields, call.bucket()?.name.as_str(), call.now_ms)?;
                    }
                }
                FormEvent::File { filename, content_type } => {
                    file = Some(File::admit(call, &fields, &filename, content_type.as_deref()).await?);
                }
                FormEvent::Data(bytes) => {
                    if let Some(file) = &mut file {
                        file.push(&bytes).await?;
                    }
                }
                FormEvent::End => {
                    // What follows the file is ignored.
                    let complete = file.take().ok_or(ErrorCode::IncorrectNumberOfFilesInPOSTRequest)?;
                    return complete.store(call, &fields).await;
                }
            }
        }
        held.resize(reader.buffered().saturating_add(fields.bytes())).await?;
    }
    reader.finish()?;
    Err(Error::new(ErrorCode::MalformedPOSTRequest))
}

/// A file that may be stored, while it arrives.
struct File<'a> {
    key: ObjectKey,
    headers: ObjectHeaders,
    policy: Option<PostPolicy>,
    notice: Option<Callback>,
    intake: Intake<'a>,
}

impl<'a> File<'a> {
    /// Decides whether the sender of the form may store the file that begins.
    async fn admit(
        call: &Call<'a>,
        fields: &PostFields,
        filename: &str,
        type_of_file: Option<&str>,
    ) -> Result<Self, Error> {
        let key = fields.key(filename)?;
        let (caller, credentials) = sender(call, fields).await?;
        let policy = credentials.policy().map(PostPolicy::parse).transpose()?;
        let bucket = call.bucket()?;
        if let Some(policy) = &policy {
            let content_type = fields.content_type(type_of_file).unwrap_or(DEFAULT_TYPE);
            let facts =
                PostPolicyFacts { bucket: bucket.name.as_str(), key: key.as_str(), content_type, now_ms: call.now_ms };
            policy.check(fields, facts)?;
        }
        let headers = fields.object_headers(call.raw, type_of_file);
        // Who may not store the file is told that before what is wrong with its fields.
        let tags = headers.as_ref().ok().and_then(|headers| headers.tags.as_deref()).unwrap_or_default();
        let worded = || Wording { tags: Some(tags), ..Wording::default() };
        call.may_as(&caller, OperationKind::PostObject, bucket, &key, worded()).await?;
        if !tags.is_empty() {
            call.may_as(&caller, OperationKind::PutObjectTagging, bucket, &key, worded()).await?;
        }
        let headers = headers?;
        if headers.forbid_overwrite && exists(call, &key).await? {
            return Err(already_exists(&key));
        }
        let notice = callback::of_form(call, fields).await?;
        Ok(Self { key, headers, policy, notice, intake: Intake::new(call.objects(), Keep::Anywhere) })
    }

    async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = self.intake.len().saturating_add(bytes.len() as u64);
        if self.policy.as_ref().is_some_and(|policy| len > policy.max_length()) {
            return Err(Error::new(ErrorCode::EntityTooLarge));
        }
        self.intake.push(bytes).await
    }

    async fn store(self, call: &Call<'_>, fields: &PostFields) -> Result<Answer, Error> {
        let Self { key, headers, policy, notice, intake } = self;
        if let Some(policy) = &policy {
            policy.check_length(intake.len())?;
        }
        let guard = guard_of(headers.forbid_overwrite);
        let received = intake.finish(|_| Ok(())).await?;
        let record = uploaded(call, headers, received, ObjectType::Normal)?;
        store(call, &key, &record, guard).await?;
        let bucket = &call.bucket()?.name;
        let answer = upload_headers(Answer::empty(204), &record);
        let answer = match fields.success(bucket, &key, &record.etag) {
            PostSuccess::NoContent => answer,
            PostSuccess::Ok => Answer { status: 200, ..answer },
            PostSuccess::Redirect(address) => Answer { status: 303, ..answer }.header("location", address),
            PostSuccess::Created => {
                let location = object_location(call.raw, call.route().style, bucket, &key);
                let text = render_post_response(bucket.as_str(), key.as_str(), &record.etag, &location);
                Answer { status: 201, content: Content::Xml(text), ..answer }.header("location", location)
            }
        };
        let answer = expiration::announce(call, &key, &record, answer)?;
        callback::tell(call, notice, &key, &record, answer).await
    }
}

/// The policy of a form that has said who sends it, so that one whose signature is wrong is refused before more of it is
/// kept. All of this is decided again when the file begins.
async fn early_policy(call: &Call<'_>, fields: &PostFields) -> Result<Option<PostPolicy>, Error> {
    let (_, credentials) = sender(call, fields).await?;
    credentials.policy().map(PostPolicy::parse).transpose()
}

/// Who sent the form (OSS auth 7).
async fn sender(call: &Call<'_>, fields: &PostFields) -> Result<(Caller, FormCredentials), Error> {
    let options = SignOptions { accepted_regions: call.state.config.accepted_regions.clone() };
    let credentials = FormCredentials::extract(|name| fields.text(name), &options, call.now_ms)?;
    let Some(id) = credentials.access_key_id() else { return Ok((Caller::Anonymous, credentials)) };
    let identity = identity::find(call.state, id).await?;
    if let Err(error) = credentials.admit(identity.as_deref().map(Identity::known_key).as_ref(), call.now_ms) {
        return Err(call.state.auth_failures.refuse(call.peer.ip(), error).await);
    }
    let caller = identity.map_or(Caller::Anonymous, |identity| identity.caller().clone());
    Ok((caller, credentials))
}
