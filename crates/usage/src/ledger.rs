//! Rows of counters per hour and month, and questions about them.
//!
//! A delta is added to the row of its hour and to the row of its month at once, so that months never depend on hours
//! that are gone. This ledger in memory is the model: a store that keeps the same rows gives the same answers.

use crate::counters::{Counters, Level, StorageClass};
use crate::time::{Hour, Month};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Whose usage it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Name of the bucket; empty for what belongs to none.
    pub bucket: String,
    /// Name of the LiveChannel; empty for what belongs to none.
    pub channel: String,
    /// Who did it; empty for anonymous requests.
    pub user: String,
}

/// What a row covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// An hour; kept for 90 days.
    Hour(Hour),
    /// A month; kept for ever.
    Month(Month),
}

impl Window {
    /// Its first second.
    pub fn start(self) -> u64 {
        match self {
            Self::Hour(hour) => hour.start(),
            Self::Month(month) => month.start(),
        }
    }

    /// The first second behind it.
    pub fn end(self) -> u64 {
        match self {
            Self::Hour(hour) => hour.end(),
            Self::Month(month) => month.end(),
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hour(hour) => hour.fmt(f),
            Self::Month(month) => month.fmt(f),
        }
    }
}

impl std::str::FromStr for Window {
    type Err = ();

    /// As it is shown.
    fn from_str(text: &str) -> Result<Self, ()> {
        let Some((date, time)) = text.split_once('T') else { return text.parse().map(Self::Month) };
        let (month, day) = date.rsplit_once('-').ok_or(())?;
        let number = |text: &str| text.parse::<u64>().map_err(drop);
        let hour = number(time.strip_suffix(":00Z").ok_or(())?)?;
        let start = month.parse::<Month>()?.start();
        let window = Self::Hour(Hour::of(start + (number(day)?.saturating_sub(1) * 24 + hour) * 3600));
        // What is written otherwise is something else.
        if window.to_string() == text { Ok(window) } else { Err(()) }
    }
}

/// Names a row. Several rows may stand for the same subject and window, told apart by their shard, so that writers that
/// would meet on one row need not; readers add them up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey {
    /// What it covers.
    pub window: Window,
    /// Whose it is.
    pub subject: Subject,
    /// Which of several.
    pub shard: u8,
}

impl RowKey {
    /// The key as bytes that sort by window first: hours before months, older before newer.
    pub fn encode(&self) -> Vec<u8> {
        self.subject.key(self.window, self.shard)
    }

    /// What the keys of a window begin with. Hours that are no longer retained lie before the prefix of the first
    /// retained one.
    pub fn prefix(window: Window) -> Vec<u8> {
        let (kind, start) = match window {
            Window::Hour(hour) => (b'h', hour.start()),
            Window::Month(month) => (b'm', month.start()),
        };
        let [a, b, c, d, e, f, g, h] = start.to_be_bytes();
        vec![kind, a, b, c, d, e, f, g, h]
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        let (start, mut rest) = rest.split_first_chunk::<8>()?;
        let start = u64::from_be_bytes(*start);
        let window = match kind {
            b'h' => Window::Hour(Hour::of(start)),
            b'm' => Window::Month(Month::of(start)),
            _ => return None,
        };
        let mut name = || {
            let (length, later) = rest.split_first_chunk::<2>()?;
            let (name, later) = later.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            rest = later;
            String::from_utf8(name.to_vec()).ok()
        };
        let subject = Subject { bucket: name()?, channel: name()?, user: name()? };
        let [shard] = *rest else { return None };
        (window.start() == start).then_some(Self { window, subject, shard })
    }
}

impl Subject {
    /// The key of its row for a window, as [`RowKey::encode`] gives it.
    pub fn key(&self, window: Window, shard: u8) -> Vec<u8> {
        let mut out = RowKey::prefix(window);
        out.reserve_exact(3 * size_of::<u16>() + self.bucket.len() + self.channel.len() + self.user.len() + 1);
        for name in [&self.bucket, &self.channel, &self.user] {
            // Names are at most 1,023 bytes.
            let length = u16::try_from(name.len()).unwrap_or(u16::MAX);
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(name.as_bytes().get(..usize::from(length)).unwrap_or_default());
        }
        out.push(shard);
        out
    }

