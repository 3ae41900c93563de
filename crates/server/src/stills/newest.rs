//! The newest key frame of each channel on air, and the images that were made lately. Both are bounded in bytes.

use std::collections::HashMap;
use std::sync::Arc;

use media::access_unit::H264Picture;
use media::h264::NalUnit;
use model::name::{BucketName, ObjectKey};
use parking_lot::Mutex;
use pictures::Image;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::ChannelId;

/// Memory for images that were made.
const MAX_IMAGE_BYTES: u64 = 16 << 20;
/// How many that may be, for the first size of the tables.
const EXPECTED_IMAGES: usize = 256;

/// A key frame as it came.
#[derive(Debug)]
pub(crate) struct KeyFrame {
    /// What to decode.
    pub(crate) picture: H264Picture,
    /// When it arrived, unix ms; no other of its channel has the same number.
    pub(crate) taken_ms: i64,
}

impl KeyFrame {
    /// A copy that holds on to no message of its push, so that it is as large as it counts.
    fn detached(&self) -> Self {
        let nals = self.picture.nals.iter().map(NalUnit::detached).collect();
        let picture = H264Picture { parameter_sets: Arc::clone(&self.picture.parameter_sets), nals };
        Self { picture, taken_ms: self.taken_ms }
    }

    fn bytes(&self) -> usize {
        self.picture.parameter_sets.iter().chain(&self.picture.nals).map(|unit| unit.bytes().len() + 64).sum()
    }
}

/// The newest key frames. One that finds no room is not kept, nor is the older one: no still is better than one of a
/// frame that is not the newest.
#[derive(Debug)]
pub(super) struct Newest {
    most: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    frames: HashMap<ChannelId, Arc<KeyFrame>>,
    bytes: usize,
}

impl Newest {
    /// Keeps at most so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Mutex::default() }
    }

    pub(super) fn put(&self, channel: &ChannelId, frame: &KeyFrame) {
        let bytes = frame.bytes();
        // Outside of the lock, and for what has no chance not at all.
        let frame = (bytes <= self.most).then(|| Arc::new(frame.detached()));
        let mut kept = self.kept.lock();
        let former = kept.frames.get(channel).map_or(0, |frame| frame.bytes());
        kept.bytes -= former;
        let Some(frame) = frame.filter(|_| kept.bytes.saturating_add(bytes) <= self.most) else {
            kept.frames.remove(channel);
            return;
        };
        kept.bytes += bytes;
        match kept.frames.get_mut(channel) {
            Some(newest) => *newest = frame,
            None => drop(kept.frames.insert(channel.clone(), frame)),
        }
    }

    pub(super) fn get(&self, channel: &ChannelId) -> Option<Arc<KeyFrame>> {
        self.kept.lock().frames.get(channel).cloned()
    }

    pub(super) fn remove(&self, channel: &ChannelId) {
        let mut kept = self.kept.lock();
        if let Some(frame) = kept.frames.remove(channel) {
            kept.bytes -= frame.bytes();
        }
    }
}

/// What an image depends on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ImageName {
    /// The bucket of the recording.
    pub(crate) bucket: BucketName,
    /// The recording, or the playlist of a push.
    pub(crate) key: ObjectKey,
    /// Which content of it: the tag of a recording, or the number of a key frame.
    pub(crate) content: String,
    /// Which picture of it, in which form.
    pub(crate) process: String,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<ImageName, Image> for ByBytes {
    fn weight(&self, name: &ImageName, image: &Image) -> u64 {
        let words = name.key.as_str().len() + name.content.len() + name.process.len();
        (words + image.bytes.len() + 256) as u64
    }
}

/// Images that were made lately: many viewers of one still cost one decoding for each key frame.
#[derive(Debug)]
pub(super) struct Images(Cache<ImageName, Image, ByBytes>);

impl Default for Images {
    fn default() -> Self {
        Self(Cache::with_weighter(EXPECTED_IMAGES, MAX_IMAGE_BYTES, ByBytes))
    }
}

impl Images {
    pub(super) async fn get_or_make<E>(
        &self,
        name: ImageName,
        make: impl Future<Output = Result<Image, E>>,
    ) -> Result<Image, E> {
        self.0.get_or_insert_async(&name, make).await
    }
}

#[cfg(test)]
mod tests {
    use model::name::ChannelName;

    use super::*;

    fn frame(bytes: usize) -> KeyFrame {
        let unit = NalUnit::new(vec![0x65; bytes].into()).unwrap();
        let picture = H264Picture { parameter_sets: Arc::from([]), nals: vec![unit] };
        KeyFrame { picture, taken_ms: 0 }
    }

    fn id(name: &str) -> ChannelId {
        (BucketName::parse("bucket").unwrap(), ChannelName::parse(name.as_bytes()).unwrap())
    }

    #[test]
    fn what_is_kept_is_bounded_and_never_old() {
        let newest = Newest::new(1000);
        newest.put(&id("a"), &frame(400));
        newest.put(&id("b"), &frame(500));
        assert!(newest.get(&id("a")).is_some() && newest.get(&id("b")).is_none(), "no room");
        newest.put(&id("a"), &frame(2000));
        assert!(newest.get(&id("a")).is_none(), "an older one is no newest one");
        newest.put(&id("b"), &frame(500));
        assert!(newest.get(&id("b")).is_some(), "room again");
        newest.remove(&id("b"));
        newest.remove(&id("b"));
        newest.put(&id("a"), &frame(900));
        assert!(newest.get(&id("a")).is_some());
    }
}
