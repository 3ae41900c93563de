//! The time of a message, where peers disagree about what a chunk header says: decided by evidence (D6, quirks Q16 to Q19).

use crate::rtmp::message::MessageKind;
use crate::rtmp::stats::Quirk;

/// Two times closer than this belong together: no encoder pauses longer without starting anew.
const NEAR_MS: u32 = 60_000;

/// No pause of an encoder is longer than this, but codec data read as a time mostly lies further away.
const FAR_MS: u32 = 86_400_000;

/// How far times without extension fall when they wrap.
const WRAP_24: u32 = 1 << 24;

/// What is known about the running time of one track.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// The time of the last message, if there was one.
    last: Option<u32>,
    /// The last plausible distance between two messages. Before there is one: a typical one.
    step: u32,
    /// How often 24-bit times have wrapped, as a multiple of 2^24.
    epoch: u32,
}

/// The running times of a session, the evidence for the times of further messages.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    audio: Clock,
    video: Clock,
    /// A peer that has sent an extended time knows about them, so its 24-bit times do not wrap.
    knows_extension: bool,
}

/// How a chunk stream counts from its last message to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The last header with a time had an absolute one, of this value.
    Absolute(u32),
    /// It had a delta.
    Delta(u32),
}

/// The time that a header stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) timestamp: u32,
    pub(super) pace: Pace,
    /// What was odd about it.
    pub(super) quirk: Option<Quirk>,
    epoch: Option<u32>,
}

impl Decision {
    fn plain(timestamp: u32, pace: Pace) -> Self {
        Self { timestamp, pace, quirk: None, epoch: None }
    }
}

impl Default for Clocks {
    fn default() -> Self {
        // An AAC frame lasts 21 to 23 ms, a picture 16 to 40 ms.
        let clock = |step| Clock { last: None, step, epoch: 0 };
        Self { audio: clock(23), video: clock(33), knows_extension: false }
    }
}

impl Clocks {
    fn track(&self, kind: MessageKind) -> Option<(&Clock, &Clock)> {
        match kind {
            MessageKind::Audio => Some((&self.audio, &self.video)),
            MessageKind::Video => Some((&self.video, &self.audio)),
            _ => None,
        }
    }

    /// When the next message of that kind is due, as far as earlier ones tell.
    pub(super) fn expected(&self, kind: MessageKind) -> Option<u32> {
        let (own, other) = self.track(kind)?;
        own.last.map(|last| last.wrapping_add(own.step)).or(other.last)
    }

    /// Whether a time is near the running time of its track.
    pub(super) fn is_near(&self, kind: MessageKind, timestamp: u32) -> bool {
        self.expected(kind).is_some_and(|expected| distance(timestamp, expected) < NEAR_MS)
    }

    /// Whether a full 24-bit time field is the time itself, from a peer that does not know extended ones, and `value`, the
    /// four bytes after it, is payload (quirk Q19). Such a peer meets this once in 4.66 hours. A wrong guess would lose the
    /// stream, so the evidence has to be strong: the field fits to the second, and the four bytes do not to the day.
    pub(super) fn is_unextended(&self, kind: MessageKind, value: u32) -> bool {
        let expected = self.expected(kind).filter(|_| !self.knows_extension);
        expected.is_some_and(|expected| distance(WRAP_24 - 1, expected) < 1000 && distance(value, expected) > FAR_MS)
    }

    /// The time of a type 0 header. `extended` tells whether `value` came from the four extra bytes.
    pub(super) fn absolute(&self, kind: MessageKind, value: u32, extended: bool) -> Decision {
        let plain = Decision::plain(value, Pace::Absolute(value));
        let (Some(expected), Some((own, other))) = (self.expected(kind), self.track(kind)) else { return plain };
        if extended || self.knows_extension {
            return plain;
        }
        let epoch = if own.last.is_some() { own.epoch } else { other.epoch };
        let timestamp = value.wrapping_add(epoch);
        // A message from before the wrap may still come after one from behind it, so both neighbours are tried.
        let wrapped = [epoch.wrapping_add(WRAP_24), epoch.wrapping_sub(WRAP_24)]
            .into_iter()
            .filter(|_| distance(timestamp, expected) > WRAP_24 / 2)
            .find(|&epoch| distance(value.wrapping_add(epoch), expected) < NEAR_MS);
        match wrapped {
            Some(epoch) => Decision {
                timestamp: value.wrapping_add(epoch),
                pace: plain.pace,
                quirk: Some(Quirk::Wrapped24Bit),
                epoch: Some(epoch),
            },
            None => Decision { timestamp, epoch: Some(epoch), ..plain },
        }
    }

    /// The time of a type 1 or 2 header after a message of time `previous`.
    pub(super) fn delta(&self, kind: MessageKind, previous: u32, delta: u32, extended: bool) -> Decision {
        let added = previous.wrapping_add(delta);
        // Where neither fits the clock, time has jumped, and the letter of the specification is the better guess.
        if extended && self.is_near(kind, delta) && self.nearer(kind, delta, added) {
            let quirk = Some(Quirk::ExtendedDeltaAbsolute);
            return Decision { quirk, ..Decision::plain(delta, Pace::Absolute(delta)) };
        }
        Decision::plain(added, Pace::Delta(delta))
    }

