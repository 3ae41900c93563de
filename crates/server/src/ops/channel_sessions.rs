//! What the last pushes to a channel left behind, and which were refused: not an operation of OSS, but what the console
//! shows (D7, D21).

use model::name::ChannelName;
use model::{Error, ErrorCode};
use serde_json::Value;

use super::Call;

/// The sessions of a channel, for whoever may read its history.
///
/// # Errors
/// `NoSuchLiveChannel`, and those of the store.
pub(crate) async fn get(call: &Call<'_>, channel: &ChannelName) -> Result<Value, Error> {
    let found = call.live().sessions(&call.bucket()?.name, channel).await?;
    found.ok_or_else(|| Error::new(ErrorCode::NoSuchLiveChannel))
}
