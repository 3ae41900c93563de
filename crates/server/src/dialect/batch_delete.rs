//! DeleteMultipleObjects on the wire (HTTP API 9.6).

use model::Error;
use oss::xml::delete::{DeleteRequest, render_delete_result};

use super::Answer;
use super::Asked;
use crate::objects::BodySource;
use crate::ops::Call;
use crate::ops::batch_delete::{self, DeletedObject};

pub(super) async fn delete(asked: &Asked<'_>, call: &Call<'_>, body: &mut dyn BodySource) -> Result<Answer, Error> {
    let url_encoding = asked.query().encoding_is_url()?;
    let sent = DeleteRequest::parse(&asked.xml(body).await?)?;
    let objects: Vec<_> = sent
        .objects
        .iter()
        .map(|entry| DeletedObject { key: entry.key.clone(), version_id: entry.version_id.clone() })
        .collect();
    batch_delete::delete(call, &objects).await?;
    Ok(match sent.quiet {
        true => Answer::empty(200),
        false => Answer::xml(render_delete_result(&sent.objects, url_encoding)),
    })
}
