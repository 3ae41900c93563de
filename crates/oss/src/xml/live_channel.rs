//! Documents of the LiveChannel operations (LiveChannel 1, 2).

use super::tree::{Element, malformed};
use super::writer::Document;
use crate::request::{ChannelUrls, parse_decimal, shown};
use model::date::format_iso8601;
use model::name::{BucketName, PlaylistName};
use model::{ChannelStatus, LiveChannelConfig, SnapshotConfig};
use model::{Error, Result};

/// The longest `LiveChannelConfiguration` that is read, in bytes.
pub const MAX_CONFIGURATION_BYTES: usize = 64 * 1024;

/// The longest description, in bytes.
const MAX_DESCRIPTION_BYTES: usize = 128;

/// What a server may choose about channel configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigurationRules {
    /// Whether `Snapshot` is accepted at all (LiveChannel 6.2).
    pub snapshot_supported: bool,
    /// Fill in the default when only one of FragDuration and FragCount is given, rather than refuse (LiveChannel 11.24).
    pub fill_in_fragments: bool,
}

impl Default for ConfigurationRules {
    fn default() -> Self {
        Self { snapshot_supported: true, fill_in_fragments: false }
    }
}

fn refuse(ec: &'static str, name: &'static str, value: &str, message: &'static str) -> Error {
    Error::argument(name, shown(value), message).ec(ec)
}

/// Reads a `LiveChannelConfiguration` (LiveChannel 1.1.1). Of several errors the one with the lowest EC is returned.
/// Whether the snapshot's bucket will do, ECs 0044-00000009 to 11, is for the caller to look up between the two steps of
/// [`SentConfiguration`].
///
/// # Errors
/// `MalformedXML`, or `InvalidArgument` with an EC.
pub fn parse_configuration(body: &[u8], rules: ConfigurationRules) -> Result<LiveChannelConfig> {
    SentConfiguration::parse(body, rules)?.finish()
}

/// A `LiveChannelConfiguration` that is read up to its snapshot.
#[derive(Debug)]
pub struct SentConfiguration {
    root: Element,
    rules: ConfigurationRules,
    description: String,
    status: ChannelStatus,
    snapshot: Option<SnapshotConfig>,
}

impl SentConfiguration {
    /// Reads what has ECs up to 0044-00000008.
    ///
    /// # Errors
    /// `MalformedXML`, or `InvalidArgument` with an EC.
    pub fn parse(body: &[u8], rules: ConfigurationRules) -> Result<Self> {
        let root = Element::parse(body, "LiveChannelConfiguration", MAX_CONFIGURATION_BYTES)?;
        let description = root.child("Description")?.map(|element| element.text.clone()).unwrap_or_default();
        // A listing could never be read again by a strict parser (LiveChannel 0.4 refuses them in names for the same reason).
        if description.chars().any(|c| c < ' ' && !matches!(c, '\t' | '\n' | '\r')) {
            return Err(malformed("The Description has characters that XML does not allow."));
        }
        if description.len() > MAX_DESCRIPTION_BYTES {
            return Err(refuse("0044-00000001", "Description", &description, "Description exceeds 128 bytes."));
        }
        let status = match root.value("Status")? {
            None => ChannelStatus::Enabled,
            Some(text) => ChannelStatus::parse(text)
                .ok_or_else(|| refuse("0044-00000002", "Status", text, "Status must be enabled or disabled."))?,
        };
        let snapshot = parse_snapshot(&root, rules)?;
        Ok(Self { root, rules, description, status, snapshot })
    }

    /// What is asked for in the way of snapshots.
    pub fn snapshot(&self) -> Option<&SnapshotConfig> {
        self.snapshot.as_ref()
    }