    /// The time of a type 3 header that begins a message after one of time `previous`.
    pub(super) fn repeated(&self, kind: MessageKind, previous: u32, pace: Pace) -> Decision {
        match pace {
            Pace::Delta(delta) => Decision::plain(previous.wrapping_add(delta), pace),
            Pace::Absolute(0) => Decision::plain(previous, pace),
            Pace::Absolute(value) => {
                let added = previous.wrapping_add(value);
                let (timestamp, quirk) = if self.nearer(kind, added, previous) {
                    (added, Quirk::Type3AfterType0Advances)
                } else {
                    (previous, Quirk::Type3AfterType0Repeats)
                };
                // Commands are often sent this way, and their time means nothing.
                Decision { quirk: self.track(kind).map(|_| quirk), ..Decision::plain(timestamp, pace) }
            }
        }
    }

    /// Whether `candidate` is nearer to the expected time than `other`.
    fn nearer(&self, kind: MessageKind, candidate: u32, other: u32) -> bool {
        self.expected(kind).is_some_and(|expected| distance(candidate, expected) < distance(other, expected))
    }

    /// Notes that a message with this time has begun.
    pub(super) fn note(&mut self, kind: MessageKind, decision: &Decision, extended: bool) {
        self.knows_extension |= extended;
        let clock = match kind {
            MessageKind::Audio => &mut self.audio,
            MessageKind::Video => &mut self.video,
            _ => return,
        };
        if let Some(last) = clock.last {
            let step = decision.timestamp.wrapping_sub(last);
            if (1..=1000).contains(&step) {
                clock.step = step;
            }
        }
        clock.last = Some(decision.timestamp);
        clock.epoch = decision.epoch.unwrap_or(clock.epoch);
    }
}

/// How far two times lie apart, on a clock that wraps after 2^32 ms.
fn distance(a: u32, b: u32) -> u32 {
    a.wrapping_sub(b).cast_signed().unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks(times: &[u32]) -> Clocks {
        let mut clocks = Clocks::default();
        for &time in times {
            clocks.note(MessageKind::Audio, &Decision::plain(time, Pace::Absolute(time)), false);
        }
        clocks
    }

    fn check(decision: Decision, timestamp: u32, quirk: Option<Quirk>) {
        assert_eq!((decision.timestamp, decision.quirk), (timestamp, quirk));
    }

    #[test]
    fn q16_type_3_after_type_0_follows_the_clock() {
        let audio = MessageKind::Audio;
        let advances = Some(Quirk::Type3AfterType0Advances);
        let repeats = Some(Quirk::Type3AfterType0Repeats);
        check(clocks(&[0, 23]).repeated(audio, 23, Pace::Absolute(23)), 46, advances);
        check(clocks(&[23]).repeated(audio, 23, Pace::Absolute(23)), 46, advances);
        check(clocks(&[9977, 10_000]).repeated(audio, 10_000, Pace::Absolute(10_000)), 10_000, repeats);
        check(clocks(&[0]).repeated(audio, 0, Pace::Absolute(0)), 0, None);
        check(clocks(&[50]).repeated(MessageKind::Amf0Command, 7, Pace::Absolute(7)), 7, None);
    }

    #[test]
    fn q18_extended_delta_is_read_by_evidence() {
        let audio = MessageKind::Audio;
        let at = 20_000_000;
        check(clocks(&[at]).delta(audio, at, at + 23, true), at + 23, Some(Quirk::ExtendedDeltaAbsolute));
        check(clocks(&[5]).delta(audio, 5, at, true), at + 5, None);
        check(clocks(&[3664]).delta(audio, 3664, 2_147_476_304, true), 2_147_479_968, None);
        check(clocks(&[0]).delta(audio, 0, at, true), at, None);
        check(clocks(&[u32::MAX - at]).delta(audio, u32::MAX - at, at + 24, true), 23, None);
    }

    #[test]
    fn q19_falls_of_24_bits_are_unwrapped() {
        let audio = MessageKind::Audio;
        let wrapped = Some(Quirk::Wrapped24Bit);
        let mut clocks = clocks(&[WRAP_24 - 30]);
        let first = clocks.absolute(audio, 10, false);
        check(first, WRAP_24 + 10, wrapped);
        clocks.note(audio, &first, false);
        check(clocks.absolute(audio, 33, false), WRAP_24 + 33, None);
        check(clocks.absolute(audio, WRAP_24 - 5, false), WRAP_24 - 5, wrapped);
        check(clocks.absolute(MessageKind::Video, 35, false), WRAP_24 + 35, None);
        check(clocks.absolute(audio, 8_000_000, false), WRAP_24 + 8_000_000, None);
        check(clocks.absolute(audio, 33, true), 33, None);
    }

    #[test]
    fn q19_a_new_start_is_no_wrap() {
        let audio = MessageKind::Audio;
        check(clocks(&[10_000_000]).absolute(audio, 0, false), 0, None);
        let mut clocks = clocks(&[WRAP_24 - 30]);
        clocks.knows_extension = true;
        check(clocks.absolute(audio, 0, false), 0, None);
    }
}
