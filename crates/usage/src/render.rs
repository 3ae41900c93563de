//! Bills and usage as text for people, JSON and CSV.

use crate::bill::{Bill, Line};
use crate::counters::{Counters, Meter, StorageClass};
use crate::ledger::{Row, StoredBytes, Subject};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// A bill as a table with aligned columns, for a terminal.
pub fn bill_table(bill: &Bill) -> String {
    let mut rows = vec![["item", "quantity", "unit", "formula", "amount"].map(str::to_owned)];
    rows.extend(bill.lines.iter().map(|line| {
        let amount = line.amount.to_string_with(bill.decimals);
        [line.item.clone(), line.quantity.to_string(), line.unit.to_owned(), line.formula(), amount]
    }));
    let total = bill.total.to_string_with(bill.decimals);
    rows.push(["total".to_owned(), String::new(), String::new(), String::new(), total]);
    let mut widths = [0; 5];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = format!("Usage of {}\n\n", bill.month);
    for (index, row) in rows.iter().enumerate() {
        if index == rows.len() - 1 {
            out.push_str(&format!("{}\n", "-".repeat(widths.iter().sum::<usize>() + 8)));
        }
        let cells: Vec<String> = row
            .iter()
            .zip(widths)
            .enumerate()
            // Numbers stand to the right.
            .map(
                |(column, (cell, width))| {
                    if matches!(column, 1 | 4) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        out.push_str(cells.join("  ").trim_end());
        if index > 0 && !bill.currency.is_empty() {
            out.push(' ');
            out.push_str(&bill.currency);
        }
        out.push('\n');
    }
    out
}

/// A bill as JSON. Amounts and quantities are text, since a number of JSON is not exact.
pub fn bill_json(bill: &Bill) -> Value {
    let line = |line: &Line| {
        json!({
            "item": line.item,
            "quantity": line.quantity.to_string(),
            "free": line.free.to_string(),
            "unit": line.unit,
            "price": line.price.to_string(),
            "per": line.per.to_string(),
            "formula": line.formula(),
            "amount": line.amount.to_string_with(bill.decimals),
        })
    };
    json!({
        "month": bill.month.to_string(),
        "currency": bill.currency,
        "lines": bill.lines.iter().map(line).collect::<Vec<_>>(),
        "total": bill.total.to_string_with(bill.decimals),
    })
}

/// A bill as CSV (RFC 4180), a header first and the total last.
pub fn bill_csv(bill: &Bill) -> String {
    let mut out = csv_line(["item", "quantity", "free", "unit", "price", "per", "formula", "amount", "currency"]);
    for line in &bill.lines {
        let cells = [
            line.item.clone(),
            line.quantity.to_string(),
            line.free.to_string(),
            line.unit.to_owned(),
            line.price.to_string(),
            line.per.to_string(),
            line.formula(),
            line.amount.to_string_with(bill.decimals),
            bill.currency.clone(),
        ];
        out.push_str(&csv_line(cells.iter().map(String::as_str)));
    }
    let total = bill.total.to_string_with(bill.decimals);
    out.push_str(&csv_line(["total", "", "", "", "", "", "", &total, &bill.currency]));
    out
}

/// Usage as JSON: an array with an object for each row. Names that were not asked for are left out, counters are numbers
/// (below 2^64), stored bytes and byte-seconds by class are text.
pub fn rows_json(rows: &[Row]) -> Value {
    Value::Array(rows.iter().map(row_json).collect())
}

fn row_json(row: &Row) -> Value {
    let mut out = Map::new();
    out.insert("window".to_owned(), json!(row.window.to_string()));
    let subject = &row.subject;
    for (name, value) in [("bucket", &subject.bucket), ("channel", &subject.channel), ("user", &subject.user)] {
        if !value.is_empty() {
            out.insert(name.to_owned(), json!(value));
        }
    }
    for meter in Meter::ALL {
        out.insert(meter.name().to_owned(), json!(row.counters.get(meter)));
    }
    let stored = row.stored.iter().map(|(class, bytes)| {
        let value = json!({ "bytes": bytes.at_end.to_string(), "byte_seconds": bytes.byte_seconds.to_string() });
        (class.name().to_owned(), value)
    });
    out.insert("stored".to_owned(), Value::Object(stored.collect()));
    Value::Object(out)
}

/// Reads what [`rows_json`] wrote; `None` when it did not.
pub fn rows_from_json(rows: &Value) -> Option<Vec<Row>> {
    rows.as_array()?.iter().map(row_from_json).collect()
}

fn row_from_json(value: &Value) -> Option<Row> {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let window = text(value, "window")?.parse().ok()?;
    let name = |name| text(value, name).unwrap_or_default();
    let subject = Subject { bucket: name("bucket"), channel: name("channel"), user: name("user") };
    let counters = Meter::ALL.into_iter().try_fold(Counters::default(), |counters, meter| {
        let count = value.get(meter.name()).map_or(Some(0), Value::as_u64)?;
        Some(counters.with(meter, count))
    })?;
    let mut stored = BTreeMap::new();
    for class in StorageClass::ALL {
        let Some(bytes) = value.get("stored").and_then(|stored| stored.get(class.name())) else { continue };
        let number = |name| text(bytes, name)?.parse().ok();
        stored.insert(class, StoredBytes { at_end: number("bytes")?, byte_seconds: number("byte_seconds")? });
    }
    Some(Row { window, subject, counters, stored })
}

/// Usage as CSV (RFC 4180), a header first; a column for each counter and two for each storage class.
pub fn rows_csv(rows: &[Row]) -> String {
    let mut header: Vec<String> = ["window", "bucket", "channel", "user"].map(str::to_owned).to_vec();
    header.extend(Meter::ALL.map(|meter| meter.name().to_owned()));
    for class in StorageClass::ALL {
        header.extend([format!("stored_bytes_{}", class.name()), format!("byte_seconds_{}", class.name())]);
    }
    let mut out = csv_line(header.iter().map(String::as_str));
    for row in rows {
        let subject = &row.subject;
        let mut cells =
            vec![row.window.to_string(), subject.bucket.clone(), subject.channel.clone(), subject.user.clone()];
        cells.extend(Meter::ALL.map(|meter| row.counters.get(meter).to_string()));
        for class in StorageClass::ALL {
            let bytes = row.stored.get(&class).copied().unwrap_or_default();
            cells.extend([bytes.at_end.to_string(), bytes.byte_seconds.to_string()]);
        }
        out.push_str(&csv_line(cells.iter().map(String::as_str)));
    }
    out
}

/// One line. A name that a spreadsheet would take for a formula gets a quote in front, since names come from outside.
fn csv_line<'a>(cells: impl IntoIterator<Item = &'a str>) -> String {
    let cell = |cell: &str| {
        let cell = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<i128>().is_err() {
            format!("'{cell}")
        } else {
            cell.to_owned()
        };
        if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
    };
    let mut line = cells.into_iter().map(cell).collect::<Vec<_>>().join(",");
    line.push_str("\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{GroupBy, Ledger, Query};
    use crate::prices::PriceTable;
    use crate::time::Month;

    fn rows(channel: &str) -> (Month, Vec<Row>) {
        let month = Month::new(2026, 11).unwrap();
        let mut ledger = Ledger::default();
        let subject = Subject { bucket: "b".into(), channel: channel.into(), user: String::new() };
        let counters = Counters::of(Meter::ChannelCreations, 150).with(Meter::StreamingMinutes, 61);
        ledger.record(month.start() + 10, &subject, &counters, &[(StorageClass::Standard, 20)]);
        let group_by = GroupBy { channel: true, ..GroupBy::default() };
        let query = Query { from_s: month.start(), to_s: month.end(), group_by, ..Query::default() };
        (month, ledger.query(&query))
    }

    fn bill(currency: &str) -> Bill {
        let (month, rows) = rows("c");
        Bill::new(month, &rows, &PriceTable { currency: currency.into(), decimals: 4, ..PriceTable::default() })
            .unwrap()
    }

    #[test]
    fn a_table_is_aligned() {
        let text = bill_table(&bill(""));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Usage of 2026-11");
        assert!(lines[2].starts_with("item ") && lines[2].ends_with("amount"), "{text}");
        assert!(lines[3].contains("(150 - 100 free) x 0.001") && lines[3].ends_with("  0.0500"), "{text}");
        assert!(lines.last().unwrap().starts_with("total") && lines.last().unwrap().ends_with("0.0510"), "{text}");
        let widths: Vec<usize> = lines[3..].iter().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        assert!(bill_table(&bill("CNY")).lines().last().unwrap().ends_with("0.0510 CNY"));
    }

    #[test]
    fn json_and_csv_of_a_bill() {
        let value = bill_json(&bill("CNY"));
        assert_eq!((&value["month"], &value["total"]), (&json!("2026-11"), &json!("0.0510")));
        assert_eq!(value["lines"][0]["formula"], "(150 - 100 free) x 0.001");
        let text = bill_csv(&bill("CNY"));
        assert!(text.starts_with("item,quantity,free,unit,price,per,formula,amount,currency\r\nLiveChannel creation,150,100,requests,0.001,1,"));
        assert!(
            text.contains("\"Streaming, by the minute\",61,0,minutes,0.001,60,61 / 60 x 0.001,0.0010,CNY\r\n"),
            "{text}"
        );
        assert!(text.ends_with("total,,,,,,,0.0510,CNY\r\n"));
    }

    #[test]
    fn json_and_csv_of_rows() {
        let (_, rows) = rows("=1+1,\"x\"");
        let value = rows_json(&rows);
        assert_eq!(rows_from_json(&value).map(|rows| rows_json(&rows)), Some(value.clone()));
        assert_eq!(rows_from_json(&json!([{"window": "today"}])), None);
        assert_eq!(value[0]["channel"], "=1+1,\"x\"");
        assert_eq!((&value[0]["streaming_minutes"], &value[0]["user"]), (&json!(61), &Value::Null));
        assert_eq!(value[0]["stored"]["Standard"]["bytes"], "20");
        let text = rows_csv(&rows);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(
            lines[0].starts_with("window,bucket,channel,user,channel_creations,")
                && lines[0].ends_with("byte_seconds_DeepColdArchive")
        );
        assert!(lines[1].starts_with("2026-11,b,\"'=1+1,\"\"x\"\"\",,150,"), "{}", lines[1]);
    }
}
