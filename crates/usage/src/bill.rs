//! A bill of a month: each line with its formula, rounded once.

use crate::counters::{Meter, StorageClass};
use crate::ledger::Row;
use crate::money::Amount;
use crate::prices::{PriceTable, Prices};
use crate::time::Month;
use thiserror::Error;

/// One line of a bill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is for.
    pub item: String,
    /// How much was used, in `unit`s.
    pub quantity: u128,
    /// How much of that is free.
    pub free: u128,
    /// What quantity and free are counted in.
    pub unit: &'static str,
    /// The price of `per` units.
    pub price: Amount,
    /// How many units the price is for.
    pub per: u128,
    /// `(quantity - free) / per * price`, rounded half up.
    pub amount: Amount,
}

impl Line {
    /// How the amount comes about, without the amount: `(1250 - 100 free) x 0.001`.
    pub fn formula(&self) -> String {
        let quantity = match self.free {
            0 => self.quantity.to_string(),
            free => format!("({} - {free} free)", self.quantity),
        };
        match self.per {
            1 => format!("{quantity} x {}", self.price),
            per => format!("{quantity} / {per} x {}", self.price),
        }
    }
}

/// What a month costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// The month.
    pub month: Month,
    /// Its lines; also those that cost nothing, so that one sees what was counted.
    pub lines: Vec<Line>,
    /// The sum of the rounded lines.
    pub total: Amount,
    /// Digits that lines are rounded to.
    pub decimals: u32,
    /// Shown behind amounts; may be empty.
    pub currency: String,
}

/// A bill beyond all money.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the amount of {0:?} is too large to compute")]
pub struct BillError(pub String);

/// Byte-seconds of a gigabyte-month have this many seconds: 30 days, whatever the month.
const MONTH_SECONDS: u128 = 30 * 86_400;

impl Bill {
    /// Bills rows of one month together: the free amounts are granted once for all of them. Rows of other windows are
    /// not looked at.
    ///
    /// # Errors
    /// [`BillError`] when quantity times price exceeds 127 bits.
    pub fn new(month: Month, rows: &[Row], table: &PriceTable) -> Result<Self, BillError> {
        let rows: Vec<&Row> = rows.iter().filter(|row| row.window == crate::Window::Month(month)).collect();
        let mut draft = Draft { table, lines: Vec::new() };
        let count = |meter: Meter| rows.iter().map(|row| u128::from(row.counters.get(meter))).sum::<u128>();
        draft.requests(&count)?;
        draft.traffic(&count)?;
        let prices = &table.prices;
        draft.line(
            "Streaming, by the minute",
            "minutes",
            count(Meter::StreamingMinutes),
            0,
            prices.streaming_hour,
            60,
        )?;
        draft.line("Snapshots", "pictures", count(Meter::Snapshots), 0, prices.snapshot, 1)?;
        draft.storage(&rows)?;
        let Draft { lines, .. } = draft;
        let total = lines.iter().try_fold(Amount::ZERO, |sum, line| sum.plus(line.amount));
        let total = total.ok_or_else(|| BillError("total".to_owned()))?;
        Ok(Self { month, lines, total, decimals: table.decimals, currency: table.currency.clone() })
    }
}

struct Draft<'a> {
    table: &'a PriceTable,
    lines: Vec<Line>,
}

