//! The SQL of the map: reading rows and leases.

use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failed;
use crate::error::Result;
use crate::kv::{Entry, FencingToken, Lease, Range, Version, Versioned};

pub(super) fn get(connection: &Connection, key: &[u8]) -> Result<Option<Versioned>> {
    let mut statement = connection.prepare_cached("SELECT v, version, large FROM kv WHERE k = ?1").map_err(failed)?;
    let row = statement.query_row(params![key], |row| {
        let value = match row.get(2)? {
            Some(id) => long_value(connection, id, Bytes::copy_from_slice)?,
            None => Bytes::copy_from_slice(row.get_ref(0)?.as_bytes()?),
        };
        Ok(Versioned { value, version: version(row, 1)? })
    });
    row.optional().map_err(failed)
}

/// The values of keys, all as of one commit. The connection is in no transaction.
pub(super) fn get_many(connection: &Connection, keys: &[Vec<u8>]) -> Result<Vec<Option<Versioned>>> {
    let transaction = connection.unchecked_transaction().map_err(failed)?;
    keys.iter().map(|key| get(&transaction, key)).collect()
}

/// Reads a value of the table `large` while the statement that found its number is under way, so that both see the same
/// commit. One that is missing is damage, not absence.
fn long_value<T>(connection: &Connection, id: i64, read: impl FnOnce(&[u8]) -> T) -> rusqlite::Result<T> {
    let mut statement = connection.prepare_cached("SELECT v FROM large WHERE id = ?1")?;
    let value = statement.query_row(params![id], |row| Ok(read(row.get_ref(0)?.as_bytes()?)));
    value.optional()?.ok_or_else(|| {
        let corrupt = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
        rusqlite::Error::SqliteFailure(corrupt, Some(format!("long value {id} is missing")))
    })
}

pub(super) fn range(connection: &Connection, range: &Range) -> Result<Vec<Entry>> {
    if range.is_empty() {
        return Ok(Vec::new());
    }
    let limit = i64::try_from(range.limit).unwrap_or(i64::MAX);
    let sql = match (&range.to, range.reverse) {
        (Some(_), false) => "SELECT k, v, version, large FROM kv WHERE k >= ?1 AND k < ?3 ORDER BY k LIMIT ?2",
        (Some(_), true) => "SELECT k, v, version, large FROM kv WHERE k >= ?1 AND k < ?3 ORDER BY k DESC LIMIT ?2",
        (None, false) => "SELECT k, v, version, large FROM kv WHERE k >= ?1 ORDER BY k LIMIT ?2",
        (None, true) => "SELECT k, v, version, large FROM kv WHERE k >= ?1 ORDER BY k DESC LIMIT ?2",
    };
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    let mut rows = match &range.to {
        Some(to) => statement.query(params![range.from, limit, to]),
        None => statement.query(params![range.from, limit]),
    }
    .map_err(failed)?;
    let mut packer = Packer::default();
    while let Some(row) = rows.next().map_err(failed)? {
        packer.push(connection, row).map_err(failed)?;
    }
    Ok(packer.into_entries())
}

pub(super) fn is_prefix_empty(connection: &Connection, prefix: &[u8]) -> Result<bool> {
    Ok(range(connection, &Range::prefix(prefix).limit(1))?.is_empty())
}

pub(super) fn version_of(connection: &Connection, key: &[u8]) -> Result<Option<Version>> {
    let mut statement = connection.prepare_cached("SELECT version FROM kv WHERE k = ?1").map_err(failed)?;
    statement.query_row(params![key], |row| version(row, 0)).optional().map_err(failed)
}

/// The last version or token given out.
pub(super) fn last_version(connection: &Connection) -> Result<u64> {
    let mut statement = connection.prepare_cached("SELECT last FROM sequence").map_err(failed)?;
    let last: i64 = statement.query_row([], |row| row.get(0)).map_err(failed)?;
    Ok(last.cast_unsigned())
}

/// The lease as last given out, expired or not.
pub(super) fn lease(connection: &Connection, name: &str) -> Result<Option<Lease>> {
    let mut statement =
        connection.prepare_cached("SELECT holder, token, expires_ms FROM lease WHERE name = ?1").map_err(failed)?;
    let lease = statement.query_row(params![name], |row| {
        Ok(Lease {
            name: name.to_owned(),
            holder: row.get(0)?,
            token: FencingToken(row.get::<_, i64>(1)?.cast_unsigned()),
            expires_ms: row.get(2)?,
        })
    });
    lease.optional().map_err(failed)
}

/// Bytes after which a new buffer is begun, so that one row that is kept does not keep a long range alive.
const PACK: usize = 64 << 10;

/// Gathers rows, many to a buffer: a day of segments would otherwise be 86,400 allocations.
#[derive(Default)]
struct Packer {
    entries: Vec<Entry>,
    buffer: BytesMut,
    /// Lengths of key and value of the rows in the buffer.
    pending: Vec<(usize, usize, Version)>,
}

impl Packer {
    fn push(&mut self, connection: &Connection, row: &Row<'_>) -> rusqlite::Result<()> {
        let (key, version) = (row.get_ref(0)?.as_bytes()?, version(row, 2)?);
        match row.get(3)? {
            Some(id) => long_value(connection, id, |value| self.add(key, value, version)),
            None => {
                self.add(key, row.get_ref(1)?.as_bytes()?, version);
                Ok(())
            }
        }
    }

    fn add(&mut self, key: &[u8], value: &[u8], version: Version) {
        if self.buffer.len() + key.len() + value.len() > PACK {
            self.flush();
        }
        self.buffer.extend_from_slice(key);
        self.buffer.extend_from_slice(value);
        self.pending.push((key.len(), value.len(), version));
    }

    fn flush(&mut self) {
        let mut packed = self.buffer.split().freeze();
        for (key, value, version) in self.pending.drain(..) {
            self.entries.push(Entry { key: packed.split_to(key), value: packed.split_to(value), version });
        }
    }

    fn into_entries(mut self) -> Vec<Entry> {
        self.flush();
        self.entries
    }
}

fn version(row: &Row<'_>, index: usize) -> rusqlite::Result<Version> {
    Ok(Version::of_commit(row.get::<_, i64>(index)?.cast_unsigned()))
}
