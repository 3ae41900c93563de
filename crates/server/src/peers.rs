//! This process among those that share a map (docs/design/many-servers.md): that it lives, which duties it has for all, and
//! what the others show. A server that has its map to itself has none of it, and writes nothing of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use store::ErrorKind;
use store::kv::Lease;
use store::meta::Meta;
use store::meta::peer::{Process, ProcessRecord, Shown, is_life_of};

/// How long a process counts as alive without saying so.
const LIFE: Duration = Duration::from_secs(10);
/// How often it says so.
pub(crate) const SAY_EVERY: Duration = Duration::from_secs(2);
/// How long what a process holds outlasts the process at most, should nobody find out that it died. It also outlasts a map
/// that is away, when nothing can be renewed.
const HELD: Duration = Duration::from_secs(86_400);
/// How often that is renewed.
const HELD_RENEWAL: Duration = Duration::from_secs(240);
/// The same of a server alone, whose leases stand for themselves.
const ALONE: Duration = Duration::from_secs(10);
const ALONE_RENEWAL: Duration = Duration::from_secs(4);
/// For how long what the others show is good.
const FRESH: Duration = Duration::from_secs(1);
/// How often it is looked whether another server of the same name lives on, and how many times: for longer than [`LIFE`].
const NAMESAKE_LOOK: Duration = Duration::from_millis(500);
const NAMESAKE_LOOKS: u32 = 24;
/// How far the clocks of servers may be apart, milliseconds.
const SKEW_MS: i64 = 5_000;

/// What one process does for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Duty {
    /// Lifecycle rules run.
    Lifecycle,
    /// Blobs without a name are deleted.
    Garbage,
    /// Live playlists end whose server did not live to end them.
    EndLists,
    /// Hours of usage that are over are forgotten. Sessions and replay guards each server forgets by itself.
    Forgetting,
    /// Everything stored is read now and then.
    Scrub,
}

impl Duty {
    /// What its lease is called.
    fn name(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Garbage => "garbage",
            Self::EndLists => "end-lists",
            Self::Forgetting => "forgetting",
            Self::Scrub => "scrub",
        }
    }
}

/// This process among the others.
pub(crate) struct Peers {
    meta: Meta,
    instance: String,
    shared: Option<Shared>,
}

/// What a process has that shares its map.
struct Shared {
    life: String,
    lease: Mutex<Lease>,
    record: Mutex<ProcessRecord>,
    /// When this process last said that it lives, and when it last came back after others may have taken it for dead.
    said: Mutex<(Instant, Option<Instant>)>,
    /// What was shown last; what did not change is not written again.
    shown: Mutex<Option<Shown>>,
    duties: tokio::sync::Mutex<HashMap<Duty, Held>>,
    others: tokio::sync::Mutex<Option<(Instant, Arc<Vec<Other>>)>>,
}

/// A duty that this process has.
struct Held {
    lease: Lease,
    renewed: Instant,
}

/// Another living process, and what it shows.
#[derive(Debug, Clone)]
pub(crate) struct Other {
    /// Its life.
    pub(crate) life: String,
    /// What people call it.
    pub(crate) name: String,
    /// What it has on air, and whom it refused.
    pub(crate) shown: Shown,
}

impl Peers {
    /// A server that has its map to itself.
    pub(crate) fn alone(meta: Meta, instance: String) -> Self {
        Self { meta, instance, shared: None }
    }

