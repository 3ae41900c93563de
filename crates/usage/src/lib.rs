//! What was used, and what it costs (LiveChannel 7; the price table, free tier and billing notes of the service).
//!
//! ```text
//!   what happened ─► Counters (a delta) ─► rows per hour and month ─► Ledger ─► usage rows ─► JSON, CSV
//!                                                                       └─► PriceTable ─► Bill ─► table, JSON, CSV
//! ```
//!
//! Nothing here reads a clock, a file or a store. Deltas commute and associate, so that servers may add them in any order,
//! from several places, and in the same commit as what they count. Amounts are exact decimals; each line of a bill is
//! rounded once, at its end. What is counted when stands in `docs/usage.md`.

mod bill;
mod classes;
mod counters;
mod ledger;
mod money;
mod prices;
mod render;
mod stream;
mod time;

pub use bill::{Bill, BillError, Line};
pub use classes::{Operation, class_of};
pub use counters::{Counters, Level, Meter, StorageClass};
pub use ledger::{GroupBy, Ledger, Query, Row, RowKey, Step, Subject, Window};
pub use money::{Amount, AmountError};
pub use prices::{Free, PriceError, PriceTable, Prices};
pub use render::{bill_csv, bill_json, bill_table, rows_csv, rows_from_json, rows_json};
pub use stream::StreamMeter;
pub use time::{Hour, Month, RETAINED_HOURS};