    /// Reads the rest.
    ///
    /// # Errors
    /// `InvalidArgument` with an EC from 0044-00000012 on, or `MalformedXML`.
    pub fn finish(self) -> Result<LiveChannelConfig> {
        let Self { root, rules, description, status, snapshot } = self;
        let mut targets = root.children_named("Target");
        let (Some(target), None) = (targets.next(), targets.next()) else {
            return Err(refuse("0044-00000012", "Target", "", "Exactly one Target node is required."));
        };
        let kind = target.value("Type")?.unwrap_or_default();
        if kind != "HLS" {
            return Err(refuse("0044-00000013", "Type", kind, "Type must be HLS."));
        }
        let (duration, count) = (target.value("FragDuration")?, target.value("FragCount")?);
        let defaults = LiveChannelConfig::default();
        let may_miss_one = rules.fill_in_fragments || (duration.is_none() && count.is_none());
        let fragment = |text: Option<&str>,
                        default: u32,
                        name: &'static str,
                        ec: &'static str,
                        message: &'static str| match text {
            None if may_miss_one => Ok(default),
            text => one_to_hundred(text.unwrap_or_default())
                .ok_or_else(|| refuse(ec, name, text.unwrap_or_default(), message)),
        };
        let frag_duration = fragment(
            duration,
            defaults.frag_duration,
            "FragDuration",
            "0044-00000014",
            "FragDuration must be an integer in [1,100].",
        )?;
        let frag_count = fragment(
            count,
            defaults.frag_count,
            "FragCount",
            "0044-00000015",
            "FragCount must be an integer in [1,100].",
        )?;
        let playlist_name = match target.value("PlaylistName")? {
            None => PlaylistName::default(),
            Some(text) => PlaylistName::parse(text)?,
        };
        Ok(LiveChannelConfig { description, status, frag_duration, frag_count, playlist_name, snapshot })
    }
}

fn one_to_hundred(text: &str) -> Option<u32> {
    parse_decimal(text).and_then(|number| u32::try_from(number).ok()).filter(|number| (1..=100).contains(number))
}

/// LiveChannel 6.1, in the order of the ECs. ECs 9 to 11 need the store.
fn parse_snapshot(root: &Element, rules: ConfigurationRules) -> Result<Option<SnapshotConfig>> {
    let mut snapshots = root.children_named("Snapshot");
    let Some(snapshot) = snapshots.next() else { return Ok(None) };
    if snapshots.next().is_some() {
        return Err(refuse("0044-00000003", "Snapshot", "", "More than one Snapshot node."));
    }
    // `<Snapshot/>` and a missing Snapshot mean the same (LiveChannel 0.6).
    if snapshot.children.is_empty() && snapshot.trimmed().is_empty() {
        return Ok(None);
    }
    if !rules.snapshot_supported {
        return Err(refuse("0044-00000004", "Snapshot", "", "Snapshot is not supported in this region."));
    }
    let text = |name: &str| Ok::<_, Error>(snapshot.value(name)?.unwrap_or_default());
    let interval = one_to_hundred(text("Interval")?).ok_or_else(|| {
        let value = snapshot.value("Interval").ok().flatten().unwrap_or_default();
        refuse("0044-00000005", "Interval", value, "Interval must be an integer in [1,100].")
    })?;
    let notify_topic = text("NotifyTopic")?;
    if notify_topic.is_empty() {
        return Err(refuse("0044-00000006", "NotifyTopic", "", "NotifyTopic must not be empty."));
    }
    let role_name = text("RoleName")?;
    if role_name.is_empty() {
        return Err(refuse("0044-00000007", "RoleName", "", "RoleName must not be empty."));
    }
    let dest_bucket = text("DestBucket")?;
    if !BucketName::is_legal(dest_bucket) {
        return Err(refuse("0044-00000008", "DestBucket", dest_bucket, "DestBucket is not a valid bucket name."));
    }
    Ok(Some(SnapshotConfig {
        role_name: role_name.to_owned(),
        dest_bucket: dest_bucket.to_owned(),
        notify_topic: notify_topic.to_owned(),
        interval,
    }))
}

