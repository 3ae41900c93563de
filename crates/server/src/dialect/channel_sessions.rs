//! The sessions of a channel for the console, over the port that everybody reaches (D7, D21).

use model::Error;

use super::live_channel::channel_name;
use super::{Answer, Asked};
use crate::ops::Call;
use crate::ops::channel_sessions;

/// Answers whoever may read the history of a channel, with JSON.
///
/// # Errors
/// `InvalidArgument`, `NoSuchLiveChannel`, and those of the store.
pub(crate) async fn channel_sessions(asked: &Asked<'_>, call: &Call<'_>) -> Result<Answer, Error> {
    let name = channel_name(asked)?;
    let sessions = channel_sessions::get(call, &name).await?;
    Ok(Answer::bytes("application/json", sessions.to_string())
        .header("cache-control", "no-store")
        .header("x-content-type-options", "nosniff"))
}
