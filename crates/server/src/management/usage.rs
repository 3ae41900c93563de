//! `GET usage`: what was used, by hour or month, bucket, channel and user (`docs/usage.md`); `GET buckets/BUCKET/usage`: that
//! of one bucket by day and month, as a page shows it.

use std::collections::BTreeMap;

use ::usage::{Bill, GroupBy, Hour, Meter, Month, PriceTable, Query, Row, Step, bill_json, rows_csv, rows_json};
use model::OperationKind;
use model::date;
use oss::request::Query as Parameters;
use serde_json::{Value, json};

use super::visitor::Visitor;
use super::{Management, Reply};
use crate::accounts::Fault;
use crate::metering::Unanswered;
use crate::objects::internal;

const CSV: &str = "text/csv; charset=utf-8";
/// The most windows that may be asked for.
const MAX_HOURS: u64 = 93 * 24;
const MAX_MONTHS: u64 = 1200;
/// Days and months on the page of a bucket.
const DAYS: u64 = 30;
const MONTHS: u64 = 12;
const DAY_S: u64 = 86_400;

/// Meters that are requests.
const REQUESTS: [Meter; 7] = [
    Meter::ChannelCreations,
    Meter::StandardRequests,
    Meter::VodPlaylists,
    Meter::StatusChanges,
    Meter::HlsRequests,
    Meter::WriteRequests,
    Meter::ReadRequests,
];

/// Answers `GET usage`: the account sees everything, others a bucket whose figures they may see.
pub(super) async fn answer(
    management: &Management,
    visitor: &Visitor<'_>,
    parameters: &Parameters,
) -> Result<Reply, Fault> {
    let mut query = read(parameters, management.usage.now_s())?;
    match &query.bucket {
        Some(bucket) if !visitor.is_root() => {
            management.grant(visitor, OperationKind::GetBucketStat, bucket).await?;
            query.from_s = query.from_s.max(begun_s(management, bucket).await?);
            query.to_s = query.to_s.max(query.from_s);
        }
        None if !visitor.is_root() => {
            return Err(super::denied("Only the account itself sees the usage of all buckets; name a bucket."));
        }
        _ => {}
    }
    let rows = ask(management, &query).await?;
    match named(parameters, "format") {
        None | Some("json") => Ok(Reply::json(200, &json!({"usage": rows_json(&rows)}))),
        Some("csv") => Ok(Reply { status: 200, content_type: CSV, text: rows_csv(&rows) }),
        Some(other) => Err(invalid(format!("There is no format {other:?}; there are json and csv."))),
    }
}

/// Answers `GET buckets/BUCKET/usage`, for whoever may see the figures of the bucket.
pub(super) async fn of_bucket(management: &Management, bucket: &str) -> Result<Reply, Fault> {
    let now_s = management.usage.now_s();
    let begun_s = begun_s(management, bucket).await?;
    let query = |from_s: u64, step| Query {
        from_s: from_s.max(begun_s),
        to_s: now_s.saturating_add(1),
        step,
        bucket: Some(bucket.to_owned()),
        ..Query::default()
    };
    let first_day = (now_s / DAY_S).saturating_sub(DAYS - 1);
    let mut days: BTreeMap<u64, Figures> = (first_day..=now_s / DAY_S).map(|day| (day, Figures::default())).collect();
    for row in ask(management, &query(first_day * DAY_S, Step::Hour)).await? {
        days.entry(row.window.start() / DAY_S).or_default().add(&row);
    }
    let mut months: BTreeMap<u64, (String, Figures)> = BTreeMap::new();
    let first_month = Month::of(now_s).back(MONTHS - 1);
    let rows = ask(management, &query(first_month.start(), Step::Month)).await?;
    // By the default table: which prices hold is known to the command line only.
    let bill = Bill::new(Month::of(now_s), &rows, &PriceTable::default()).ok().map(|bill| bill_json(&bill));
    for row in rows {
        let start_s = row.window.start();
        months.entry(start_s).or_insert_with(|| (Month::of(start_s).to_string(), Figures::default())).1.add(&row);
    }
    let day_of =
        |day: u64| date::format_iso8601(i64::try_from(day * DAY_S * 1000).unwrap_or(0)).chars().take(10).collect();
    let days: Vec<Value> = days.iter().map(|(day, figures)| figures.shown("day", day_of(*day))).collect();
    let months: Vec<Value> = months.into_values().map(|(month, figures)| figures.shown("month", month)).collect();
    Ok(Reply::json(200, &json!({"days": days, "months": months, "bill": bill})))
}

/// What was used of a bucket in a day or month.
#[derive(Default)]
struct Figures {
    /// At the end.
    storage_bytes: i128,
    received_bytes: u64,
    sent_bytes: u64,
    requests: u64,
    ingest_minutes: u64,
}

