//! Damage, and what a check says of it.

use super::*;
use crate::fixture::{Fixture, fixture, inline, key as object_key, object};
use crate::kv::{Commit, Write};
use crate::meta::{AccountChange, Body, Extent, KeyRecord, PutGuard};

async fn findings(f: &Fixture) -> Vec<String> {
    let report = check(&f.meta, &f.blobs, f.clock.clock().now_ms(), 1000).await.unwrap();
    report.findings.iter().map(ToString::to_string).collect()
}

async fn put(f: &Fixture, name: &str, extents: Vec<Extent>) {
    let record = object(Body::Blobs(extents));
    f.meta.put_object(&f.bucket, &object_key(name), &record, PutGuard::Any).await.unwrap();
}

#[tokio::test]
async fn orphans_are_swept_once_they_are_old() {
    let f = fixture().await;
    let orphan = f.extent(3).await;
    put(&f, "a", vec![f.extent(4).await]).await;
    assert_eq!(findings(&f).await, [""; 0], "it may still be waiting for its name");
    f.clock.advance_ms(1001);
    assert_eq!(findings(&f).await, [format!("blob {} of 3 bytes has no name", orphan.blob)]);
    assert_eq!(sweep(&f.meta, &f.blobs, f.clock.clock().now_ms(), 1000).await, Ok(1));
    assert_eq!(findings(&f).await, [""; 0]);
}

#[tokio::test]
async fn names_that_lead_nowhere_are_told() {
    let f = fixture().await;
    let (gone, short, uncounted) = (f.extent(3).await, f.extent(3).await, f.extent(3).await);
    put(&f, "gone", vec![gone]).await;
    f.blobs.delete(gone.blob).await.unwrap();
    put(&f, "short", vec![Extent { len: 4, ..short }]).await;
    put(&f, "one", vec![uncounted]).await;
    put(&f, "two", vec![uncounted]).await;
    let mut wrong = inline("four");
    wrong.size = 5;
    f.meta.put_object(&f.bucket, &object_key("wrong"), &wrong, PutGuard::Any).await.unwrap();
    let mut found = findings(&f).await;
    found.sort();
    assert_eq!(
        found,
        [
            "Dbucket\\x00wrong: the size is not that of the bytes".to_owned(),
            format!("Obucket\\x00gone: blob {} is not there", gone.blob),
            format!("Obucket\\x00short: blob {} is too short", short.blob),
            format!("blob {} has 2 names, of which 1 are counted", uncounted.blob),
        ]
    );
}

#[tokio::test]
async fn secrets_that_cannot_be_opened_are_told() {
    let f = fixture().await;
    let key = KeyRecord {
        id: "AK".to_owned(),
        secret: "hush".to_owned(),
        uid: model::OwnerId("1".to_owned()),
        enabled: true,
        created_ms: 1,
        description: String::new(),
    };
    f.change_account(AccountChange::PutKey(&key)).await;
    assert_eq!(findings(&f).await, [""; 0]);
    let vault = crate::vault::Vault::new(&[8; 32]).unwrap();
    let f = Fixture { meta: f.meta.clone().with_vault(vault), ..f };
    let told = "AAK: the secret cannot be opened; is this the key that secrets were sealed with?";
    assert_eq!(findings(&f).await, [told]);
}

#[tokio::test]
async fn what_can_be_mended_without_guessing_is_mended() {
    let f = fixture().await;
    let (gone, kept, shared) = (f.extent(3).await, f.extent(4).await, f.extent(5).await);
    for (name, extent) in [("gone", gone), ("kept", kept), ("one", shared), ("two", shared)] {
        put(&f, name, vec![extent]).await;
    }
    f.blobs.delete(gone.blob).await.unwrap();
    let stray = Write::Put(b"Sbucket\0ch\0\0\0\0\0\0\0\0\x01".to_vec(), b"\x01\x94\x01\x01\x01\xc2"[..].into());
    let wrong = Write::Add(b"Tbucket".to_vec(), vec![1]);
    f.meta.kv().commit(Commit::new().write(stray).write(wrong)).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..3 {
        let report = check(&f.meta, &f.blobs, f.clock.clock().now_ms(), 1000).await.unwrap();
        told.extend(repair(&f.meta, &report).await.unwrap().iter().map(ToString::to_string));
    }
    assert_eq!(
        told,
        [
            "Obucket\\x00gone: its bytes are lost, so the name was removed",
            "Sbucket\\x00ch\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x01: removed from the index of segments",
            "Tbucket: counted again",
            &format!("names of blob {}: counted again", shared.blob),
        ]
    );
    assert_eq!(findings(&f).await, [""; 0]);
    assert!(f.meta.object(&f.bucket, &object_key("kept")).await.unwrap().is_some());
}

async fn check_damage(write: Write, expected: &str) {
    let f = fixture().await;
    f.meta.put_object(&f.bucket, &object_key("a"), &inline("x"), PutGuard::Any).await.unwrap();
    f.meta.kv().commit(Commit::new().write(write)).await.unwrap();
    // What follows from it is reported after it.
    assert_eq!(findings(&f).await.first().map(String::as_str), Some(expected));
    let orphan = f.extent(1).await;
    f.clock.advance_ms(10_000);
    let swept = sweep(&f.meta, &f.blobs, f.clock.clock().now_ms(), 1000).await.unwrap();
    assert_eq!(swept, usize::from(!expected.starts_with("unreadable")), "{expected}, {}", orphan.blob);
}

#[tokio::test]
async fn damage_is_told() {
    let put = |key: &[u8], value: &'static [u8]| Write::Put(key.to_vec(), value.into());
    let row = b"Obucket\0a".to_vec();
    check_damage(put(b"Obucket\0b", b"\x01\x80"), "unreadable: Obucket\\x00b: Object Corrupt: missing field `size`")
        .await;
    check_damage(put(&row, b""), "unreadable: Obucket\\x00a: Object Corrupt: an empty record").await;
    check_damage(Write::Add(b"Tbucket".to_vec(), vec![1]), "bucket: the counters are wrong").await;
    check_damage(put(b"Qbucket", &[0, 0, 0, 0, 0, 0, 0, 1]), "bucket, channels: the counters are wrong").await;
    check_damage(put(b"Obucket2\0b", b""), "Obucket2\\x00b: belongs to nothing").await;
    check_damage(put(b"Wbucket\0ch", b"{}"), "Wbucket\\x00ch: belongs to nothing").await;
    check_damage(put(b"Xch\0bucket", b""), "bucket/ch in the index by name: belongs to nothing").await;
    check_damage(
        put(b"Sbucket\0ch\0\0\0\0\0\0\0\0\x01", b"\x01\x94\x01\x01\x01\xc2"),
        "segment bucket/ch/1.ts has no object: belongs to nothing",
    )
    .await;
}