    /// The two rows that something changes that happened at `at_s` (seconds since 1970), with what each is changed by:
    /// counts, and changes of stored bytes by class.
    pub fn rows(
        &self,
        at_s: u64,
        shard: u8,
        counts: &Counters,
        stored: &[(StorageClass, i64)],
    ) -> [(RowKey, Counters); 2] {
        self.changes(at_s, counts, stored)
            .map(|(window, change)| (RowKey { window, subject: self.clone(), shard }, change))
    }

    /// The same by window alone.
    pub fn changes(&self, at_s: u64, counts: &Counters, stored: &[(StorageClass, i64)]) -> [(Window, Counters); 2] {
        [Window::Hour(Hour::of(at_s)), Window::Month(Month::of(at_s))].map(|window| {
            let (mut change, end_s) = (*counts, window.end());
            stored.iter().for_each(|(class, bytes)| change.store(*class, *bytes, at_s, end_s));
            (window, change)
        })
    }
}

/// The length of the windows that are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Hours.
    Hour,
    /// Months.
    #[default]
    Month,
}

/// Which names tell rows of an answer apart; what is not named is added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupBy {
    /// A row for each bucket.
    pub bucket: bool,
    /// A row for each channel of each bucket (implies `bucket`).
    pub channel: bool,
    /// A row for each user.
    pub user: bool,
}

/// A question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// First second; windows that contain it are whole.
    pub from_s: u64,
    /// First second that is not asked for.
    pub to_s: u64,
    /// Length of windows.
    pub step: Step,
    /// What rows are told apart by.
    pub group_by: GroupBy,
    /// Only this bucket.
    pub bucket: Option<String>,
    /// Only this user.
    pub user: Option<String>,
}

/// Bytes that were stored in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoredBytes {
    /// At its end.
    pub at_end: i128,
    /// Bytes times seconds over all of it.
    pub byte_seconds: i128,
}

/// One row of an answer. Names that were not asked for are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it covers.
    pub window: Window,
    /// Whose it is.
    pub subject: Subject,
    /// What was counted.
    pub counters: Counters,
    /// What was stored, also where nothing changed.
    pub stored: BTreeMap<StorageClass, StoredBytes>,
}

/// Rows in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    rows: BTreeMap<RowKey, Counters>,
}

impl Ledger {
    /// Adds a row, as it was read from a store or as [`Subject::rows`] gave it.
    pub fn add(&mut self, key: RowKey, counters: &Counters) {
        self.rows.entry(key).or_default().add(counters);
    }

    /// Counts what happened.
    pub fn record(&mut self, at_s: u64, subject: &Subject, counts: &Counters, stored: &[(StorageClass, i64)]) {
        for (key, counters) in subject.rows(at_s, 0, counts, stored) {
            self.add(key, &counters);
        }
    }

    /// Adds all rows of another.
    pub fn merge(&mut self, other: &Self) {
        for (key, counters) in &other.rows {
            self.add(key.clone(), counters);
        }
    }

    /// Forgets hours that are not retained any more.
    pub fn expire(&mut self, now_s: u64) {
        self.rows.retain(|key, _| match key.window {
            Window::Hour(hour) => hour.is_retained(now_s),
            Window::Month(_) => true,
        });
    }

    /// How many subjects have rows.
    pub fn count_subjects(&self) -> usize {
        self.rows.keys().map(|key| &key.subject).collect::<BTreeSet<_>>().len()
    }

    /// Rows, in the order of their keys.
    pub fn rows(&self) -> impl Iterator<Item = (&RowKey, &Counters)> {
        self.rows.iter()
    }

    /// Answers a question: rows by window, then by names. Windows of a group in which nothing was counted and nothing
    /// stored are left out.
    ///
    /// Stored bytes need every month up to the end of the question, and of the hours all of the last month; give the
    /// ledger those rows. Counts need only the rows of the windows themselves.
    pub fn query(&self, query: &Query) -> Vec<Row> {
        let mut groups: BTreeMap<Subject, Group> = BTreeMap::new();
        for (key, counters) in &self.rows {
            if !query.concerns(&key.subject) {
                continue;
            }
            groups.entry(query.group_by.of(&key.subject)).or_default().add(key.window, counters);
        }
        let mut rows = Vec::new();
        for window in query.windows() {
            for (subject, group) in &mut groups {
                rows.extend(group.row(window, subject));
            }
        }
        rows
    }
}

