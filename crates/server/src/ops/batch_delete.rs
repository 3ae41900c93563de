//! DeleteMultipleObjects (HTTP API 9.6): all keys or none, in one commit.

use model::OperationKind;
use model::{Error, ErrorCode};
use oss::xml::delete::{DeleteRequest, render_delete_result};

use super::further::Wording;
use super::{Answer, BodySource, Call, internal, read_xml};

/// DeleteMultipleObjects (HTTP API 9.6).
pub(super) async fn delete(call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let url_encoding = call.query().encoding_is_url()?;
    let request = DeleteRequest::parse(&read_xml(call, body).await?)?;
    let bucket = call.bucket()?;
    for entry in &request.objects {
        let worded = Wording { names_version: entry.version_id.is_some(), ..Wording::default() };
        call.may_worded(OperationKind::DeleteMultipleObjects, bucket, &entry.key, worded).await?;
    }
    for entry in &request.objects {
        if let Some(version) = entry.version_id.as_deref().filter(|version| !matches!(*version, "" | "null")) {
            return Err(Error::new(ErrorCode::NoSuchVersion)
                .with("Key", entry.key.as_str())
                .with("VersionId", version.chars().take(64).collect::<String>()));
        }
    }
    let keys: Vec<_> = request.objects.iter().map(|entry| entry.key.clone()).collect();
    call.state.meta.delete_objects(&bucket.name, &keys).await.map_err(internal)?;
    Ok(match request.quiet {
        true => Answer::empty(200),
        false => Answer::xml(render_delete_result(&request.objects, url_encoding)),
    })
}
