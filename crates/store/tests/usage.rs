//! Usage of random histories: a model that adds up what happened, and the store that was cut off, restarted and given other
//! times on the way, agree to the byte and the minute.
#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use model::name::{BucketName, ChannelName, ObjectKey};
use model::{ContentHeaders, ETag, LiveChannelConfig, ObjectAcl, ObjectType, OwnerId, StorageClass};
use proptest::prelude::*;
use store::clock::ManualClock;
use store::kv::{Claim, Commit, Entry, Kv, Lease, MemoryKv, Outcome, Range, Snapshot, Versioned};
use store::lease::PublisherLease;
use store::live::{Kept, WindowRecord};
use store::meta::{
    Body, BucketRecord, ChannelRecord, Meta, ObjectRecord, ObjectRole, PartRecord, PutGuard, SegmentCommit,
    SegmentEntry, StartRecord, Tally, UploadRecord,
};
use store::{Error, ErrorKind, Result, Subject};
use usage::{Counters, GroupBy, Hour, Meter, Month, Query, Step, StreamMeter, Window};

/// What becomes of the next commit.
const WORKS: u8 = 0;
/// The power goes before it.
const LOST: u8 = 1;
/// It is made, but nobody hears of it.
const UNHEARD: u8 = 2;

/// A map whose next commit may fail; it knows whether the last one was made.
struct FailingKv {
    kv: MemoryKv,
    fate: AtomicU8,
    made: AtomicU8,
}

#[async_trait]
impl Kv for FailingKv {
    async fn get(&self, key: &[u8]) -> Result<Option<Versioned>> {
        self.kv.get(key).await
    }

    async fn range(&self, range: &Range) -> Result<Vec<Entry>> {
        self.kv.range(range).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>> {
        self.kv.snapshot().await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome> {
        let failed = || Error::new(ErrorKind::Unavailable, Subject::Engine, "the power is gone");
        let fate = self.fate.swap(WORKS, Ordering::SeqCst);
        if fate == LOST {
            self.made.store(0, Ordering::SeqCst);
            return Err(failed());
        }
        let outcome = self.kv.commit(commit).await?;
        self.made.store(u8::from(matches!(outcome, Outcome::Done(_))), Ordering::SeqCst);
        if fate == UNHEARD { Err(failed()) } else { Ok(outcome) }
    }

    async fn acquire(&self, name: &str, holder: &str, ttl: Duration, claim: Claim) -> Result<Lease> {
        self.kv.acquire(name, holder, ttl, claim).await
    }

    async fn renew(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        self.kv.renew(lease, ttl).await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        self.kv.release(lease).await
    }

    async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        self.kv.lease(name).await
    }
}

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Put {
        key: u8,
        class: u8,
        size: u32,
        user: u8,
    },
    /// One of the playlists that the server makes for a channel.
    List {
        size: u32,
    },
    Delete {
        keys: Vec<u8>,
    },
    Relabel {
        key: u8,
        class: u8,
    },
    Join {
        key: u8,
        parts: Vec<u32>,
        user: u8,
    },
    Configure {
        user: u8,
    },
    Disable {
        user: u8,
    },
    /// A push begins, in the reconnect window or later.
    Push {
        is_return: bool,
    },
    Segment {
        duration_ms: u32,
        payload: u32,
        size: u32,
        playlist: u16,
    },
    /// The push ends in good order.
    Leave,
    Read {
        user: u8,
        bytes: u32,
    },
    /// What was gathered is written.
    Drain,
    /// The process dies and starts again.
    Crash,
    /// Time passes, or somebody sets the clock.
    Clock {
        by_s: i32,
    },
    /// The next commit does not work.
    Fail {
        is_made: bool,
    },
    /// Old hours are deleted.
    Expire,
}

