//! A body with bytes behind it: small blobs at the end are joined with what comes, so that a log of many short lines stays
//! a short list of blobs (HTTP API 9.8).

use model::{Error, ErrorCode};
use store::meta::{Body, Extent};

use super::Objects;
use super::intake::{INLINE_BYTES, Intake, Keep, Received, copy};

/// A blob is only rewritten to be joined with another up to this size.
const MAX_JOINED_BYTES: u64 = 4 << 20;

/// A body with what was received behind it.
///
/// # Errors
/// `ObjectNotAppendable` for a link; `InternalError`.
pub(crate) async fn lengthened(objects: &Objects, old: Body, received: Received) -> Result<Body, Error> {
    let (mut kept, tail, tail_len) = match old {
        Body::Inline(bytes) => {
            let len = bytes.len() as u64;
            (Vec::new(), Body::Inline(bytes), len)
        }
        Body::Blobs(mut kept) => {
            let tail = split_tail(&mut kept, received.sums.len);
            let len = tail.iter().map(|extent| extent.len).sum();
            (kept, Body::Blobs(tail), len)
        }
        Body::Link(_) => return Err(Error::new(ErrorCode::ObjectNotAppendable)),
    };
    let added = match (&tail, received.body) {
        (Body::Inline(bytes), Body::Inline(more)) if bytes.len() + more.len() <= INLINE_BYTES => {
            return Ok(Body::Inline([bytes.as_ref(), more.as_ref()].concat().into()));
        }
        (_, Body::Blobs(extents)) if tail_len == 0 => extents,
        (_, more) => {
            let mut intake = Intake::new(objects, Keep::InBlob);
            copy(&mut intake, objects.content(&tail, 0, tail_len).await?).await?;
            copy(&mut intake, objects.content(&more, 0, received.sums.len).await?).await?;
            let joined = intake.finish(|_| Ok(())).await?;
            objects.forget(more.blobs()).await;
            match joined.body {
                Body::Blobs(extents) => extents,
                Body::Inline(_) | Body::Link(_) => return Err(Error::new(ErrorCode::InternalError)),
            }
        }
    };
    kept.extend(added);
    Ok(Body::Blobs(kept))
}

/// Takes the blobs off the end that are to be joined with `added` bytes: each no longer than what follows it, so that
/// every byte is rewritten a few times at most and the list grows with the logarithm of the appends.
fn split_tail(extents: &mut Vec<Extent>, added: u64) -> Vec<Extent> {
    let mut joined = added;
    let mut from = extents.len();
    for (index, extent) in extents.iter().enumerate().rev() {
        if extent.len > joined || joined.saturating_add(extent.len) > MAX_JOINED_BYTES {
            break;
        }
        joined = joined.saturating_add(extent.len);
        from = index;
    }
    extents.split_off(from)
}

#[cfg(test)]
mod tests {
    use store::blob::BlobId;

    use super::*;

    /// The lengths of the blobs after appends of these lengths.
    fn check(appends: &[u64], expected: &[u64]) {
        let mut extents: Vec<Extent> = Vec::new();
        for (number, len) in appends.iter().enumerate() {
            let tail = split_tail(&mut extents, *len);
            let joined = tail.iter().map(|extent| extent.len).sum::<u64>() + len;
            let blob = BlobId::new(i64::try_from(number).unwrap(), [0; 10]);
            extents.push(Extent { blob, offset: 0, len: joined });
        }
        assert_eq!(extents.iter().map(|extent| extent.len).collect::<Vec<_>>(), expected, "{appends:?}");
    }

    #[test]
    fn short_appends_are_joined_and_long_ones_are_not() {
        check(&[5], &[5]);
        check(&[5, 5, 5], &[10, 5]);
        check(&[1; 8], &[8]);
        check(&[1; 100], &[64, 32, 4]);
        check(&[MAX_JOINED_BYTES, 1, MAX_JOINED_BYTES], &[MAX_JOINED_BYTES, 1, MAX_JOINED_BYTES]);
        check(&[3 << 20, 3 << 20], &[3 << 20, 3 << 20]);
    }
}