impl GroupBy {
    /// The names that an answer shows of a subject.
    pub fn of(self, subject: &Subject) -> Subject {
        let keep = |wanted: bool, name: &String| if wanted { name.clone() } else { String::new() };
        Subject {
            bucket: keep(self.bucket || self.channel, &subject.bucket),
            channel: keep(self.channel, &subject.channel),
            user: keep(self.user, &subject.user),
        }
    }
}

impl Query {
    /// Whether a question is about a subject.
    pub fn concerns(&self, subject: &Subject) -> bool {
        let is_other = |wanted: &Option<String>, name: &String| wanted.as_ref().is_some_and(|wanted| wanted != name);
        !is_other(&self.bucket, &subject.bucket) && !is_other(&self.user, &subject.user)
    }

    /// How many windows it has.
    pub fn count_windows(&self) -> u64 {
        let (from, to) = (self.from_s, self.to_s.max(self.from_s).saturating_sub(1));
        match self.step {
            _ if self.from_s >= self.to_s => 0,
            Step::Hour => Hour::of(to).0 - Hour::of(from).0 + 1,
            Step::Month => Month::of(to).number() - Month::of(from).number() + 1,
        }
    }

    fn windows(&self) -> Vec<Window> {
        let mut windows = Vec::new();
        let mut at = self.from_s;
        while at < self.to_s {
            let window = match self.step {
                Step::Hour => Window::Hour(Hour::of(at)),
                Step::Month => Window::Month(Month::of(at)),
            };
            windows.push(window);
            if window.end() <= at {
                break;
            }
            at = window.end();
        }
        windows
    }
}

/// The rows of one group, added up by window.
#[derive(Debug, Default)]
struct Group {
    windows: BTreeMap<Window, Counters>,
    /// The hour that was answered last, and what was stored at its end.
    last: Option<(Hour, BTreeMap<StorageClass, i128>)>,
}

impl Group {
    fn add(&mut self, window: Window, counters: &Counters) {
        self.windows.entry(window).or_default().add(counters);
    }

    fn row(&mut self, window: Window, subject: &Subject) -> Option<Row> {
        let counters = self.windows.get(&window).cloned().unwrap_or_default();
        let mut stored = BTreeMap::new();
        // Within a month an hour begins with what the hour before it ended with, which need not be summed up again.
        let last = self.last.take().filter(|(last, _)| match window {
            Window::Hour(hour) => last.end() == hour.start() && Month::of(last.start()) == Month::of(hour.start()),
            Window::Month(_) => false,
        });
        let mut ends = BTreeMap::new();
        for class in self.classes() {
            let Level { change, area } = counters.level(class);
            let known = last.as_ref().and_then(|(_, ends)| ends.get(&class).copied());
            let before = known.unwrap_or_else(|| self.stored_before(window, class));
            ends.insert(class, before + change);
            let seconds = i128::from(window.end() - window.start());
            let bytes = StoredBytes { at_end: before + change, byte_seconds: before * seconds + area };
            if bytes != StoredBytes::default() {
                stored.insert(class, bytes);
            }
        }
        if let Window::Hour(hour) = window {
            self.last = Some((hour, ends));
        }
        let is_empty = counters.is_empty() && stored.is_empty();
        (!is_empty).then(|| Row { window, subject: subject.clone(), counters, stored })
    }

    fn classes(&self) -> BTreeSet<StorageClass> {
        self.windows.values().flat_map(Counters::levels).map(|(class, _)| class).collect()
    }