fn event() -> impl Strategy<Value = Event> {
    let key = 0_u8..5;
    let class = 0_u8..5;
    let user = 0_u8..3;
    let size = prop_oneof![0_u32..2000, any::<u32>()];
    prop_oneof![
        4 => (key.clone(), class.clone(), size.clone(), user.clone())
            .prop_map(|(key, class, size, user)| Event::Put { key, class, size, user }),
        1 => (0_u32..5000).prop_map(|size| Event::List { size }),
        2 => prop::collection::vec(key.clone(), 1..4).prop_map(|keys| Event::Delete { keys }),
        1 => (key.clone(), class).prop_map(|(key, class)| Event::Relabel { key, class }),
        1 => (key, prop::collection::vec(size.clone(), 1..3), user.clone())
            .prop_map(|(key, parts, user)| Event::Join { key, parts, user }),
        1 => user.clone().prop_map(|user| Event::Configure { user }),
        1 => user.clone().prop_map(|user| Event::Disable { user }),
        2 => any::<bool>().prop_map(|is_return| Event::Push { is_return }),
        6 => (0_u32..100_000, any::<u32>(), size, 0_u16..900)
            .prop_map(|(duration_ms, payload, size, playlist)| Event::Segment { duration_ms, payload, size, playlist }),
        1 => Just(Event::Leave),
        2 => (user, any::<u32>()).prop_map(|(user, bytes)| Event::Read { user, bytes }),
        1 => Just(Event::Drain),
        2 => Just(Event::Crash),
        4 => prop_oneof![5 => 0_i32..4000, 1 => -90_000_i32..90_000, 1 => -4_000_000_i32..9_000_000]
            .prop_map(|by_s| Event::Clock { by_s }),
        2 => any::<bool>().prop_map(|is_made| Event::Fail { is_made }),
        1 => Just(Event::Expire),
    ]
}

/// Whose, as plain text: channel and user.
type Whose = (String, String);

/// What happened, in the simplest form.
#[derive(Default)]
struct Model {
    counts: Vec<(u64, Whose, Meter, u64)>,
    stored: Vec<(u64, Whose, usage::StorageClass, i128)>,
    objects: BTreeMap<String, (String, usage::StorageClass, u64)>,
    /// Media of the stream that goes on, milliseconds, and its minutes.
    stream: (u64, u64),
    /// The next media begins a stream; a push that stores none leaves nothing behind.
    begins_anew: bool,
    gathered: BTreeMap<Whose, (u64, u64)>,
    /// Hours before this may be gone.
    expired_s: u64,
}

impl Model {
    fn put(&mut self, at_s: u64, key: &str, channel: &str, class: usage::StorageClass, size: u64) {
        self.delete(at_s, key);
        self.objects.insert(key.to_owned(), (channel.to_owned(), class, size));
        self.stored.push((at_s, (channel.to_owned(), String::new()), class, i128::from(size)));
    }

    fn delete(&mut self, at_s: u64, key: &str) {
        if let Some((channel, class, size)) = self.objects.remove(key) {
            self.stored.push((at_s, (channel, String::new()), class, -i128::from(size)));
        }
    }

    fn count(&mut self, at_s: u64, whose: Whose, meter: Meter, count: u64) {
        self.counts.push((at_s, whose, meter, count));
    }

    /// The minutes that begin with this much more media.
    fn minutes(&mut self, duration_ms: u64) -> u64 {
        if std::mem::take(&mut self.begins_anew) {
            self.stream = (0, 0);
        }
        self.stream.0 += duration_ms;
        let all = self.stream.0.div_ceil(60_000).max(1);
        let begun = all - self.stream.1;
        self.stream.1 = all;
        begun
    }

    /// What the answer has to be for one window.
    fn expected(&self, window: Window, group: &dyn Fn(&Whose) -> Whose) -> BTreeMap<Whose, Answer> {
        let (from, to) = (window.start(), window.end());
        let mut found: BTreeMap<Whose, Answer> = BTreeMap::new();
        for (_, whose, meter, count) in self.counts.iter().filter(|(at_s, ..)| (from..to).contains(at_s)) {
            *found.entry(group(whose)).or_default().0.entry(meter.name()).or_default() += u128::from(*count);
        }
        for (at_s, whose, class, change) in self.stored.iter().filter(|(at_s, ..)| *at_s < to) {
            let stored = found.entry(group(whose)).or_default().1.entry(class.name()).or_default();
            stored.0 += change;
            stored.1 += change * i128::from(to - from.max(*at_s));
        }
        for answer in found.values_mut() {
            answer.0.retain(|_, count| *count > 0);
            answer.1.retain(|_, stored| *stored != (0, 0));
        }
        found.retain(|_, answer| *answer != Answer::default());
        found
    }
}

