//! What is on air and who was refused in the whole installation: what this server has in memory, and what the others show.

use std::collections::HashMap;
use std::net::SocketAddr;

use model::Error;
use model::name::{BucketName, ChannelName};
use store::meta::ChannelRecord;
use store::meta::peer::{Shown, ShownPush, ShownRefusal, ShownSnapshots};

use super::channels::{ChannelId, Measurement, OnAir};
use super::facts::ShownFacts;
use super::{Live, Refused};
use crate::objects::internal;
use crate::stills::ShownProgress;

/// Refusals that others are told of: the newest.
const MAX_REFUSALS: usize = 256;

/// A push of the installation.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// What is known of it.
    pub(crate) push: ShownPush,
    /// What the server that has it is called; `None` where there is one server.
    pub(crate) server: Option<String>,
}

/// A refusal of the installation.
#[derive(Debug, Clone)]
pub(crate) struct SeenRefusal {
    /// What is known of it.
    pub(crate) refusal: ShownRefusal,
    /// What the server that refused is called; `None` where there is one server.
    pub(crate) server: Option<String>,
}

impl OnAir {
    /// What others may know of a push.
    pub(crate) fn shown(&self, id: &ChannelId) -> ShownPush {
        let Measurement { facts, video, audio } = self.measure();
        ShownPush {
            bucket: id.0.to_string(),
            channel: id.1.to_string(),
            started_ms: self.connected_ms,
            remote: self.remote.to_string(),
            video_codec: facts.video_codec,
            width: facts.width,
            height: facts.height,
            frame_rate: facts.frame_rate,
            audio_codec: facts.audio_codec,
            sample_rate: facts.sample_rate,
            video,
            audio,
            key_frame_age_ms: self.key_frame_age_ms(),
            viewers: self.viewers(),
            playlist: self.playlist(),
            warnings: self.warnings().into_iter().map(str::to_owned).collect(),
            snapshots: self.snapshots().map(snapshots),
        }
    }
}

/// What is shown of snapshots.
pub(crate) fn snapshots(progress: ShownProgress) -> ShownSnapshots {
    ShownSnapshots {
        taken: progress.taken,
        missing: progress.refused.values().sum(),
        fault: progress.last.map(|(reason, detail)| (reason.to_owned(), detail)),
    }
}

/// What LiveChannelStat shows of a push of which this is known.
pub(crate) fn measurement(push: &ShownPush) -> Measurement {
    Measurement {
        facts: ShownFacts {
            video_codec: push.video_codec.clone(),
            width: push.width,
            height: push.height,
            frame_rate: push.frame_rate,
            audio_codec: push.audio_codec.clone(),
            sample_rate: push.sample_rate,
        },
        video: push.video,
        audio: push.audio,
    }
}

/// The publisher in what is shown; one that cannot be read is nobody's address.
pub(super) fn remote(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

fn refusal(id: &ChannelId, refused: &Refused) -> ShownRefusal {
    ShownRefusal {
        bucket: id.0.to_string(),
        channel: id.1.to_string(),
        at_ms: refused.at_ms,
        remote: refused.remote.to_string(),
        code: refused.code.to_owned(),
        ec: refused.ec.map(str::to_owned),
        message: refused.message.clone(),
        request_id: refused.request_id.clone(),
        count: refused.count,
        channel_created_ms: refused.channel_created_ms,
    }
}

/// Whether a refusal under the name of a channel may be of this very channel.
fn is_of(refusal: &ShownRefusal, channel: &ChannelRecord) -> bool {
    // Older programs make channels and refuse pushes without saying when a channel was made.
    refusal.channel_created_ms.is_none_or(|of_ms| channel.created_ms.is_none_or(|now_ms| of_ms == now_ms))
}

impl Live {
    /// What the others are told of this server.
    pub(super) fn shown(&self) -> Shown {
        let all = self.channels.all();
        let begun = all.iter().filter(|(_, on_air)| on_air.has_begun());
        let mut pushes: Vec<_> = begun.map(|(id, on_air)| on_air.shown(id)).collect();
        pushes.sort_by(|one, other| (&one.bucket, &one.channel).cmp(&(&other.bucket, &other.channel)));
        let newest = self.channels.refused.newest(MAX_REFUSALS);
        Shown { pushes, refusals: newest.iter().map(|(id, refused)| refusal(id, refused)).collect() }
    }

    /// How many pushes of this server have segments that are complete and wait to be stored or listed.
    pub(crate) fn pushes_that_wait(&self) -> usize {
        self.channels.all().values().filter(|on_air| on_air.warnings().contains(&"store_away")).count()
    }

    /// Everything that is on air, on whatever server. What others have is as old as their last word, two seconds or so.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn installation(&self) -> Result<HashMap<ChannelId, Seen>, Error> {
        let mut found = HashMap::new();
        for other in self.peers.others().await.map_err(internal)?.iter() {
            for push in &other.shown.pushes {
                let name = (BucketName::parse(&push.bucket), ChannelName::parse(push.channel.as_bytes()));
                if let (Ok(bucket), Ok(channel)) = name {
                    let seen = Seen { push: push.clone(), server: Some(other.name.clone()) };
                    found.insert((bucket, channel), seen);
                }
            }
        }
        let server = self.peers.name();
        let here = self.channels.all().into_iter();
        for (id, on_air) in here.filter(|(_, on_air)| !self.peers.is_shared() || on_air.has_begun()) {
            let seen = Seen { push: on_air.shown(&id), server: server.clone() };
            found.insert(id, seen);
        }
        Ok(found)
    }

    /// The refusals of a channel by all servers, oldest first; those of a channel of its name that was deleted before it are
    /// left out.
    ///
    /// # Errors
    /// Those of the store.
    pub(super) async fn refusals(&self, id: &ChannelId, channel: &ChannelRecord) -> Result<Vec<SeenRefusal>, Error> {
        let server = self.peers.name();
        let here = self.channels.refused.of(id);
        let here = here.iter().map(|refused| SeenRefusal { refusal: refusal(id, refused), server: server.clone() });
        let mut found: Vec<SeenRefusal> = here.collect();
        for other in self.peers.others().await.map_err(internal)?.iter() {
            let of_channel = |one: &&ShownRefusal| one.bucket == id.0.as_str() && one.channel == id.1.as_str();
            found.extend(
                other
                    .shown
                    .refusals
                    .iter()
                    .filter(of_channel)
                    .map(|refusal| SeenRefusal { refusal: refusal.clone(), server: Some(other.name.clone()) }),
            );
        }
        found.retain(|seen| is_of(&seen.refusal, channel));
        found.sort_by_key(|seen| seen.refusal.at_ms);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use model::LiveChannelConfig;

    use super::*;

    #[test]
    fn a_refusal_is_of_the_channel_that_was_there_then() {
        let shown = |channel_created_ms| ShownRefusal { channel_created_ms, ..ShownRefusal::default() };
        let made = |created_ms| ChannelRecord { created_ms, ..ChannelRecord::new(LiveChannelConfig::default(), 1) };
        assert!(is_of(&shown(Some(7)), &made(Some(7))));
        assert!(!is_of(&shown(Some(7)), &made(Some(9))));
        for (refusal, channel) in [(None, Some(9)), (Some(7), None), (None, None)] {
            assert!(is_of(&shown(refusal), &made(channel)), "what is not known is shown");
        }
    }
}
