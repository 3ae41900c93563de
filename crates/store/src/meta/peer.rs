//! Processes that share a map, as they know each other: who lives, what each has on air, what one wants of another.
//!
//! A *life* is one run of a process, and its name the holder of everything that it holds. One lease says that it lives; the
//! others, on channels and duties, count only as long as it does. Holders without a `/` in their name have no life: their
//! leases stand for themselves, as those of one machine do.

use std::time::Duration;

use model::name::{BucketName, ChannelName};
use serde::{Deserialize, Serialize};

use super::Meta;
use super::key::{self, Table};
use crate::error::{Error, ErrorKind, Result, Subject};
use crate::kv::{Claim, Commit, Entry, Lease, Precondition, Range, Write};
use crate::record::{Record, decode, encode};

/// What is in a row of what a process shows: so many pushes and so many refusals at most.
const PAGE: usize = 64;
/// Rows of one process.
const MAX_PAGES: usize = 1024;
/// Wishes that are read at once.
const MAX_WISHES: usize = 1024;

/// Who a process is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProcessRecord {
    /// What people call it.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The layout of the map that the program reads and writes.
    pub layout: u32,
    /// Distinguishes its data directory from those of others; empty where a program says it that did not know of it.
    pub directory: String,
    /// When it began, Unix milliseconds.
    pub started_ms: i64,
    /// Where it listens, for people: what for, and the address.
    pub addresses: Vec<(String, String)>,
    /// When it last said that it lives, Unix milliseconds by the clock of the engine.
    pub said_ms: i64,
    /// Nobody who reads there began before this, Unix milliseconds.
    pub reading_since_ms: i64,
    /// Whether it was told to stop.
    pub is_leaving: bool,
}

impl Record for ProcessRecord {
    const SUBJECT: Subject = Subject::Process;
}

impl ProcessRecord {
    /// What stands for a row that this program cannot read: a process of a newer program, that reads every layout and since ever.
    fn of_newer() -> Self {
        Self { layout: u32::MAX, ..Self::default() }
    }
}

/// A process that has a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its life.
    pub life: String,
    /// What it says of itself.
    pub record: ProcessRecord,
    /// Whether its lease has not run out.
    pub is_alive: bool,
}

/// A push as others are told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownPush {
    /// The bucket of its channel.
    pub bucket: String,
    /// Its channel.
    pub channel: String,
    /// When it began, Unix milliseconds.
    pub started_ms: i64,
    /// The publisher, `ip:port`.
    pub remote: String,
    /// Name of the video codec; empty while nothing is known, as the numbers are 0.
    pub video_codec: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whole frames per second.
    pub frame_rate: u32,
    /// Name of the audio codec.
    pub audio_codec: String,
    /// Hz.
    pub sample_rate: u32,
    /// Bytes per second of video; `None` before any arrived.
    pub video: Option<u64>,
    /// Bytes per second of audio; `None` before any arrived.
    pub audio: Option<u64>,
    /// How long ago the last key frame arrived, milliseconds.
    pub key_frame_age_ms: Option<u64>,
    /// About how many watch.
    pub viewers: u64,
    /// The name of its playlist, once it lists something.
    pub playlist: Option<String>,
    /// What is wrong with it, each a short name.
    pub warnings: Vec<String>,
    /// What became of its snapshots, where its channel asks for some.
    pub snapshots: Option<ShownSnapshots>,
}

/// What became of the snapshots of a push.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownSnapshots {
    /// Pictures stored.
    pub taken: u64,
    /// Pictures that were due and are not stored.
    pub missing: u64,
    /// Why the last of these was not, as a word and as a sentence.
    pub fault: Option<(String, String)>,
}

/// A publish that was refused, as others are told of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownRefusal {
    /// The bucket of the channel.
    pub bucket: String,
    /// The channel.
    pub channel: String,
    /// When it happened last, Unix milliseconds.
    pub at_ms: i64,
    /// Who tried, `ip:port`.
    pub remote: String,
    /// The error code of OSS.
    pub code: String,
    /// Its EC, where it has one.
    pub ec: Option<String>,
    /// The message that the encoder got.
    pub message: String,
    /// The request id that the encoder got.
    pub request_id: String,
    /// How many alike came in a row.
    pub count: u64,
    /// When the channel was made, Unix milliseconds, if that is known: another one may have its name by now.
    pub channel_created_ms: Option<i64>,
}