/// Counts, and stored bytes at the end with byte-seconds.
type Answer = (BTreeMap<&'static str, u128>, BTreeMap<&'static str, (i128, i128)>);

/// A push that is live.
struct Push {
    lease: PublisherLease,
    session: u32,
    window: WindowRecord,
}

struct World {
    kv: Arc<FailingKv>,
    meta: Meta,
    clock: ManualClock,
    bucket: BucketName,
    push: Option<Push>,
    lives: u32,
    number_ms: u64,
    uploads: u32,
    gathered: BTreeMap<Whose, Counters>,
    model: Model,
}

const BEGIN_MS: i64 = 1_796_000_000_000;

fn channel() -> ChannelName {
    ChannelName::parse(b"ch").unwrap()
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::parse(text.as_bytes()).unwrap()
}

fn user(number: u8) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

fn class(number: u8) -> (StorageClass, usage::StorageClass) {
    [
        (StorageClass::Standard, usage::StorageClass::Standard),
        (StorageClass::InfrequentAccess, usage::StorageClass::InfrequentAccess),
        (StorageClass::Archive, usage::StorageClass::Archive),
        (StorageClass::ColdArchive, usage::StorageClass::ColdArchive),
        (StorageClass::DeepColdArchive, usage::StorageClass::DeepColdArchive),
    ][usize::from(number)]
}

/// An object of this size; its bytes do not matter here.
fn object(size: u64, role: ObjectRole, storage_class: StorageClass) -> ObjectRecord {
    ObjectRecord {
        size,
        etag: ETag::from_bits(u128::from(size)),
        crc64: 0,
        md5: None,
        modified_ms: 1,
        object_type: ObjectType::Normal,
        role,
        acl: ObjectAcl::Default,
        storage_class,
        headers: ContentHeaders::default(),
        user_meta: Vec::new(),
        tags: Vec::new(),
        body: Body::Inline(Bytes::new()),
    }
}

impl World {
    async fn new() -> Self {
        let clock = ManualClock::new(BEGIN_MS);
        let kv = Arc::new(FailingKv {
            kv: MemoryKv::new(clock.clock()),
            fate: AtomicU8::new(WORKS),
            made: AtomicU8::new(0),
        });
        let meta = Meta::new(kv.clone(), clock.clock());
        let bucket = BucketName::parse("bucket").unwrap();
        meta.create_bucket(&bucket, &BucketRecord::new(&bucket, OwnerId("1".to_owned()), 1), 9).await.unwrap();
        let record = ChannelRecord::new(LiveChannelConfig::default(), 1);
        meta.put_channel(&bucket, &channel(), &record, 9).await.unwrap();
        assert!(meta.begin_usage().await.unwrap());
        Self {
            kv,
            meta,
            clock,
            bucket,
            push: None,
            lives: 0,
            number_ms: 0,
            uploads: 0,
            gathered: BTreeMap::new(),
            model: Model::default(),
        }
    }

    fn now_s(&self) -> u64 {
        u64::try_from(self.clock.clock().now_ms() / 1000).unwrap()
    }

    /// The store, for one change that counts this.
    fn counting(&self, channel: &str, user: String, counts: Counters) -> Meta {
        let subject = usage::Subject { bucket: "bucket".to_owned(), channel: channel.to_owned(), user };
        self.meta.counting(Tally { subject, counts })
    }

    /// Whether the commit of what was just done was made, also when nobody heard of it.
    fn was_made<T>(&self, done: &Result<T>) -> bool {
        match done {
            Ok(_) => true,
            Err(error) if error.kind == ErrorKind::Unavailable => self.kv.made.load(Ordering::SeqCst) == 1,
            Err(_) => false,
        }
    }

