//! The `Range` header (HTTP API 9.2).

use super::RawRequest;
use super::query::parse_decimal;
use model::{Error, ErrorCode};

/// What to send of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeOutcome {
    /// 200 with everything.
    Whole,
    /// 206 with the bytes `start..=end`.
    Part {
        /// The first byte.
        start: u64,
        /// The last byte.
        end: u64,
    },
    /// 416.
    Unsatisfiable,
}

/// How ranges that do not fit are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RangeBehaviour {
    /// As OSS does by default: mostly the whole object.
    Usual,
    /// As RFC 9110 says: `x-oss-range-behavior: standard`.
    Standard,
}

impl RangeBehaviour {
    /// As the request asks; `unsaid` when it does not say.
    pub fn of(raw: &RawRequest, unsaid: Self) -> Self {
        match raw.header_text("x-oss-range-behavior") {
            Some(text) if text.eq_ignore_ascii_case("standard") => Self::Standard,
            Some(_) => Self::Usual,
            None => unsaid,
        }
    }
}

/// Applies a `Range` or `x-oss-copy-source-range` value to an object of `size` bytes.
pub fn apply_range(header: Option<&str>, behaviour: RangeBehaviour, size: u64) -> RangeOutcome {
    use RangeBehaviour::{Standard, Usual};
    let Some((first, last)) = header.and_then(split_range) else { return RangeOutcome::Whole };
    match (first, last, behaviour) {
        (None, Some(0), _) => RangeOutcome::Unsatisfiable,
        // An empty object has no last byte.
        (None, Some(_), Standard) if size == 0 => RangeOutcome::Unsatisfiable,
        (None, Some(count), _) if 0 < size && count <= size => {
            RangeOutcome::Part { start: size - count, end: size - 1 }
        }
        (None, Some(_), Standard) => RangeOutcome::Part { start: 0, end: size - 1 },
        (None, _, _) => RangeOutcome::Whole,
        (Some(start), Some(end), _) if start > end => RangeOutcome::Whole,
        (Some(start), _, Standard) if start >= size => RangeOutcome::Unsatisfiable,
        (Some(start), _, Usual) if start >= size => RangeOutcome::Whole,
        (Some(start), Some(end), _) if end < size => RangeOutcome::Part { start, end },
        (Some(_), Some(_), Usual) => RangeOutcome::Whole,
        (Some(start), _, _) => RangeOutcome::Part { start, end: size - 1 },
    }
}

/// One range of bytes, not judged against a size: `a-b`, `a-` or `-n`.
fn split_range(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, range) = header.trim().split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| match text.trim() {
        "" => Some(None),
        // Numbers beyond 64 bits lie behind every object.
        text => {
            parse_decimal(text).or_else(|| text.bytes().all(|byte| byte.is_ascii_digit()).then_some(u64::MAX)).map(Some)
        }
    };
    match (number(first)?, number(last)?) {
        (None, None) => None,
        both => Some(both),
    }
}

impl RangeOutcome {
    /// The `Content-Range` of the answer, if it has one.
    pub fn content_range(self, size: u64) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Part { start, end } => Some(format!("bytes {start}-{end}/{size}")),
            Self::Unsatisfiable => Some(format!("bytes */{size}")),
        }
    }

    /// How many bytes are sent.
    pub fn length(self, size: u64) -> u64 {
        match self {
            Self::Whole => size,
            Self::Part { start, end } => end.saturating_sub(start).saturating_add(1),
            Self::Unsatisfiable => 0,
        }
    }
}

/// The refusal of a range that cannot be satisfied.
pub fn invalid_range(requested: &str, size: u64) -> Error {
    Error::new(ErrorCode::InvalidRange)
        .with("ActualObjectSize", size.to_string())
        .with("RangeRequested", super::query::shown(requested))
        .header("Content-Range", format!("bytes */{size}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(header: &str, usual: RangeOutcome, standard: RangeOutcome) {
        assert_eq!(apply_range(Some(header), RangeBehaviour::Usual, 10), usual, "{header}");
        assert_eq!(apply_range(Some(header), RangeBehaviour::Standard, 10), standard, "{header} standard");
    }

    #[test]
    fn the_header_wins() {
        let raw = |said: &[&str]| RawRequest {
            headers: said.iter().map(|said| ("x-oss-range-behavior".to_owned(), said.as_bytes().to_vec())).collect(),
            ..RawRequest::default()
        };
        for unsaid in [RangeBehaviour::Usual, RangeBehaviour::Standard] {
            assert_eq!(RangeBehaviour::of(&raw(&[]), unsaid), unsaid);
            assert_eq!(RangeBehaviour::of(&raw(&["Standard"]), unsaid), RangeBehaviour::Standard);
            assert_eq!(RangeBehaviour::of(&raw(&["oss"]), unsaid), RangeBehaviour::Usual);
        }
    }

    #[test]
    fn the_table_holds() {
        use RangeOutcome::{Unsatisfiable, Whole};
        let part = |start, end| RangeOutcome::Part { start, end };
        check("bytes=2-5", part(2, 5), part(2, 5));
        check("bytes=0-9", part(0, 9), part(0, 9));
        check("bytes=9-", part(9, 9), part(9, 9));
        check("bytes=-3", part(7, 9), part(7, 9));
        check("bytes=-10", part(0, 9), part(0, 9));
        check("bytes=-11", Whole, part(0, 9));
        check("bytes=5-10", Whole, part(5, 9));
        check("bytes=5-99999999999999999999999", Whole, part(5, 9));
        check("bytes=10-", Whole, Unsatisfiable);
        check("bytes=10-12", Whole, Unsatisfiable);
        check("bytes=-0", Unsatisfiable, Unsatisfiable);
        for other in ["bytes=5-2", "bytes=0-1,3-4", "chunks=0-1", "bytes=", "bytes=-", "bytes=a-b", "0-1", "bytes=+1-2"]
        {
            check(other, Whole, Whole);
        }
    }

    #[test]
    fn empty_objects_have_no_ranges() {
        for (header, usual, standard) in [
            ("bytes=0-0", RangeOutcome::Whole, RangeOutcome::Unsatisfiable),
            ("bytes=-1", RangeOutcome::Whole, RangeOutcome::Unsatisfiable),
        ] {
            assert_eq!(apply_range(Some(header), RangeBehaviour::Usual, 0), usual);
            assert_eq!(apply_range(Some(header), RangeBehaviour::Standard, 0), standard);
        }
    }

    proptest! {
        #[test]
        fn parts_lie_inside(header in "bytes=[0-9]{0,25}-[0-9]{0,25}|\\PC{0,20}", size: u64, standard: bool) {
            let behaviour = if standard { RangeBehaviour::Standard } else { RangeBehaviour::Usual };
            let outcome = apply_range(Some(&header), behaviour, size);
            if let RangeOutcome::Part { start, end } = outcome {
                prop_assert!(start <= end && end < size);
            }
            prop_assert!(outcome.length(size) <= size);
        }
    }
}
