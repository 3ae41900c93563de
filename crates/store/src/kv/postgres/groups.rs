//! One row of each group of keys in one statement: it jumps over a group to where the next one may begin, in the database ("loose
//! index scan"), so that a page of a list with a delimiter is one round trip, and as long as the page, not as what is folded.

use async_trait::async_trait;
use futures_util::TryStreamExt as _;

use super::pool::{Connection, Work};
use crate::error::Result;
use crate::kv::{Entry, Groups};

/// Finds `$3` rows from `$1` to before `$2`. The delimiter `$5` is looked for after `$4` bytes of a key and before the first `$7`; `$6`
/// is what comes after all that begins with the delimiter.
///
/// Every turn finds one row, and where the next turn goes on: behind the row, or behind its group. Turns of several rows are
/// faster where there are no groups (2.5 instead of 4.2 ms for 1,000 rows), slower where there are, and much longer to read.
pub(super) fn sql(schema: &str) -> String {
    format!(
        r"
WITH RECURSIVE found (k, v, version, next, number) AS (
    SELECT NULL::bytea, NULL::bytea, NULL::bigint, $1::bytea, 0::bigint
    UNION ALL
    SELECT r.k, r.v, r.version,
        CASE WHEN r.at > 0 AND coalesce(r.name_end, 0) NOT BETWEEN 1 AND r.at
            THEN substr(r.k, 1, $4 + r.at - 1) || $6::bytea ELSE r.k || '\x00'::bytea END,
        f.number + 1
    FROM found AS f CROSS JOIN LATERAL (
        SELECT t.k, t.v, t.version, position($5::bytea IN substr(t.k, $4::int + 1)) AS at,
            position($7::bytea IN substr(t.k, $4 + 1)) AS name_end
        FROM {schema}.kv AS t WHERE t.k >= f.next AND t.k < $2::bytea ORDER BY t.k LIMIT 1
    ) AS r
    WHERE f.number < $3::bigint
)
SELECT k, v, version FROM found WHERE number > 0 ORDER BY number"
    )
}

/// Reads them.
pub(super) struct ReadGroups<'a> {
    pub(super) from: &'a [u8],
    pub(super) to: &'a [u8],
    pub(super) limit: usize,
    pub(super) groups: &'a Groups,
    /// The first key after all that begin with the delimiter.
    pub(super) delimiter_end: &'a [u8],
}

#[async_trait]
impl Work for ReadGroups<'_> {
    type Done = Vec<Entry>;

    async fn on(&self, connection: &Connection) -> Result<Vec<Entry>, tokio_postgres::Error> {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let after = i32::try_from(self.groups.after).unwrap_or(i32::MAX - 1);
        let until = self.groups.until.as_deref().filter(|until| !until.is_empty());
        let delimiter = self.groups.delimiter.as_slice();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&self.from, &self.to, &limit, &after, &delimiter, &self.delimiter_end, &until];
        let mut rows = std::pin::pin!(connection.query_raw(&connection.statements.groups, parameters).await?);
        let mut entries = Vec::new();
        while let Some(row) = rows.try_next().await? {
            entries.push(super::entry(&row)?);
        }
        Ok(entries)
    }
}