    async fn happen(&mut self, event: Event) {
        let (at_s, bucket) = (self.now_s(), self.bucket.clone());
        let nobody = |user: u8| (String::new(), self::user(user));
        match event {
            Event::Put { key: name, class: label, size, user } => {
                let (name, (stored_class, label)) = (format!("k{name}"), class(label));
                let counts = Counters::of(Meter::UploadBytes, size.into());
                let record = object(size.into(), ObjectRole::Ordinary, stored_class);
                let meta = self.counting("", self::user(user), counts);
                let done = meta.put_object(&bucket, &key(&name), &record, PutGuard::Any).await;
                if self.was_made(&done) {
                    self.model.put(at_s, &name, "", label, size.into());
                    self.model.count(at_s, nobody(user), Meter::UploadBytes, size.into());
                }
            }
            Event::List { size } => {
                let record = object(size.into(), ObjectRole::VodPlaylist, StorageClass::Standard);
                let meta = self.counting("ch", self::user(1), Counters::of(Meter::VodPlaylists, 1));
                let done = meta.put_object(&bucket, &key("ch/vod.m3u8"), &record, PutGuard::Any).await;
                if self.was_made(&done) {
                    self.model.put(at_s, "ch/vod.m3u8", "ch", usage::StorageClass::Standard, size.into());
                    self.model.count(at_s, ("ch".to_owned(), self::user(1)), Meter::VodPlaylists, 1);
                }
            }
            Event::Delete { keys } => {
                let mut names: Vec<String> = keys.iter().map(|name| format!("k{name}")).collect();
                // A segment goes with them, as by a lifecycle rule.
                names.extend(self.model.objects.keys().find(|name| name.ends_with(".ts")).cloned());
                let all: Vec<ObjectKey> = names.iter().map(|name| key(name)).collect();
                let done = self.meta.delete_objects(&bucket, &all).await;
                if self.was_made(&done) {
                    names.iter().for_each(|name| self.model.delete(at_s, name));
                }
            }
            Event::Relabel { key: name, class: label } => {
                let (name, (stored_class, label)) = (format!("k{name}"), class(label));
                let changed =
                    self.meta.update_object(&bucket, &key(&name), |one| one.storage_class = stored_class).await;
                if self.was_made(&changed)
                    && let Some((channel, _, size)) = self.model.objects.get(&name).cloned()
                {
                    self.model.put(at_s, &name, &channel, label, size);
                }
            }
            Event::Join { key: name, parts, user } => {
                self.uploads += 1;
                let (name, id) = (format!("k{name}"), format!("U{}", self.uploads));
                let upload = UploadRecord {
                    initiated_ms: 1,
                    storage_class: StorageClass::Standard,
                    headers: ContentHeaders::default(),
                    user_meta: Vec::new(),
                    tags: Vec::new(),
                    initiator: None,
                };
                if self.meta.initiate_upload(&bucket, &key(&name), &id, &upload).await.is_err() {
                    return;
                }
                for (size, number) in parts.iter().zip(1..) {
                    let part = PartRecord {
                        size: (*size).into(),
                        etag: ETag::from_bits(0),
                        crc64: 0,
                        md5: None,
                        modified_ms: 1,
                        extents: Vec::new(),
                    };
                    let meta = self.counting("", self::user(user), Counters::of(Meter::UploadBytes, part.size));
                    let done = meta.put_part(&bucket, &key(&name), &id, number, &part).await;
                    if self.was_made(&done) {
                        self.model.count(at_s, nobody(user), Meter::UploadBytes, part.size);
                    }
                }
                let seen = self.meta.upload(&bucket, &key(&name), &id).await.unwrap().unwrap().version;
                let size = parts.iter().map(|size| u64::from(*size)).sum();
                let record = object(size, ObjectRole::Ordinary, StorageClass::Standard);
                let done = self.meta.complete_upload(&bucket, &key(&name), &id, seen, &record, PutGuard::Any).await;
                if self.was_made(&done) {
                    self.model.put(at_s, &name, "", usage::StorageClass::Standard, size);
                }
            }
            Event::Configure { user } => {
                let record = ChannelRecord::new(LiveChannelConfig::default(), 1);
                let meta = self.counting("ch", self::user(user), Counters::of(Meter::ChannelCreations, 1));
                let done = meta.put_channel(&bucket, &channel(), &record, 9).await;
                if self.was_made(&done) {
                    self.model.count(at_s, ("ch".to_owned(), self::user(user)), Meter::ChannelCreations, 1);
                }
            }
            Event::Disable { user } => {
                let meta = self.counting("ch", self::user(user), Counters::of(Meter::StatusChanges, 1));
                let done = meta.update_channel(&bucket, &channel(), |_| ()).await;
                if self.was_made(&done) {
                    self.model.count(at_s, ("ch".to_owned(), self::user(user)), Meter::StatusChanges, 1);
                }
            }
            Event::Push { is_return } => self.begin(is_return).await,
            Event::Segment { duration_ms, payload, size, playlist } => {
                self.segment(duration_ms.into(), payload.into(), size.into(), playlist).await;
            }
            Event::Leave => {
                if let Some(push) = self.push.take() {
                    let _ = self.meta.end_publication(&push.lease, None, Bytes::new()).await;
                    let _ = self.meta.release_publisher(&push.lease).await;
                }
            }
            Event::Read { user, bytes } => {
                let counts = Counters::of(Meter::ReadRequests, 1).with(Meter::OutgoingBytes, bytes.into());
                self.gathered.entry(nobody(user)).or_default().add(&counts);
                let known = self.model.gathered.entry(nobody(user)).or_default();
                *known = (known.0 + 1, known.1 + u64::from(bytes));
            }
            Event::Drain => {
                let subject = |(channel, user): &Whose| usage::Subject {
                    bucket: "bucket".to_owned(),
                    channel: channel.clone(),
                    user: user.clone(),
                };
                let rows: Vec<_> = self.gathered.iter().map(|(whose, counts)| (subject(whose), *counts)).collect();
                let done = self.meta.add_usage(&rows).await;
                // What nobody heard of would be written again and counted twice: the server's engine does not do that to
                // it, and so neither does this history.
                if self.was_made(&done) {
                    self.gathered.clear();
                    for (whose, (requests, bytes)) in std::mem::take(&mut self.model.gathered) {
                        self.model.count(at_s, whose.clone(), Meter::ReadRequests, requests);
                        self.model.count(at_s, whose, Meter::OutgoingBytes, bytes);
                    }
                }
            }
            Event::Crash => {
                self.kv.fate.store(WORKS, Ordering::SeqCst);
                self.push = None;
                self.gathered.clear();
                self.model.gathered.clear();
                self.lives += 1;
            }
            Event::Clock { by_s } => self.clock.advance_ms(i64::from(by_s) * 1000),
            Event::Fail { is_made } => {
                self.kv.fate.store(if is_made { UNHEARD } else { LOST }, Ordering::SeqCst);
            }
            Event::Expire => {
                let first = Hour(Hour::of(at_s).0.saturating_sub(usage::RETAINED_HOURS - 1));
                let _ = self.meta.expire_usage(at_s).await;
                self.model.expired_s = self.model.expired_s.max(first.start());
            }
        }
    }

