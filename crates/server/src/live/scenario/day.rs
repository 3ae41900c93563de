//! A day of two-second segments, and playlists on demand over parts of it (LiveChannel 5).

use super::encoder::Stretch;
use super::*;

const SEGMENTS: usize = 43_200;

#[tokio::test]
async fn a_day_is_one_playlist_and_every_second_of_it_can_be_asked_for() {
    let mut stage = Stage::new(LiveConfig::default()).await;
    stage.configure(2, 3).await;
    let mut push = stage.begin().await;
    let day = Stretch { length_ms: 86_400_000, frame_ms: 1_000, gop: 2, has_audio: false, ..Stretch::default() };
    stage.push(&mut push, &day, true).await;
    stage.finish(push).await;

    let vod = stage.vod().await;
    assert_eq!(vod.segments.len(), SEGMENTS);
    assert!(vod.segments.iter().all(|segment| segment.duration_ms == 2000 && !segment.discontinuity));
    assert_eq!((vod.media_sequence, vod.target_duration_s, vod.end_list), (0, 2, true));

    let begins_s = u64::try_from(BEGIN_MS).unwrap() / 1000;
    for (from_s, to_s, expected) in [
        // A segment is opened when its first picture may be written, at most one picture later; both ends count.
        (0, 86_400, SEGMENTS),
        (0, 0, 0),
        (0, 1, 1),
        (0, 3, 2),
        (43_200, 43_259, 30),
        (86_398, 86_400, 1),
        (86_401, 172_801, 0),
    ] {
        let found = stage.vod_between(begins_s + from_s, begins_s + to_s).await;
        assert_eq!(found.map_or(0, |list| list.segments.len()), expected, "{from_s} to {to_s}");
    }

    // A segment whose object is deleted is left out, wherever it stands (LiveChannel 5.2).
    let deleted = [0, 1, 20_000, SEGMENTS - 1];
    for index in deleted {
        let key = stage.key(&vod.segments[index].uri);
        assert!(stage.meta.delete_object(&stage.id.0, &key).await.unwrap());
    }
    let rest = stage.vod().await;
    let expected =
        (0..).zip(&vod.segments).filter(|(index, _)| !deleted.contains(index)).map(|(_, segment)| &segment.uri);
    assert!(rest.segments.iter().map(|segment| &segment.uri).eq(expected));
}
