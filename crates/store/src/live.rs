//! What a publisher writes down about its push: the state of the live playlist, the notes on the open segment, the report at
//! the end. Plain data; what it means is the business of whoever plays with it.
//!
//! Until 0.2 these were JSON objects without a version. What begins with `{` is read as such.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use usage::StreamMeter;

use crate::error::{Error, Result, Subject};
use crate::record::{Record, decode, encode, newer};

/// The version byte of a JSON object.
const JSON: u8 = b'{';

/// Reads a record of a version before the first: a JSON object whose first character is the version.
fn from_json<R: Record + DeserializeOwned>(version: u8, body: &[u8]) -> Result<R> {
    if version != JSON {
        return Err(newer::<R>(version));
    }
    serde_json::from_slice(&[&[JSON], body].concat()).map_err(|e| Error::corrupt(R::SUBJECT, e))
}

/// A record by its bytes, as they are kept inside other rows.
pub trait Kept: Record {
    /// The bytes to keep.
    ///
    /// # Errors
    /// `Corrupt` when it cannot be written, which plain members never cause.
    fn to_bytes(&self) -> Result<Bytes> {
        encode(self)
    }

    /// Reads what was kept, of any version.
    ///
    /// # Errors
    /// `Corrupt` when the bytes are not what was written; `Newer` when a newer program wrote them: they must not be written
    /// over then.
    fn parse(bytes: &[u8]) -> Result<Self> {
        decode(bytes)
    }
}

/// The state of a channel's live playlist.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowRecord {
    /// The sequence number of the segment that comes next.
    pub next_sequence: u64,
    /// Discontinuities before the first segment that is listed.
    pub discontinuities_gone: u64,
    /// Pushes that have been listed.
    pub sessions: u64,
    /// Segments in the list.
    pub frag_count: u32,
    /// The configured length of a segment, seconds.
    pub frag_duration_s: u32,
    /// The target duration that is announced, seconds.
    pub target_duration_s: u32,
    /// How often it had to rise.
    pub target_rises: u64,
    /// Where the push stands that is listed.
    pub session: WindowState,
    /// Whether the list is closed.
    pub ended: bool,
    /// What is listed.
    pub segments: Vec<WindowSegment>,
    /// The name of the playlist below its channel.
    pub playlist: String,
    /// The number in the name of the newest segment.
    pub last_number_ms: u64,
    /// When the newest segment was stored, Unix milliseconds.
    pub stored_ms: i64,
    /// The minutes that were counted of the stream that is listed, which may be several pushes (D11).
    #[serde(skip_serializing_if = "is_new")]
    pub streamed: StreamMeter,
}

fn is_new(meter: &StreamMeter) -> bool {
    *meter == StreamMeter::default()
}

/// Where a push stands in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum WindowState {
    /// Its first segment begins a new list.
    #[default]
    StartsFresh,
    /// Its first segment continues the list of the push before.
    Continues,
    /// Some of its segments are listed.
    Running,
}

/// A segment in the list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowSegment {
    /// Its address, relative to the playlist.
    pub uri: String,
    /// How long it plays.
    pub duration_ms: u64,
    /// Whether it does not continue the one before it.
    pub discontinuity: bool,
    /// When it was recorded, Unix milliseconds.
    pub date_ms: Option<i64>,
    /// Whether it can be decoded without any other.
    #[serde(skip_serializing_if = "is_not")]
    pub independent: bool,
}

fn is_not(flag: &bool) -> bool {
    !flag
}

impl Record for WindowRecord {
    const SUBJECT: Subject = Subject::Publication;

    fn migrate(version: u8, body: &[u8]) -> Result<Self> {
        from_json(version, body)
    }
}

impl Kept for WindowRecord {}

