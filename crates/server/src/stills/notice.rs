//! The message about a picture to the endpoint that is configured for its topic (LiveChannel 6.2), in the envelope of the
//! message service's pushes. A topic without an endpoint tells nobody.

use std::time::Duration;

use bytes::Bytes;
use md5::{Digest, Md5};
use model::SnapshotConfig;
use serde_json::{Value, json};

use super::Stills;
use super::delivery::Taken;
use crate::callback::{self, Post};

/// Messages on their way at once; what comes beyond them is dropped.
pub(super) const AT_ONCE: usize = 64;
/// How long is waited behind each attempt but the last.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

impl Stills {
    /// Tells of a picture, if its topic has an endpoint.
    pub(super) async fn tell(&self, config: &SnapshotConfig, taken: Taken) {
        let Some(url) = self.settings.topics.get(&config.notify_topic) else { return };
        let channel = taken.channel.1.to_string();
        let Ok(_place) = self.notices.try_acquire() else {
            metrics::counter!(crate::metrics::SNAPSHOT_NOTICES, "outcome" => "dropped").increment(1);
            tracing::warn!(channel, "too many messages about snapshots are on their way; one is dropped");
            return;
        };
        let now_ms = self.clock.now_ms();
        let text = envelope(config, &taken, &crate::ids::request_id(now_ms), &crate::ids::upload_id(), now_ms);
        let body = Bytes::from(text.to_string());
        let mut fault = String::new();
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            let post = Post {
                host: None,
                content_type: "application/json",
                body: &body,
                sni: true,
                // The operator wrote the address into the settings.
                allow_private: true,
            };
            match callback::notify(url, post).await {
                Ok(()) => {
                    metrics::counter!(crate::metrics::SNAPSHOT_NOTICES, "outcome" => "delivered").increment(1);
                    return;
                }
                Err(error) => fault = error,
            }
            if let Some(pause) = pause {
                tokio::time::sleep(pause).await;
            }
        }
        metrics::counter!(crate::metrics::SNAPSHOT_NOTICES, "outcome" => "failed").increment(1);
        tracing::warn!(channel, topic = config.notify_topic, fault, "a message about a snapshot cannot be delivered");
    }
}

fn envelope(config: &SnapshotConfig, taken: &Taken, request_id: &str, message_id: &str, now_ms: i64) -> Value {
    let message = json!({
        "bucket": taken.channel.0.as_str(),
        "channel": taken.channel.1.as_str(),
        "destBucket": config.dest_bucket,
        "object": taken.key.as_str(),
        "timestamp": taken.taken_ms,
        "interval": config.interval,
        "width": taken.width,
        "height": taken.height,
        "requestId": request_id,
    })
    .to_string();
    let digest: [u8; 16] = Md5::digest(message.as_bytes()).into();
    let md5: String = digest.iter().map(|byte| format!("{byte:02X}")).collect();
    json!({
        "TopicOwner": taken.owner.0,
        "TopicName": config.notify_topic,
        "Subscriber": taken.owner.0,
        "SubscriptionName": "millpond",
        "MessageId": message_id,
        "Message": message,
        "MessageMD5": md5,
        "MessageTag": "snapshot",
        "PublishTime": now_ms.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use model::OwnerId;
    use model::name::{BucketName, ChannelName, ObjectKey};

    use super::*;

    #[test]
    fn the_message_names_the_picture() {
        let config = SnapshotConfig {
            role_name: "role".into(),
            dest_bucket: "dest".into(),
            notify_topic: "topic".into(),
            interval: 5,
        };
        let taken = Taken {
            channel: (BucketName::parse("bucket").unwrap(), ChannelName::parse(b"a").unwrap()),
            owner: OwnerId("1".into()),
            key: ObjectKey::parse(b"a/7.jpg").unwrap(),
            taken_ms: 7,
            width: 4,
            height: 2,
        };
        let sent = envelope(&config, &taken, "R", "M", 9);
        let message = sent["Message"].as_str().unwrap();
        let read: Value = serde_json::from_str(message).unwrap();
        assert_eq!((&read["object"], &read["timestamp"], &read["width"]), (&json!("a/7.jpg"), &json!(7), &json!(4)));
        assert_eq!(sent["MessageMD5"].as_str().unwrap().len(), 32);
        assert_eq!((&sent["PublishTime"], &sent["TopicName"]), (&json!("9"), &json!("topic")));
    }
}
