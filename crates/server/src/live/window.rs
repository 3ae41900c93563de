//! The live playlist of a channel between its segments: what it lists, and how that is written down.

use std::collections::VecDeque;

use bytes::Bytes;
use media::hls::{LiveSegment, LiveWindow, MediaPlaylist, SessionState, violations};
use store::live::{Kept, WindowRecord, WindowSegment, WindowState};

use crate::config::Authoring;
use usage::{Counters, Meter, StreamMeter};

/// The state of a channel's live playlist, with what the server needs to go on with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Window {
    /// What is listed, and the counters.
    pub(crate) list: LiveWindow,
    /// The playlist's name below the channel.
    pub(crate) playlist: String,
    /// The number in the name of the newest segment; names rise.
    pub(crate) last_number_ms: u64,
    /// When the newest segment was stored, unix ms.
    pub(crate) stored_ms: i64,
    /// The minutes that were counted of the stream that is listed: one push, or several in the reconnect window (D11).
    pub(crate) streamed: StreamMeter,
}

impl Window {
    /// Reads a window that was written down.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not a window; `Newer` when a newer server wrote it, which must not be written over.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, store::Error> {
        let kept = WindowRecord::parse(bytes)?;
        let segments: VecDeque<_> = kept
            .segments
            .into_iter()
            .map(|segment| LiveSegment {
                uri: segment.uri,
                duration_ms: segment.duration_ms,
                discontinuity: segment.discontinuity,
                program_date_time_ms: segment.date_ms,
                independent: segment.independent,
            })
            .collect();
        Ok(Self {
            list: LiveWindow {
                next_sequence: kept.next_sequence,
                discontinuities_gone: kept.discontinuities_gone,
                sessions: kept.sessions,
                frag_count: kept.frag_count,
                frag_duration_s: kept.frag_duration_s,
                target_duration_s: kept.target_duration_s,
                target_rises: kept.target_rises,
                session: match kept.session {
                    WindowState::StartsFresh => SessionState::StartsFresh,
                    WindowState::Continues => SessionState::Continues,
                    WindowState::Running => SessionState::Running,
                },
                ended: kept.ended,
                segments,
            },
            playlist: kept.playlist,
            last_number_ms: kept.last_number_ms,
            stored_ms: kept.stored_ms,
            streamed: kept.streamed,
        })
    }

    /// Writes it down.
    pub(crate) fn to_bytes(&self) -> Bytes {
        let segment = |segment: &LiveSegment| WindowSegment {
            uri: segment.uri.clone(),
            duration_ms: segment.duration_ms,
            discontinuity: segment.discontinuity,
            date_ms: segment.program_date_time_ms,
            independent: segment.independent,
        };
        let kept = WindowRecord {
            next_sequence: self.list.next_sequence,
            discontinuities_gone: self.list.discontinuities_gone,
            sessions: self.list.sessions,
            frag_count: self.list.frag_count,
            frag_duration_s: self.list.frag_duration_s,
            target_duration_s: self.list.target_duration_s,
            target_rises: self.list.target_rises,
            session: match self.list.session {
                SessionState::StartsFresh => WindowState::StartsFresh,
                SessionState::Continues => WindowState::Continues,
                SessionState::Running => WindowState::Running,
            },
            ended: self.list.ended,
            segments: self.list.segments.iter().map(segment).collect(),
            playlist: self.playlist.clone(),
            last_number_ms: self.last_number_ms,
            stored_ms: self.stored_ms,
            streamed: self.streamed,
        };
        // Plain members of plain types: this cannot fail, and an empty window would be noticed when it is read.
        kept.to_bytes().unwrap_or_default()
    }

    /// A push begins that continues the list, and with it the stream whose minutes are counted, or begins both anew.
    pub(crate) fn begin_session(&mut self, frag_count: u32, frag_duration_s: u32, is_return: bool) {
        if !is_return {
            self.streamed = StreamMeter::default();
        }
        self.list.begin_session(frag_count, frag_duration_s, is_return);
    }

    /// What a segment counts that is stored now: the minutes that begin with it, and its media.
    pub(crate) fn count_segment(&mut self, duration_ms: u64, payload: u64) -> Counters {
        self.streamed.advance(duration_ms.saturating_mul(90)).with(Meter::IngestBytes, payload)
    }

    /// The number of a segment that is opened now: the time, but more than the last (LiveChannel 4.3).
    pub(crate) fn next_number_ms(&self, now_ms: i64) -> u64 {
        u64::try_from(now_ms).unwrap_or(0).max(self.last_number_ms.saturating_add(1))
    }
}

/// The playlist after a change, checked against the rules and against what was published before (D13). What breaks a
/// rule is repaired by starting a fresh list of the newest segment, counted and logged.
pub(crate) fn checked(window: &mut LiveWindow, before: Option<&MediaPlaylist>) -> Option<MediaPlaylist> {
    let next = window.playlist()?;
    let broken: Vec<_> = violations(before, &next).into_iter().filter(|violation| !violation.is_note()).collect();
    if broken.is_empty() {
        return Some(next);
    }
    for violation in &broken {
        metrics::counter!(crate::metrics::PLAYLIST_REPAIRS, "rule" => format!("{violation:?}").split([' ', '{', '(']).next().unwrap_or_default().to_owned()).increment(1);
        tracing::error!(%violation, "a live playlist would have broken a rule and was repaired");
    }
    while window.segments.len() > 1 {
        if let Some(left) = window.segments.pop_front() {
            window.discontinuities_gone += u64::from(left.discontinuity);
        }
    }
    if let Some(first) = window.segments.front_mut() {
        first.discontinuity = true;
        window.target_duration_s =
            window.target_duration_s.max(u32::try_from(first.duration_ms.div_ceil(1000)).unwrap_or(u32::MAX)).max(1);
    }
    window.playlist()
}

/// Apple's rules ask live lists for so many segments.
const APPLES_SEGMENTS: u32 = 6;

/// How many segments a live list has at most: those that were configured, and with Apple's rules at least theirs.
pub(super) fn frag_count(configured: u32, authoring: Authoring) -> u32 {
    match authoring {
        Authoring::Oss => configured,
        Authoring::Apple => configured.max(APPLES_SEGMENTS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_survives_being_written_down() {
        let mut window = Window { playlist: "playlist.m3u8".to_owned(), ..Window::default() };
        window.list.begin_session(3, 5, false);
        for n in 0..5 {
            window.list.push(LiveSegment {
                uri: format!("{n}.ts"),
                duration_ms: 5000,
                discontinuity: false,
                program_date_time_ms: Some(1_704_164_645_000 + n * 5000),
                independent: n > 2,
            });
        }
        window.last_number_ms = 1_704_164_665_000;
        assert_eq!(Window::parse(&window.to_bytes()).unwrap(), window);
        assert!(Window::parse(b"").is_err());
    }

    #[test]
    fn numbers_rise_even_when_the_clock_falls() {
        let window = Window { last_number_ms: 1000, ..Window::default() };
        assert_eq!(window.next_number_ms(5000), 5000);
        assert_eq!(window.next_number_ms(500), 1001);
        assert_eq!(window.next_number_ms(-5), 1001);
    }
}
