//! `millpond usage`: what a month costs, each line with its formula, or what was used.

use std::path::PathBuf;
use std::process::ExitCode;

use ::usage::{Bill, Month, PriceTable, bill_csv, bill_json, bill_table, rows_from_json};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use hyper::Method;

use super::accounts::Server;
use crate::clock::Clock;

/// The flags of `usage`.
#[derive(Debug, Args)]
pub(crate) struct Usage {
    #[command(flatten)]
    server: Server,
    /// The month, in UTC; the present one without this.
    #[arg(long, value_name = "YYYY-MM")]
    month: Option<String>,
    /// File with the prices, TOML; the published table without one.
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Only this bucket. The free amounts are those of a bill, so bills of buckets may be less than the bill of all together.
    #[arg(long, value_name = "BUCKET")]
    bucket: Option<String>,
    /// Print what was used instead of a bill, with a row for each of these: bucket, channel, user.
    #[arg(long, value_name = "NAMES", conflicts_with = "prices", num_args = 0..=1, default_missing_value = "bucket")]
    rows: Option<String>,
    /// Print rows by the hour.
    #[arg(long, requires = "rows")]
    hours: bool,
    /// How it is printed; rows are JSON or CSV.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// How it is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
}

impl Usage {
    /// Prints it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let month: Month = match &self.month {
            Some(month) => month.parse().ok().with_context(|| format!("a month is YYYY-MM, not {month:?}"))?,
            None => Month::of(u64::try_from(Clock::system().now_s()).unwrap_or(0)),
        };
        let format = if self.server.json { Format::Json } else { self.format };
        if let Some(group) = &self.rows {
            let step = if self.hours { "hour" } else { "month" };
            let format = if format == Format::Json { "json" } else { "csv" };
            say!("{}", self.ask(month, &[("step", step), ("group", group), ("format", format)])?.trim_end());
            return Ok(ExitCode::SUCCESS);
        }
        let table = match &self.prices {
            None => PriceTable::default(),
            Some(path) => {
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
                PriceTable::from_toml(&text).with_context(|| format!("{} is no table of prices", path.display()))?
            }
        };
        let answer = serde_json::from_str::<serde_json::Value>(&self.ask(month, &[])?)?;
        let Some(rows) = rows_from_json(&answer["usage"]) else { bail!("the server's answer has no usage") };
        let bill = Bill::new(month, &rows, &table)?;
        match format {
            Format::Table => say!("{}", bill_table(&bill).trim_end()),
            Format::Json => say!("{:#}", bill_json(&bill)),
            Format::Csv => say!("{}", bill_csv(&bill).trim_end()),
        }
        Ok(ExitCode::SUCCESS)
    }

    fn ask(&self, month: Month, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        let month = month.to_string();
        let mut query = vec![("month", Some(month.as_str()))];
        query.extend(self.bucket.as_deref().map(|bucket| ("bucket", Some(bucket))));
        query.extend(parameters.iter().map(|(name, value)| (*name, Some(*value))));
        let answer = self.server.answer(Method::GET, "usage", &query, String::new())?;
        String::from_utf8(answer.to_vec()).context("the server's answer is no text; is this the management API?")
    }
}
