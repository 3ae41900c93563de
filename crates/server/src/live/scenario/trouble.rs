//! Disks that are slow, stand still or fail, and clocks that jump, in simulated time: nobody is cut off, what is not recorded is
//! counted to the picture, and every playlist on the way is legal (the stage looks at each).

use std::time::Duration;

use store::clock::Clock as StoreClock;
use store::kv::Claim;
use tokio::time::{Instant, sleep_until};

use super::super::reaper;
use super::encoder::Stretch;
use super::troubled::{Disk, Trouble};
use super::*;

/// How often a connection looks after its push.
const TICK: Duration = Duration::from_millis(250);
const FRAG_S: u32 = 2;
pub(super) const HOUR_MS: i64 = 3_600_000;
/// A picture on each side: playlists count whole ones.
const SLACK_MS: u64 = 160;

/// A stage whose clock is that of tokio, which jumps from one event to the next.
pub(super) struct Machine {
    pub(super) stage: Stage,
    pub(super) trouble: Trouble,
    /// By how much the wall clock is wrong.
    wrong: ManualClock,
    begun: Instant,
    /// The longest time for which a connection did not read.
    longest: Duration,
    has_failed: bool,
    /// How large the pictures are that are sent.
    picture_bytes: usize,
}

/// What comes to pass at a second of a push.
pub(super) enum Event {
    Disk(Disk),
    Jump(i64),
    /// Another server wants the channel, and gets the answer that it is taken.
    Claim,
}

impl Machine {
    pub(super) async fn new() -> Self {
        Self::of(Shares::Nothing).await
    }

    /// One of several that share a map and a store.
    pub(super) async fn shared() -> Self {
        Self::of(Shares::All).await
    }

    async fn of(shares: Shares) -> Self {
        let (begun, wrong, trouble) = (Instant::now(), ManualClock::new(0), Trouble::default());
        let running = StoreClock::new(move || i64::try_from(begun.elapsed().as_millis()).unwrap());
        let (off, machine) = (wrong.clock(), running.clone());
        let wall = StoreClock::new(move || BEGIN_MS + machine.now_ms() + off.now_ms());
        let clock = Clock::steady_on(wall, running);
        let stage = Stage::on(LiveConfig::default(), clock.clone(), clock.for_stores(), trouble.clone(), shares).await;
        stage.configure(FRAG_S, 100).await;
        Self { stage, trouble, wrong, begun, longest: Duration::ZERO, has_failed: false, picture_bytes: 0 }
    }

    /// Pushes for so long in real time, while the events come to pass, each at its second. Returns what it lost, ms.
    async fn push(&mut self, length_s: u32, events: Vec<(u64, Event)>) -> u64 {
        self.has_failed |= events.iter().any(|(_, event)| matches!(event, Event::Disk(Disk::Fails)));
        let mut push = self.stage.begin().await;
        self.send(&mut push, length_s, events).await;
        assert_eq!(*push.stop_word().borrow(), None, "it stays connected");
        // What is pushed at its end is stored by then: a push of its own is begun while there is no trouble.
        self.trouble.set(Disk::Well);
        push.tick();
        push.settle().await;
        self.stage.look().await;
        let lost_ms = push.lost_ms();
        self.stage.finish(push).await;
        lost_ms
    }

