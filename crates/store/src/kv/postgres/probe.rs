//! Looks at a PostgreSQL for what a map needs, and says what it saw.

use tokio::time::Instant;
use tokio_postgres::Client;

use super::layout::OLDEST;
use super::pool::Pool;
use super::{PostgresAddress, PostgresOptions, failed};
use crate::clock::Clock;
use crate::error::Result;
use crate::probe::Seen;

/// How far the clocks may be apart, milliseconds.
const MAX_SKEW_MS: i64 = 5_000;
/// Connections of one server.
const CONNECTIONS: i32 = 16;

/// What is to be known of the database before servers use it. Changes nothing.
///
/// # Errors
/// `Unavailable` when it cannot be asked.
pub async fn probe(address: &PostgresAddress, options: &PostgresOptions, clock: &Clock) -> Result<Vec<Seen>> {
    let client = Pool::new(address, options)?.connect_bare().await?;
    let seen = vec![
        version(&client).await?,
        rights(&client, &address.schema).await?,
        flushing(&client).await?,
        commits(&client).await?,
        connections(&client).await?,
        clocks(&client, clock).await?,
    ];
    Ok(seen)
}

async fn text(client: &Client, sql: &str) -> Result<String> {
    let row = client.query_one(sql, &[]).await.map_err(|e| failed(&e))?;
    row.try_get::<_, String>(0).map_err(|e| failed(&e))
}

async fn number(client: &Client, sql: &str) -> Result<i32> {
    let row = client.query_one(sql, &[]).await.map_err(|e| failed(&e))?;
    row.try_get::<_, i32>(0).map_err(|e| failed(&e))
}

async fn version(client: &Client) -> Result<Seen> {
    let shown = text(client, "SELECT current_setting('server_version')").await?;
    let number = number(client, "SELECT current_setting('server_version_num')::int").await?;
    Ok(match number >= OLDEST {
        true => Seen::good("version", format!("PostgreSQL {shown}")),
        false => Seen::bad("version", format!("PostgreSQL {shown} is older than 15")),
    })
}

/// Whether the map is there and this role may use it, or may make it.
async fn rights(client: &Client, schema: &str) -> Result<Seen> {
    let row = client
        .query_one(
            "SELECT to_regclass($1 || '.layout') IS NOT NULL,
                    has_database_privilege(current_database(), 'CREATE'),
                    coalesce((SELECT pg_has_role(nspowner, 'USAGE') FROM pg_namespace WHERE nspname = $1), false)",
            &[&schema],
        )
        .await
        .map_err(|e| failed(&e))?;
    let (there, may_create, owns): (bool, bool, bool) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
    if !there {
        return Ok(match may_create || owns {
            true => Seen::good("rights", "there is no map yet, and this role may make it (millpond store init)"),
            false => Seen::bad(
                "rights",
                "there is no map yet, and this role may not make it: GRANT CREATE ON DATABASE, or give it an empty schema",
            ),
        });
    }
    // Several privileges in one call would be any of them.
    let each = ["SELECT", "INSERT", "UPDATE", "DELETE"]
        .map(|right| format!("has_table_privilege(format('%I.%I', schemaname, tablename), '{right}')"))
        .join(" AND ");
    let sql = format!(
        "SELECT has_schema_privilege('{schema}', 'USAGE') AND bool_and({each}) FROM pg_tables WHERE schemaname = '{schema}'"
    );
    let row = client.query_one(&sql, &[]).await.map_err(|e| failed(&e))?;
    Ok(match (get(&row, 0)?, owns) {
        (true, true) => Seen::good("rights", "this role owns the map"),
        (true, false) => Seen::good("rights", "this role may use the map; upgrades and moves need its owner"),
        (false, _) => Seen::bad("rights", "this role may not read and write the tables of the map"),
    })
}

fn get<T: for<'a> tokio_postgres::types::FromSql<'a>>(row: &tokio_postgres::Row, column: usize) -> Result<T> {
    row.try_get(column).map_err(|e| failed(&e))
}

async fn flushing(client: &Client) -> Result<Seen> {
    let sql = "SELECT current_setting('fsync') || ' ' || current_setting('full_page_writes')";
    Ok(match text(client, sql).await?.as_str() {
        "on on" => Seen::good("fsync", "fsync and full_page_writes are on"),
        _ => {
            Seen::bad("fsync", "fsync or full_page_writes is off: a power cut takes or destroys what was acknowledged")
        }
    })
}

async fn commits(client: &Client) -> Result<Seen> {
    // What the role has without us: connections of servers overrule `off`.
    let commit = text(client, "SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit'").await?;
    let standby = text(client, "SELECT current_setting('synchronous_standby_names')").await?;
    let overruled = if commit == "off" { "; servers overrule that unless storage.durability is relaxed" } else { "" };
    let standby = match standby.is_empty() {
        true => "no synchronous standby: a fail-over may lose what was acknowledged in the moments before it",
        false => "a synchronous standby has what was acknowledged",
    };
    Ok(Seen::note("synchronous_commit", format!("{commit}{overruled}; {standby}")))
}

async fn connections(client: &Client) -> Result<Seen> {
    let most = number(
        client,
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int",
    )
    .await?;
    let text = format!("{most} for all, 16 for each server: at most {} servers", most / CONNECTIONS);
    Ok(if most >= CONNECTIONS { Seen::good("connections", text) } else { Seen::bad("connections", text) })
}

async fn clocks(client: &Client, clock: &Clock) -> Result<Seen> {
    let (asked, before_ms) = (Instant::now(), clock.now_ms());
    let row = client.query_one("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint", &[]).await;
    let there_ms: i64 = get(&row.map_err(|e| failed(&e))?, 0)?;
    let half_ms = i64::try_from(asked.elapsed().as_millis() / 2).unwrap_or(0);
    Ok(Seen::clock(there_ms.saturating_sub(before_ms.saturating_add(half_ms)), MAX_SKEW_MS))
}