/// Writes a `LiveChannelConfiguration` (LiveChannel 1.3).
pub fn render_configuration(config: &LiveChannelConfig) -> String {
    let mut document = Document::new("LiveChannelConfiguration");
    document.text("Description", &config.description).value("Status", config.status).within("Target", |target| {
        target
            .text("Type", "HLS")
            .value("FragDuration", config.frag_duration)
            .value("FragCount", config.frag_count)
            .text("PlaylistName", config.playlist_name.as_str());
    });
    if let Some(snapshot) = &config.snapshot {
        document.within("Snapshot", |element| {
            element
                .text("RoleName", &snapshot.role_name)
                .text("DestBucket", &snapshot.dest_bucket)
                .text("NotifyTopic", &snapshot.notify_topic)
                .value("Interval", snapshot.interval);
        });
    }
    document.finish()
}

fn write_urls(document: &mut Document, urls: &ChannelUrls) {
    document.within("PublishUrls", |element| {
        element.text("Url", &urls.publish);
    });
    document.within("PlayUrls", |element| {
        element.text("Url", &urls.play);
    });
}

/// Writes a `CreateLiveChannelResult` (LiveChannel 1.1.2).
pub fn render_create_result(urls: &ChannelUrls) -> String {
    let mut document = Document::new("CreateLiveChannelResult");
    write_urls(&mut document, urls);
    document.finish()
}

/// One channel of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChannel {
    /// Its name.
    pub name: String,
    /// Its description, possibly empty.
    pub description: String,
    /// The configured status, not whether it is live.
    pub status: ChannelStatus,
    /// The last change of its configuration, unix ms.
    pub modified_ms: i64,
    /// Its addresses.
    pub urls: ChannelUrls,
}

/// A page of channels (LiveChannel 1.6).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListLiveChannelResult {
    /// As asked.
    pub prefix: String,
    /// As asked.
    pub marker: String,
    /// The number in force.
    pub max_keys: u32,
    /// The last name returned when there are more; its presence is what says "truncated".
    pub next_marker: Option<String>,
    /// Ascending by name.
    pub channels: Vec<ListedChannel>,
}

impl ListLiveChannelResult {
    /// Writes the document.
    pub fn render(&self) -> String {
        let mut document = Document::new("ListLiveChannelResult");
        document
            .text("Prefix", &self.prefix)
            .text("Marker", &self.marker)
            .value("MaxKeys", self.max_keys)
            .value("IsTruncated", self.next_marker.is_some())
            .text("NextMarker", self.next_marker.as_deref().unwrap_or_default());
        for channel in &self.channels {
            document.within("LiveChannel", |element| {
                element
                    .text("Name", &channel.name)
                    .text("Description", &channel.description)
                    .value("Status", channel.status)
                    .text("LastModified", &format_iso8601(channel.modified_ms));
                write_urls(element, &channel.urls);
            });
        }
        document.finish()
    }
}

/// Facts about the video of a running push (LiveChannel 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoStat {
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Whole frames per second, cut.
    pub frame_rate: u32,
    /// Bytes per second.
    pub bandwidth: u64,
    /// `H264`.
    pub codec: String,
}

/// Facts about the audio of a running push (LiveChannel 2.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudioStat {
    /// Bytes per second.
    pub bandwidth: u64,
    /// Hz.
    pub sample_rate: u32,
    /// `AAC`, or what else arrives.
    pub codec: String,
}

/// What became of the snapshots of a push; not in the documents of OSS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotStat {
    /// Pictures stored.
    pub taken: u64,
    /// Pictures that were due and are not stored.
    pub missing: u64,
    /// Why the last of these was not, as a word and as a sentence; absent while all are.
    pub fault: Option<(String, String)>,
}

/// The state of a channel (LiveChannel 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveChannelStat {
    /// The configured status is `disabled`.
    Disabled,
    /// Nobody publishes.
    Idle,
    /// Somebody publishes.
    Live {
        /// When the session began, unix ms.
        connected_ms: i64,
        /// `ip:port`, IPv6 in brackets.
        remote: String,
        /// Absent until video arrives.
        video: Option<VideoStat>,
        /// Absent until audio arrives.
        audio: Option<AudioStat>,
        /// Absent where no snapshots are asked for.
        snapshots: Option<SnapshotStat>,
    },
}

