//! The tables of the file, and how a file comes to have them.
//!
//! `kv` is the map, a tree by key. SQLite compares whole rows on the way down such a tree, and a row that does not fit
//! into its page would be gathered from its overflow pages at each comparison. So a value from [`LONG_VALUE`] bytes on
//! stands in a table of its own, `large`, which only ever grows at its end, and its row of `kv` has its number.

use std::path::Path;

use rusqlite::Connection;

use super::{BUSY, Durability, failed};
use crate::error::{Error, Result, Subject};

/// The length from which a value has a row of its own. Rows of `kv` stay within their page of 4 KiB, which takes a
/// thousand bytes of a row.
pub(super) const LONG_VALUE: usize = 640;

/// Bytes of a page of a new file. A small upload is a page of 4 KiB and little more; larger pages would be written half
/// empty, to the log and to the file.
const PAGE_BYTES: u32 = 4096;

/// "mpnd", so that `file` and the curious can tell whose database this is.
pub(super) const APPLICATION_ID: i32 = 0x6d70_6e64;

/// The layout of tables that this program reads and writes. Version 1 had no `large`.
pub(super) const SCHEMA_VERSION: i32 = 2;

/// Opens a file for writing: makes one if there is none and none has to be, and brings an older one up to date.
///
/// # Errors
/// `Unavailable` if it cannot be opened; `Corrupt` if it is not ours or a newer program wrote it; `NotFound` if it is
/// missing or empty and must exist.
pub(super) fn open(path: &Path, durability: Durability, must_exist: bool) -> Result<Connection> {
    let missing = || Error::not_found(Subject::Engine, format!("{} is missing or empty", path.display()));
    // Before anything touches it: SQLite deletes the log beside an empty file.
    if must_exist && std::fs::metadata(path).map_or(true, |file| file.len() == 0) {
        return Err(missing());
    }
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(BUSY).map_err(failed)?;
    // Takes effect on a new file only.
    connection.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Relaxed => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(failed)?;
    connection.pragma_update(None, "cache_size", -32768).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(64);
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let connection = match (application, version) {
        (APPLICATION_ID, SCHEMA_VERSION) => connection,
        // Pages without tables are what a first start leaves that was cut off.
        (0, 0) if must_exist => return Err(missing()),
        (0, 0) => create(connection)?,
        (APPLICATION_ID, 1) => add_long_values(connection)?,
        _ => {
            return Err(Error::corrupt(
                Subject::Engine,
                format!("{} has application id {application:#x} and version {version}", path.display()),
            ));
        }
    };
    // The entries of the file and its log in their directory are not made durable by flushing the files. A file that is
    // there may be one whose maker failed at this very point.
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let synced = std::fs::File::open(parent).and_then(|directory| directory.sync_all());
    synced.map_err(|e| Error::unavailable(Subject::Engine, e))?;
    Ok(connection)
}

/// Says which long values are missing and which belong to nothing.
///
/// # Errors
/// `Unavailable` if the file cannot be read.
pub(super) fn unpaired(connection: &Connection) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (sql, what) in [
        ("SELECT count(*) FROM kv WHERE large IS NOT NULL AND large NOT IN (SELECT id FROM large)", "are missing"),
        ("SELECT count(*) FROM large WHERE id NOT IN (SELECT large FROM kv WHERE large IS NOT NULL)", "have no key"),
    ] {
        let count: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(failed)?;
        if count > 0 {
            found.push(format!("{count} long values {what}"));
        }
    }
    Ok(found)
}

const LARGE: &str = "CREATE TABLE large (id INTEGER PRIMARY KEY, v BLOB NOT NULL)";

fn create(connection: Connection) -> Result<Connection> {
    connection
        .execute_batch(&format!(
            "BEGIN IMMEDIATE;
             CREATE TABLE kv (k BLOB PRIMARY KEY NOT NULL, v BLOB NOT NULL, version INTEGER NOT NULL, large INTEGER)
                 WITHOUT ROWID;
             {LARGE};
             CREATE TABLE lease (name TEXT PRIMARY KEY NOT NULL, holder TEXT NOT NULL, token INTEGER NOT NULL,
                                 expires_ms INTEGER NOT NULL) WITHOUT ROWID;
             CREATE TABLE sequence (id INTEGER PRIMARY KEY CHECK (id = 0), last INTEGER NOT NULL);
             INSERT INTO sequence VALUES (0, 0);
             PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = {SCHEMA_VERSION};
             COMMIT;"
        ))
        .map_err(failed)?;
    Ok(connection)
}

/// From version 1. Long values that are there stay where they are until they are written again.
fn add_long_values(connection: Connection) -> Result<Connection> {
    let sql = format!(
        "BEGIN IMMEDIATE; ALTER TABLE kv ADD COLUMN large INTEGER; {LARGE}; PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
    );
    connection.execute_batch(&sql).map_err(failed)?;
    Ok(connection)
}
