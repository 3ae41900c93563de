//! Encoders that come again while the store of segments is away, in simulated time: they are recorded at once, and what waited
//! before them is listed before them.

use std::task::Poll;
use std::time::Duration;

use media::rtmp::stats::SessionStats;
use store::kv::Claim;
use store::live::{Kept, ReportRecord};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::reaper;
use super::encoder::Stretch;
use super::trouble::{Event, HOUR_MS, Machine};
use super::troubled::Disk;
use super::*;

/// A picture of each push on each side: playlists count whole ones.
const SLACK_MS: u64 = 320;
/// Within which a publish is answered.
const SOON: Duration = Duration::from_secs(4);
/// How long a lease is held that counts as long as its process lives.
const HELD: Duration = Duration::from_secs(600);

/// A push of so many seconds whose store goes away after ten.
async fn pushed(machine: &mut Machine, length_s: u32) -> Publication {
    let mut push = machine.stage.begin().await;
    machine.send(&mut push, length_s, vec![(10, Event::Disk(Disk::StoreAway))]).await;
    push.tick();
    let moment = Instant::now() + Duration::from_millis(250);
    machine.work_until(&mut push, moment).await;
    push
}

fn ending(push: Publication) -> JoinHandle<()> {
    tokio::spawn(async move { push.finish(&SessionStats::default()).await })
}

/// What was pushed for so long is listed, with one mark where the second encoder begins, and the history knows both.
async fn assert_both(machine: &Machine, pushed_s: u64, pushes: usize) {
    assert_listed(machine, pushed_s, pushes, pushes - 1).await;
}

