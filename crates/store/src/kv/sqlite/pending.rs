//! What a transaction of many commits knows of its rows, so that it need not ask the file once for each of them: uploads to a
//! bucket all demand that the bucket is there, add to the same counters, and write long values at the same end.

use std::collections::{BTreeMap, HashMap};

use rusqlite::Connection;

use super::changes::{delete, delete_prefix, is_long, next_id, put};
use super::rows;
use crate::error::Result;
use crate::kv::{Precondition, Version, Write, counters};

/// A transaction under way. It is the only writer, so what it has read or written stays so until it writes again.
pub(super) struct Pending<'a> {
    connection: &'a Connection,
    /// Counters that were added to. A row is written once for all who add to it, or before something else looks at it or
    /// changes it.
    sums: BTreeMap<Vec<u8>, (Vec<i64>, Version)>,
    /// Versions of keys that were asked for or written; `None` for a key that is not there.
    versions: HashMap<Vec<u8>, Option<Version>>,
    /// The number of the next long value.
    next_id: Option<i64>,
}

impl<'a> Pending<'a> {
    /// A transaction that has just begun.
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection, sums: BTreeMap::new(), versions: HashMap::new(), next_id: None }
    }

    /// Whether a precondition holds at this moment of the transaction.
    pub(super) fn holds(&mut self, precondition: &Precondition, now_ms: i64) -> Result<bool> {
        Ok(match precondition {
            Precondition::Absent(key) => self.version_of(key)?.is_none(),
            Precondition::Exists(key) => self.version_of(key)?.is_some(),
            Precondition::VersionIs(key, version) => self.version_of(key)? == Some(*version),
            Precondition::CounterAtLeast(key, least) => {
                self.settle(|counter| counter == key)?;
                let row = rows::get(self.connection, key)?;
                row.and_then(|row| counters(&row.value).next()).unwrap_or(0) >= *least
            }
            Precondition::PrefixEmpty(prefix) => {
                self.settle(|counter| counter.starts_with(prefix))?;
                rows::is_prefix_empty(self.connection, prefix)?
            }
            Precondition::LeaseHeld(name, token) => {
                rows::lease(self.connection, name)?.is_some_and(|lease| lease.token == *token)
            }
            Precondition::LeaseFree(name) => {
                rows::lease(self.connection, name)?.is_none_or(|lease| lease.expires_ms <= now_ms)
            }
        })
    }

    /// Makes a change.
    pub(super) fn write(&mut self, write: &Write, version: Version) -> Result<()> {
        match write {
            Write::Put(key, value) => {
                self.settle(|counter| counter == key)?;
                self.put(key, value, version)
            }
            Write::Delete(key) => {
                self.settle(|counter| counter == key)?;
                self.versions.insert(key.clone(), None);
                delete(self.connection, key)
            }
            Write::DeletePrefix(prefix) => {
                self.settle(|counter| counter.starts_with(prefix))?;
                self.versions.retain(|key, _| !key.starts_with(prefix));
                delete_prefix(self.connection, prefix)
            }
            Write::Add(key, deltas) => self.add(key, deltas, version),
        }
    }

    /// Writes the counters that were added to.
    pub(super) fn finish(mut self) -> Result<()> {
        self.settle(|_| true)
    }

    fn version_of(&mut self, key: &[u8]) -> Result<Option<Version>> {
        self.settle(|counter| counter == key)?;
        if let Some(version) = self.versions.get(key) {
            return Ok(*version);
        }
        let version = rows::version_of(self.connection, key)?;
        self.versions.insert(key.to_owned(), version);
        Ok(version)
    }

    fn put(&mut self, key: &[u8], value: &[u8], version: Version) -> Result<()> {
        self.versions.insert(key.to_owned(), Some(version));
        if !is_long(value) {
            return put(self.connection, key, value, version, None);
        }
        let id = match self.next_id {
            Some(id) => id,
            None => next_id(self.connection)?,
        };
        self.next_id = Some(id.saturating_add(1));
        put(self.connection, key, value, version, Some(id))
    }

    fn add(&mut self, key: &[u8], deltas: &[i64], version: Version) -> Result<()> {
        if !self.sums.contains_key(key) {
            let row = rows::get(self.connection, key)?;
            let sums = row.map(|row| counters(&row.value).collect()).unwrap_or_default();
            self.sums.insert(key.to_owned(), (sums, version));
        }
        if let Some((sums, newest)) = self.sums.get_mut(key) {
            crate::kv::add(sums, deltas);
            *newest = version;
        }
        Ok(())
    }

    /// Writes the counters whose key is concerned.
    fn settle(&mut self, is_concerned: impl Fn(&[u8]) -> bool) -> Result<()> {
        while let Some(key) = self.sums.keys().find(|key| is_concerned(key)).cloned() {
            if let Some((sums, version)) = self.sums.remove(&key) {
                self.put(&key, &crate::kv::counters_value(&sums), version)?;
            }
        }
        Ok(())
    }
}
