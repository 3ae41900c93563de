//! The schema of the map: made by `millpond store init`, looked at by everybody who opens the map.

use tokio_postgres::error::SqlState;

use super::pool::Pool;
use super::{PostgresAddress, PostgresOptions, failed};
use crate::error::{Error, ErrorKind, Result, Subject};

/// The layout that this program reads and writes.
pub const LAYOUT: i32 = 1;
/// The oldest PostgreSQL, as `server_version_num` has it.
pub(super) const OLDEST: i32 = 150_000;
/// Held while a layout is made, so that two who make it at once make one.
const LOCK: i64 = 0x6d69_6c6c;

/// What [`prepare`] found or did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// There was no map; now there is an empty one.
    Made,
    /// The map is there, as this program wants it.
    AlreadyThere,
}

/// Makes the map at an address, if there is none.
///
/// # Errors
/// `Unavailable` when the database does not answer or does not allow it; `Newer` when a newer program made it.
pub async fn prepare(address: &PostgresAddress, options: &PostgresOptions) -> Result<Prepared> {
    let pool = Pool::new(address, options)?;
    let client = pool.connect_bare().await?;
    check_version(&client).await?;
    let schema = &address.schema;
    client.batch_execute(&format!("BEGIN; SELECT pg_advisory_xact_lock({LOCK})")).await.map_err(|e| failed(&e))?;
    match found(&client, schema).await? {
        Some(LAYOUT) => Ok(Prepared::AlreadyThere),
        Some(other) => Err(unknown(other)),
        None => {
            let exists = client.query_opt("SELECT 1 FROM pg_namespace WHERE nspname = $1", &[schema]).await;
            let mut sql = include_str!("layout.sql").replace("{schema}", schema);
            if exists.map_err(|e| failed(&e))?.is_none() {
                // An empty schema that somebody made for us is as good, and then needs no right to make one.
                sql.insert_str(0, &format!("CREATE SCHEMA {schema};\n"));
            }
            sql.push_str("COMMIT;");
            client.batch_execute(&sql).await.map_err(|e| failed(&e))?;
            Ok(Prepared::Made)
        }
    }
}

/// Looks whether the map is there as this program wants it.
pub(super) async fn check(pool: &Pool, schema: &str) -> Result<()> {
    let client = pool.connect_bare().await?;
    check_version(&client).await?;
    match found(&client, schema).await? {
        Some(LAYOUT) => {}
        Some(other) => return Err(unknown(other)),
        None => {
            let hint = "there is no map yet; `millpond store init` with the same options makes it";
            return Err(Error::not_found(Subject::Engine, hint));
        }
    }
    let fsync = client.query_one("SELECT current_setting('fsync'), current_setting('full_page_writes')", &[]).await;
    let fsync = fsync.map_err(|e| failed(&e))?;
    if (0..2).any(|column| fsync.try_get::<_, &str>(column).ok() == Some("off")) {
        tracing::warn!(
            "PostgreSQL runs with fsync or full_page_writes off: a power cut may take or destroy what it acknowledged"
        );
    }
    // Lanes of lives that ended long ago.
    let old = format!("DELETE FROM {schema}.lane WHERE at < now() - interval '7 days'");
    client.batch_execute(&old).await.map_err(|e| failed(&e))
}

async fn found(client: &tokio_postgres::Client, schema: &str) -> Result<Option<i32>> {
    let there = client
        .query_one("SELECT to_regclass($1) IS NOT NULL", &[&format!("{schema}.layout")])
        .await
        .and_then(|row| row.try_get::<_, bool>(0))
        .map_err(|e| failed(&e))?;
    if !there {
        return Ok(None);
    }
    let row = client.query_one(&format!("SELECT version FROM {schema}.layout"), &[]).await;
    match row.and_then(|row| row.try_get(0)) {
        Ok(version) => Ok(Some(version)),
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
        Err(error) => Err(failed(&error)),
    }
}

fn unknown(layout: i32) -> Error {
    match layout > LAYOUT {
        true => {
            Error::new(ErrorKind::Newer, Subject::Engine, format!("a newer program made the map (layout {layout})"))
        }
        false => Error::corrupt(Subject::Engine, format!("layout {layout} of the map was never released")),
    }
}

async fn check_version(client: &tokio_postgres::Client) -> Result<()> {
    let row = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await;
    let version: i32 = row.and_then(|row| row.try_get(0)).map_err(|e| failed(&e))?;
    if version < OLDEST {
        return Err(Error::unavailable(Subject::Engine, format!("PostgreSQL {version} is older than 15")));
    }
    Ok(())
}
