//! Pushes on stores in memory with a clock in the hand: hours of media in seconds, and every playlist that is published
//! on the way is read as a player reads it and checked against the rules and against the one before.

mod day;
mod encoder;
mod ending;
mod inheriting;
mod recorder;
mod sessions;
mod trouble;
mod troubled;
mod two_hours;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;

use media::hls::{MediaPlaylist, PlaylistSegment, Violation, violations};
use media::rtmp::message::Tag;
use media::rtmp::stats::SessionStats;
use model::OperationKind;
use model::Resource;
use model::access::policy::ConditionValues;
use model::access::{AccessRequest, BucketAccess, Caller, RefererHosts, authorize};
use model::name::{AccessKeyId, BucketName, ChannelName, ObjectKey, PlaylistName};
use model::{LiveChannelConfig, OwnerId};
use store::blob::{BlobIds, BlobStore, MemoryBlobs};
use store::clock::{Clock as StoreClock, ManualClock, Randomness};
use store::kv::MemoryKv;
use store::meta::peer::ProcessRecord;
use store::meta::{Body, BucketRecord, ChannelRecord, Meta};

use self::encoder::Stretch;
use self::recorder::Recorder;
use self::troubled::{Trouble, TroubledBlobs};
use super::admission::Admission;
use super::channels::ChannelId;
use super::{Live, Publication, PublishRefusal, Settings, recover};
use crate::clock::Clock;
use crate::config::{Config, LiveConfig};
use crate::peers::Peers;

/// 2030-01-01T00:00:00Z.
const BEGIN_MS: i64 = 1_893_456_000_000;

/// What a server shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shares {
    Nothing,
    /// The map; blobs are files of its machine.
    Map,
    /// The map, and finished blobs go elsewhere.
    All,
}

/// One channel of a server without sockets, and all that it has published.
struct Stage {
    live: Arc<Live>,
    meta: Meta,
    recorder: Arc<Recorder>,
    blobs: Arc<MemoryBlobs>,
    clock: ManualClock,
    id: ChannelId,
    published: Option<MediaPlaylist>,
    versions: u64,
    listed: u64,
    target_rises: u64,
    largest_window: usize,
}

impl Stage {
    async fn new(live: LiveConfig) -> Self {
        let clock = ManualClock::new(BEGIN_MS);
        let shown = Clock::manual(&clock);
        // Leases are held by the hour while media runs by the day, so the stores have the machine's clock.
        Self { clock, ..Self::on(live, shown, StoreClock::system(), Trouble::default(), Shares::Nothing).await }
    }

    /// A server with the clock `shown` on stores with the clock `machine`, which have their troubles.
    async fn on(live: LiveConfig, shown: Clock, machine: StoreClock, trouble: Trouble, shares: Shares) -> Self {
        let kv = Arc::new(MemoryKv::new(machine.clone()));
        let recorder = Arc::new(Recorder::new(kv, machine.clone(), trouble.clone()));
        let meta = Meta::new(recorder.clone(), machine.clone());
        let blobs = Arc::new(MemoryBlobs::new(BlobIds::new(machine.clone(), Randomness::seeded(1)), machine));
        let settings = Settings::of(&Config { live, ..Config::default() });
        let store = meta.clone();
        let troubled = Arc::new(TroubledBlobs::new(blobs.clone(), trouble, shares == Shares::All));
        let peers = match shares {
            Shares::Map | Shares::All => {
                Peers::join(meta.clone(), "SCENARIO".to_owned(), ProcessRecord::default()).await.unwrap()
            }
            Shares::Nothing => Peers::alone(meta.clone(), "scenario".to_owned()),
        };
        let live = Arc::new(Live::new(meta, troubled, shown, settings, Arc::new(peers)));
        let bucket = BucketName::parse("examplebucket").unwrap();
        let record = BucketRecord::new(&bucket, owner(), BEGIN_MS);
        store.create_bucket(&bucket, &record, 1).await.unwrap();
        let id = (bucket, ChannelName::parse(b"test-channel").unwrap());
        recorder.watch(&id.0, ObjectKey::parse(b"test-channel/playlist.m3u8").unwrap());
        Self {
            live,
            meta: store,
            recorder,
            blobs,
            clock: ManualClock::new(BEGIN_MS),
            id,
            published: None,
            versions: 0,
            listed: 0,
            target_rises: 0,
            largest_window: 0,
        }
    }

    async fn configure(&self, frag_duration: u32, frag_count: u32) {
        let config = LiveChannelConfig { frag_duration, frag_count, ..LiveChannelConfig::default() };
        let record = ChannelRecord::new(config, self.live.clock.now_ms());
        self.meta.put_channel(&self.id.0, &self.id.1, &record, 10).await.unwrap();
    }

    /// Begins a push, as after an admission.
    async fn begin(&self) -> Publication {
        self.try_begin("playlist.m3u8").await.unwrap_or_else(|refusal| panic!("{refusal:?}"))
    }

