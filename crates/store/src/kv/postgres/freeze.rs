//! A map that is read-only: a trigger of its table refuses whatever writes a row, on any connection and by any version of
//! this program, but for rows in which processes speak of themselves. Those and leases go on: servers stay alive and serve
//! what is there.

use super::pool::Pool;
use super::{PostgresAddress, PostgresOptions, failed};
use crate::error::{Error, Result, Subject};

/// What a refused write says, as a state of SQL.
pub(super) const READ_ONLY: &str = "MP003";

/// Makes the map read-only, if it is not, but for keys that begin with one of the bytes `but_for`. When this returns, no
/// commit is under way that could still change a row.
///
/// # Errors
/// `Unavailable` when the database does not answer, or the role does not own the table.
pub async fn make_read_only(address: &PostgresAddress, options: &PostgresOptions, but_for: &[u8]) -> Result<()> {
    let schema = &address.schema;
    let own: Vec<String> = but_for.iter().map(|first| format!("'\\x{first:02x}'::bytea")).collect();
    let own = format!("ARRAY[{}]::bytea[]", own.join(", "));
    // Making the trigger waits for those who write, and is a lock on the table until then.
    let sql = format!(
        "BEGIN;
         LOCK TABLE {schema}.kv IN SHARE ROW EXCLUSIVE MODE;
         CREATE OR REPLACE FUNCTION {schema}.refuse_1() RETURNS trigger LANGUAGE plpgsql AS $body$
         BEGIN
             IF TG_OP = 'DELETE' THEN
                 IF substr(OLD.k, 1, 1) = ANY ({own}) THEN RETURN OLD; END IF;
             ELSIF TG_OP <> 'TRUNCATE' THEN
                 IF substr(NEW.k, 1, 1) = ANY ({own}) THEN RETURN NEW; END IF;
             END IF;
             RAISE EXCEPTION 'the installation is read-only, as it is moved to another store; `millpond store writable` ends that'
                 USING ERRCODE = '{READ_ONLY}';
         END
         $body$;
         DO $body$ BEGIN
             IF NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = '{schema}.kv'::regclass AND tgname = 'read_only') THEN
                 CREATE TRIGGER read_only BEFORE INSERT OR UPDATE OR DELETE ON {schema}.kv
                     FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_1();
                 CREATE TRIGGER read_only_whole BEFORE TRUNCATE ON {schema}.kv
                     FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_1();
             END IF;
         END $body$;
         COMMIT"
    );
    run(address, options, &sql).await
}

/// Lets servers write again.
///
/// # Errors
/// As [`make_read_only`].
pub async fn make_writable(address: &PostgresAddress, options: &PostgresOptions) -> Result<()> {
    let schema = &address.schema;
    let sql = format!(
        "DROP TRIGGER IF EXISTS read_only ON {schema}.kv; DROP TRIGGER IF EXISTS read_only_whole ON {schema}.kv"
    );
    run(address, options, &sql).await
}

/// Whether the map is read-only: a number that is another one when it was writable in between.
///
/// # Errors
/// `Unavailable`.
pub async fn read_only_mark(address: &PostgresAddress, options: &PostgresOptions) -> Result<Option<u32>> {
    let client = Pool::new(address, options)?.connect_bare().await?;
    let sql = "SELECT oid FROM pg_trigger WHERE tgrelid = to_regclass($1) AND tgname = 'read_only' AND tgenabled = 'O'";
    let found = client.query_opt(sql, &[&format!("{}.kv", address.schema)]).await.map_err(|e| failed(&e))?;
    found.map(|row| row.try_get(0)).transpose().map_err(|e| failed(&e))
}

async fn run(address: &PostgresAddress, options: &PostgresOptions, sql: &str) -> Result<()> {
    let client = Pool::new(address, options)?.connect_bare().await?;
    client.batch_execute(sql).await.map_err(|e| failed(&e))
}

/// Whether an error says that the map is read-only.
pub(super) fn is_read_only(error: &Error) -> bool {
    error.subject == Subject::ReadOnly
}
