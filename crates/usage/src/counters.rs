//! Counters, and deltas of them, which are the same thing.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is counted upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Meter {
    /// PutLiveChannel that was carried out; a replacement counts.
    ChannelCreations,
    /// ListLiveChannel, GetLiveChannelInfo, GetLiveChannelStat, GetLiveChannelHistory, GetVodPlaylist, DeleteLiveChannel.
    StandardRequests,
    /// PostVodPlaylist; billed as standard requests, counted apart.
    VodPlaylists,
    /// PutLiveChannelStatus.
    StatusChanges,
    /// GET and HEAD of `.m3u8` and `.ts`.
    HlsRequests,
    /// Other requests that write.
    WriteRequests,
    /// Other requests that read.
    ReadRequests,
    /// RTMP payload of pushes, in bytes.
    IngestBytes,
    /// Bodies of uploads by HTTP, in bytes.
    UploadBytes,
    /// Bodies of answers, in bytes.
    OutgoingBytes,
    /// Minutes of streaming, as [`StreamMeter`](crate::StreamMeter) rounds them.
    StreamingMinutes,
    /// Pictures that a Snapshot configuration triggered and that were stored.
    Snapshots,
}

impl Meter {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::ChannelCreations,
        Self::StandardRequests,
        Self::VodPlaylists,
        Self::StatusChanges,
        Self::HlsRequests,
        Self::WriteRequests,
        Self::ReadRequests,
        Self::IngestBytes,
        Self::UploadBytes,
        Self::OutgoingBytes,
        Self::StreamingMinutes,
        Self::Snapshots,
    ];

    /// Its name in JSON and CSV.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChannelCreations => "channel_creations",
            Self::StandardRequests => "standard_requests",
            Self::VodPlaylists => "vod_playlists",
            Self::StatusChanges => "status_changes",
            Self::HlsRequests => "hls_requests",
            Self::WriteRequests => "write_requests",
            Self::ReadRequests => "read_requests",
            Self::IngestBytes => "ingest_bytes",
            Self::UploadBytes => "upload_bytes",
            Self::OutgoingBytes => "outgoing_bytes",
            Self::StreamingMinutes => "streaming_minutes",
            Self::Snapshots => "snapshots",
        }
    }
}

/// Storage classes of OSS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StorageClass {
    /// `Standard`.
    Standard,
    /// `IA`.
    #[serde(rename = "IA")]
    InfrequentAccess,
    /// `Archive`.
    Archive,
    /// `ColdArchive`.
    ColdArchive,
    /// `DeepColdArchive`.
    DeepColdArchive,
}

impl StorageClass {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Standard, Self::InfrequentAccess, Self::Archive, Self::ColdArchive, Self::DeepColdArchive];

    /// OSS's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::InfrequentAccess => "IA",
            Self::Archive => "Archive",
            Self::ColdArchive => "ColdArchive",
            Self::DeepColdArchive => "DeepColdArchive",
        }
    }
}

/// Stored bytes within a window of time, as two sums that commute.
///
/// With `before` bytes at the start of a window of `s` seconds, `before + change` are stored at its end, and
/// `before * s + area` byte-seconds were within it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Level {
    /// Bytes added less bytes removed.
    pub change: i128,
    /// Each change times the seconds that were left of the window.
    pub area: i128,
}

impl Level {
    fn add(&mut self, other: Self) {
        // Wrapping sums associate whatever their signs; 127 bits of byte-seconds are not reached.
        self.change = self.change.wrapping_add(other.change);
        self.area = self.area.wrapping_add(other.area);
    }
}

/// Counters of one subject in one window, or a change of them. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Wire", into = "Wire")]
pub struct Counters {
    /// In the order of [`Meter::ALL`].
    meters: [u64; Meter::ALL.len()],
    /// In the order of [`StorageClass::ALL`].
    stored: [Level; StorageClass::ALL.len()],
}

/// Counters as they are written down: what is zero is left out.
#[derive(Default, Serialize, Deserialize)]
struct Wire {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    meters: BTreeMap<Meter, u64>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    stored: BTreeMap<StorageClass, Level>,
}

impl From<Counters> for Wire {
    fn from(counters: Counters) -> Self {
        let meters = Meter::ALL.into_iter().zip(counters.meters).filter(|(_, count)| *count > 0);
        Self { meters: meters.collect(), stored: counters.levels().collect() }
    }
}

impl From<Wire> for Counters {
    fn from(wire: Wire) -> Self {
        let mut counters = Self::default();
        wire.meters.into_iter().for_each(|(meter, count)| counters.count(meter, count));
        wire.stored.into_iter().for_each(|(class, level)| counters.add_level(class, level));
        counters
    }
}

impl Counters {
    /// So many of one thing.
    pub fn of(meter: Meter, count: u64) -> Self {
        Self::default().with(meter, count)
    }

    /// The same and so many more of one thing.
    #[must_use]
    pub fn with(mut self, meter: Meter, count: u64) -> Self {
        self.count(meter, count);
        self
    }

    /// Counts so many more of one thing. A counter stops at its largest number.
    pub fn count(&mut self, meter: Meter, count: u64) {
        if let Some(value) = self.meters.get_mut(meter as usize) {
            *value = value.saturating_add(count);
        }
    }

    /// Adds a change of stored bytes at a moment of a window that ends at `end_s`.
    pub fn store(&mut self, class: StorageClass, change: i64, at_s: u64, end_s: u64) {
        let change = i128::from(change);
        let area = change * i128::from(end_s.saturating_sub(at_s));
        self.add_level(class, Level { change, area });
    }

    fn add_level(&mut self, class: StorageClass, level: Level) {
        if let Some(own) = self.stored.get_mut(class as usize) {
            own.add(level);
        }
    }

