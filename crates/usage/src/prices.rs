//! What things cost: the seeds' table, or a file.

use crate::counters::StorageClass;
use crate::money::{Amount, DIGITS};
use serde::Deserialize;
use std::collections::BTreeMap;
use thiserror::Error;

/// Prices, free amounts and units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceTable {
    /// Shown behind amounts; empty where none is known, as in the seeds.
    pub currency: String,
    /// How many requests the price of a request is for.
    pub requests_per_unit: u64,
    /// Bytes of a megabyte; a gigabyte is a thousand.
    pub megabyte_bytes: u64,
    /// Digits that each line is rounded to.
    pub decimals: u32,
    /// What things cost.
    pub prices: Prices,
    /// What costs nothing each month.
    pub free: Free,
}

/// Prices; zero is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prices {
    /// For each unit of channel creations.
    pub channel_creation: Amount,
    /// For each unit of standard requests and VOD playlists.
    pub standard_request: Amount,
    /// For each unit of status changes.
    pub status_change: Amount,
    /// For each unit of reads of playlists and segments.
    pub hls_request: Amount,
    /// For each unit of other writes.
    pub write_request: Amount,
    /// For each unit of other reads.
    pub read_request: Amount,
    /// For each megabyte that is pushed.
    pub ingest_megabyte: Amount,
    /// For each megabyte that is uploaded by HTTP.
    pub upload_megabyte: Amount,
    /// For each megabyte that is answered.
    pub outgoing_megabyte: Amount,
    /// For each hour of streaming, by the minute.
    pub streaming_hour: Amount,
    /// For each picture.
    pub snapshot: Amount,
    /// For each gigabyte that is stored for a month of 30 days.
    pub stored_gigabyte_month: BTreeMap<StorageClass, Amount>,
}

/// What is free each month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Free {
    /// Channel creations.
    pub channel_creations: u64,
    /// Standard requests and VOD playlists together.
    pub standard_requests: u64,
    /// Reads of playlists and segments.
    pub hls_requests: u64,
    /// Megabytes of upload traffic: pushes first, then uploads by HTTP.
    pub upload_megabytes: u64,
}

impl Default for Free {
    /// 100 creations, 1000 standard requests, 1000 HLS requests, 10 GB.
    fn default() -> Self {
        Self { channel_creations: 100, standard_requests: 1000, hls_requests: 1000, upload_megabytes: 10_000 }
    }
}

impl Default for PriceTable {
    /// The seeds' table.
    fn default() -> Self {
        // Thousand-millionths: what the table writes as 0.001 and 0.0001.
        let milli = |count: u32| Amount::of_ten_thousandths(10 * count);
        let tenth = Amount::of_ten_thousandths;
        Self {
            currency: String::new(),
            requests_per_unit: 1,
            megabyte_bytes: 1_000_000,
            decimals: 6,
            prices: Prices {
                channel_creation: milli(1),
                standard_request: tenth(1),
                status_change: tenth(1),
                hls_request: tenth(1),
                write_request: Amount::ZERO,
                read_request: Amount::ZERO,
                ingest_megabyte: tenth(1),
                upload_megabyte: Amount::ZERO,
                outgoing_megabyte: tenth(2),
                streaming_hour: milli(1),
                snapshot: Amount::ZERO,
                stored_gigabyte_month: BTreeMap::new(),
            },
            free: Free::default(),
        }
    }
}

/// Why a file is no price table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PriceError {
    /// Not the TOML that is expected; the text has the line.
    #[error("{0}")]
    Toml(String),
    /// A price that is none.
    #[error("price of {name}: {error}")]
    Price {
        /// Its key.
        name: String,
        /// What is wrong.
        error: crate::AmountError,
    },
    /// A unit of nothing, or more digits than amounts have.
    #[error("{0} out of range")]
    Range(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    currency: Option<String>,
    requests_per_unit: Option<u64>,
    megabyte_bytes: Option<u64>,
    decimals: Option<u32>,
    #[serde(default)]
    price: BTreeMap<String, Entry>,
    #[serde(default)]
    free: Free,
}

/// Prices are text, since a number of TOML with a point is no exact decimal.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a price in quotes, such as \"0.001\"")]
enum Entry {
    One(String),
    ByClass(BTreeMap<StorageClass, String>),
}