    /// Begins one that lists under this name.
    async fn try_begin(&self, playlist: &str) -> Result<Publication, PublishRefusal> {
        self.begin_unless(playlist, std::future::pending()).await
    }

    /// Begins one whose encoder may leave meanwhile.
    async fn begin_unless(
        &self,
        playlist: &str,
        is_gone: impl Future<Output = ()>,
    ) -> Result<Publication, PublishRefusal> {
        self.begin_at(&self.live, playlist, is_gone).await
    }

    /// Begins one at this server.
    async fn begin_at(
        &self,
        server: &Arc<Live>,
        playlist: &str,
        is_gone: impl Future<Output = ()>,
    ) -> Result<Publication, PublishRefusal> {
        let channel = self.meta.channel(&self.id.0, &self.id.1).await.unwrap().unwrap();
        let bucket = self.meta.bucket(&self.id.0).await.unwrap().unwrap();
        let access = BucketAccess {
            name: self.id.0.clone(),
            owner: bucket.owner.clone(),
            acl: bucket.acl,
            referer: None,
            referer_hosts: RefererHosts::Prefix,
            policy: None,
        };
        let caller = Caller::Root { owner: owner(), access_key: AccessKeyId::parse("publisher").unwrap() };
        let grant = authorize(&AccessRequest {
            caller: &caller,
            operation: OperationKind::PublishRtmpStream,
            resource: &Resource::Object(self.id.0.clone(), self.key("")),
            bucket: Some(&access),
            object_acl: None,
            names_version: false,
            is_get: false,
            url_signed: false,
            referer: None,
            conditions: &ConditionValues::default(),
        })
        .unwrap();
        let playlist = PlaylistName::parse(playlist).unwrap();
        let remote = SocketAddr::from(([192, 0, 2, 10], 47745));
        let admission = Admission { id: self.id.clone(), channel, playlist, remote, grant };
        Publication::start(server.clone(), admission, is_gone).await
    }

    /// Pushes a stretch at the speed of its media.
    async fn push(&mut self, publication: &mut Publication, stretch: &Stretch, with_headers: bool) {
        let began_ms = self.live.clock.now_ms();
        for tag in stretch.headers().iter().filter(|_| with_headers) {
            publication.push(tag);
        }
        for (at_ms, tag) in stretch.media() {
            self.clock.advance_ms(began_ms + i64::from(at_ms) - self.live.clock.now_ms());
            self.push_tag(publication, &tag).await;
        }
        self.clock.advance_ms(began_ms + i64::from(stretch.length_ms) - self.live.clock.now_ms());
    }

    async fn push_tag(&mut self, publication: &mut Publication, tag: &Tag) {
        publication.push(tag);
        publication.settle().await;
        self.look().await;
    }

    async fn finish(&mut self, publication: Publication) {
        publication.finish(&SessionStats::default()).await;
        self.look().await;
    }

    /// The process dies and starts again on the same stores.
    async fn crash(&mut self, mut publication: Publication) {
        // What has arrived is handed to the system at the latest after half a second (D8).
        publication.tick();
        publication.settle().await;
        self.look().await;
        drop(publication);
        recover(&self.live).await.unwrap();
        self.look().await;
    }

    /// Another server on the same map, which has a disk of its own.
    async fn another_server(&self, trouble: &Trouble) -> Arc<Live> {
        let peers = Peers::join(self.meta.clone(), "OTHER".to_owned(), ProcessRecord::default()).await.unwrap();
        let blobs = MemoryBlobs::new(BlobIds::new(StoreClock::system(), Randomness::seeded(2)), StoreClock::system());
        let blobs = TroubledBlobs::new(Arc::new(blobs), trouble.clone(), true);
        let (clock, settings) = (self.live.clock.clone(), self.live.settings.clone());
        Arc::new(Live::new(self.meta.clone(), Arc::new(blobs), clock, settings, Arc::new(peers)))
    }

    /// The process died, and starts again on stores that it shares.
    async fn restart(&mut self) {
        let peers = Peers::join(self.meta.clone(), "SCENARIO".to_owned(), ProcessRecord::default()).await.unwrap();
        let Live { meta, blobs, clock, settings, .. } = self.live.as_ref();
        let parts = (meta.clone(), blobs.clone(), clock.clone(), settings.clone());
        self.live = Arc::new(Live::new(parts.0, parts.1, parts.2, parts.3, Arc::new(peers)));
        recover(&self.live).await.unwrap();
    }

    fn key(&self, name: &str) -> ObjectKey {
        let text = if name.is_empty() { self.id.1.to_string() } else { format!("{}/{name}", self.id.1) };
        ObjectKey::parse(text.as_bytes()).unwrap()
    }

    /// Looks at every playlist that was published since the last look.
    async fn look(&mut self) {
        for text in self.recorder.take() {
            self.look_at(parse(&text)).await;
        }
    }