impl LiveChannelStat {
    /// Writes the document.
    pub fn render(&self) -> String {
        let mut document = Document::new("LiveChannelStat");
        let (connected_ms, remote, video, audio, snapshots) = match self {
            Self::Disabled => {
                document.text("Status", "Disabled");
                return document.finish();
            }
            Self::Idle => {
                document.text("Status", "Idle");
                return document.finish();
            }
            Self::Live { connected_ms, remote, video, audio, snapshots } => {
                (*connected_ms, remote, video, audio, snapshots)
            }
        };
        document.text("Status", "Live").text("ConnectedTime", &format_iso8601(connected_ms)).text("RemoteAddr", remote);
        if let Some(video) = video {
            document.within("Video", |element| {
                element
                    .value("Width", video.width)
                    .value("Height", video.height)
                    .value("FrameRate", video.frame_rate)
                    .value("Bandwidth", video.bandwidth)
                    .text("Codec", &video.codec);
            });
        }
        if let Some(audio) = audio {
            document.within("Audio", |element| {
                element
                    .value("Bandwidth", audio.bandwidth)
                    .value("SampleRate", audio.sample_rate)
                    .text("Codec", &audio.codec);
            });
        }
        if let Some(snapshots) = snapshots {
            document.within("Snapshot", |element| {
                element.value("Taken", snapshots.taken).value("Missing", snapshots.missing);
                if let Some((reason, message)) = &snapshots.fault {
                    element.text("Reason", reason).text("Message", message);
                }
            });
        }
        document.finish()
    }
}

/// One finished push (LiveChannel 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveRecord {
    /// Unix ms.
    pub start_ms: i64,
    /// Unix ms.
    pub end_ms: i64,
    /// `ip:port`.
    pub remote: String,
}

/// Writes a `LiveChannelHistory` of finished pushes, given oldest first.
pub fn render_history(records: &[LiveRecord]) -> String {
    let mut document = Document::new("LiveChannelHistory");
    for record in records {
        document.within("LiveRecord", |element| {
            element
                .text("StartTime", &format_iso8601(record.start_ms))
                .text("EndTime", &format_iso8601(record.end_ms))
                .text("RemoteAddr", &record.remote);
        });
    }
    document.finish()
}

#[cfg(test)]
mod tests {
    use super::super::check_golden;
    use super::*;
    use model::ErrorCode;
    use proptest::prelude::*;

    const T0: i64 = 1_893_456_015_000;
    const REMOTE: &str = "192.0.2.10:47745";

    fn urls(channel: &str) -> ChannelUrls {
        ChannelUrls {
            publish: format!("rtmp://examplebucket.oss.example.com/live/{channel}"),
            play: format!("http://examplebucket.oss.example.com/{channel}/playlist.m3u8"),
        }
    }

    fn snapshot() -> SnapshotConfig {
        SnapshotConfig {
            role_name: "role-for-snapshot".into(),
            dest_bucket: "snapshotdest".into(),
            notify_topic: "snapshotnotify".into(),
            interval: 1,
        }
    }