    /// Sends media for so long in real time, while the events come to pass.
    pub(super) async fn send(&mut self, push: &mut Publication, length_s: u32, events: Vec<(u64, Event)>) {
        let began = Instant::now();
        let (trouble, wrong) = (self.trouble.clone(), self.wrong.clone());
        let (meta, id) = (self.stage.meta.clone(), self.stage.id.clone());
        let events = tokio::spawn(async move {
            for (at_s, event) in events {
                sleep_until(began + Duration::from_secs(at_s)).await;
                match event {
                    Event::Disk(disk) => trouble.set(disk),
                    Event::Jump(ms) => wrong.advance_ms(ms),
                    Event::Claim => {
                        let ttl = Duration::from_secs(10);
                        let taken = meta.acquire_publisher(&id.0, &id.1, "another", ttl, Claim::IfFree).await;
                        assert_eq!(taken.err().map(|error| error.kind), Some(store::ErrorKind::Held), "at {at_s} s");
                    }
                }
            }
        });
        let picture_bytes = self.picture_bytes;
        let stretch = Stretch { length_ms: length_s * 1000, has_audio: false, picture_bytes, ..Stretch::default() };
        for tag in stretch.headers() {
            push.push(&tag);
        }
        let mut ticked = Instant::now();
        for (at_ms, tag) in stretch.media() {
            let due = began + Duration::from_millis(at_ms.into());
            self.work_until(push, due).await;
            let before = Instant::now();
            while !push.has_room() {
                push.progress().await;
            }
            self.longest = self.longest.max(before.elapsed());
            push.push(&tag);
            if ticked.elapsed() >= TICK {
                push.touch();
                push.tick();
                ticked = Instant::now();
            }
        }
        events.await.unwrap();
    }

    /// Lets the store work for a push until a moment, as its connection does while nothing comes.
    pub(super) async fn work_until(&mut self, push: &mut Publication, moment: Instant) {
        loop {
            tokio::select! {
                biased;
                () = push.progress() => self.stage.look().await,
                () = sleep_until(moment) => return,
            }
        }
    }

    pub(super) fn listed_ms(list: &MediaPlaylist) -> u64 {
        list.segments.iter().map(|segment| segment.duration_ms).sum()
    }