    async fn look_at(&mut self, list: MediaPlaylist) {
        let (notes, broken): (Vec<_>, Vec<_>) =
            violations(self.published.as_ref(), &list).into_iter().partition(Violation::is_note);
        assert!(broken.is_empty(), "{broken:?}\nbefore: {:?}\nnow: {list:?}", self.published);
        self.target_rises += notes.iter().filter(|note| matches!(note, Violation::TargetRose { .. })).count() as u64;
        let next = |list: &MediaPlaylist| list.media_sequence + list.segments.len() as u64;
        let new = next(&list) - self.published.as_ref().map_or(0, next);
        assert!(new <= 1, "{new} segments in one version");
        self.listed += new;
        // The segment that is new in the list is there, whole.
        if let Some(segment) = list.segments.last().filter(|_| new > 0) {
            let object = self.meta.object(&self.id.0, &self.key(&segment.uri)).await.unwrap().unwrap().value;
            assert!(object.size > 0 && object.size % 188 == 0, "{} has {} bytes", segment.uri, object.size);
            let Body::Blobs(extents) = &object.body else { panic!("a segment is a blob") };
            let reader = self.blobs.open(extents[0].blob).await.unwrap();
            assert_eq!(reader.len(), object.size);
        }
        let window = self.meta.channel_window(&self.id.0, &self.id.1).await.unwrap().unwrap();
        self.largest_window = self.largest_window.max(window.len());
        self.versions += 1;
        self.published = Some(list);
    }

    /// The VOD playlist over everything (LiveChannel 5).
    async fn vod(&self) -> MediaPlaylist {
        let now_s = u64::try_from(self.live.clock.now_s()).unwrap();
        self.vod_between(0, now_s).await.unwrap()
    }

    /// The VOD playlist between two seconds, both counted; `None` when nothing was recorded then.
    async fn vod_between(&self, from_s: u64, to_s: u64) -> Option<MediaPlaylist> {
        let (from_ms, to_ms) = (from_s * 1000, to_s * 1000 + 999);
        match self.live.recorded(&self.id.0, &self.id.1, from_ms, to_ms).await {
            Ok(text) => Some(parse(&text)),
            Err(error) => {
                assert_eq!(error.ec, Some("0044-00000308"));
                None
            }
        }
    }

    /// Nothing dangles and nothing is left over.
    async fn check_stores(&self) {
        assert_eq!(self.blobs_without_faults().await, self.listed, "one blob per segment that was ever listed");
    }

    /// Nothing dangles; how many blobs there are.
    async fn blobs_without_faults(&self) -> u64 {
        // Whichever clock the stores have.
        let later_ms = StoreClock::system().now_ms().max(self.live.clock.now_ms()) + 3_600_000;
        while self.meta.collect_garbage(self.blobs.as_ref(), later_ms, 1000).await.unwrap().has_more {}
        let report = store::check::check(&self.meta, self.blobs.as_ref(), later_ms, 1000).await.unwrap();
        assert_eq!(report.findings, []);
        report.blobs
    }
}

fn owner() -> OwnerId {
    OwnerId("1000000000000001".to_owned())
}

/// Reads a playlist and insists on its layout: written again it is the same text.
fn parse(text: &str) -> MediaPlaylist {
    let mut list = MediaPlaylist::default();
    let mut segment = PlaylistSegment::default();
    for line in text.lines() {
        let (tag, value) = line.split_once(':').unwrap_or((line, ""));
        match tag {
            "#EXTM3U" | "#EXT-X-VERSION" => {}
            "#EXT-X-INDEPENDENT-SEGMENTS" => list.independent_segments = true,
            "#EXT-X-MEDIA-SEQUENCE" => list.media_sequence = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY-SEQUENCE" => list.discontinuity_sequence = Some(value.parse().unwrap()),
            "#EXT-X-TARGETDURATION" => list.target_duration_s = value.parse().unwrap(),
            "#EXT-X-DISCONTINUITY" => segment.discontinuity = true,
            "#EXT-X-PROGRAM-DATE-TIME" => segment.program_date_time_ms = Some(unix_ms(value)),
            "#EXTINF" => {
                segment.duration_ms = value.trim_end_matches(',').replace('.', "").parse().unwrap();
            }
            "#EXT-X-ENDLIST" => list.end_list = true,
            uri => {
                assert!(!uri.starts_with('#'), "{uri}");
                segment.uri = uri.to_owned();
                list.segments.push(std::mem::take(&mut segment));
            }
        }
    }
    assert_eq!(list.render(), text);
    list
}

/// A date of January 2030, in which all scenarios play, or of the month before, where clocks are set back to.
fn unix_ms(text: &str) -> i64 {
    let digits = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let first = match &text[..8] {
        "2030-01-" => 1,
        "2029-12-" => 32,
        _ => panic!("{text}"),
    };
    let minutes = (digits(8, 10) - first) * 1440 + digits(11, 13) * 60 + digits(14, 16);
    BEGIN_MS + minutes * 60_000 + digits(17, 19) * 1000 + digits(20, 23)
}
