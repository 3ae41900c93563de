//! Reading one row of each group of keys: what a list with a delimiter is made of.

use bytes::Bytes;

use super::{Entry, Range, Snapshot, after_prefix};
use crate::error::Result;

/// Rows read at once while groups are skipped; doubled as long as there is none.
const FIRST_CHUNK: usize = 32;

/// The most rows read at once.
const MAX_CHUNK: usize = 1024;

/// Which keys form a group: those that agree up to and including the first delimiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Groups {
    /// How many bytes of a key come before those where the delimiter is looked for.
    pub after: usize,
    /// What ends the bytes that the keys of a group share. With an empty one there are no groups.
    pub delimiter: Vec<u8>,
    /// Where the name in a key ends, if not with the key: the delimiter counts only before the first of these.
    pub until: Option<Vec<u8>>,
}

impl Groups {
    /// What the keys of the group of this one begin with; `None` when it is in no group.
    pub fn of<'k>(&self, key: &'k [u8]) -> Option<&'k [u8]> {
        let name = key.get(self.after..)?;
        let at = find(name, &self.delimiter)?;
        let is_in_name = self.until.as_ref().and_then(|until| find(name, until)).is_none_or(|end| at < end);
        is_in_name.then(|| key.get(..self.after + at + self.delimiter.len())).flatten()
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    if wanted.is_empty() {
        return None;
    }
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The rows of a rising range without those whose group had one before, by a seek for each group.
pub(super) async fn by_seeks(snapshot: &dyn Snapshot, range: &Range, groups: &Groups) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut part = Range { limit: FIRST_CHUNK, reverse: false, ..range.clone() };
    let mut group: Option<Vec<u8>> = None;
    while !part.is_empty() && found.len() < range.limit {
        let rows = snapshot.range(&part).await?;
        let Some(last) = rows.last().map(|row| row.key.clone()) else { break };
        let is_last = rows.len() < part.limit;
        for row in rows {
            if group.as_ref().is_some_and(|group| row.key.starts_with(group)) {
                continue;
            }
            if found.len() == range.limit {
                return Ok(found);
            }
            group = groups.of(&row.key).map(<[u8]>::to_vec);
            found.push(if group.is_some() { alone(&row) } else { row });
        }
        if is_last {
            break;
        }
        match &group {
            Some(group) => {
                let Some(end) = after_prefix(group) else { break };
                part.from = end;
                part.limit = FIRST_CHUNK;
            }
            None => {
                part.from = [last.as_ref(), &[0]].concat();
                part.limit = (part.limit * 2).min(MAX_CHUNK);
            }
        }
    }
    Ok(found)
}

/// A row with memory of its own: those around it are not wanted, and an engine may keep them together.
fn alone(row: &Entry) -> Entry {
    Entry { key: Bytes::copy_from_slice(&row.key), value: Bytes::copy_from_slice(&row.value), version: row.version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_with_the_first_delimiter_of_a_name() {
        let groups = |after, delimiter: &str, until: Option<&str>| Groups {
            after,
            delimiter: delimiter.into(),
            until: until.map(Into::into),
        };
        for (groups, key, expected) in [
            (groups(0, "/", None), "a/b/c", Some("a/")),
            (groups(2, "/", None), "a/b/c", Some("a/b/")),
            (groups(1, "/", None), "a/b/c", Some("a/")),
            (groups(4, "/", None), "a/b/c", None),
            (groups(9, "/", None), "a/b/c", None),
            (groups(0, "b/", None), "a/b/c", Some("a/b/")),
            (groups(0, "", None), "a/b/c", None),
            (groups(0, "/", Some("b")), "a/b/c", Some("a/")),
            (groups(2, "/", Some("b")), "a/b/c", None),
            (groups(2, "/", Some("z")), "a/b/c", Some("a/b/")),
        ] {
            assert_eq!(groups.of(key.as_bytes()), expected.map(str::as_bytes), "{groups:?}");
        }
    }
}