    /// What is listed and what is counted as lost is what was pushed; gaps are marked where something is lost.
    async fn assert_complete(&self, pushed_s: u64, lost_ms: u64) {
        let vod = self.stage.vod().await;
        assert_eq!(violations(None, &vod), []);
        let listed_ms = Self::listed_ms(&vod);
        assert!((listed_ms + lost_ms).abs_diff(pushed_s * 1000) <= SLACK_MS, "{listed_ms} listed, {lost_ms} lost");
        let gaps = vod.segments.iter().filter(|segment| segment.discontinuity).count();
        assert_eq!(gaps > 0, lost_ms > 0, "{gaps} discontinuities, {lost_ms} ms lost");
        // What a failing disk did not let be deleted goes later.
        let left = self.stage.blobs_without_faults().await - self.stage.listed;
        assert!(left == 0 || self.has_failed, "{left} blobs without a name");
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_stands_still_and_comes_back_costs_nothing() {
    for still_s in [10, 25] {
        let mut machine = Machine::new().await;
        let events = vec![(20, Event::Disk(Disk::Hangs)), (20 + still_s, Event::Disk(Disk::Well))];
        let lost_ms = machine.push(90, events).await;
        assert_eq!(lost_ms, 0);
        machine.assert_complete(90, 0).await;
        assert_eq!(machine.longest, Duration::ZERO, "what so little media needs waits in memory");
    }
}

/// Each call of the disk takes so long for a minute. The encoder is read from all the time.
#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_its_time_costs_nothing() {
    for takes_s in [10, 25] {
        let mut machine = Machine::new().await;
        let takes = Disk::Takes(Duration::from_secs(takes_s));
        let lost_ms = machine.push(120, vec![(20, Event::Disk(takes)), (80, Event::Disk(Disk::Well))]).await;
        assert_eq!(lost_ms, 0);
        machine.assert_complete(120, 0).await;
        assert_eq!(machine.longest, Duration::ZERO, "what so little media needs waits in memory");
    }
}

/// A map that several servers share may have listed what nobody heard of: it stays listed, and the list goes on behind it.
#[tokio::test(start_paused = true)]
async fn answers_that_are_lost_take_nothing_off_the_list() {
    for shares in [Shares::Map, Shares::All] {
        let mut machine = Machine::of(shares).await;
        let events = vec![(20, Event::Disk(Disk::LosesAnswers)), (45, Event::Disk(Disk::Well))];
        let lost_ms = machine.push(90, events).await;
        assert_eq!(lost_ms, 0, "{shares:?}");
        machine.assert_complete(90, 0).await;
        assert_eq!(machine.longest, Duration::ZERO, "what so little media needs waits in memory");
    }
}

/// A map that several servers share is away, and blobs are files of this machine or not: nothing is given up.
#[tokio::test(start_paused = true)]
async fn a_map_elsewhere_that_is_away_costs_nothing() {
    for (shares, away_s) in [(Shares::Map, 5), (Shares::Map, 60), (Shares::All, 60)] {
        let mut machine = Machine::of(shares).await;
        let events = vec![(20, Event::Disk(Disk::MapAway)), (20 + away_s, Event::Disk(Disk::Well))];
        let lost_ms = machine.push(60 + u32::try_from(away_s).unwrap(), events).await;
        assert_eq!(lost_ms, 0, "{shares:?}, {away_s} s");
        machine.assert_complete(60 + away_s, 0).await;
        assert_eq!(machine.longest, Duration::ZERO, "{shares:?}, {away_s} s");
    }
}

/// Segments of four minutes wait on the disk, and are listed in their order when the store is back. The encoder is read from all
/// the time, also when more waits than may, for as long as memory has room.
#[tokio::test(start_paused = true)]
async fn a_store_elsewhere_that_is_away_costs_nothing() {
    for away_s in [1, 60, 240, 280] {
        let mut machine = Machine::shared().await;
        let events = vec![(20, Event::Disk(Disk::StoreAway)), (20 + away_s, Event::Disk(Disk::Well))];
        let lost_ms = machine.push(60 + u32::try_from(away_s).unwrap(), events).await;
        assert_eq!(lost_ms, 0);
        machine.assert_complete(60 + away_s, 0).await;
        assert_eq!(machine.longest, Duration::ZERO, "{away_s} s");
    }
}

/// While the store is away the disk is full for a while, and memory is too small for a segment: what that costs is counted when it
/// is lost, not when the store is back.
#[tokio::test(start_paused = true)]
async fn what_a_full_disk_costs_meanwhile_is_counted_at_once() {
    let mut machine = Machine::shared().await;
    machine.picture_bytes = 220_000;
    let mut push = machine.stage.begin().await;
    let events = [(10, Disk::StoreAway), (20, Disk::StoreAwayAndFull), (40, Disk::StoreAway)];
    machine.send(&mut push, 50, events.map(|(at_s, disk)| (at_s, Event::Disk(disk))).into()).await;
    push.tick();
    let moment = Instant::now() + TICK;
    machine.work_until(&mut push, moment).await;
    let seen_ms = push.lost_ms();
    assert!((16_000..=24_000).contains(&seen_ms), "{seen_ms} ms are counted while the store is away");
    machine.trouble.set(Disk::Well);
    push.tick();
    push.settle().await;
    machine.stage.look().await;
    assert_eq!(push.lost_ms(), seen_ms, "nothing is counted twice or late");
    machine.stage.finish(push).await;
    machine.has_failed = true;
    machine.assert_complete(50, seen_ms).await;
}

/// What waits is noted: the next life of the server lists all of it. So it is where blobs are files of a machine that takes its
/// time to complete them.
#[tokio::test(start_paused = true)]
async fn what_waits_for_a_store_elsewhere_survives_a_crash() {
    let all = [(0, 40_u32), (10, 13), (10, 60)].map(|times| (Shares::All, times));
    for (shares, (away_from_s, pushed_s)) in all.into_iter().chain([(Shares::Map, (10, 60))]) {
        let mut machine = Machine::of(shares).await;
        let mut push = machine.stage.begin().await;
        machine.send(&mut push, pushed_s, vec![(away_from_s, Event::Disk(Disk::StoreAway))]).await;
        push.tick();
        let moment = Instant::now() + TICK;
        machine.work_until(&mut push, moment).await;
        let (bucket, channel) = &machine.stage.id;
        let record = machine.stage.meta.publication(bucket, channel).await.unwrap().unwrap();
        let waiting = record.unlisted().count() as u64;
        assert!(waiting.abs_diff((u64::from(pushed_s) - away_from_s) / u64::from(FRAG_S)) <= 1, "{waiting} wait");
        drop(push);
        machine.trouble.set(Disk::Well);
        // The next push finds what this one left.
        let next = machine.stage.begin().await;
        machine.stage.finish(next).await;
        machine.assert_complete(pushed_s.into(), 0).await;
    }
}

/// A server that starts while the store is away listens soon, and lists what waited when the store is back. A push that comes
/// meanwhile waits as for any that ends.
#[tokio::test(start_paused = true)]
async fn a_start_does_not_wait_for_a_store_that_is_away() {
    let mut machine = Machine::shared().await;
    let mut push = machine.stage.begin().await;
    machine.send(&mut push, 40, vec![(10, Event::Disk(Disk::StoreAway))]).await;
    push.tick();
    let moment = Instant::now() + TICK;
    machine.work_until(&mut push, moment).await;
    drop(push);
    let begun = Instant::now();
    machine.stage.restart().await;
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    let (trigger, ends) = crate::shutdown::channel();
    let presence = tokio::spawn(crate::live::presence(machine.stage.live.clone(), ends.clone(), ends));
    // Longer than the lease of the channel lasts without being renewed.
    tokio::time::sleep(Duration::from_secs(1000)).await;
    let (bucket, channel) = machine.stage.id.clone();
    assert!(machine.stage.meta.publisher(&bucket, &channel).await.unwrap().is_some(), "it is kept");
    machine.trouble.set(Disk::Well);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(machine.stage.meta.publication(&bucket, &channel).await.unwrap().is_none(), "it has ended");
    machine.stage.look().await;
    machine.assert_complete(40, 0).await;
    assert_eq!(machine.push(10, Vec::new()).await, 0);
    trigger.fire();
    presence.await.unwrap();
}

/// What waits is on the disk of the server that died, so the others leave it alone for long, and for a while otherwise.
#[tokio::test(start_paused = true)]
async fn others_leave_what_waits_to_its_own_server() {
    for (away_from_s, left_alone) in [(60, Duration::from_secs(10)), (10, reaper::LEFT_TO_ITS_SERVER)] {
        let mut machine = Machine::shared().await;
        let other = machine.stage.another_server(&machine.trouble).await;
        let mut push = machine.stage.begin().await;
        machine.send(&mut push, 41, vec![(away_from_s.min(41), Event::Disk(Disk::StoreAway))]).await;
        push.tick();
        let moment = Instant::now() + TICK;
        machine.work_until(&mut push, moment).await;
        drop(push);
        // Until its process counts as dead.
        tokio::time::sleep(Duration::from_secs(15)).await;
        let (bucket, channel) = machine.stage.id.clone();
        let begun = Instant::now();
        let mut seen = reaper::look(&other, Default::default()).await;
        while machine.stage.meta.publication(&bucket, &channel).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_secs(5)).await;
            seen = reaper::look(&other, seen).await;
        }
        let took = begun.elapsed();
        assert!((left_alone / 2..left_alone * 2).contains(&took), "{took:?}, {left_alone:?}");
    }
}