    /// One of several: its life begins.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn join(meta: Meta, instance: String, record: ProcessRecord) -> store::Result<Self> {
        let life = format!("{instance}/{}", model::hex_upper(&crate::ids::random::<4>()));
        let lease = meta.begin_life(&life, LIFE).await?;
        tracing::info!(name = record.name, life, "this server shares its map with others");
        let shared = Shared {
            life,
            lease: Mutex::new(lease),
            record: Mutex::new(record),
            said: Mutex::new((Instant::now(), None)),
            shown: Mutex::default(),
            duties: tokio::sync::Mutex::default(),
            others: tokio::sync::Mutex::default(),
        };
        let peers = Self { meta, instance, shared: Some(shared) };
        peers.say(Shown::default()).await?;
        Ok(peers)
    }

    /// Whether others may use the same map.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// The name under which this process holds leases.
    pub(crate) fn holder(&self) -> &str {
        self.shared.as_ref().map_or(&self.instance, |shared| &shared.life)
    }

    /// The name of this server, the same in its next life.
    pub(crate) fn instance(&self) -> &str {
        &self.instance
    }

    /// Whether a life is of this server, the present one or one before.
    pub(crate) fn has_life(&self, life: &str) -> bool {
        is_life_of(life, &self.instance)
    }

    /// What people call this server, where there are several.
    pub(crate) fn name(&self) -> Option<String> {
        self.shared.as_ref().map(|shared| shared.record.lock().name.clone())
    }

    /// For how long a lease on a channel is taken. That of a process among others counts as long as the process lives.
    pub(crate) fn lease_ttl(&self) -> Duration {
        if self.is_shared() { HELD } else { ALONE }
    }

    /// How often it is renewed.
    pub(crate) fn lease_renewal(&self) -> Duration {
        if self.is_shared() { HELD_RENEWAL } else { ALONE_RENEWAL }
    }

    /// Whether others may have taken what this process holds since then, because it did not say in time that it lives.
    pub(crate) fn was_away_since(&self, then: Instant) -> bool {
        self.shared.as_ref().and_then(|shared| shared.said.lock().1).is_some_and(|back| back >= then)
    }

    /// Says where this process listens.
    pub(crate) fn listens(&self, addresses: Vec<(String, String)>) {
        if let Some(shared) = &self.shared {
            shared.record.lock().addresses = addresses;
        }
    }

    /// From the next word on, this process says that it leaves.
    pub(crate) fn begin_to_leave(&self) {
        if let Some(shared) = &self.shared {
            shared.record.lock().is_leaving = true;
        }
    }

    /// Says that this process lives, and what it shows.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn say(&self, shown: Shown) -> store::Result<()> {
        self.live().await?;
        self.show(shown).await
    }

    /// Says that this process lives. Nothing else may hold that up: the others would take it for dead.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn live(&self) -> store::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let lease = shared.lease.lock().clone();
        let lease = self.meta.renew_life(&lease, LIFE).await?;
        let said_ms = lease.expires_ms.saturating_sub(i64::try_from(LIFE.as_millis()).unwrap_or(0));
        *shared.lease.lock() = lease;
        {
            let (now, mut said) = (Instant::now(), shared.said.lock());
            if now.duration_since(said.0) >= LIFE {
                tracing::warn!("this server said too late that it lives; others may have taken its channels");
                said.1 = Some(now);
            }
            said.0 = now;
        }
        shared.record.lock().said_ms = said_ms;
        Ok(())
    }

    /// Says what this process shows.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn show(&self, shown: Shown) -> store::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let record = {
            let mut record = shared.record.lock();
            record.reading_since_ms = self.meta.reading_since_ms();
            record.clone()
        };
        let is_news = shared.shown.lock().as_ref() != Some(&shown);
        self.meta.show(&shared.life, &record, is_news.then_some(&shown)).await?;
        *shared.shown.lock() = Some(shown);
        Ok(())
    }

    /// Renews the duties that this process has, those that are due.
    pub(crate) async fn keep_duties(&self) {
        let Some(shared) = &self.shared else { return };
        let mut duties = shared.duties.lock().await;
        let due: Vec<Duty> =
            duties.iter().filter(|(_, held)| held.renewed.elapsed() >= HELD_RENEWAL).map(|(duty, _)| *duty).collect();
        for duty in due {
            take(&self.meta, shared, &mut duties, duty).await;
        }
    }

    /// Whether this process is to do something that one does for all. A server alone does everything.
    pub(crate) async fn has_duty(&self, duty: Duty) -> bool {
        let Some(shared) = &self.shared else { return true };
        let mut duties = shared.duties.lock().await;
        take(&self.meta, shared, &mut duties, duty).await
    }

    /// Blobs without a name that were due after this may not be deleted: somebody may still read them. Unix milliseconds.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn garbage_before_ms(&self) -> store::Result<i64> {
        if self.shared.is_none() {
            return Ok(i64::MAX);
        }
        let processes = self.meta.processes().await?;
        let living = processes.iter().filter(|process| process.is_alive);
        // Who cannot be read yet is taken to read everything.
        Ok(living.map(|process| process.record.reading_since_ms.saturating_sub(SKEW_MS)).min().unwrap_or(i64::MIN))
    }

    /// The other living processes. Whoever asks meanwhile waits for the same look.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn others(&self) -> store::Result<Arc<Vec<Other>>> {
        let Some(shared) = &self.shared else { return Ok(Arc::default()) };
        let mut last = shared.others.lock().await;
        if let Some((_, found)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            return Ok(found.clone());
        }
        let processes = self.meta.processes().await?;
        let mut shown: HashMap<String, Shown> = self.meta.shown().await?.into_iter().collect();
        let others = processes.into_iter().filter(|process| process.is_alive && process.life != shared.life);
        let others = others.map(|process| Other {
            shown: shown.remove(&process.life).unwrap_or_default(),
            name: process.record.name,
            life: process.life,
        });
        let found = Arc::new(others.collect());
        *last = Some((Instant::now(), Arc::clone(&found)));
        Ok(found)
    }

    /// All processes of the installation, the dead ones too; none where there is one server.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn processes(&self) -> store::Result<Vec<Process>> {
        if self.is_shared() { self.meta.processes().await } else { Ok(Vec::new()) }
    }

    /// Another living server that goes by the name of this one; both would take what the other holds for their own. One that has
    /// just died is waited for, until its lease is over, but not one that had the data directory which this server holds now.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn namesake(&self) -> store::Result<Option<Process>> {
        let Some(shared) = &self.shared else { return Ok(None) };
        let directory = shared.record.lock().directory.clone();
        let mut seen: HashMap<String, i64> = HashMap::new();
        let mut looks = 0;
        loop {
            let mut left = None;
            for process in self.meta.processes().await? {
                let is_other = process.life != shared.life && is_life_of(&process.life, &self.instance);
                if !is_other || (!directory.is_empty() && process.record.directory == directory) {
                    continue;
                }
                let Some(until_ms) = self.meta.lives_until_ms(&process.life).await? else { continue };
                let first_ms = *seen.entry(process.life.clone()).or_insert(until_ms);
                if until_ms > first_ms {
                    return Ok(Some(process));
                }
                left = Some(process);
            }
            looks += 1;
            if left.is_none() || looks > NAMESAKE_LOOKS {
                return Ok(left);
            }
            if looks == 1 {
                tracing::warn!(
                    instance = self.instance,
                    "a server of this name has lived until a moment ago; its lease is waited for"
                );
            }
            // Who looks for this one meanwhile is to see that it lives.
            self.live().await?;
            tokio::time::sleep(NAMESAKE_LOOK).await;
        }
    }

    /// Ends the earlier lives of this server: what they held is free.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn end_earlier_lives(&self) -> store::Result<()> {
        match &self.shared {
            Some(shared) => self.meta.end_earlier_lives(&self.instance, &shared.life).await,
            None => Ok(()),
        }
    }

    /// Ends this life: the others need not wait until they find out.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn leave(&self) -> store::Result<()> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let lease = shared.lease.lock().clone();
        self.meta.end_life(&lease).await
    }
}