    /// How many.
    pub fn get(&self, meter: Meter) -> u64 {
        self.meters.get(meter as usize).copied().unwrap_or(0)
    }

    /// Stored bytes of a class.
    pub fn level(&self, class: StorageClass) -> Level {
        self.stored.get(class as usize).copied().unwrap_or_default()
    }

    /// Classes with a change.
    pub fn levels(&self) -> impl Iterator<Item = (StorageClass, Level)> {
        StorageClass::ALL.into_iter().zip(self.stored).filter(|(_, level)| *level != Level::default())
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds others, in any order and grouping.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.meters.iter_mut().zip(other.meters) {
            *own = own.saturating_add(other);
        }
        for (own, other) in self.stored.iter_mut().zip(other.stored) {
            own.add(other);
        }
    }
}

/// How a row is kept by a store that adds to rows of signed 64-bit numbers without reading them: for each storage class its
/// change and its byte-seconds as a high and a low part, then the meters. Numbers can be added to the end at any time.
impl Counters {
    /// What is to be added to the sums of a row; nothing behind the last number that is not 0.
    pub fn deltas(&self) -> Vec<i64> {
        let mut deltas = Vec::with_capacity(CLASS_SUMS * StorageClass::ALL.len() + Meter::ALL.len());
        for Level { change, area } in self.stored {
            // A shift and a mask are division and remainder, rounded down, and most classes have nothing.
            deltas.extend([narrow(change), narrow(area >> LOW_BITS), narrow(area & (LOW - 1))]);
        }
        deltas.extend(self.meters.map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
        while deltas.last() == Some(&0) {
            deltas.pop();
        }
        deltas
    }

    /// The counters of a row, from its sums; missing ones are 0, and so are meters below it.
    pub fn from_sums(sums: impl IntoIterator<Item = i64>) -> Self {
        let mut sums = sums.into_iter();
        let mut next = || sums.next().unwrap_or(0);
        let mut counters = Self::default();
        for class in StorageClass::ALL {
            let (change, high, low) = (next(), next(), next());
            let level = Level { change: i128::from(change), area: i128::from(high) * LOW + i128::from(low) };
            counters.add_level(class, level);
        }
        for meter in Meter::ALL {
            counters.count(meter, u64::try_from(next()).unwrap_or(0));
        }
        counters
    }
}

/// Sums of a storage class.
const CLASS_SUMS: usize = 3;
/// The low part of byte-seconds stays below this; two milliards of them can be added up.
const LOW: i128 = 1 << LOW_BITS;
const LOW_BITS: u32 = 32;

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_counters() -> impl Strategy<Value = Counters> {
        let meter = (0..Meter::ALL.len()).prop_map(|index| Meter::ALL[index]);
        let class = (0..StorageClass::ALL.len()).prop_map(|index| StorageClass::ALL[index]);
        let count = prop_oneof![0_u64..1000, any::<u64>()];
        let meters = prop::collection::vec((meter, count), 0..6);
        let stored = prop::collection::vec((class, any::<i64>(), 0_u64..3600), 0..4);
        (meters, stored).prop_map(|(meters, stored)| {
            let mut counters = Counters::default();
            meters.into_iter().for_each(|(meter, count)| counters.count(meter, count));
            for (class, change, at) in stored {
                let mut change_of_one = Counters::default();
                change_of_one.store(class, change, at, 3600);
                counters.add(&change_of_one);
            }
            counters
        })
    }

    fn sum(a: &Counters, b: &Counters) -> Counters {
        let mut sum = *a;
        sum.add(b);
        sum
    }

    proptest! {
        #[test]
        fn deltas_commute_and_associate(a in any_counters(), b in any_counters(), c in any_counters()) {
            prop_assert_eq!(sum(&a, &b), sum(&b, &a));
            prop_assert_eq!(sum(&sum(&a, &b), &c), sum(&a, &sum(&b, &c)));
            prop_assert_eq!(sum(&a, &Counters::default()), a);
        }

        #[test]
        fn they_read_back(a in any_counters()) {
            let text = serde_json::to_string(&a).unwrap();
            prop_assert_eq!(serde_json::from_str::<Counters>(&text).unwrap(), a);
        }
    }

    proptest! {
        /// Sums that a store adds up, in whatever order, are those that would have been added up here.
        #[test]
        fn sums_of_rows_add_up(changes in prop::collection::vec((0_usize..5, -(1_i64 << 45)..1 << 45, 0_u64..2_678_400, 0_u64..1 << 40), 0..30)) {
            let (mut whole, mut sums) = (Counters::default(), Vec::<i64>::new());
            for (index, change, at_s, count) in changes {
                let mut one = Counters::of(Meter::ALL[index], count);
                one.store(StorageClass::ALL[index], change, at_s, 2_678_400);
                whole.add(&one);
                let deltas = one.deltas();
                sums.resize(sums.len().max(deltas.len()), 0);
                sums.iter_mut().zip(&deltas).for_each(|(sum, delta)| *sum += delta);
            }
            prop_assert_eq!(Counters::from_sums(sums), whole);
        }
    }

    #[test]
    fn names_are_those_of_serde() {
        for meter in Meter::ALL {
            assert_eq!(serde_json::to_value(meter).unwrap(), meter.name());
        }
        for class in StorageClass::ALL {
            assert_eq!(serde_json::to_value(class).unwrap(), class.name());
        }
    }

    #[test]
    fn what_is_stored_and_removed_again_leaves_its_byte_seconds() {
        let mut counters = Counters::default();
        counters.store(StorageClass::Standard, 100, 1000, 3600);
        counters.store(StorageClass::Standard, -100, 1600, 3600);
        assert_eq!(counters.level(StorageClass::Standard), Level { change: 0, area: 60_000 });
    }
}