/// An encoder that leaves meanwhile loses nothing either, and its channel is free when everything is listed.
#[tokio::test(start_paused = true)]
async fn a_push_ends_when_the_store_elsewhere_is_back() {
    let mut machine = Machine::shared().await;
    let mut push = machine.stage.begin().await;
    machine.send(&mut push, 30, vec![(10, Event::Disk(Disk::StoreAway))]).await;
    let trouble = machine.trouble.clone();
    let back = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(100)).await;
        trouble.set(Disk::Well);
    });
    let ended = Instant::now();
    machine.stage.finish(push).await;
    assert!(ended.elapsed() >= Duration::from_secs(100));
    back.await.unwrap();
    machine.assert_complete(30, 0).await;
    assert_eq!(machine.push(10, Vec::new()).await, 0);
}

/// The others take a server for dead that does not say otherwise for 10 s. It says so whatever else it has no answer about.
#[tokio::test(start_paused = true)]
async fn a_server_that_waits_for_an_answer_does_not_seem_dead() {
    let machine = Machine::shared().await;
    let (trigger, ends) = crate::shutdown::channel();
    let live = machine.stage.live.clone();
    let presence = tokio::spawn(crate::live::presence(live.clone(), ends.clone(), ends));
    tokio::time::sleep(Duration::from_secs(5)).await;
    machine.trouble.set(Disk::OnlyRenews);
    let duty = tokio::spawn(async move { live.peers.has_duty(crate::peers::Duty::Garbage).await });
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let processes = machine.stage.meta.processes().await.unwrap();
        assert!(processes.iter().all(|process| process.is_alive));
    }
    assert!(!duty.is_finished(), "it was waited for all the time");
    machine.trouble.set(Disk::Well);
    assert!(duty.await.unwrap());
    trigger.fire();
    presence.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_failing_disk_costs_is_counted() {
    let mut machine = Machine::new().await;
    let lost_ms = machine.push(90, vec![(20, Event::Disk(Disk::Fails)), (50, Event::Disk(Disk::Well))]).await;
    // The first segment waits in memory for as long as a segment lasts, and that which is open when the disk is back is kept.
    assert!((20_000..=32_000).contains(&lost_ms), "{lost_ms}");
    machine.assert_complete(90, lost_ms).await;
    assert_eq!(machine.stage.vod().await.segments.iter().filter(|segment| segment.discontinuity).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_for_less_than_a_segment_costs_nothing() {
    let mut machine = Machine::new().await;
    let events = (0..6).flat_map(|n| [(20 + 5 * n, Event::Disk(Disk::Fails)), (21 + 5 * n, Event::Disk(Disk::Well))]);
    let lost_ms = machine.push(90, events.collect()).await;
    assert_eq!(lost_ms, 0);
    machine.assert_complete(90, 0).await;
}

/// The wall clock goes wrong and right again, for moments and for good: every segment is found under the true time.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_hides_nothing() {
    for (what, events) in [
        ("ahead for 6 s", vec![(20, HOUR_MS), (26, -HOUR_MS)]),
        ("behind for 6 s", vec![(20, -HOUR_MS), (26, HOUR_MS)]),
        ("ahead for a minute and back", vec![(20, HOUR_MS), (80, -HOUR_MS)]),
        ("behind for a minute and back", vec![(20, -HOUR_MS), (80, HOUR_MS)]),
        ("a jump in a jump", vec![(20, HOUR_MS), (30, HOUR_MS), (35, -2 * HOUR_MS)]),
    ] {
        let mut machine = Machine::new().await;
        let events = events.into_iter().map(|(at_s, ms)| (at_s, Event::Jump(ms))).collect();
        let lost_ms = machine.push(180, events).await;
        assert_eq!(lost_ms, 0, "{what}");
        // Longer than a wrong clock is doubted, for whoever comes later and for corrections in the background.
        tokio::time::sleep(Duration::from_secs(40)).await;
        machine.assert_complete(180, 0).await;
        let true_s = |at_s: u64| u64::try_from(BEGIN_MS).unwrap() / 1000 + at_s;
        let found = machine.stage.vod_between(true_s(0), true_s(181)).await.expect(what);
        let found_ms = Machine::listed_ms(&found);
        assert!(found_ms.abs_diff(180_000) <= 4_000, "{what}: {found_ms} ms of 180 s are found under the true time");
        assert!(machine.longest < Duration::from_secs(1), "{what}: nobody waits for a clock");
        assert!(machine.begun.elapsed() > Duration::from_secs(200), "time is simulated");
    }
}

/// A lease is a promise about real time: a clock that jumps gives the channel to nobody else.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_moves_no_lease() {
    let mut machine = Machine::new().await;
    let events = vec![
        (10, Event::Jump(HOUR_MS)),
        (11, Event::Claim),
        (25, Event::Claim),
        (30, Event::Jump(-HOUR_MS)),
        (31, Event::Claim),
        (40, Event::Jump(-HOUR_MS)),
        (41, Event::Claim),
        // By now it is followed.
        (75, Event::Claim),
    ];
    machine.push(90, events).await;
    machine.assert_complete(90, 0).await;
}