/// Takes a duty or keeps it; whether this process has it.
async fn take(meta: &Meta, shared: &Shared, duties: &mut HashMap<Duty, Held>, duty: Duty) -> bool {
    let had = duties.get(&duty).map(|held| held.lease.clone());
    match meta.take_duty(duty.name(), &shared.life, had.as_ref(), HELD).await {
        Ok(lease) => {
            if had.is_none_or(|had| had.token != lease.token) {
                tracing::info!(duty = duty.name(), "this server does it for all");
            }
            duties.insert(duty, Held { lease, renewed: Instant::now() });
            true
        }
        Err(error) => {
            if error.kind == ErrorKind::Held {
                duties.remove(&duty);
            } else {
                tracing::debug!(%error, duty = duty.name(), "whose duty it is cannot be found out now");
            }
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use store::clock::ManualClock;
    use store::kv::MemoryKv;
    use store::meta::peer::ShownPush;

    use super::*;

    /// Two servers on one map, and its clock.
    async fn two() -> (ManualClock, Meta, [Peers; 2]) {
        let clock = ManualClock::new(1_000_000_000);
        let kv = Arc::new(MemoryKv::new(clock.clock()));
        let meta = || Meta::new(kv.clone(), clock.clock()).with_counted_readers();
        let record = |name: &str| ProcessRecord { name: name.to_owned(), ..ProcessRecord::default() };
        let reading = meta();
        let one = Peers::join(reading.clone(), "ONE".to_owned(), record("one")).await.unwrap();
        let two = Peers::join(meta(), "TWO".to_owned(), record("two")).await.unwrap();
        (clock, reading, [one, two])
    }

    fn on_air(channel: &str) -> Shown {
        Shown { pushes: vec![ShownPush { channel: channel.to_owned(), ..ShownPush::default() }], refusals: Vec::new() }
    }

    #[tokio::test]
    async fn a_server_alone_does_everything_and_writes_nothing() {
        let meta = Meta::new(Arc::new(MemoryKv::new(ManualClock::new(0).clock())), ManualClock::new(0).clock());
        let alone = Peers::alone(meta.clone(), "ONE".to_owned());
        assert!(alone.has_duty(Duty::Lifecycle).await);
        alone.say(on_air("a")).await.unwrap();
        assert_eq!((alone.holder(), alone.name(), alone.garbage_before_ms().await), ("ONE", None, Ok(i64::MAX)));
        assert!(meta.processes().await.unwrap().is_empty() && alone.others().await.unwrap().is_empty());
    }

    /// Some time, in which these say that they live.
    async fn pass(clock: &ManualClock, seconds: u32, speaking: &[&Peers]) {
        for _ in 0..seconds {
            clock.advance_ms(1000);
            tokio::time::advance(Duration::from_secs(1)).await;
            for peer in speaking {
                peer.live().await.unwrap();
            }
        }
    }

    async fn forget_what_others_showed(peers: &Peers) {
        *peers.shared.as_ref().unwrap().others.lock().await = None;
    }

    #[tokio::test(start_paused = true)]
    async fn a_duty_goes_on_when_its_holder_leaves_or_dies() {
        let (clock, _, [one, two]) = two().await;
        assert!(one.has_duty(Duty::Lifecycle).await && one.has_duty(Duty::Lifecycle).await);
        assert!(!two.has_duty(Duty::Lifecycle).await && two.has_duty(Duty::Scrub).await);
        one.leave().await.unwrap();
        assert!(two.has_duty(Duty::Lifecycle).await);
        let three = Peers::join(two.meta.clone(), "THREE".to_owned(), ProcessRecord::default()).await.unwrap();
        pass(&clock, 11, &[&three]).await;
        assert!(three.has_duty(Duty::Scrub).await, "the second did not say that it lives");
        two.say(Shown::default()).await.unwrap();
        assert!(!two.has_duty(Duty::Scrub).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_duty_that_was_given_without_an_answer_is_had() {
        let (_, _, [one, two]) = two().await;
        // As if the answer had been lost.
        one.meta.take_duty(Duty::Scrub.name(), one.holder(), None, HELD).await.unwrap();
        assert!(!two.has_duty(Duty::Scrub).await && one.has_duty(Duty::Scrub).await);
    }

    #[tokio::test(start_paused = true)]
    async fn each_sees_what_the_living_others_show() {
        let (clock, _, [one, two]) = two().await;
        two.say(on_air("a")).await.unwrap();
        let others = one.others().await.unwrap();
        assert_eq!(others.iter().map(|other| other.name.as_str()).collect::<Vec<_>>(), ["two"]);
        assert_eq!(others[0].shown, on_air("a"));
        assert!(others[0].life == two.holder() && two.holder() != two.instance());
        pass(&clock, 11, &[&one]).await;
        forget_what_others_showed(&one).await;
        assert!(one.others().await.unwrap().is_empty(), "the second did not say that it lives");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_waits_for_a_dead_one_of_its_name_and_finds_a_living_one() {
        let (clock, meta, [one, _two]) = two().await;
        let of = |directory: &str| ProcessRecord { directory: directory.to_owned(), ..ProcessRecord::default() };
        let join = |directory: &str| Peers::join(meta.clone(), "ONE".to_owned(), of(directory));
        // The first goes on to say that it lives, as a server does.
        let later = join("later").await.unwrap();
        let saying = async {
            loop {
                tokio::time::sleep(SAY_EVERY).await;
                clock.advance_ms(2_000);
                one.live().await.unwrap();
            }
        };
        let found = tokio::select! {
            found = later.namesake() => found.unwrap(),
            () = saying => None,
        };
        assert_eq!(found.map(|process| process.life), Some(one.holder().to_owned()));
        later.leave().await.unwrap();

        // It dies, and one with another data directory comes in its place.
        let later = join("later").await.unwrap();
        let began_ms = clock.clock().now_ms();
        let passing = async {
            loop {
                tokio::time::sleep(SAY_EVERY).await;
                clock.advance_ms(2_000);
            }
        };
        let found = tokio::select! {
            found = later.namesake() => found.unwrap(),
            () = passing => panic!("time has no end"),
        };
        assert_eq!((found, (8_000..=12_000).contains(&(clock.clock().now_ms() - began_ms))), (None, true));
        assert_eq!(meta.is_dead(later.holder()).await, Ok(false), "it said meanwhile that it lives");

        // Who holds the directory of the one before knows that it is dead.
        let next = join("later").await.unwrap();
        let at_once = tokio::time::timeout(Duration::from_millis(1), next.namesake()).await;
        assert_eq!(at_once.unwrap().unwrap(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn garbage_waits_for_the_readers_of_all_that_live() {
        let (clock, reading, [one, two]) = two().await;
        let pinned = reading.pin([]);
        pass(&clock, 8, &[&one, &two]).await;
        one.say(Shown::default()).await.unwrap();
        two.say(Shown::default()).await.unwrap();
        let began_ms = 1_000_000_000;
        assert_eq!(two.garbage_before_ms().await, Ok(began_ms - SKEW_MS));
        drop(pinned);
        one.say(Shown::default()).await.unwrap();
        assert_eq!(two.garbage_before_ms().await, Ok(began_ms + 8_000 - SKEW_MS));
        pass(&clock, 11, &[&two]).await;
        two.say(Shown::default()).await.unwrap();
        assert_eq!(two.garbage_before_ms().await, Ok(began_ms + 19_000 - SKEW_MS), "the dead read nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_counts_as_dead_who_could_not_say_that_it_lives() {
        let (clock, _, [one, two]) = two().await;
        let bucket = model::name::BucketName::parse("bkt").unwrap();
        let channel = model::name::ChannelName::parse(b"ch").unwrap();
        let claim = || store::kv::Claim::IfFree;
        let take = async |peers: &Peers| {
            peers.meta.acquire_publisher(&bucket, &channel, peers.holder(), HELD, claim()).await.map(drop)
        };
        take(&one).await.unwrap();
        assert!(one.has_duty(Duty::Garbage).await);
        one.say(on_air("ch")).await.unwrap();
        let reads_since_ms = one.garbage_before_ms().await.unwrap();
        pass(&clock, 10, &[&one, &two]).await;
        // The map is away, and the second is the first who reaches it again.
        pass(&clock, 30, &[]).await;
        two.say(Shown::default()).await.unwrap();
        assert_eq!(take(&two).await.unwrap_err().kind, ErrorKind::Held);
        assert!(!two.has_duty(Duty::Garbage).await);
        assert_eq!(two.garbage_before_ms().await, Ok(reads_since_ms));
        assert_eq!(two.others().await.unwrap().len(), 1);
        // It does not come back.
        pass(&clock, 10, &[&two]).await;
        forget_what_others_showed(&two).await;
        assert!(two.has_duty(Duty::Garbage).await && two.others().await.unwrap().is_empty());
        take(&two).await.unwrap();
    }
}