    /// A push begins, as the server begins one.
    async fn begin(&mut self, is_return: bool) {
        if self.push.is_some() {
            return;
        }
        self.kv.fate.store(WORKS, Ordering::SeqCst);
        let (bucket, channel) = (self.bucket.clone(), channel());
        let held = self.meta.publisher(&bucket, &channel).await.unwrap();
        let claim = held.map_or(Claim::IfFree, |held| Claim::TakeOver(held.token));
        let holder = format!("life {}", self.lives);
        let lease =
            self.meta.acquire_publisher(&bucket, &channel, &holder, Duration::from_secs(60), claim).await.unwrap();
        if self.meta.publication(&bucket, &channel).await.unwrap().is_some() {
            self.meta.end_publication(&lease, None, Bytes::new()).await.unwrap();
        }
        let start = StartRecord {
            started_ms: 1,
            remote_addr: "192.0.2.1:1".to_owned(),
            playlist: "playlist.m3u8".to_owned(),
            details: Bytes::new(),
        };
        let session = self.meta.begin_publication(&lease, &start).await.unwrap();
        let window = self.meta.channel_window(&bucket, &channel).await.unwrap();
        let mut window = window.map(|window| WindowRecord::parse(&window).unwrap()).unwrap_or_default();
        if !is_return {
            window.streamed = StreamMeter::default();
        }
        self.model.begins_anew = !is_return;
        self.push = Some(Push { lease, session, window });
    }