impl Figures {
    fn add(&mut self, row: &Row) {
        let count = |meter| row.counters.get(meter);
        self.storage_bytes = row.stored.values().map(|stored| stored.at_end).sum();
        self.received_bytes += count(Meter::IngestBytes) + count(Meter::UploadBytes);
        self.sent_bytes += count(Meter::OutgoingBytes);
        self.requests += REQUESTS.into_iter().map(count).sum::<u64>();
        self.ingest_minutes += count(Meter::StreamingMinutes);
    }

    fn shown(&self, name: &str, window: String) -> Value {
        json!({
            name: window,
            "storage_bytes": u64::try_from(self.storage_bytes).unwrap_or(0),
            "received_bytes": self.received_bytes,
            "sent_bytes": self.sent_bytes,
            "requests": self.requests,
            "ingest_minutes": self.ingest_minutes,
        })
    }
}

/// When the bucket of this name was made: what another of the name used before is nobody's business. The whole hour.
async fn begun_s(management: &Management, bucket: &str) -> Result<u64, Fault> {
    let name = model::name::BucketName::parse(bucket)?;
    let found = management.objects.bucket(&name).await?;
    let made_ms = found.map_or(0, |bucket| bucket.record.created_ms);
    Ok(Hour::of(u64::try_from(made_ms).unwrap_or(0) / 1000).start())
}

async fn ask(management: &Management, query: &Query) -> Result<Vec<Row>, Fault> {
    management.usage.ask(query).await.map_err(|error| match error {
        Unanswered::TooMuch(too_much) => {
            invalid(format!("The answer would have {} rows or more. Ask for less time or fewer groups.", too_much.rows))
        }
        Unanswered::Store(error) => internal(error).into(),
    })
}

/// The question in the parameters.
fn read(parameters: &Parameters, now_s: u64) -> Result<Query, Fault> {
    let text = |name| named(parameters, name).map(str::to_owned);
    let month = match named(parameters, "month") {
        None => Month::of(now_s),
        Some(month) => month.parse().map_err(|()| invalid(format!("month is YYYY-MM, not {month:?}.")))?,
    };
    let from_s = moment(parameters, "from")?.unwrap_or_else(|| month.start());
    let to_s = moment(parameters, "to")?.unwrap_or_else(|| month.end());
    if from_s >= to_s {
        return Err(invalid("from has to be before to.".to_owned()));
    }
    let step = match named(parameters, "step") {
        None | Some("month") => Step::Month,
        Some("hour") => Step::Hour,
        Some(other) => return Err(invalid(format!("There is no step {other:?}; there are hour and month."))),
    };
    let mut group_by = GroupBy::default();
    for name in named(parameters, "group").into_iter().flat_map(|names| names.split(',')) {
        match name {
            "bucket" => group_by.bucket = true,
            "channel" => group_by.channel = true,
            "user" => group_by.user = true,
            other => return Err(invalid(format!("There is no group {other:?}; there are bucket, channel and user."))),
        }
    }
    let query = Query { from_s, to_s, step, group_by, bucket: text("bucket"), user: text("user") };
    let most = if step == Step::Hour { MAX_HOURS } else { MAX_MONTHS };
    if query.count_windows() > most {
        return Err(invalid(format!("At most {most} windows can be asked for at once.")));
    }
    Ok(query)
}

/// A day or a moment, in UTC.
fn moment(parameters: &Parameters, name: &str) -> Result<Option<u64>, Fault> {
    let Some(text) = named(parameters, name) else { return Ok(None) };
    let found = date::parse_moment(text).and_then(|at_ms| u64::try_from(at_ms.div_euclid(1000)).ok());
    let wrong = || invalid(format!("{name} is YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ, not {text:?}."));
    found.map(Some).ok_or_else(wrong)
}

fn named<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    parameters.first(name).filter(|value| !value.is_empty())
}

fn invalid(message: String) -> Fault {
    Fault::Invalid(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Option<(u64, u64, u64)> {
        let query = read(&Parameters::parse(text), 1_796_040_000).ok()?;
        Some((query.from_s, query.to_s, query.count_windows()))
    }

    #[test]
    fn questions_are_read() {
        let november = (1_793_491_200, 1_796_083_200);
        for (text, expected) in [
            ("", Some((november.0, november.1, 1))),
            ("month=2026-11&step=hour", Some((november.0, november.1, 720))),
            (
                "from=2026-11-01&to=2026-11-02&step=hour&group=bucket,channel,user",
                Some((november.0, november.0 + 86_400, 24)),
            ),
            ("from=2026-11-01T00:00:30.000Z&to=2026-11-02", Some((november.0 + 30, november.0 + 86_400, 1))),
            ("month=2026-13", None),
            ("from=2026-11-02&to=2026-11-01", None),
            ("from=yesterday", None),
            ("step=day", None),
            ("group=owner", None),
            ("from=2026-01-01&to=2026-12-01&step=hour", None),
            ("from=1970-01-01&to=2200-01-01", None),
        ] {
            assert_eq!(query(text), expected, "{text}");
        }
    }
}
