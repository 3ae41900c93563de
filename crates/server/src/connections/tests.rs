//! Who goes first: the useless by age, then those who read, never a push.

use std::net::Ipv4Addr;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Full as Whole};

use super::*;

fn registry(max: usize, arrivals: usize, unproven_per_address: usize) -> Arc<Connections> {
    Connections::new(Caps { max, arrivals, unproven_per_address })
}

fn address(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(192, 0, 2, last))
}

/// Enters at a time of the test's own choosing; the clock of the registry is near zero.
fn enter(registry: &Arc<Connections>, now_ms: u64) -> Option<Admitted> {
    registry.try_enter(None, now_ms).ok()
}

fn is_closing(admitted: &Admitted) -> bool {
    admitted.slot().word().phase == Phase::Evicted
}

#[tokio::test]
async fn the_longest_useless_goes_first() {
    let registry = registry(3, 1, 0);
    let mut all: Vec<Admitted> = Vec::new();
    for _ in 0..3 {
        all.push(enter(&registry, 0).unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let in_request = registry.begin_request(all[0].slot()).unwrap().unwrap();
    // Nobody has been useless for long, so the next one waits without a place, and the one after it before the door.
    let extra = enter(&registry, 100).unwrap();
    assert!(enter(&registry, 100).is_none());
    assert_eq!(all.iter().map(is_closing).collect::<Vec<_>>(), [false; 3]);
    assert!(enter(&registry, 10_000).is_none());
    assert_eq!(all.iter().map(is_closing).collect::<Vec<_>>(), [false, true, false]);
    assert!(!is_closing(&extra));
    // What it leaves is for whoever comes next; the one without a place takes it when it turns out to be of use.
    assert!(enter(&registry, 10_000).is_none());
    all.remove(1);
    assert!(registry.begin_request(extra.slot()).unwrap().is_some());
    drop(in_request);
    assert_eq!(registry.census(), Census { new: 1, idle: 2, in_request: 0, publishing: 0 });
    drop((all, extra));
    assert_eq!(registry.census(), Census::default());
    assert_eq!((registry.inner.lock().placed, registry.extra.load(Ordering::Acquire)), (0, 0));
}

#[tokio::test]
async fn a_push_takes_the_place_of_a_reader_and_a_request_does_not() {
    let registry = registry(2, 2, 0);
    let (reading, publishing) = (enter(&registry, 0).unwrap(), enter(&registry, 0).unwrap());
    let answer = registry.begin_request(reading.slot()).unwrap().unwrap().send();
    let push = registry.begin_push(publishing.slot()).await.unwrap();
    let (request, second) = (enter(&registry, 0).unwrap(), enter(&registry, 0).unwrap());
    assert_eq!(registry.begin_request(request.slot()).unwrap_err(), Full);
    let second_push = registry.begin_push(second.slot()).await.unwrap();
    assert!(is_closing(&reading) && !is_closing(&publishing) && !is_closing(&second));
    drop((answer, reading));
    // Now everything belongs to pushes.
    assert_eq!(registry.begin_push(request.slot()).await.unwrap_err(), Full);
    assert_eq!(registry.begin_request(request.slot()).unwrap_err(), Full);
    assert!(!registry.close_reader(true));
    registry.close_useless();
    assert!(is_closing(&request) && !is_closing(&publishing) && !is_closing(&second));
    drop(second_push);
    // A push that has ended is as useless as anybody who is silent.
    registry.close_useless();
    assert!(is_closing(&second) && !is_closing(&publishing));
    drop(push);
}

#[tokio::test]
async fn requests_that_are_worked_on_stay() {
    let registry = registry(1, 1, 0);
    let uploading = enter(&registry, 0).unwrap();
    let _upload = registry.begin_request(uploading.slot()).unwrap().unwrap();
    let push = enter(&registry, 60_000).unwrap();
    assert_eq!(registry.begin_push(push.slot()).await.unwrap_err(), Full);
    assert!(!is_closing(&uploading) && !is_closing(&push));
}

#[tokio::test]
async fn answers_that_nobody_reads_are_useless() {
    let registry = registry(1, 1, 0);
    let stalled = enter(&registry, 0).unwrap();
    let _answer = registry.begin_request(stalled.slot()).unwrap().unwrap().send();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let next = enter(&registry, STALLED_SOON_MS).unwrap();
    assert!(!is_closing(&stalled) && !is_closing(&next));
    assert!(enter(&registry, slot::STALLED_MS + 1000).is_none());
    assert!(is_closing(&stalled));
    drop(stalled);
    assert!(registry.begin_request(next.slot()).unwrap().is_some());
}

#[tokio::test]
async fn an_answer_is_under_way_until_its_last_piece_was_written() {
    let registry = registry(1, 1, 0);
    let admitted = registry.enter(address(1), false).await;
    let in_request = registry.begin_request(admitted.slot()).unwrap();
    let mut body = InUse::new(Whole::new(Bytes::from_static(b"all of it")), in_request);
    let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(body.is_end_stream());
    // hyper drops a body as soon as it has its last piece, and writes afterwards.
    drop(body);
    let rest = piece.slice(4..);
    drop(piece);
    registry.close_useless();
    assert!(!is_closing(&admitted));
    assert_eq!(registry.census().in_request, 1);
    drop(rest);
    registry.close_useless();
    assert!(is_closing(&admitted));
}

#[tokio::test]
async fn what_was_said_before_the_end_is_handed_to_the_socket() {
    let registry = registry(1, 1, 0);
    let admitted = registry.enter(address(1), false).await;
    // An answer of HTTP/2 is made by another task than the one that writes it, here at the very moment of the end.
    let mut polls = 0;
    let connection = poll_fn(|_| {
        polls += 1;
        registry.close_useless();
        Poll::Pending
    });
    admitted.run(connection).await;
    assert!(polls >= 2);
}

const STALLED_SOON_MS: u64 = slot::STALLED_MS / 2;

#[tokio::test]
async fn whoever_is_told_to_close_begins_nothing() {
    let registry = registry(1, 1, 0);
    let admitted = enter(&registry, 0).unwrap();
    registry.close_useless();
    admitted.slot().evicted().await;
    assert!(registry.begin_request(admitted.slot()).unwrap().is_none());
    let push = registry.begin_push(admitted.slot());
    assert!(tokio::time::timeout(Duration::from_millis(20), push).await.is_err());
    assert!(!admitted.slot().word().is_proven);
}

#[tokio::test]
async fn an_address_has_only_so_many_that_came_to_nothing() {
    let registry = registry(100, 1, 2);
    let (one, other) = (Some(address(1)), Some(address(2)));
    let enter = |network, now_ms| registry.try_enter(network, now_ms).unwrap();
    let mut all: Vec<Admitted> = Vec::new();
    for _ in 0..4 {
        all.push(enter(one, 100));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Those of a burst have time to say what they want; what does counts no more.
    assert!(!all.iter().any(is_closing));
    let _in_request = registry.begin_request(all[0].slot()).unwrap().unwrap();
    all.push(enter(other, 60_000));
    assert!(!all.iter().any(is_closing));
    all.push(enter(one, 60_000));
    assert_eq!(all.iter().map(is_closing).collect::<Vec<_>>(), [false, true, true, false, false, false]);
    // Those that are closing are not counted twice.
    all.push(enter(one, 60_000));
    assert_eq!(all.iter().filter(|admitted| is_closing(admitted)).count(), 3);
    drop(all);
    assert!(registry.inner.lock().unproven.is_empty());
}

#[tokio::test]
async fn who_arrives_waits_for_a_place() {
    let registry = registry(1, 0, 0);
    let first = registry.enter(address(1), false).await;
    let waiting = tokio::spawn({
        let registry = registry.clone();
        async move { registry.enter(address(2), false).await.slot().id }
    });
    // It has its time to be useful.
    let begun = Instant::now();
    first.slot().evicted().await;
    assert!(begun.elapsed() >= Duration::from_millis(MIN_AGE_MS / 2));
    drop(first);
    assert_eq!(waiting.await.unwrap(), 1);
}

#[test]
fn caps_follow_the_shares() {
    let shares = Shares { connections: 8, arrivals: 2, admin: 3, files: 1, push_files: 1, per_push: 1 };
    assert_eq!(Caps::new(&shares, None), Caps { max: 8, arrivals: 2, unproven_per_address: 4 });
    assert_eq!(Caps::new(&Shares { connections: 4000, ..shares }, None).unproven_per_address, 256);
    assert_eq!(Caps::new(&shares, Some(0)).unproven_per_address, 0);
    assert_eq!(Caps::admin(&shares), Caps { max: 3, arrivals: 1, unproven_per_address: 0 });
}