    #[test]
    fn the_fixtures_are_byte_exact() {
        check_golden(&LiveChannelStat::Idle.render(), 100, "315D5D361DD1341BE36A59D1C6DE35E4");
        check_golden(&LiveChannelStat::Disabled.render(), 104, "51064F01E5343F4E9FC41D8B157E1125");
        let live = |video, audio| LiveChannelStat::Live {
            connected_ms: T0,
            remote: REMOTE.into(),
            video,
            audio,
            snapshots: None,
        };
        check_golden(&live(None, None).render(), 202, "7BDC126FB98A8906C49C96243E3CF82A");
        let video = VideoStat { width: 1280, height: 536, frame_rate: 24, bandwidth: 72513, codec: "H264".into() };
        let audio = AudioStat { bandwidth: 6519, sample_rate: 44100, codec: "AAC".into() };
        check_golden(&live(Some(video), Some(audio)).render(), 470, "271503E75A9F9A231C3482B4B6D165D0");
        check_golden(&render_create_result(&urls("test-channel")), 301, "EEA653E27A5FD66E091D7A5AC2CBF032");
        let config = LiveChannelConfig::default();
        check_golden(&render_configuration(&config), 306, "71F94F32D3965F75439D1AA45EECA976");
        let config = LiveChannelConfig { snapshot: Some(snapshot()), ..config };
        check_golden(&render_configuration(&config), 491, "14D2CAD32FF06085E89DF84908F0AAE4");
        let channel = ListedChannel {
            name: "channel-0".into(),
            description: String::new(),
            status: ChannelStatus::Disabled,
            modified_ms: T0,
            urls: urls("channel-0"),
        };
        let list = ListLiveChannelResult {
            max_keys: 1,
            next_marker: Some("channel-0".into()),
            channels: vec![channel],
            ..ListLiveChannelResult::default()
        };
        check_golden(&list.render(), 617, "54BF78FD36E92450D3B397702EA1DF84");
        let list = ListLiveChannelResult { max_keys: 100, ..ListLiveChannelResult::default() };
        check_golden(&list.render(), 216, "090ADFC9EEF7A102D9C2DB53F390580B");
        check_golden(&render_history(&[]), 82, "FF4CC9D2BDD98C56796B805972F380A8");
        let record = LiveRecord { start_ms: T0, end_ms: T0 + 600_000, remote: REMOTE.into() };
        check_golden(&render_history(std::slice::from_ref(&record)), 259, "F4B249B6FC5CEFBB2B7F0CD260A751E5");
        // The ten records of the official sample, whose length is known.
        assert_eq!(render_history(&vec![record; 10]).len(), 82 + 10 * 177);
    }

    fn configuration(inside: &str) -> Result<LiveChannelConfig> {
        let body = format!("<LiveChannelConfiguration>{inside}</LiveChannelConfiguration>");
        parse_configuration(body.as_bytes(), ConfigurationRules::default())
    }

    fn check(inside: &str, ec: Option<&str>) {
        assert_eq!(configuration(inside).err().and_then(|error| error.ec), ec, "{inside}");
    }

    #[test]
    fn a_target_with_only_a_type_gets_the_defaults() {
        for inside in [
            "<Target><Type>HLS</Type></Target>",
            "<Description/><Status/><Target><PlaylistName /><Type> HLS </Type><FragDuration/><FragCount></FragCount></Target>",
            "<Target><Type>HLS</Type><PlayListName>hello.m3u8</PlayListName></Target>",
        ] {
            assert_eq!(configuration(inside).unwrap(), LiveChannelConfig::default(), "{inside}");
        }
    }

    #[test]
    fn each_broken_field_has_its_ec() {
        let target = |inside: &str| format!("<Target><Type>HLS</Type>{inside}</Target>");
        let fields = |duration: &str, count: &str| {
            target(&format!("<FragDuration>{duration}</FragDuration><FragCount>{count}</FragCount>"))
        };
        check(&fields("100", "99"), None);
        check(&format!("<Description>{}</Description>{}", "字".repeat(43), target("")), Some("0044-00000001"));
        check(&format!("<Description>{}</Description>{}", "a".repeat(128), target("")), None);
        check(&format!("<Status>Enabled</Status>{}", target("")), Some("0044-00000002"));
        check(&format!("<Snapshot/><Snapshot/>{}", target("")), Some("0044-00000003"));
        check("", Some("0044-00000012"));
        check(&target("").repeat(2), Some("0044-00000012"));
        check("<Target/>", Some("0044-00000013"));
        check("<Target><Type>RTMP</Type></Target>", Some("0044-00000013"));
        check(&fields("200", "1"), Some("0044-00000014"));
        check(&fields("1.5", "1"), Some("0044-00000014"));
        check(&fields("", "1"), Some("0044-00000014"));
        check(&fields("1", "0"), Some("0044-00000015"));
        check(&fields("1", "199"), Some("0044-00000015"));
        check(&fields("1", ""), Some("0044-00000015"));
        check(&fields("0", "0"), Some("0044-00000014"));
        check(&target("<PlaylistName>a/b.m3u8</PlaylistName>"), Some("0044-00000016"));
        check(&target("<PlaylistName>.m3u8</PlaylistName>"), Some("0044-00000017"));
        check(&target("<PlaylistName>playlist.M3U8</PlaylistName>"), Some("0044-00000018"));
        check(&target("<PlaylistName>test_play-list.m3u8</PlaylistName>"), None);
    }