async fn assert_listed(machine: &Machine, pushed_s: u64, pushes: usize, gaps: usize) {
    let vod = machine.stage.vod().await;
    assert_eq!(violations(None, &vod), []);
    let listed_ms = Machine::listed_ms(&vod);
    assert!(listed_ms.abs_diff(pushed_s * 1000) <= SLACK_MS, "{listed_ms} ms are listed of {pushed_s} s");
    assert_eq!(vod.segments.iter().filter(|segment| segment.discontinuity).count(), gaps);
    let (bucket, channel) = &machine.stage.id;
    assert_eq!(machine.stage.meta.history(bucket, channel).await.unwrap().len(), pushes);
    assert!(machine.stage.meta.publication(bucket, channel).await.unwrap().is_none());
    assert_eq!(machine.stage.blobs_without_faults().await, machine.stage.listed);
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_comes_again_while_the_store_is_away_is_recorded() {
    // Also when nothing of the first push was listed yet, and when it comes a third time.
    for (first_s, pushes) in [(30, 2), (11, 2), (40, 3)] {
        let mut machine = Machine::shared().await;
        let push = pushed(&mut machine, first_s).await;
        let mut endings = vec![ending(push)];
        let mut pushed_s = u64::from(first_s);
        for again in 2..=pushes {
            let begun = Instant::now();
            let mut next = machine.stage.begin().await;
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            let back = (again == pushes).then_some((20, Event::Disk(Disk::Well)));
            machine.send(&mut next, 30, back.into_iter().collect()).await;
            pushed_s += 30;
            endings.push(ending(next));
        }
        for ending in endings {
            ending.await.unwrap();
        }
        machine.stage.look().await;
        assert_both(&machine, pushed_s, pushes).await;
        // Each tells of its own segments.
        let listed = machine.stage.vod().await.segments.len();
        let (bucket, channel) = &machine.stage.id;
        let history = machine.stage.meta.history(bucket, channel).await.unwrap();
        let told = history.iter().map(|push| ReportRecord::parse(&push.report).unwrap().segments);
        let told: Vec<_> = told.collect();
        assert!(told.iter().all(|segments| *segments >= 5), "{told:?}");
        assert_eq!(told.iter().sum::<u64>(), listed as u64, "{told:?}");
        assert_eq!(machine.stage.live.caretaker.channels(), 0);
    }
}

/// The clock was wrong, or becomes so: nothing is lost, and the order stays.
#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_between_the_two_changes_no_order() {
    for (first_ms, second_ms) in [(HOUR_MS, 0), (-HOUR_MS, 0), (0, HOUR_MS), (0, -HOUR_MS), (HOUR_MS, -HOUR_MS)] {
        let mut machine = Machine::shared().await;
        let mut push = machine.stage.begin().await;
        let events = vec![(10, Event::Disk(Disk::StoreAway)), (20, Event::Jump(first_ms))];
        machine.send(&mut push, 30, events).await;
        let ending = ending(push);
        let mut next = machine.stage.begin().await;
        machine.send(&mut next, 30, vec![(10, Event::Jump(second_ms)), (20, Event::Disk(Disk::Well))]).await;
        machine.stage.finish(next).await;
        ending.await.unwrap();
        machine.stage.look().await;
        let until_s = u64::try_from((BEGIN_MS + 2 * HOUR_MS) / 1000).unwrap();
        let vod = machine.stage.vod_between(0, until_s).await.unwrap();
        let listed_ms = Machine::listed_ms(&vod);
        assert!(listed_ms.abs_diff(60_000) <= SLACK_MS, "{first_ms} {second_ms}: {listed_ms}");
        let marks = vod.segments.iter().filter(|segment| segment.discontinuity).count();
        assert_eq!(marks, 1, "{first_ms} {second_ms}");
        assert_eq!(machine.stage.blobs_without_faults().await, machine.stage.listed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_leaves_before_it_began_takes_up_nothing() {
    let mut machine = Machine::shared().await;
    let ending = ending(pushed(&mut machine, 30).await);
    // Its channel is free for it by then, so that it is about to take up what waits.
    let (live, id) = (machine.stage.live.clone(), machine.stage.id.clone());
    let leaves = std::future::poll_fn(|_| match live.channels.find(&id) {
        Some(on_air) if on_air.connected_ms > BEGIN_MS => Poll::Ready(()),
        _ => Poll::Pending,
    });
    let left = machine.stage.begin_unless("playlist.m3u8", leaves).await;
    let text = format!("{:?}", left.map(drop));
    assert!(text.contains("the encoder left"), "{text}");
    ending.await.unwrap();
    machine.trouble.set(Disk::Well);
    tokio::time::sleep(Duration::from_secs(30)).await;
    machine.stage.look().await;
    assert_both(&machine, 30, 1).await;
    assert_eq!(machine.stage.live.caretaker.channels(), 0);
}

#[tokio::test(start_paused = true)]
async fn so_is_one_that_comes_to_a_server_that_was_started_again() {
    let mut machine = Machine::shared().await;
    drop(pushed(&mut machine, 30).await);
    machine.stage.restart().await;
    let begun = Instant::now();
    let mut next = machine.stage.begin().await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    machine.send(&mut next, 20, Vec::new()).await;
    next.tick();
    let moment = Instant::now() + Duration::from_millis(250);
    machine.work_until(&mut next, moment).await;
    // And dies again, with all of both waiting.
    drop(next);
    machine.stage.restart().await;
    machine.trouble.set(Disk::Well);
    let last = machine.stage.begin().await;
    machine.stage.finish(last).await;
    let vod = machine.stage.vod().await;
    let listed_ms = Machine::listed_ms(&vod);
    assert!(listed_ms.abs_diff(50_000) <= SLACK_MS, "{listed_ms}");
    assert_eq!(machine.stage.blobs_without_faults().await, machine.stage.listed);
}

/// An encoder tries another server while its own starts again, which therefore finds the channel taken.
#[tokio::test(start_paused = true)]
async fn what_waits_on_a_server_that_runs_is_given_up_by_no_other() {
    let mut machine = Machine::shared().await;
    drop(pushed(&mut machine, 30).await);
    // Until its process counts as dead.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let other = machine.stage.another_server(&machine.trouble).await;
    let (bucket, channel) = machine.stage.id.clone();
    let trying = other.meta.acquire_publisher(&bucket, &channel, other.peers.holder(), HELD, Claim::IfFree).await;
    let trying = trying.unwrap();
    machine.stage.restart().await;
    let (trigger, ends) = crate::shutdown::channel();
    let presences = [&machine.stage.live, &other]
        .map(|live| tokio::spawn(crate::live::presence(live.clone(), ends.clone(), ends.clone())));
    other.meta.release_publisher(&trying).await.unwrap();
    for disk in [Disk::StoreAway, Disk::Well] {
        machine.trouble.set(disk);
        let refused = machine.stage.begin_at(&other, "playlist.m3u8", std::future::pending()).await;
        let text = format!("{:?}", refused.map(drop));
        assert!(text.contains("wait on the disk of another server"), "{text}");
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    machine.stage.look().await;
    assert_eq!(machine.stage.live.caretaker.channels(), 0);
    assert_both(&machine, 30, 1).await;
    assert!(machine.stage.begin_at(&other, "playlist.m3u8", std::future::pending()).await.is_ok());
    trigger.fire();
    for presence in presences {
        presence.await.unwrap();
    }
}

/// It lost what told it so, or came too late to hear it.
#[tokio::test(start_paused = true)]
async fn a_server_finds_its_own_pushes_whose_segments_wait() {
    let mut machine = Machine::shared().await;
    drop(pushed(&mut machine, 30).await);
    machine.trouble.set(Disk::Well);
    tokio::time::sleep(Duration::from_secs(15)).await;
    let other = machine.stage.another_server(&machine.trouble).await;
    let presence = |live: &Arc<Live>, ends: &crate::shutdown::Shutdown| {
        tokio::spawn(crate::live::presence(live.clone(), ends.clone(), ends.clone()))
    };
    let (trigger, ends) = crate::shutdown::channel();
    // As after a restart that repaired nothing.
    let peers = Peers::join(machine.stage.meta.clone(), "SCENARIO".to_owned(), ProcessRecord::default()).await.unwrap();
    let Live { meta, blobs, clock, settings, .. } = machine.stage.live.as_ref();
    let again = Live::new(meta.clone(), blobs.clone(), clock.clone(), settings.clone(), Arc::new(peers));
    machine.stage.live = Arc::new(again);
    let presences = [presence(&machine.stage.live, &ends), presence(&other, &ends)];
    // Others leave it to a server that runs, for longer than to one that does not.
    let mut seen = reaper::look(&other, Default::default()).await;
    for _ in 0..2 {
        tokio::time::sleep(reaper::LEFT_TO_ITS_SERVER).await;
        seen = reaper::look(&other, seen).await;
    }
    let (bucket, channel) = machine.stage.id.clone();
    assert!(machine.stage.meta.publication(&bucket, &channel).await.unwrap().is_some());
    reaper::look(&machine.stage.live, Default::default()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    machine.stage.look().await;
    assert_both(&machine, 30, 1).await;
    assert_eq!(machine.stage.live.caretaker.channels(), 0);
    trigger.fire();
    for presence in presences {
        presence.await.unwrap();
    }
}

/// The map gives a channel away, and nobody hears of it: it must not stay taken by a server that does not know.
#[tokio::test(start_paused = true)]
async fn a_channel_that_was_given_without_an_answer_is_given_back() {
    let machine = Machine::shared().await;
    let (trigger, ends) = crate::shutdown::channel();
    let presence = tokio::spawn(crate::live::presence(machine.stage.live.clone(), ends.clone(), ends));
    machine.trouble.set(Disk::LosesAnswers);
    let refused = machine.stage.try_begin("playlist.m3u8").await;
    assert!(refused.is_err());
    machine.trouble.set(Disk::Well);
    let (bucket, channel) = &machine.stage.id;
    assert!(machine.stage.meta.publisher(bucket, channel).await.unwrap().is_some(), "nobody heard of it");
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert!(machine.stage.meta.publisher(bucket, channel).await.unwrap().is_none(), "the channel is free");
    assert_eq!(machine.stage.live.caretaker.channels(), 0);
    drop(machine.stage.begin().await);
    trigger.fire();
    presence.await.unwrap();
}

/// The map is away when the store is back: what waits is not forgotten over that.
#[tokio::test(start_paused = true)]
async fn what_was_left_is_listed_also_when_the_map_was_away_meanwhile() {
    let mut machine = Machine::shared().await;
    let push = pushed(&mut machine, 30).await;
    let on_air = machine.stage.live.channels.find(&machine.stage.id).unwrap();
    let heir = on_air.succession.heir();
    ending(push).await.unwrap();
    drop(heir);
    machine.trouble.set(Disk::MapAway);
    tokio::time::sleep(Duration::from_secs(60)).await;
    machine.trouble.set(Disk::Well);
    tokio::time::sleep(Duration::from_secs(30)).await;
    machine.stage.look().await;
    assert_both(&machine, 30, 1).await;
    assert_eq!(machine.stage.live.caretaker.channels(), 0);
    let (bucket, channel) = &machine.stage.id;
    assert!(machine.stage.meta.publisher(bucket, channel).await.unwrap().is_none(), "the channel is free");
}

/// The store is full, or its keys may only read: it answers, and takes nothing.
#[tokio::test(start_paused = true)]
async fn a_store_that_takes_nothing_counts_as_one_that_is_away() {
    let mut machine = Machine::shared().await;
    let mut push = machine.stage.begin().await;
    machine.send(&mut push, 30, vec![(10, Event::Disk(Disk::StoreRefuses))]).await;
    let ending = ending(push);
    let begun = Instant::now();
    let mut next = machine.stage.begin().await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    machine.send(&mut next, 30, vec![(20, Event::Disk(Disk::Well))]).await;
    machine.stage.finish(next).await;
    ending.await.unwrap();
    machine.stage.look().await;
    assert_both(&machine, 60, 2).await;
}

/// What a crash left takes longer to store than an encoder waits: it is not begun anew with each publish.
#[tokio::test(start_paused = true)]
async fn a_repair_that_takes_long_goes_on_without_its_encoder() {
    let mut machine = Machine::new().await;
    let mut push = machine.stage.begin().await;
    machine.send(&mut push, 11, Vec::new()).await;
    push.tick();
    let moment = Instant::now() + Duration::from_millis(250);
    machine.work_until(&mut push, moment).await;
    drop(push);
    // Completing what it left takes longer than anybody waits.
    machine.trouble.set(Disk::StoreAway);
    for _ in 0..2 {
        let begun = Instant::now();
        let refused = machine.stage.try_begin("playlist.m3u8").await.map(drop).unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(11), "{:?}, {refused:?}", begun.elapsed());
        assert_eq!(machine.stage.live.caretaker.channels(), 1);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    machine.trouble.set(Disk::Well);
    tokio::time::sleep(Duration::from_secs(1)).await;
    machine.stage.look().await;
    assert_both(&machine, 11, 1).await;
    assert_eq!(machine.stage.live.caretaker.channels(), 0);
    assert!(machine.stage.try_begin("playlist.m3u8").await.is_ok());
}

/// An encoder that comes to another server is told soon, and why.
#[tokio::test(start_paused = true)]
async fn another_server_says_that_segments_wait() {
    let mut machine = Machine::shared().await;
    let other = machine.stage.another_server(&machine.trouble).await;
    let (trigger, ends) = crate::shutdown::channel();
    let presences = [&machine.stage.live, &other]
        .map(|live| tokio::spawn(crate::live::presence(live.clone(), ends.clone(), ends.clone())));
    let ending = ending(pushed(&mut machine, 30).await);
    for _ in 0..3 {
        let begun = Instant::now();
        let refused = machine.stage.begin_at(&other, "playlist.m3u8", std::future::pending()).await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        let text = format!("{:?}", refused.map(drop));
        assert!(text.contains("its segments wait on the disk of its server"), "{text}");
    }
    machine.trouble.set(Disk::Well);
    ending.await.unwrap();
    machine.stage.look().await;
    assert_both(&machine, 30, 1).await;
    trigger.fire();
    for presence in presences {
        presence.await.unwrap();
    }
}

/// Somebody waited for the channel and went away.
#[tokio::test(start_paused = true)]
async fn what_was_left_and_not_taken_up_is_listed() {
    let mut machine = Machine::shared().await;
    let (trigger, ends) = crate::shutdown::channel();
    let presence = tokio::spawn(crate::live::presence(machine.stage.live.clone(), ends.clone(), ends));
    let push = pushed(&mut machine, 30).await;
    let on_air = machine.stage.live.channels.find(&machine.stage.id).unwrap();
    let heir = on_air.succession.heir();
    ending(push).await.unwrap();
    drop(heir);
    assert!(machine.stage.live.channels.find(&machine.stage.id).is_none());
    // It is kept again meanwhile, as any that waits.
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (bucket, channel) = machine.stage.id.clone();
    assert!(machine.stage.meta.publisher(&bucket, &channel).await.unwrap().is_some());
    machine.trouble.set(Disk::Well);
    tokio::time::sleep(Duration::from_secs(10)).await;
    machine.stage.look().await;
    assert_both(&machine, 30, 1).await;
    trigger.fire();
    presence.await.unwrap();
}

/// Whose segments belong to another list is told so at once, and what waits is listed.
#[tokio::test(start_paused = true)]
async fn a_push_under_another_name_has_to_wait() {
    let mut machine = Machine::shared().await;
    let push = pushed(&mut machine, 30).await;
    let ending = ending(push);
    let begun = Instant::now();
    let refusal = machine.stage.try_begin("other.m3u8").await.map(drop).unwrap_err();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let text = format!("{refusal:?}");
    assert!(text.contains("another playlist") && text.contains("ServiceUnavailable"), "{text}");
    ending.await.unwrap();
    // However often it tries, one task looks after what waits.
    for _ in 0..20 {
        machine.stage.try_begin("other.m3u8").await.map(drop).unwrap_err();
        assert_eq!(machine.stage.live.caretaker.channels(), 1);
    }
    tokio::time::sleep(Duration::from_secs(20)).await;
    machine.trouble.set(Disk::Well);
    tokio::time::sleep(Duration::from_secs(10)).await;
    machine.stage.look().await;
    assert_both(&machine, 30, 1).await;
    assert_eq!(machine.stage.live.caretaker.channels(), 0);
    assert!(machine.stage.try_begin("other.m3u8").await.is_ok());
}

/// The server dies when the open segment holds no picture yet: there is nothing of it to take up, and no reason to refuse.
#[tokio::test(start_paused = true)]
async fn a_segment_without_a_picture_is_in_nobodys_way() {
    // Behind others that wait, and as all that there is.
    for pushed_s in [30, 0] {
        let mut machine = Machine::shared().await;
        machine.trouble.set(Disk::StoreAway);
        let mut push = machine.stage.begin().await;
        machine.send(&mut push, pushed_s, Vec::new()).await;
        let stretch = Stretch { start_ms: pushed_s * 1000, length_ms: 1900, has_audio: false, ..Stretch::default() };
        for tag in stretch.headers().into_iter().chain(stretch.media().map(|(_, tag)| tag)) {
            push.push(&tag);
        }
        let moment = Instant::now() + Duration::from_millis(250);
        machine.work_until(&mut push, moment).await;
        let (bucket, channel) = machine.stage.id.clone();
        let record = machine.stage.meta.publication(&bucket, &channel).await.unwrap().unwrap();
        assert!(record.open.is_some(), "{pushed_s} s: it is noted");
        drop(push);
        machine.stage.restart().await;
        let begun = Instant::now();
        let mut next = machine.stage.begin().await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        machine.send(&mut next, 20, vec![(10, Event::Disk(Disk::Well))]).await;
        machine.stage.finish(next).await;
        assert_listed(&machine, u64::from(pushed_s) + 20, 2, usize::from(pushed_s > 0)).await;
    }
}

/// More segments wait than may, so the push is held up, and still makes way.
#[tokio::test(start_paused = true)]
async fn one_that_is_held_up_can_be_taken_up() {
    let mut machine = Machine::shared().await;
    let push = pushed(&mut machine, 290).await;
    let ending = ending(push);
    let begun = Instant::now();
    let mut next = machine.stage.begin().await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    machine.send(&mut next, 20, vec![(10, Event::Disk(Disk::Well))]).await;
    machine.stage.finish(next).await;
    ending.await.unwrap();
    machine.stage.look().await;
    assert_both(&machine, 310, 2).await;
}