    async fn segment(&mut self, duration_ms: u64, payload: u64, size: u64, playlist: u16) {
        let (at_s, number_ms) = (self.now_s(), self.number_ms + 1);
        let Some(push) = &self.push else { return };
        let mut window = push.window.clone();
        let counts = window.streamed.advance(duration_ms * 90).with(Meter::IngestBytes, payload);
        let name = format!("ch/{number_ms}.ts");
        let segment = SegmentCommit {
            key: key(&name),
            object: object(size, ObjectRole::LiveSegment, StorageClass::Standard),
            entry: entry(number_ms, duration_ms, push.session, size),
            playlist: Some((
                key("ch/playlist.m3u8"),
                object(playlist.into(), ObjectRole::LivePlaylist, StorageClass::Standard),
            )),
            window: window.to_bytes().unwrap(),
            waiting: Vec::new(),
            next: None,
            end_ms: 1,
        };
        let meta = self.counting("ch", "7".to_owned(), counts);
        let mut was_made = false;
        // As the server: what the store does not take is tried again, and counts once.
        for _ in 0..3 {
            let done = meta.commit_segment(&push.lease, &segment).await;
            was_made |= self.was_made(&done);
            match done {
                Err(error) if error.kind == ErrorKind::Unavailable => {}
                _ => break,
            }
        }
        if was_made {
            self.number_ms = number_ms;
            self.push.as_mut().unwrap().window = window;
            let whose = || ("ch".to_owned(), "7".to_owned());
            let minutes = self.model.minutes(duration_ms);
            self.model.put(at_s, &name, "ch", usage::StorageClass::Standard, size);
            self.model.put(at_s, "ch/playlist.m3u8", "ch", usage::StorageClass::Standard, playlist.into());
            self.model.count(at_s, whose(), Meter::StreamingMinutes, minutes);
            self.model.count(at_s, whose(), Meter::IngestBytes, payload);
        }
    }

    /// The store's answers are the model's.
    async fn check(&self) {
        let times =
            self.model.counts.iter().map(|(at_s, ..)| *at_s).chain(self.model.stored.iter().map(|(at_s, ..)| *at_s));
        let times: BTreeSet<u64> = times.chain([self.now_s()]).collect();
        let months: BTreeSet<Window> = times.iter().map(|at_s| Window::Month(Month::of(*at_s))).collect();
        let hours = times.iter().map(|at_s| Window::Hour(Hour::of(*at_s)));
        let hours: BTreeSet<Window> = hours.filter(|hour| hour.start() >= self.model.expired_s).collect();
        for window in months.into_iter().chain(hours.into_iter().rev().take(6)) {
            self.check_window(window, GroupBy { channel: true, user: true, bucket: true }, &Clone::clone).await;
            self.check_window(window, GroupBy::default(), &|_| Whose::default()).await;
        }
    }

    async fn check_window(&self, window: Window, group_by: GroupBy, group: &dyn Fn(&Whose) -> Whose) {
        let step = if matches!(window, Window::Hour(_)) { Step::Hour } else { Step::Month };
        let query = Query { from_s: window.start(), to_s: window.end(), step, group_by, ..Query::default() };
        let rows = self.meta.usage(&query, u64::MAX).await.unwrap().unwrap();
        let found: BTreeMap<Whose, Answer> = rows
            .into_iter()
            .map(|row| {
                let counts = Meter::ALL.map(|meter| (meter.name(), u128::from(row.counters.get(meter))));
                let stored = row.stored.iter().map(|(class, one)| (class.name(), (one.at_end, one.byte_seconds)));
                let answer = (counts.into_iter().filter(|(_, count)| *count > 0).collect(), stored.collect());
                ((row.subject.channel, row.subject.user), answer)
            })
            .filter(|(_, answer)| *answer != Answer::default())
            .collect();
        assert_eq!(found, self.model.expected(window, group), "{window}");
    }
}

fn entry(number_ms: u64, duration_ms: u64, session: u32, size: u64) -> SegmentEntry {
    SegmentEntry {
        number_ms,
        opened_ms: number_ms,
        duration_ms: u32::try_from(duration_ms).unwrap(),
        session,
        size,
        is_discontinuous: false,
        is_independent: false,
        is_damaged: false,
        container: model::Container::MpegTs,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_model_and_the_store_agree_to_the_byte_and_the_minute(events in prop::collection::vec(event(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for event in events {
                world.happen(event).await;
            }
            world.check().await;
        });
    }
}