impl PriceTable {
    /// Reads a TOML file. What it leaves out is as in the default table; unknown names are refused.
    ///
    /// # Errors
    /// [`PriceError`], whose text names the place.
    pub fn from_toml(text: &str) -> Result<Self, PriceError> {
        let file: File = toml::from_str(text).map_err(|error| PriceError::Toml(error.to_string()))?;
        let mut table = Self::default();
        table.currency = file.currency.unwrap_or(table.currency);
        table.requests_per_unit = file.requests_per_unit.unwrap_or(table.requests_per_unit);
        table.megabyte_bytes = file.megabyte_bytes.unwrap_or(table.megabyte_bytes);
        table.decimals = file.decimals.unwrap_or(table.decimals);
        table.free = file.free;
        if table.requests_per_unit == 0 {
            return Err(PriceError::Range("requests_per_unit"));
        }
        // A gigabyte-month in byte-seconds still has to fit.
        if !(1..=1 << 30).contains(&table.megabyte_bytes) {
            return Err(PriceError::Range("megabyte_bytes"));
        }
        if table.decimals > DIGITS {
            return Err(PriceError::Range("decimals"));
        }
        for (name, entry) in file.price {
            table.prices.set(&name, entry)?;
        }
        Ok(table)
    }
}

impl Prices {
    fn set(&mut self, name: &str, entry: Entry) -> Result<(), PriceError> {
        let parse = |text: &str| text.parse().map_err(|error| PriceError::Price { name: name.to_owned(), error });
        match (name, entry) {
            ("stored_gigabyte_month", Entry::ByClass(classes)) => {
                for (class, price) in classes {
                    self.stored_gigabyte_month.insert(class, parse(&price)?);
                }
            }
            (_, Entry::One(price)) => {
                let field = self.field(name).ok_or_else(|| PriceError::Toml(format!("unknown price {name:?}")))?;
                *field = parse(&price)?;
            }
            _ => return Err(PriceError::Toml(format!("price {name:?} is not by storage class"))),
        }
        Ok(())
    }

    fn field(&mut self, name: &str) -> Option<&mut Amount> {
        Some(match name {
            "channel_creation" => &mut self.channel_creation,
            "standard_request" => &mut self.standard_request,
            "status_change" => &mut self.status_change,
            "hls_request" => &mut self.hls_request,
            "write_request" => &mut self.write_request,
            "read_request" => &mut self.read_request,
            "ingest_megabyte" => &mut self.ingest_megabyte,
            "upload_megabyte" => &mut self.upload_megabyte,
            "outgoing_megabyte" => &mut self.outgoing_megabyte,
            "streaming_hour" => &mut self.streaming_hour,
            "snapshot" => &mut self.snapshot,
            _ => return None,
        })
    }
}

impl Amount {
    /// For tables in code.
    fn of_ten_thousandths(count: u32) -> Self {
        let text = format!("{}.{:04}", count / 10_000, count % 10_000);
        text.parse().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_table() {
        let PriceTable { prices, free, .. } = PriceTable::default();
        let shown = [
            prices.channel_creation,
            prices.standard_request,
            prices.status_change,
            prices.hls_request,
            prices.ingest_megabyte,
            prices.outgoing_megabyte,
            prices.streaming_hour,
        ];
        assert_eq!(
            shown.map(|price| price.to_string()),
            ["0.001", "0.0001", "0.0001", "0.0001", "0.0001", "0.0002", "0.001"]
        );
        assert_eq!((free.channel_creations, free.standard_requests, free.upload_megabytes), (100, 1000, 10_000));
    }

    #[test]
    fn files() {
        assert_eq!(PriceTable::from_toml(""), Ok(PriceTable::default()));
        let table = PriceTable::from_toml(
            "currency = \"CNY\"\nrequests_per_unit = 10000\n[price]\nsnapshot = \"0.1\"\n\
             stored_gigabyte_month = { Standard = \"0.12\", IA = \"0.08\" }\n[free]\nhls_requests = 0\n",
        )
        .unwrap();
        assert_eq!(
            (table.currency.as_str(), table.requests_per_unit, table.prices.snapshot.to_string()),
            ("CNY", 10_000, "0.1".into())
        );
        assert_eq!(table.prices.stored_gigabyte_month[&StorageClass::InfrequentAccess].to_string(), "0.08");
        assert_eq!((table.free.hls_requests, table.free.channel_creations), (0, 100));
        for (text, word) in [
            ("requests_per_unit = 0", "requests_per_unit"),
            ("megabyte_bytes = 0", "megabyte_bytes"),
            ("decimals = 10", "decimals"),
            ("colour = 1", "colour"),
            ("[price]\nsnapshot = 0.1", "price in quotes"),
            ("[price]\nsnapshot = \"-1\"", "snapshot"),
            ("[price]\nsnapshots = \"1\"", "snapshots"),
            ("[price]\nsnapshot = { IA = \"1\" }", "storage class"),
            ("[price]\nstored_gigabyte_month = { Warm = \"1\" }", "price in quotes"),
            ("[free]\nlunch = 1", "lunch"),
        ] {
            let error = PriceTable::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