/// What a publisher notes on its open segment for the case of a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OpenDetails {
    /// When its first picture was taken, Unix milliseconds.
    pub date_ms: i64,
    /// When it was opened, Unix milliseconds, as corrected since; `None`: the number in its name says it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opened_ms: Option<i64>,
    /// Whether it does not continue the one before it.
    pub discontinuity: bool,
    /// The name of the playlist below its channel.
    pub playlist: String,
    /// Segments in the list.
    pub frag_count: u32,
    /// The configured length of a segment, seconds.
    pub frag_duration_s: u32,
    /// Where it stands in its push.
    pub place: Place,
    /// What it is packed in: the code of a [`model::Container`], maybe one of a later version.
    #[serde(skip_serializing_if = "is_zero")]
    pub container: u8,
    /// Who pushes, for whom usage is counted; empty for nobody in particular.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_zero(code: &u8) -> bool {
    *code == 0
}

/// Where an open segment stands in its push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Place {
    /// It is the first, and replaces the list of the push before.
    FirstOfFreshList,
    /// It is the first, and continues the list of the push before (D11).
    FirstAfterReturn,
    /// Segments of its push are listed before it.
    #[default]
    Later,
}

impl Record for OpenDetails {
    const SUBJECT: Subject = Subject::Publication;

    fn migrate(version: u8, body: &[u8]) -> Result<Self> {
        from_json(version, body)
    }
}

impl Kept for OpenDetails {}

/// What a push was, as it is kept beside the history of its channel (D7).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReportRecord {
    /// What the encoder calls itself; empty when it does not.
    pub encoder: String,
    /// The kind of its handshake.
    pub handshake: String,
    /// How long it was connected as a publisher.
    pub seconds: i64,
    /// Payload of its video messages.
    pub video_bytes: u64,
    /// Payload of its audio messages.
    pub audio_bytes: u64,
    /// The codec of its video, also when it is one that is not recorded; empty when none came.
    pub video_codec: String,
    /// The codec of its audio, likewise.
    pub audio_codec: String,
    /// Pictures recorded.
    pub pictures: u64,
    /// Key frames among them.
    pub key_frames: u64,
    /// Audio frames recorded.
    pub audio_frames: u64,
    /// Segments stored.
    pub segments: u64,
    /// Media that could not be stored, in milliseconds.
    pub lost_ms: u64,
    /// What was seen and corrected, dropped or refused, and how often.
    pub quirks: BTreeMap<String, u64>,
    /// What to change in the encoder, a sentence each.
    pub advice: Vec<String>,
}

impl Record for ReportRecord {
    const SUBJECT: Subject = Subject::Publication;

    fn migrate(version: u8, body: &[u8]) -> Result<Self> {
        from_json(version, body)
    }
}

impl Kept for ReportRecord {}

#[cfg(test)]
mod tests {
    use std::fmt::Debug;

    use super::*;
    use crate::ErrorKind;

    /// Reads a fixture of every version that was ever written, and what is written today.
    fn check<R: Kept + PartialEq + Debug>(record: &R, json: &str, hex: &str) {
        assert_eq!(R::parse(json.as_bytes()).as_ref(), Ok(record), "0.1");
        let bytes: Vec<u8> =
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
        assert_eq!(R::parse(&bytes).as_ref(), Ok(record), "0.2");
        let written: String = record.to_bytes().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(written, hex, "a change of the record that cannot read this needs a new version");
        // Nothing is taken for something else.
        assert_eq!(R::parse(b"\x02\x80").unwrap_err().kind, ErrorKind::Newer);
        for other in [&b""[..], b"[]", b"{", b"{]"] {
            assert!(R::parse(other).is_err(), "{other:?}");
        }
        let mut rotten = record.to_bytes().unwrap().to_vec();
        *rotten.last_mut().unwrap() ^= 1;
        assert_eq!(R::parse(&rotten).unwrap_err().kind, ErrorKind::Corrupt);
    }

