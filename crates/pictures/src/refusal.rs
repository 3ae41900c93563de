//! Why there is no picture: a closed list of reasons, each with the detail that a log line wants.

use std::fmt;
use thiserror::Error;

/// What kind of thing stood in the way. The label of a reason is the value of the metric's `reason` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// No sequence or picture parameter set came with the frame, or one that cannot be read.
    ParameterSets,
    /// Not 4:2:0.
    Chroma,
    /// More than 8 bits per sample.
    BitDepth,
    /// Field pictures or MBAFF, and no ffmpeg is configured that could decode them.
    Interlaced,
    /// More pixels than the limit.
    Pixels,
    /// More bytes than the limit.
    Bytes,
    /// A coding tool that the decoder does not have.
    Unsupported,
    /// The bytes are damaged: no whole picture came out.
    Broken,
    /// The size asked for does not fit the picture.
    Size,
    /// The picture could not be written as JPEG or PNG.
    Encoder,
    /// The worker took longer than its deadline and was killed.
    Deadline,
    /// The worker ended, could not be started, or answered nonsense.
    Crashed,
    /// A newer key frame of the same channel came first, or it waited too long.
    Late,
    /// Too many pictures wait already.
    Full,
    /// The queue is shutting down.
    Stopped,
}

impl Reason {
    /// All of them, in the order of the counters.
    pub const ALL: [Self; 15] = [
        Self::ParameterSets,
        Self::Chroma,
        Self::BitDepth,
        Self::Interlaced,
        Self::Pixels,
        Self::Bytes,
        Self::Unsupported,
        Self::Broken,
        Self::Size,
        Self::Encoder,
        Self::Deadline,
        Self::Crashed,
        Self::Late,
        Self::Full,
        Self::Stopped,
    ];

    /// A stable word for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::ParameterSets => "parameter_sets",
            Self::Chroma => "chroma",
            Self::BitDepth => "bit_depth",
            Self::Interlaced => "interlaced",
            Self::Pixels => "pixels",
            Self::Bytes => "bytes",
            Self::Unsupported => "unsupported",
            Self::Broken => "broken",
            Self::Size => "size",
            Self::Encoder => "encoder",
            Self::Deadline => "deadline",
            Self::Crashed => "crashed",
            Self::Late => "late",
            Self::Full => "full",
            Self::Stopped => "stopped",
        }
    }

    /// The reason with this label.
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.label() == label)
    }

    /// Whether the next frame of the same stream will meet the same answer, so that asking again is waste. The format of
    /// a stream is such a reason; damage and lateness are not.
    pub fn is_lasting(self) -> bool {
        matches!(self, Self::Chroma | Self::BitDepth | Self::Interlaced | Self::Pixels | Self::Unsupported)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// No picture, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The kind, for counters and for the caller's decision.
    pub reason: Reason,
    /// One sentence for a log or a session report; at most 200 bytes, no secrets, not for clients.
    pub detail: String,
}

/// Longest detail in bytes; what a worker says beyond it is cut.
const MAX_DETAIL: usize = 200;

impl Refusal {
    /// A refusal; `detail` is cut to 200 bytes and to one line.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.retain(|character| !character.is_control());
        if detail.len() > MAX_DETAIL {
            let end = (0..=MAX_DETAIL).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
            detail.truncate(end);
        }
        Self { reason, detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.label()), Some(reason));
        }
        assert_eq!(Reason::parse("nonsense"), None);
    }

    #[test]
    fn a_detail_is_one_short_line() {
        let refusal = Refusal::new(Reason::Broken, format!("a\nb\u{7}{}", "ü".repeat(300)));
        assert!(refusal.detail.starts_with("abü") && refusal.detail.len() <= MAX_DETAIL, "{refusal:?}");
    }
}