/// What a process shows of itself to the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// What is on air there.
    pub pushes: Vec<ShownPush>,
    /// Whom it refused, oldest first.
    pub refusals: Vec<ShownRefusal>,
}

impl Record for Shown {
    const SUBJECT: Subject = Subject::Process;
}

impl Shown {
    /// In pieces that make rows of a reasonable length. What is beyond [`MAX_PAGES`] is left out.
    fn pages(&self) -> Vec<Self> {
        let of_pushes = self.pushes.chunks(PAGE).map(|part| Self { pushes: part.to_vec(), refusals: Vec::new() });
        let of_refusals = self.refusals.chunks(PAGE).map(|part| Self { pushes: Vec::new(), refusals: part.to_vec() });
        of_pushes.chain(of_refusals).take(MAX_PAGES).collect()
    }
}

/// What one process wants of the push that another has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// To publish instead of it.
    Publish,
    /// That it ends: its channel was disabled.
    End,
}

/// A wish as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WishRecord {
    /// What is wanted.
    pub wish: Wish,
    /// The life that wants it.
    pub by: String,
    /// Whether it was refused.
    #[serde(default)]
    pub is_refused: bool,
}

impl Record for WishRecord {
    const SUBJECT: Subject = Subject::Process;
}

/// A wish about a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelWish {
    /// The bucket of the channel.
    pub bucket: BucketName,
    /// The channel.
    pub channel: ChannelName,
    /// Distinguishes it from others.
    pub id: String,
    /// What is written down.
    pub record: WishRecord,
}

/// The lease of a process whose life this is; `None` for a holder that has none.
fn process_lease(holder: &str) -> Option<String> {
    holder.contains('/').then(|| format!("process/{holder}"))
}

