//! Why a publish is refused or ended, in the words of OSS and in those of RTMP (LiveChannel 3.9).

use std::net::SocketAddr;

use media::rtmp::command::{Refusal, RefusalCode};
use model::{Error, ErrorCode};
use store::meta::ChannelRecord;

use super::channels::{ChannelId, Channels};
use super::refused::Refused;

/// A refusal of a publish.
#[derive(Debug)]
pub(crate) struct PublishRefusal {
    error: Error,
    /// Empty where nothing was requested: a push that runs is ended.
    request_id: String,
    /// What was asked for, `bucket/channel` as far as it is known.
    target: String,
    /// The channel, when it is there, and when it was made, as far as that is known.
    channel: Option<(ChannelId, Option<i64>)>,
    at_ms: i64,
}

impl PublishRefusal {
    /// Refuses with an OSS error.
    pub(crate) fn new(error: impl Into<Error>, target: impl Into<String>, now_ms: i64) -> Self {
        Self {
            error: error.into(),
            request_id: crate::ids::request_id(now_ms),
            target: target.into(),
            channel: None,
            at_ms: now_ms,
        }
    }

    /// The same, for a channel that is there.
    pub(super) fn of(self, channel: Option<(ChannelId, &ChannelRecord)>) -> Self {
        Self { channel: channel.map(|(id, record)| (id, record.created_ms)), ..self }
    }

    /// The channel was disabled while it was live.
    pub(crate) fn disabled(target: &str, now_ms: i64) -> Self {
        Self { request_id: String::new(), ..Self::new(ErrorCode::LiveChannelDisabled, target, now_ms) }
    }

    /// Another publisher took the channel over (D1).
    pub(crate) fn taken_over(target: &str, now_ms: i64) -> Self {
        let error = Error::new(ErrorCode::ChannelStillLive)
            .message("Another publisher took the channel over because this one was silent.");
        Self::new(Error { ec: None, ..error }, target, now_ms)
    }

    /// The server stops.
    pub(crate) fn shutdown(target: &str, now_ms: i64) -> Self {
        let error =
            Error::new(ErrorCode::ServiceUnavailable).message("The server is stopping. Please push again soon.");
        Self::new(error, target, now_ms)
    }

    /// Nothing of what comes can be recorded, for this reason.
    pub(crate) fn unrecordable(target: &str, why: &str, now_ms: i64) -> Self {
        let error =
            Error::new(ErrorCode::InvalidArgument).message(format!("Nothing of this push can be recorded: {why}"));
        Self::new(Error { ec: None, ..error }, target, now_ms)
    }

    /// Everything that the server has belongs to pushes.
    pub(crate) fn no_room(target: &str, now_ms: i64) -> Self {
        let error = Error::new(ErrorCode::ServiceUnavailable)
            .message("The server has no connections or files left for another push. Please push again later.");
        Self::new(error, target, now_ms)
    }

    /// The status that the encoder gets. GStreamer reads `BadName` as taken and `Denied` as forbidden; OBS closes at once on
    /// `Denied` only, so what a retry cannot repair says `Denied` where the table allows.
    pub(crate) fn to_rtmp(&self) -> Refusal {
        let code = match self.error.code {
            ErrorCode::InvalidArgument
            | ErrorCode::InvalidBucketName
            | ErrorCode::NoSuchBucket
            | ErrorCode::NoSuchLiveChannel
            | ErrorCode::ChannelStillLive => RefusalCode::BadName,
            _ => RefusalCode::Denied,
        };
        let mut description = format!("{}: {}", self.error.code.as_str(), self.error.message);
        if !self.request_id.is_empty() {
            let ec = self.error.ec.map(|ec| format!("EC={ec}, ")).unwrap_or_default();
            description.push_str(&format!(" ({ec}RequestId={})", self.request_id));
        }
        let channel = self.target.rsplit('/').next().unwrap_or_default();
        Refusal { code, description, details: channel.to_owned() }
    }

    /// Says it in the log, in the numbers and beside the channel (D7, D21).
    pub(crate) fn report(&self, peer: SocketAddr, channels: &Channels) {
        metrics::counter!(crate::metrics::PUBLISH_REFUSED, "code" => self.error.code.as_str()).increment(1);
        let mut what = format!("publish refused: {}", self.error.code.as_str());
        if self.channel.is_some() {
            what.push_str(&format!(" {}", self.target));
        }
        of_stranger!(
            WARN,
            &what,
            peer.ip(),
            %peer,
            target = self.target,
            code = self.error.code.as_str(),
            ec = self.error.ec,
            request_id = self.request_id,
            "publish refused: {}",
            self.error.message
        );
        if let Some((id, channel_created_ms)) = &self.channel {
            let refused = Refused {
                at_ms: self.at_ms,
                remote: peer,
                code: self.error.code.as_str(),
                ec: self.error.ec,
                message: self.error.message.to_string(),
                request_id: self.request_id.clone(),
                count: 1,
                channel_created_ms: *channel_created_ms,
            };
            channels.refused.note(id, refused);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_carries_code_message_and_numbers() {
        let refusal =
            PublishRefusal::new(ErrorCode::NoSuchLiveChannel, "examplebucket/ch", 1_704_164_645_000).to_rtmp();
        assert_eq!(refusal.code, RefusalCode::BadName);
        assert!(refusal.description.starts_with(
            "NoSuchLiveChannel: The specified live channel does not exist. (EC=0026-00000021, RequestId=65937D25"
        ));
        assert_eq!(refusal.details, "ch");
        let disabled = PublishRefusal::disabled("b/c", 0).to_rtmp();
        assert_eq!(disabled.code, RefusalCode::Denied);
        assert_eq!(disabled.description, "LiveChannelDisabled: Live channel is disabled by owner.");
    }
}