    #[test]
    fn snapshots_need_all_four() {
        let with = |inside: &str| format!("<Target><Type>HLS</Type></Target><Snapshot>{inside}</Snapshot>");
        let all = "<RoleName>r</RoleName><DestBucket>dest</DestBucket><NotifyTopic>t</NotifyTopic>";
        check(&with(&format!("{all}<Interval>10</Interval><PornRec><Interval>1</Interval></PornRec>")), None);
        check(&with(all), Some("0044-00000005"));
        check(&with("<Interval>1</Interval>"), Some("0044-00000006"));
        check(&with("<Interval>1</Interval><NotifyTopic>t</NotifyTopic>"), Some("0044-00000007"));
        check(
            &with("<Interval>1</Interval><NotifyTopic>t</NotifyTopic><RoleName>r</RoleName><DestBucket>A</DestBucket>"),
            Some("0044-00000008"),
        );
        let rules = ConfigurationRules { snapshot_supported: false, ..ConfigurationRules::default() };
        let body = format!("<LiveChannelConfiguration>{}</LiveChannelConfiguration>", with("<Interval>1</Interval>"));
        assert_eq!(parse_configuration(body.as_bytes(), rules).unwrap_err().ec, Some("0044-00000004"));
    }

    #[test]
    fn one_fragment_rule_can_be_filled_in() {
        let rules = ConfigurationRules { fill_in_fragments: true, ..ConfigurationRules::default() };
        let body = "<LiveChannelConfiguration><Target><Type>HLS</Type><FragCount>7</FragCount></Target>\
                    </LiveChannelConfiguration>";
        let config = parse_configuration(body.as_bytes(), rules).unwrap();
        assert_eq!((config.frag_duration, config.frag_count), (5, 7));
    }

    #[test]
    fn documents_that_cannot_be_read_are_malformed() {
        for body in ["", "<Other/>", "<LiveChannelConfiguration>", "<!DOCTYPE x><LiveChannelConfiguration/>"] {
            let error = parse_configuration(body.as_bytes(), ConfigurationRules::default()).unwrap_err();
            assert_eq!(error.code, ErrorCode::MalformedXML, "{body}");
        }
        let long =
            format!("<LiveChannelConfiguration>{}</LiveChannelConfiguration>", " ".repeat(MAX_CONFIGURATION_BYTES));
        let error = parse_configuration(long.as_bytes(), ConfigurationRules::default()).unwrap_err();
        assert_eq!(error.code, ErrorCode::MalformedXML);
    }

    proptest! {
        #[test]
        fn configurations_survive_the_round_trip(
            description in "[ -~\u{80}-\u{d7ff}\t\r\n]{0,40}",
            frag_duration in 1u32..=100,
            frag_count in 1u32..=100,
            with_snapshot: bool,
        ) {
            let config = LiveChannelConfig {
                description,
                frag_duration,
                frag_count,
                snapshot: with_snapshot.then(snapshot),
                ..LiveChannelConfig::default()
            };
            let text = render_configuration(&config);
            prop_assert_eq!(parse_configuration(text.as_bytes(), ConfigurationRules::default()).unwrap(), config);
        }

        #[test]
        fn any_inside_is_a_configuration_or_not(inside in "(<Target>|</Target>|<Type>HLS</Type>|<Snapshot>|</Snapshot>|\\PC){0,12}") {
            let _ = configuration(&inside);
        }
    }
}