/// Whether a holder is a life of this instance, or the instance itself.
pub fn is_life_of(holder: &str, instance: &str) -> bool {
    holder.strip_prefix(instance).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Meta {
    /// Says for the first time that a life has begun.
    ///
    /// # Errors
    /// `Held` when somebody else has begun it; `Unavailable`.
    pub async fn begin_life(&self, life: &str, ttl: Duration) -> Result<Lease> {
        let name = process_lease(life).ok_or_else(|| Error::corrupt(Subject::Process, format!("{life} is no life")))?;
        let lease = self.kv().acquire(&name, life, ttl, Claim::IfFree).await?;
        self.note_said(ttl);
        Ok(lease)
    }

    /// Says again that a life goes on. When nothing is known of it any more, it is begun again.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn renew_life(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        match self.kv().renew(lease, ttl).await {
            Err(error) if error.kind == ErrorKind::Conflict => self.begin_life(&lease.holder, ttl).await,
            Ok(renewed) => {
                self.note_said(ttl);
                Ok(renewed)
            }
            Err(error) => Err(error),
        }
    }

    fn note_said(&self, ttl: Duration) {
        if let Some(continuity) = &self.continuity {
            continuity.note_said(ttl);
        }
    }

    /// Ends a life: what it holds is free, and nothing is known of it any more.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_life(&self, lease: &Lease) -> Result<()> {
        self.forget_life(&lease.holder).await?;
        self.kv().release(lease).await
    }

    /// Until when a life goes on if it is not renewed, Unix milliseconds by the clock of the engine; `None` when it is over.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn lives_until_ms(&self, life: &str) -> Result<Option<i64>> {
        let Some(name) = process_lease(life) else { return Ok(None) };
        Ok(self.kv().lease(&name).await?.map(|lease| lease.expires_ms))
    }

    /// Ends the earlier lives of an instance of which `life` is the present one.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn end_earlier_lives(&self, instance: &str, life: &str) -> Result<()> {
        for row in self.kv().range(&Range::prefix(Table::Process.below_instance(instance))).await? {
            let earlier = String::from_utf8_lossy(key::last(&row, &Table::Process.all())?).into_owned();
            if earlier == life {
                continue;
            }
            if let Some(name) = process_lease(&earlier)
                && let Some(lease) = self.kv().lease(&name).await?
            {
                self.kv().release(&lease).await?;
            }
            self.forget_life(&earlier).await?;
        }
        Ok(())
    }

    /// Deletes the rows of a life.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn forget_life(&self, life: &str) -> Result<()> {
        let commit = Commit::new()
            .write(Write::Delete(Table::Process.name(life)))
            .write(Write::DeletePrefix(Table::ProcessPage.below(life)));
        self.kv().commit(commit).await.map(|_| ())
    }

    /// Writes what a process says of itself, and what it shows; `None` leaves what it showed before.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn show(&self, life: &str, record: &ProcessRecord, shown: Option<&Shown>) -> Result<()> {
        let mut commit = Commit::new().write(Write::Put(Table::Process.name(life), encode(record)?));
        if let Some(shown) = shown {
            commit = commit.write(Write::DeletePrefix(Table::ProcessPage.below(life)));
            for (number, page) in (0_u16..).zip(shown.pages()) {
                commit = commit.write(Write::Put(key::process_page(life, number), encode(&page)?));
            }
        }
        self.kv().commit(commit).await.map(|_| ())
    }

    /// Whether the server of this holder runs, in the same life or in a later one. A holder without a life has no server of its own.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_running(&self, holder: &str) -> Result<bool> {
        let Some((instance, _)) = holder.rsplit_once('/') else { return Ok(false) };
        Ok(self.processes().await?.iter().any(|process| process.is_alive && is_life_of(&process.life, instance)))
    }

    /// All processes that have a row, the dead ones too.
    ///
    /// # Errors
    /// `Unavailable`. A row that cannot be read, which a newer program wrote, has the newest layout and reads since ever.
    pub async fn processes(&self) -> Result<Vec<Process>> {
        let mut found = Vec::new();
        for row in self.kv().range(&Range::prefix(Table::Process.all())).await? {
            let life = String::from_utf8_lossy(key::last(&row, &Table::Process.all())?).into_owned();
            // Its row is there, so it has not left.
            let is_alive = !self.is_silent(&life).await? || !self.would_have_heard();
            let record = decode(&row.value).unwrap_or_else(|_| ProcessRecord::of_newer());
            found.push(Process { life, record, is_alive });
        }
        Ok(found)
    }

    /// What all processes show, with their lives. What a newer program shows in another form is left out.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn shown(&self) -> Result<Vec<(String, Shown)>> {
        let mut found: Vec<(String, Shown)> = Vec::new();
        for row in self.kv().range(&Range::prefix(Table::ProcessPage.all())).await? {
            let (life, _) = key::two(&row)?;
            let life = String::from_utf8_lossy(life);
            let Ok(page) = decode::<Shown>(&row.value) else { continue };
            match found.last_mut().filter(|(last, _)| *last == life) {
                Some((_, shown)) => {
                    shown.pushes.extend(page.pushes);
                    shown.refusals.extend(page.refusals);
                }
                None => found.push((life.into_owned(), page)),
            }
        }
        Ok(found)
    }

    /// Whether a holder has a life that is over: it has left, or does not say any more that it lives though it could.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn is_dead(&self, holder: &str) -> Result<bool> {
        if !self.is_silent(holder).await? {
            return Ok(false);
        }
        // Who leaves, and whose server has begun another life, takes its row along.
        Ok(self.would_have_heard() || self.kv().get(&Table::Process.name(holder)).await?.is_none())
    }

    /// Whether the life of a holder has not been said to go on.
    async fn is_silent(&self, holder: &str) -> Result<bool> {
        match process_lease(holder) {
            Some(name) => Ok(self.kv().lease(&name).await?.is_none()),
            None => Ok(false),
        }
    }

    /// Whether another process that lives would have been heard: not where the map was away, when nobody could say anything.
    fn would_have_heard(&self) -> bool {
        self.continuity.as_ref().is_none_or(|continuity| continuity.is_long())
    }

    /// Takes a lease that counts as long as its holder lives: free is also what a dead process holds.
    pub(super) async fn acquire_of_living(
        &self,
        name: &str,
        holder: &str,
        ttl: Duration,
        claim: Claim,
    ) -> Result<Lease> {
        let held = match self.kv().acquire(name, holder, ttl, claim).await {
            Err(error) if error.kind == ErrorKind::Held && claim == Claim::IfFree => error,
            other => return other,
        };
        match self.kv().lease(name).await? {
            None => self.kv().acquire(name, holder, ttl, Claim::IfFree).await,
            Some(lease) if self.is_dead(&lease.holder).await? => {
                self.kv().acquire(name, holder, ttl, Claim::TakeOver(lease.token)).await
            }
            Some(_) => Err(held),
        }
    }

    /// The lease, unless it has run out or its holder is dead.
    pub(super) async fn lease_of_living(&self, name: &str) -> Result<Option<Lease>> {
        let Some(lease) = self.kv().lease(name).await? else { return Ok(None) };
        Ok((!self.is_dead(&lease.holder).await?).then_some(lease))
    }

    /// Takes a duty that one process has for all, or keeps it.
    ///
    /// # Errors
    /// `Held` when another living process has it; `Unavailable`.
    pub async fn take_duty(&self, duty: &str, life: &str, had: Option<&Lease>, ttl: Duration) -> Result<Lease> {
        if let Some(had) = had {
            match self.kv().renew(had, ttl).await {
                Err(error) if error.kind == ErrorKind::Conflict => {}
                kept => return kept,
            }
        }
        let name = format!("duty/{duty}");
        match self.acquire_of_living(&name, life, ttl, Claim::IfFree).await {
            // An answer that did not arrive may have given it to this process.
            Err(error) if error.kind == ErrorKind::Held => match self.kv().lease(&name).await? {
                Some(lease) if lease.holder == life => {
                    self.kv().acquire(&name, life, ttl, Claim::TakeOver(lease.token)).await
                }
                _ => Err(error),
            },
            taken => taken,
        }
    }

    /// Writes a wish down under a new `id`, for the process that holds the channel.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn wish(&self, bucket: &BucketName, channel: &ChannelName, id: &str, record: &WishRecord) -> Result<()> {
        let commit = Commit::new().write(Write::Put(key::wish(bucket, channel, id), encode(record)?));
        self.kv().commit(commit).await.map(|_| ())
    }

    /// Whether a wish was refused; a wish that is gone was.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn is_wish_refused(&self, bucket: &BucketName, channel: &ChannelName, id: &str) -> Result<bool> {
        let found = self.record::<WishRecord>(&key::wish(bucket, channel, id)).await?;
        Ok(found.is_none_or(|wish| wish.value.is_refused))
    }

    /// Refuses a wish, unless it was taken back meanwhile.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn refuse_wish(&self, wish: &ChannelWish) -> Result<()> {
        let row = key::wish(&wish.bucket, &wish.channel, &wish.id);
        let record = WishRecord { is_refused: true, ..wish.record.clone() };
        let commit = Commit::new().require(Precondition::Exists(row.clone())).write(Write::Put(row, encode(&record)?));
        self.kv().commit(commit).await.map(|_| ())
    }

    /// Takes a wish back, or clears it away.
    ///
    /// # Errors
    /// `Unavailable`.
    pub async fn unwish(&self, bucket: &BucketName, channel: &ChannelName, id: &str) -> Result<()> {
        let commit = Commit::new().write(Write::Delete(key::wish(bucket, channel, id)));
        self.kv().commit(commit).await.map(|_| ())
    }

    /// The wishes that stand, of all channels. One of a newer program that this one cannot read is left to others.
    ///
    /// # Errors
    /// `Corrupt`, `Unavailable`.
    pub async fn wishes(&self) -> Result<Vec<ChannelWish>> {
        let rows = self.kv().range(&Range::prefix(Table::Wish.all()).limit(MAX_WISHES)).await?;
        let read = |row: &Entry| -> Result<Option<ChannelWish>> {
            let Ok(record) = decode(&row.value) else { return Ok(None) };
            let (bucket, channel, id) = key::wish_of(row)?;
            Ok(Some(ChannelWish { bucket, channel, id, record }))
        };
        rows.iter().filter_map(|row| read(row).transpose()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{Fixture, channel, fixture};
    use crate::kv::FencingToken;

    const TTL: Duration = Duration::from_secs(10);
    const LONG: Duration = Duration::from_secs(600);

    async fn acquire(f: &Fixture, holder: &str) -> Result<FencingToken> {
        let lease = f.meta.acquire_publisher(&f.bucket, &channel("ch"), holder, LONG, Claim::IfFree).await?;
        Ok(lease.token())
    }

    #[tokio::test]
    async fn a_channel_is_held_as_long_as_its_process_lives() {
        let f = fixture().await;
        let life = f.meta.begin_life("one/a", TTL).await.unwrap();
        f.meta.begin_life("two/b", LONG).await.unwrap();
        let first = acquire(&f, "one/a").await.unwrap();
        assert_eq!(acquire(&f, "two/b").await.unwrap_err().kind, ErrorKind::Held);
        f.clock.advance_ms(9_999);
        let life = f.meta.renew_life(&life, TTL).await.unwrap();
        f.clock.advance_ms(9_999);
        assert_eq!(acquire(&f, "two/b").await.unwrap_err().kind, ErrorKind::Held);
        assert!(f.meta.publisher(&f.bucket, &channel("ch")).await.unwrap().is_some());
        f.clock.advance_ms(1);
        assert_eq!(f.meta.publisher(&f.bucket, &channel("ch")).await.unwrap(), None, "its process is dead");
        let second = acquire(&f, "two/b").await.unwrap();
        assert!(second > first);
        // The dead one was only asleep: it lives on, but what was taken is gone.
        f.meta.renew_life(&life, TTL).await.unwrap();
        assert_eq!(acquire(&f, "one/a").await.unwrap_err().kind, ErrorKind::Held);
    }

    #[tokio::test]
    async fn a_holder_without_a_life_stands_for_itself() {
        let f = fixture().await;
        acquire(&f, "instance").await.unwrap();
        f.clock.advance_ms(599_999);
        assert_eq!(acquire(&f, "two/b").await.unwrap_err().kind, ErrorKind::Held);
        f.clock.advance_ms(1);
        acquire(&f, "two/b").await.unwrap();
        for (holder, is_of) in [("in", true), ("in/1", true), ("instance", false), ("i", false), ("", false)] {
            assert_eq!(is_life_of(holder, "in"), is_of, "{holder}");
        }
    }

    #[tokio::test]
    async fn earlier_lives_end_and_others_do_not() {
        let f = fixture().await;
        for life in ["one/a", "one/b", "other/a", "onemore/a"] {
            f.meta.begin_life(life, LONG).await.unwrap();
            f.meta.show(life, &ProcessRecord::default(), Some(&Shown::default())).await.unwrap();
        }
        acquire(&f, "one/a").await.unwrap();
        f.meta.end_earlier_lives("one", "one/b").await.unwrap();
        let lives: Vec<_> = f.meta.processes().await.unwrap().into_iter().map(|p| (p.life, p.is_alive)).collect();
        let expected = ["one/b", "onemore/a", "other/a"].map(|life| (life.to_owned(), true));
        assert_eq!(lives, expected);
        // In whichever life.
        for (holder, is_running) in
            [("one/a", true), ("one/b", true), ("on/b", false), ("third/a", false), ("one", false)]
        {
            assert_eq!(f.meta.is_running(holder).await, Ok(is_running), "{holder}");
        }
        acquire(&f, "other/a").await.unwrap();
    }

    #[tokio::test]
    async fn what_a_process_shows_is_read_by_all_and_replaced() {
        let f = fixture().await;
        let push = |n: usize| ShownPush { channel: format!("ch{n}"), ..ShownPush::default() };
        let refusal = ShownRefusal { code: "AccessDenied".to_owned(), ..ShownRefusal::default() };
        let shown = Shown { pushes: (0..150).map(push).collect(), refusals: vec![refusal] };
        let record = ProcessRecord { name: "a".to_owned(), ..ProcessRecord::default() };
        f.meta.show("one/a", &record, Some(&shown)).await.unwrap();
        f.meta.show("two/a", &record, None).await.unwrap();
        assert_eq!(f.meta.shown().await.unwrap(), [("one/a".to_owned(), shown)]);
        let fewer = Shown { pushes: vec![push(7)], refusals: Vec::new() };
        f.meta.show("one/a", &record, Some(&fewer)).await.unwrap();
        f.meta.show("one/a", &record, None).await.unwrap();
        assert_eq!(f.meta.shown().await.unwrap(), [("one/a".to_owned(), fewer)]);
        f.meta.forget_life("one/a").await.unwrap();
        assert_eq!(f.meta.shown().await.unwrap(), []);
        assert_eq!(f.meta.processes().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_process_of_a_newer_program_is_not_taken_for_an_older_one() {
        let f = fixture().await;
        let _lease = f.meta.begin_life("one/a", TTL).await.unwrap();
        // A record of version 9.
        let row = Write::Put(Table::Process.name("one/a"), vec![9, 1, 2, 3].into());
        f.meta.kv().commit(Commit::new().write(row)).await.unwrap();
        let found = f.meta.processes().await.unwrap();
        assert_eq!((found[0].is_alive, found[0].record.layout), (true, u32::MAX));
        assert_eq!(found[0].record.reading_since_ms, 0, "and it may read everything");
    }

    #[tokio::test]
    async fn a_wish_is_heard_refused_and_taken_back() {
        let f = fixture().await;
        let name = channel("ch");
        let record = WishRecord { wish: Wish::Publish, by: "two/b".to_owned(), is_refused: false };
        f.meta.wish(&f.bucket, &name, "1", &record).await.unwrap();
        f.meta.wish(&f.bucket, &name, "2", &WishRecord { wish: Wish::End, ..record.clone() }).await.unwrap();
        let wishes = f.meta.wishes().await.unwrap();
        assert_eq!(wishes.iter().map(|wish| wish.id.as_str()).collect::<Vec<_>>(), ["1", "2"]);
        assert!(!f.meta.is_wish_refused(&f.bucket, &name, "1").await.unwrap());
        f.meta.refuse_wish(&wishes[0]).await.unwrap();
        assert!(f.meta.is_wish_refused(&f.bucket, &name, "1").await.unwrap());
        f.meta.unwish(&f.bucket, &name, "2").await.unwrap();
        f.meta.refuse_wish(&wishes[1]).await.unwrap();
        assert_eq!(f.meta.wishes().await.unwrap().len(), 1, "what was taken back does not come back");
    }

    #[tokio::test]
    async fn a_duty_has_one_living_holder() {
        let f = fixture().await;
        let (one, _two) =
            (f.meta.begin_life("one/a", TTL).await.unwrap(), f.meta.begin_life("two/b", LONG).await.unwrap());
        let had = f.meta.take_duty("lifecycle", "one/a", None, LONG).await.unwrap();
        assert_eq!(f.meta.take_duty("lifecycle", "two/b", None, LONG).await.unwrap_err().kind, ErrorKind::Held);
        f.meta.take_duty("garbage", "two/b", None, LONG).await.unwrap();
        let kept = f.meta.take_duty("lifecycle", "one/a", Some(&had), LONG).await.unwrap();
        assert_eq!(kept.token, had.token);
        f.meta.end_life(&one).await.unwrap();
        f.meta.take_duty("lifecycle", "two/b", None, LONG).await.unwrap();
        let lost = f.meta.take_duty("lifecycle", "one/a", Some(&kept), LONG).await;
        assert_eq!(lost.unwrap_err().kind, ErrorKind::Held);
    }
}