    /// Bytes stored at the start of a window. Of an hour they are what its month ends with, less what came from that
    /// hour on: earlier hours of the month may be gone already.
    fn stored_before(&self, window: Window, class: StorageClass) -> i128 {
        let change = |counters: &Counters| counters.level(class).change;
        let months = |until: u64| -> i128 {
            let is_before = |window: &Window| matches!(window, Window::Month(month) if month.end() <= until);
            self.windows.iter().filter(|(window, _)| is_before(window)).map(|(_, counters)| change(counters)).sum()
        };
        match window {
            Window::Month(month) => months(month.start()),
            Window::Hour(hour) => {
                let end = Month::of(hour.start()).end();
                let hours = self.windows.range(window..);
                let later = hours.filter(|(window, _)| matches!(window, Window::Hour(hour) if hour.start() < end));
                months(end) - later.map(|(_, counters)| change(counters)).sum::<i128>()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Meter;
    use proptest::prelude::*;

    const NOVEMBER: u64 = 1_793_491_200;

    fn subject(bucket: &str, channel: &str, user: &str) -> Subject {
        Subject { bucket: bucket.into(), channel: channel.into(), user: user.into() }
    }

    /// When, whose, how many requests and minutes, and which change of stored bytes.
    type Event = (u64, u8, u64, i64);

    fn events() -> impl Strategy<Value = Vec<Event>> {
        prop::collection::vec(
            (NOVEMBER - 86_400 * 40..NOVEMBER + 86_400 * 40, 0_u8..6, 0_u64..1000, -500_i64..1000),
            0..60,
        )
    }

    fn record(ledger: &mut Ledger, (at, who, count, change): Event) {
        let subject = subject(["a", "b"][usize::from(who % 2)], ["", "c"][usize::from(who / 2 % 2)], "u");
        let counts = Counters::of(Meter::ALL[usize::from(who)], count);
        ledger.record(at, &subject, &counts, &[(StorageClass::ALL[usize::from(who % 3)], change)]);
    }

    fn ledger(events: &[Event]) -> Ledger {
        let mut ledger = Ledger::default();
        events.iter().for_each(|event| record(&mut ledger, *event));
        ledger
    }

    fn ask(ledger: &Ledger, step: Step, group_by: GroupBy) -> Vec<Row> {
        let (from_s, to_s) = (NOVEMBER - 86_400 * 62, NOVEMBER + 86_400 * 61);
        ledger.query(&Query { from_s, to_s, step, group_by, ..Query::default() })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Months are what their hours add up to: counts, what was stored at the end, and byte-seconds.
        #[test]
        fn hours_fold_to_months(events in events(), by_bucket: bool) {
            let ledger = ledger(&events);
            let group_by = GroupBy { bucket: by_bucket, ..GroupBy::default() };
            let mut folded: BTreeMap<(Window, Subject), (Counters, BTreeMap<StorageClass, StoredBytes>)> = BTreeMap::new();
            for row in ask(&ledger, Step::Hour, group_by) {
                let month = Window::Month(Month::of(row.window.start()));
                let (counters, stored) = folded.entry((month, row.subject)).or_default();
                for meter in Meter::ALL {
                    counters.count(meter, row.counters.get(meter));
                }
                for bytes in stored.values_mut() {
                    bytes.at_end = 0;
                }
                for (class, bytes) in row.stored {
                    let sum = stored.entry(class).or_default();
                    sum.at_end = bytes.at_end;
                    sum.byte_seconds += bytes.byte_seconds;
                }
            }
            let months = ask(&ledger, Step::Month, group_by);
            for row in &months {
                let (counters, stored) = folded.remove(&(row.window, row.subject.clone())).unwrap_or_default();
                for meter in Meter::ALL {
                    prop_assert_eq!(counters.get(meter), row.counters.get(meter));
                }
                let known = |stored: &BTreeMap<StorageClass, StoredBytes>| -> BTreeMap<StorageClass, StoredBytes> {
                    stored.iter().filter(|(_, bytes)| **bytes != StoredBytes::default()).map(|(c, b)| (*c, *b)).collect()
                };
                prop_assert_eq!(known(&stored), known(&row.stored));
            }
        }

        /// Several servers, any order: the same ledger.
        #[test]
        fn the_order_does_not_matter(events in events(), cut in any::<prop::sample::Index>()) {
            let whole = ledger(&events);
            let (first, second) = events.split_at(cut.index(events.len() + 1));
            let mut merged = ledger(second);
            merged.merge(&ledger(first));
            prop_assert_eq!(&merged, &whole);
            let reversed: Vec<_> = events.iter().rev().copied().collect();
            prop_assert_eq!(ledger(&reversed), whole);
        }

        /// Groups add up to the whole, and months do not need hours.
        #[test]
        fn groups_add_up_and_months_outlive_hours(events in events()) {
            let mut ledger = ledger(&events);
            let total = ask(&ledger, Step::Month, GroupBy::default());
            let by_channel = ask(&ledger, Step::Month, GroupBy { channel: true, ..GroupBy::default() });
            for row in &total {
                for meter in Meter::ALL {
                    let parts = by_channel.iter().filter(|part| part.window == row.window);
                    prop_assert_eq!(parts.map(|part| part.counters.get(meter)).sum::<u64>(), row.counters.get(meter));
                }
                for class in StorageClass::ALL {
                    let parts = by_channel.iter().filter(|part| part.window == row.window);
                    let sum: i128 = parts.filter_map(|part| part.stored.get(&class)).map(|bytes| bytes.byte_seconds).sum();
                    prop_assert_eq!(sum, row.stored.get(&class).copied().unwrap_or_default().byte_seconds);
                }
            }
            ledger.expire(NOVEMBER + 86_400 * 400);
            prop_assert!(ledger.rows().all(|(key, _)| matches!(key.window, Window::Month(_))));
            prop_assert_eq!(ask(&ledger, Step::Month, GroupBy::default()), total);
        }

        #[test]
        fn keys_read_back_and_sort_by_time(at in 0_u64..4_000_000_000, later in 1_u64..4_000_000_000, bucket in ".{0,20}", channel in "\\PC{0,5}", shard: u8) {
            let subject = subject(&bucket, &channel, "u");
            let [hour, month] = subject.rows(at, shard, &Counters::default(), &[]).map(|(key, _)| key);
            prop_assert_eq!(RowKey::decode(&hour.encode()), Some(hour.clone()));
            prop_assert_eq!(RowKey::decode(&month.encode()), Some(month.clone()));
            prop_assert!(month.encode().starts_with(&RowKey::prefix(month.window)));
            let after = RowKey { window: Window::Hour(Hour::of(at + 3600 + later)), ..hour.clone() };
            prop_assert!(hour.encode() < after.encode() && after.encode() < month.encode());
        }

        #[test]
        fn any_key_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = RowKey::decode(&bytes);
        }
    }

    #[test]
    fn what_stays_stored_is_there_in_every_month() {
        let mut ledger = Ledger::default();
        let day = 86_400;
        ledger.record(
            NOVEMBER + 10 * day,
            &subject("b", "", ""),
            &Counters::default(),
            &[(StorageClass::Standard, 1000)],
        );
        ledger.expire(NOVEMBER + 200 * day);
        let rows = ask(&ledger, Step::Month, GroupBy::default());
        let stored = |row: &Row| row.stored[&StorageClass::Standard];
        assert_eq!(rows.len(), 2, "November and December");
        assert_eq!(stored(&rows[0]), StoredBytes { at_end: 1000, byte_seconds: i128::from(1000 * 20 * day) });
        assert_eq!(stored(&rows[1]), StoredBytes { at_end: 1000, byte_seconds: i128::from(1000 * 31 * day) });
    }

    #[test]
    fn filters() {
        let mut ledger = Ledger::default();
        for (bucket, user) in [("a", "x"), ("a", "y"), ("b", "x")] {
            ledger.record(NOVEMBER, &subject(bucket, "", user), &Counters::of(Meter::ReadRequests, 1), &[]);
        }
        let count = |bucket: Option<&str>, user: Option<&str>| -> u64 {
            let (bucket, user) = (bucket.map(Into::into), user.map(Into::into));
            let query = Query { from_s: NOVEMBER, to_s: NOVEMBER + 1, bucket, user, ..Query::default() };
            ledger.query(&query).iter().map(|row| row.counters.get(Meter::ReadRequests)).sum()
        };
        assert_eq!(
            (count(None, None), count(Some("a"), None), count(None, Some("x")), count(Some("b"), Some("y"))),
            (3, 2, 2, 0)
        );
    }
}
