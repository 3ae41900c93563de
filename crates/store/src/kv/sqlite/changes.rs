//! The SQL of the map: writing rows. Whoever calls is in a transaction.

use rusqlite::{Connection, OptionalExtension, params};

use super::failed;
use super::layout::LONG_VALUE;
use crate::error::Result;
use crate::kv::{Version, after_prefix};

/// Sets the value of a key; one that [is long](is_long) gets a number. Most keys that are written are new, so it is tried as
/// if this one were.
pub(super) fn put(connection: &Connection, key: &[u8], value: &[u8], version: Version, id: Option<i64>) -> Result<()> {
    // It was made here, so it has a number.
    let version = version.commit().unwrap_or_default().cast_signed();
    let here = if id.is_some() { &[] } else { value };
    let sql = "INSERT INTO kv (k, v, version, large) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (k) DO NOTHING";
    if execute(connection, sql, params![key, here, version, id])? == 0 {
        if let Some(old) = long_of(connection, key)? {
            execute(connection, "DELETE FROM large WHERE id = ?1", params![old])?;
        }
        let sql = "UPDATE kv SET v = ?2, version = ?3, large = ?4 WHERE k = ?1";
        execute(connection, sql, params![key, here, version, id])?;
    }
    if let Some(id) = id {
        execute(connection, "INSERT INTO large (id, v) VALUES (?1, ?2)", params![id, value])?;
    }
    Ok(())
}

/// Removes a key, if it is there.
pub(super) fn delete(connection: &Connection, key: &[u8]) -> Result<()> {
    if let Some(id) = long_of(connection, key)? {
        execute(connection, "DELETE FROM large WHERE id = ?1", params![id])?;
    }
    execute(connection, "DELETE FROM kv WHERE k = ?1", params![key])?;
    Ok(())
}

/// Removes all keys that start with `prefix`.
pub(super) fn delete_prefix(connection: &Connection, prefix: &[u8]) -> Result<()> {
    match after_prefix(prefix) {
        Some(end) => {
            let sql =
                "DELETE FROM large WHERE id IN (SELECT large FROM kv WHERE k >= ?1 AND k < ?2 AND large IS NOT NULL)";
            execute(connection, sql, params![prefix, end])?;
            execute(connection, "DELETE FROM kv WHERE k >= ?1 AND k < ?2", params![prefix, end])?;
        }
        None => {
            let sql = "DELETE FROM large WHERE id IN (SELECT large FROM kv WHERE k >= ?1 AND large IS NOT NULL)";
            execute(connection, sql, params![prefix])?;
            execute(connection, "DELETE FROM kv WHERE k >= ?1", params![prefix])?;
        }
    }
    Ok(())
}

/// Runs a statement that is kept ready; how many rows it changed.
pub(super) fn execute(connection: &Connection, sql: &str, parameters: impl rusqlite::Params) -> Result<usize> {
    let mut statement = connection.prepare_cached(sql).map_err(failed)?;
    statement.execute(parameters).map_err(failed)
}

/// The number of the long value of a key, if it has one.
fn long_of(connection: &Connection, key: &[u8]) -> Result<Option<i64>> {
    let mut statement = connection.prepare_cached("SELECT large FROM kv WHERE k = ?1").map_err(failed)?;
    let found: Option<Option<i64>> = statement.query_row(params![key], |row| row.get(0)).optional().map_err(failed)?;
    Ok(found.flatten())
}

/// Whether a value stands in the table of long values.
pub(super) fn is_long(value: &[u8]) -> bool {
    value.len() >= LONG_VALUE
}

/// The number of the next long value. Numbers rise, so that the table is written at its end.
pub(super) fn next_id(connection: &Connection) -> Result<i64> {
    let mut statement = connection.prepare_cached("SELECT coalesce(max(id), 0) + 1 FROM large").map_err(failed)?;
    statement.query_row([], |row| row.get(0)).map_err(failed)
}