impl Draft<'_> {
    fn requests(&mut self, count: &impl Fn(Meter) -> u128) -> Result<(), BillError> {
        let PriceTable { prices, free, .. } = self.table;
        let Prices { channel_creation, standard_request, status_change, hls_request, .. } = *prices;
        let standard = count(Meter::StandardRequests) + count(Meter::VodPlaylists);
        for (item, quantity, free, price) in [
            ("LiveChannel creation", count(Meter::ChannelCreations), free.channel_creations, channel_creation),
            ("Standard requests", standard, free.standard_requests, standard_request),
            ("LiveChannel status change", count(Meter::StatusChanges), 0, status_change),
            ("HLS requests", count(Meter::HlsRequests), free.hls_requests, hls_request),
            ("Other write requests", count(Meter::WriteRequests), 0, prices.write_request),
            ("Other read requests", count(Meter::ReadRequests), 0, prices.read_request),
        ] {
            let per = u128::from(self.table.requests_per_unit);
            self.line(item, "requests", quantity, u128::from(free), price, per)?;
        }
        Ok(())
    }

    /// The free upload traffic is for pushes first, since those cost something in the default table.
    fn traffic(&mut self, count: &impl Fn(Meter) -> u128) -> Result<(), BillError> {
        let megabyte = u128::from(self.table.megabyte_bytes);
        let free = u128::from(self.table.free.upload_megabytes) * megabyte;
        let (ingest, upload) = (count(Meter::IngestBytes), count(Meter::UploadBytes));
        let left = free.saturating_sub(ingest);
        let prices = &self.table.prices;
        self.line("RTMP ingest", "bytes", ingest, free, prices.ingest_megabyte, megabyte)?;
        self.line("Uploads by HTTP", "bytes", upload, left, prices.upload_megabyte, megabyte)?;
        self.line("Outgoing traffic", "bytes", count(Meter::OutgoingBytes), 0, prices.outgoing_megabyte, megabyte)
    }

    fn storage(&mut self, rows: &[&Row]) -> Result<(), BillError> {
        let per = u128::from(self.table.megabyte_bytes) * 1000 * MONTH_SECONDS;
        for class in StorageClass::ALL {
            let stored = rows.iter().filter_map(|row| row.stored.get(&class)).map(|bytes| bytes.byte_seconds);
            // Fewer than none can only mean that something was lost; it is not paid back.
            let quantity = u128::try_from(stored.sum::<i128>()).unwrap_or(0);
            let price = self.table.prices.stored_gigabyte_month.get(&class).copied().unwrap_or_default();
            if quantity > 0 {
                self.line(&format!("Storage, {}", class.name()), "byte-seconds", quantity, 0, price, per)?;
            }
        }
        Ok(())
    }

    fn line(
        &mut self,
        item: &str,
        unit: &'static str,
        quantity: u128,
        free: u128,
        price: Amount,
        per: u128,
    ) -> Result<(), BillError> {
        let free = free.min(quantity);
        let amount =
            price.times(quantity - free, per, self.table.decimals).ok_or_else(|| BillError(item.to_owned()))?;
        self.lines.push(Line { item: item.to_owned(), quantity, free, unit, price, per, amount });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counters::Counters;
    use crate::ledger::{GroupBy, Ledger, Query, Subject};
    use proptest::prelude::*;

    fn november() -> Month {
        Month::new(2026, 11).unwrap()
    }

    fn rows(counters: &Counters, stored: &[(StorageClass, i64)]) -> Vec<Row> {
        let mut ledger = Ledger::default();
        ledger.record(november().start(), &Subject::default(), counters, stored);
        let (from_s, to_s) = (november().start(), november().end());
        ledger.query(&Query { from_s, to_s, ..Query::default() })
    }

    fn amount(bill: &Bill, item: &str) -> String {
        let line = bill.lines.iter().find(|line| line.item == item).unwrap_or_else(|| panic!("{item}"));
        line.amount.to_string()
    }

    #[test]
    fn a_month_by_the_seeds_table() {
        let counters = Counters::of(Meter::ChannelCreations, 150)
            .with(Meter::StandardRequests, 900)
            .with(Meter::VodPlaylists, 600)
            .with(Meter::StatusChanges, 7)
            .with(Meter::HlsRequests, 1_001_000)
            .with(Meter::IngestBytes, 12_500_000_000)
            .with(Meter::OutgoingBytes, 40_000_500_000)
            .with(Meter::StreamingMinutes, 61)
            .with(Meter::Snapshots, 10);
        let bill = Bill::new(november(), &rows(&counters, &[]), &PriceTable::default()).unwrap();
        for (item, expected) in [
            ("LiveChannel creation", "0.05"),
            ("Standard requests", "0.05"),
            ("LiveChannel status change", "0.0007"),
            ("HLS requests", "100"),
            ("RTMP ingest", "0.25"),
            ("Outgoing traffic", "8.0001"),
            ("Streaming, by the minute", "0.001017"),
            ("Snapshots", "0"),
        ] {
            assert_eq!(amount(&bill, item), expected, "{item}");
        }
        assert_eq!(bill.total.to_string(), "108.351817");
        assert_eq!(bill.lines[0].formula(), "(150 - 100 free) x 0.001");
        assert_eq!(bill.lines[6].formula(), "(12500000000 - 10000000000 free) / 1000000 x 0.0001");
    }

    #[test]
    fn within_the_free_tier_nothing_is_charged() {
        let counters = Counters::of(Meter::ChannelCreations, 100)
            .with(Meter::StandardRequests, 1000)
            .with(Meter::IngestBytes, 10_000_000_000)
            .with(Meter::UploadBytes, 5);
        let table = PriceTable::from_toml("[price]\nupload_megabyte = \"1\"").unwrap();
        let bill = Bill::new(november(), &rows(&counters, &[]), &table).unwrap();
        assert_eq!(amount(&bill, "LiveChannel creation"), "0");
        assert_eq!(amount(&bill, "Uploads by HTTP"), "0.000005", "what pushes left of the free traffic is nothing");
        assert_eq!(bill.total.to_string(), "0.000005");
    }

    #[test]
    fn storage_by_the_gigabyte_month() {
        let table = PriceTable::from_toml("[price]\nstored_gigabyte_month = { Standard = \"0.12\" }").unwrap();
        let stored = [(StorageClass::Standard, 50_000_000_000), (StorageClass::Archive, 7)];
        let bill = Bill::new(november(), &rows(&Counters::default(), &stored), &table).unwrap();
        assert_eq!((amount(&bill, "Storage, Standard"), amount(&bill, "Storage, Archive")), ("6".into(), "0".into()));
        let removed = [(StorageClass::Standard, -5)];
        let bill = Bill::new(november(), &rows(&Counters::default(), &removed), &table).unwrap();
        assert_eq!(bill.total, Amount::ZERO, "never negative");
    }

    proptest! {
        #[test]
        fn a_bill_is_never_negative_and_the_sum_of_its_lines(counts in prop::collection::vec((0..Meter::ALL.len(), any::<u64>()), 0..12), stored in any::<i64>(), price in 0_u32..2_000_000, per in 1_u64..20_000, decimals in 0_u32..=9) {
            let mut counters = Counters::default();
            counts.into_iter().for_each(|(meter, count)| counters.count(Meter::ALL[meter], count));
            let text = format!("requests_per_unit = {per}\ndecimals = {decimals}\n[price]\nsnapshot = \"0.{price:07}\"\nread_request = \"{}.5\"", price / 4);
            let table = PriceTable::from_toml(&text).unwrap();
            let bill = Bill::new(november(), &rows(&counters, &[(StorageClass::Standard, stored)]), &table).unwrap();
            let sum = bill.lines.iter().try_fold(Amount::ZERO, |sum, line| sum.plus(line.amount));
            prop_assert_eq!(sum, Some(bill.total));
            prop_assert!(bill.lines.iter().all(|line| line.amount >= Amount::ZERO && line.free <= line.quantity));
        }

        /// More use never costs less.
        #[test]
        fn a_bill_is_monotonic(meter in 0..Meter::ALL.len(), count in 0_u64..1 << 50, more in 0_u64..1 << 50) {
            let total = |count| Bill::new(november(), &rows(&Counters::of(Meter::ALL[meter], count), &[]), &PriceTable::default()).unwrap().total;
            prop_assert!(total(count) <= total(count + more));
        }

        /// A bill does not depend on how rows are told apart.
        #[test]
        fn groups_do_not_change_the_total(counts in prop::collection::vec((0_u8..4, 0_u64..5_000_000), 0..20)) {
            let mut ledger = Ledger::default();
            for (who, count) in counts {
                let subject = Subject { bucket: format!("b{}", who % 2), channel: String::new(), user: format!("u{}", who / 2) };
                ledger.record(november().start() + count % 86_400, &subject, &Counters::of(Meter::ALL[usize::from(who)], count), &[]);
            }
            let total = |group_by| {
                let query = Query { from_s: november().start(), to_s: november().end(), group_by, ..Query::default() };
                Bill::new(november(), &ledger.query(&query), &PriceTable::default()).unwrap().total
            };
            let whole = total(GroupBy::default());
            prop_assert_eq!(total(GroupBy { bucket: true, ..GroupBy::default() }), whole);
            prop_assert_eq!(total(GroupBy { channel: true, user: true, ..GroupBy::default() }), whole);
        }
    }
}