    #[test]
    fn windows_of_every_version_are_read() {
        let record = WindowRecord {
            next_sequence: 7,
            discontinuities_gone: 1,
            sessions: 2,
            frag_count: 3,
            frag_duration_s: 5,
            target_duration_s: 6,
            target_rises: 1,
            session: WindowState::Running,
            ended: false,
            segments: vec![WindowSegment {
                uri: "1.ts".to_owned(),
                duration_ms: 5000,
                discontinuity: true,
                date_ms: Some(1_704_164_645_000),
                independent: false,
            }],
            playlist: "playlist.m3u8".to_owned(),
            last_number_ms: 1_704_164_665_000,
            stored_ms: 1_704_164_670_000,
            streamed: StreamMeter::default(),
        };
        check(
            &record,
            concat!(
                r#"{"next_sequence":7,"discontinuities_gone":1,"sessions":2,"frag_count":3,"frag_duration_s":5,"#,
                r#""target_duration_s":6,"target_rises":1,"session":"Running","ended":false,"segments":[{"uri":"1.ts","#,
                r#""duration_ms":5000,"discontinuity":true,"date_ms":1704164645000}],"playlist":"playlist.m3u8","#,
                r#""last_number_ms":1704164665000,"stored_ms":1704164670000}"#
            ),
            WINDOW_HEX,
        );
        // Members that came later have defaults: nothing begins anew because of them.
        let older = WindowRecord::parse(br#"{"next_sequence":7,"gone":1}"#).unwrap();
        assert_eq!(older, WindowRecord { next_sequence: 7, ..WindowRecord::default() });
    }

    #[test]
    fn notes_on_open_segments_of_every_version_are_read() {
        let record = OpenDetails {
            date_ms: 1_704_164_645_000,
            opened_ms: None,
            discontinuity: true,
            playlist: "playlist.m3u8".to_owned(),
            frag_count: 3,
            frag_duration_s: 5,
            place: Place::FirstAfterReturn,
            container: 0,
            user: String::new(),
        };
        check(
            &record,
            concat!(
                r#"{"date_ms":1704164645000,"discontinuity":true,"playlist":"playlist.m3u8","frag_count":3,"#,
                r#""frag_duration_s":5,"place":"FirstAfterReturn"}"#
            ),
            OPEN_HEX,
        );
    }

    #[test]
    fn reports_of_every_version_are_read() {
        let record = ReportRecord {
            encoder: "Lavf60".to_owned(),
            handshake: "simple".to_owned(),
            seconds: 5,
            pictures: 100,
            segments: 2,
            quirks: BTreeMap::from([("repaired_pts".to_owned(), 3)]),
            advice: vec!["Slow down.".to_owned()],
            ..ReportRecord::default()
        };
        check(
            &record,
            r#"{"encoder":"Lavf60","handshake":"simple","seconds":5,"pictures":100,"segments":2,"quirks":{"repaired_pts":3},"advice":["Slow down."]}"#,
            REPORT_HEX,
        );
    }

    const WINDOW_HEX: &str = concat!(
        "8141c96c998dad6e6578745f73657175656e636507b4646973636f6e74696e7569746965735f676f6e6501a873657373696f",
        "6e7302aa667261675f636f756e7403af667261675f6475726174696f6e5f7305b17461726765745f6475726174696f6e5f73",
        "06ac7461726765745f726973657301a773657373696f6ea752756e6e696e67a5656e646564c2a87365676d656e74739184a3",
        "757269a4312e7473ab6475726174696f6e5f6d73cd1388ad646973636f6e74696e75697479c3a7646174655f6d73cf000001",
        "8cc820d888a8706c61796c697374ad706c61796c6973742e6d337538ae6c6173745f6e756d6265725f6d73cf0000018cc821",
        "26a8a973746f7265645f6d73cf0000018cc8213a30",
    );
    const OPEN_HEX: &str = concat!(
        "81c7d0579786a7646174655f6d73cf0000018cc820d888ad646973636f6e74696e75697479c3a8706c61796c697374ad706c",
        "61796c6973742e6d337538aa667261675f636f756e7403af667261675f6475726174696f6e5f7305a5706c616365b0466972",
        "7374416674657252657475726e",
    );
    const REPORT_HEX: &str = concat!(
        "815df86a0e8ea7656e636f646572a64c6176663630a968616e647368616b65a673696d706c65a77365636f6e647305ab7669",
        "64656f5f627974657300ab617564696f5f627974657300ab766964656f5f636f646563a0ab617564696f5f636f646563a0a8",
        "706963747572657364aa6b65795f6672616d657300ac617564696f5f6672616d657300a87365676d656e747302a76c6f7374",
        "5f6d7300a6717569726b7381ac72657061697265645f70747303a661647669636591aa536c6f7720646f776e2e",
    );
}
