//! Connections to PostgreSQL: some are kept, one that failed is never used again, and what may pass is tried again.

use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_postgres::config::{SslMode as WireSslMode, TargetSessionAttrs};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, NoTls, Statement};

use super::address::{PostgresAddress, SslMode};
use super::tls::Tls;
use super::{PostgresOptions, failed, groups, is_passing};
use crate::clock::Randomness;
use crate::durability::Durability;
use crate::error::{Error, Result, Subject};

/// How long a new connection may take.
const CONNECT: Duration = Duration::from_secs(3);
/// How long a host is asked alone before the next one is asked as well.
const HEAD_START: Duration = Duration::from_millis(500);
/// How long one statement may take before its connection is given up.
pub(super) const ATTEMPT: Duration = Duration::from_secs(5);
/// The first pause before trying again; it doubles up to the second.
const PAUSES: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(500)];

/// Something that is done on a connection, and may be done again on another one if that breaks.
#[async_trait]
pub(super) trait Work: Send + Sync {
    /// What it comes to.
    type Done: Send;

    /// Does it.
    async fn on(&self, connection: &Connection) -> Result<Self::Done, tokio_postgres::Error>;
}

/// An open connection with the statements that it has prepared.
pub(super) struct Connection {
    client: Client,
    pub(super) statements: Statements,
}

/// What is said again and again.
pub(super) struct Statements {
    pub(super) get: Statement,
    /// With and without an end, rising and falling.
    pub(super) ranges: [[Statement; 2]; 2],
    pub(super) groups: Statement,
    pub(super) lease: Statement,
    pub(super) apply: Statement,
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// The connections of a map. At most so many are open at once.
pub(super) struct Pool {
    /// One for each host.
    configs: Vec<tokio_postgres::Config>,
    /// The host that took the last connection, which is asked first.
    last_host: AtomicUsize,
    tls: Option<Tls>,
    schema: String,
    setup: String,
    idle: Mutex<Vec<Connection>>,
    /// One for each connection that may be open.
    open: Arc<Semaphore>,
    randomness: Randomness,
    pub(super) timeout: Duration,
}

/// A connection that is in use.
pub(super) struct Lent {
    connection: Connection,
    _permit: OwnedSemaphorePermit,
}

impl Deref for Lent {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl Pool {
    pub(super) fn new(address: &PostgresAddress, options: &PostgresOptions) -> Result<Self> {
        let tls = match address.ssl_mode {
            SslMode::Disable => None,
            SslMode::Require => Some(Tls::new(address.ssl_root_certificate.as_deref())?),
        };
        // Who waits for the lock hears so before the client gives the statement up (`ATTEMPT`). One that runs longer goes on
        // at the server for 10 s at most, and a batch is known again by its lane and turn. Only a snapshot is a transaction with
        // pauses. All are short: compiling one takes longer than running it.
        let mut setup = "SET default_transaction_isolation = 'read committed'; SET statement_timeout = '10s'; \
                         SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '60s'; SET jit = off; \
                         SET client_min_messages = 'warning';"
            .to_owned();
        setup.push_str(match options.durability {
            // Whoever asked for more than this machine's disk keeps it.
            Durability::Full => {
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';"
            }
            Durability::Relaxed => "SET synchronous_commit = off;",
        });
        Ok(Self {
            configs: address.hosts.iter().map(|host| config(address, host, options)).collect(),
            last_host: AtomicUsize::new(0),
            tls,
            schema: address.schema.clone(),
            setup,
            idle: Mutex::default(),
            open: Arc::new(Semaphore::new(options.connections.max(4))),
            randomness: options.randomness.clone(),
            timeout: options.timeout,
        })
    }

    /// A connection without prepared statements, for whoever makes the layout.
    pub(super) async fn connect_bare(&self) -> Result<Client> {
        Ok(self.connect().await?)
    }

    /// A connection to the host that takes writes. A machine that is lost says nothing, not even no, and nobody waits for it:
    /// where a host has not answered after a moment the next one is asked as well, and the first that will do is taken.
    async fn connect(&self) -> Result<Client, Failure> {
        let first = self.last_host.load(Ordering::Relaxed);
        let mut hosts = self.configs.iter().enumerate().cycle().skip(first).take(self.configs.len()).peekable();
        let mut asked = FuturesUnordered::new();
        let mut failure = None;
        loop {
            if let Some((host, config)) = hosts.next() {
                asked.push(async move { (host, self.connect_to(config).await) });
            }
            let answer = match hosts.peek() {
                Some(_) => match tokio::time::timeout(HEAD_START, asked.next()).await {
                    Ok(answer) => answer,
                    Err(_) => continue,
                },
                None => asked.next().await,
            };
            match answer {
                Some((host, Ok(client))) => {
                    self.last_host.store(host, Ordering::Relaxed);
                    return Ok(client);
                }
                // One that may do in a moment is worth waiting for, whatever the others say.
                Some((_, Err(error))) => match failure {
                    Some(Failure::Passing(_)) => {}
                    _ => failure = Some(Failure::of(&error)),
                },
                None if hosts.peek().is_some() => {}
                None => {
                    let nowhere =
                        || Failure::Final(Error::unavailable(Subject::Engine, "the address of the map names no host"));
                    return Err(failure.unwrap_or_else(nowhere));
                }
            }
        }
    }

    async fn connect_to(&self, config: &tokio_postgres::Config) -> Result<Client, tokio_postgres::Error> {
        let client = match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                drop(tokio::spawn(async move { closing(connection.await) }));
                client
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                drop(tokio::spawn(async move { closing(connection.await) }));
                client
            }
        };
        client.batch_execute(&self.setup).await?;
        Ok(client)
    }

    async fn prepared(&self) -> Result<Connection, Failure> {
        let client = self.connect().await?;
        self.prepare(client).await.map_err(|error| Failure::of(&error))
    }

    async fn prepare(&self, client: Client) -> Result<Connection, tokio_postgres::Error> {
        let schema = &self.schema;
        let range = |has_end: bool, order: &str| {
            let end = if has_end { " AND k < $3" } else { "" };
            format!("SELECT k, v, version FROM {schema}.kv WHERE k >= $1{end} ORDER BY k{order} LIMIT $2")
        };
        let [up_to, down_to, up, down] =
            [range(true, ""), range(true, " DESC"), range(false, ""), range(false, " DESC")];
        let get = format!("SELECT k, v, version FROM {schema}.kv WHERE k = ANY($1)");
        let lease = format!(
            "SELECT holder, token, expires_ms FROM {schema}.lease WHERE name = $1 AND expires_ms > \
             coalesce($2, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)"
        );
        let apply =
            format!("SELECT status, number, expires, who FROM {schema}.apply_1($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        // One behind the other on the wire, so they take two round trips, not fourteen.
        let types = [
            Type::BYTEA,
            Type::INT8,
            Type::INT8,
            Type::INT4_ARRAY,
            Type::INT4_ARRAY,
            Type::BYTEA_ARRAY,
            Type::BYTEA_ARRAY,
            Type::INT8_ARRAY,
            Type::INT8_ARRAY,
        ];
        let lease_types = [Type::BYTEA, Type::INT8];
        let group_types = [Type::BYTEA, Type::BYTEA, Type::INT8, Type::INT4, Type::BYTEA, Type::BYTEA, Type::BYTEA];
        let groups = groups::sql(schema);
        let (get, up_to, down_to, up, down, groups, lease, apply) = tokio::try_join!(
            client.prepare(&get),
            client.prepare(&up_to),
            client.prepare(&down_to),
            client.prepare(&up),
            client.prepare(&down),
            client.prepare_typed(&groups, &group_types),
            client.prepare_typed(&lease, &lease_types),
            client.prepare_typed(&apply, &types),
        )?;
        let statements = Statements { get, ranges: [[up, down], [up_to, down_to]], groups, lease, apply };
        Ok(Connection { client, statements })
    }

    /// A connection that was open when it was last used, or a new one.
    pub(super) async fn take(&self) -> Result<Lent, Failure> {
        let gone = |_| Failure::Final(Error::unavailable(Subject::Engine, "the pool is closed"));
        let permit = Arc::clone(&self.open).acquire_owned().await.map_err(gone)?;
        let kept = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|connection| !connection.is_closed());
            idle.pop()
        };
        let connection = match kept {
            Some(connection) => connection,
            None => match tokio::time::timeout(CONNECT, self.prepared()).await {
                Ok(connected) => connected?,
                Err(_) => return Err(Failure::Passing(Error::unavailable(Subject::Engine, "no connection in time"))),
            },
        };
        Ok(Lent { connection, _permit: permit })
    }

    /// Keeps a connection whose last statement ended well.
    pub(super) fn put_back(&self, lent: Lent) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(lent.connection);
    }

    /// Does something that may be done twice, on one connection after the other, until it succeeds, fails for good, or
    /// timeout is over.
    pub(super) async fn run<W: Work>(&self, work: W) -> Result<W::Done> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = PAUSES[0];
        loop {
            let error = match self.attempt(&work).await {
                Ok(done) => return Ok(done),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error)) => error,
            };
            let pause_now = pause.mul_f64(self.jitter());
            if Instant::now() + pause_now >= deadline {
                return Err(error);
            }
            tracing::debug!(%error, "a statement is tried again");
            tokio::time::sleep(pause_now).await;
            pause = (pause * 2).min(PAUSES[1]);
        }
    }

    async fn attempt<W: Work>(&self, work: &W) -> Result<W::Done, Failure> {
        let lent = self.take().await?;
        match tokio::time::timeout(ATTEMPT, work.on(&lent)).await {
            Ok(Ok(done)) => {
                self.put_back(lent);
                Ok(done)
            }
            Ok(Err(error)) => Err(Failure::of(&error)),
            Err(_) => {
                // Those that were opened to the same host would not answer either, one after the other.
                self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
                Err(Failure::Passing(Error::unavailable(Subject::Engine, "no answer in time")))
            }
        }
    }

    /// Between a half and one and a half.
    fn jitter(&self) -> f64 {
        let mut random = [0; 1];
        self.randomness.fill(&mut random);
        0.5 + f64::from(random[0]) / 256.0
    }
}

/// Why a statement was not done.
pub(super) enum Failure {
    /// The same may succeed in a moment.
    Passing(Error),
    /// It will not.
    Final(Error),
}

impl Failure {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        match is_passing(error) {
            true => Self::Passing(failed(error)),
            false => Self::Final(failed(error)),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Passing(error) | Failure::Final(error) => error,
        }
    }
}

fn closing(ended: Result<(), tokio_postgres::Error>) {
    if let Err(error) = ended {
        tracing::debug!(error = %failed(&error), "a connection to the map ended");
    }
}

fn config(
    address: &PostgresAddress,
    (host, port): &(String, u16),
    options: &PostgresOptions,
) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host(host).port(*port);
    if let Some(user) = &address.user {
        config.user(user);
    }
    if let Some(password) = &options.password {
        config.password(password.reveal());
    }
    config
        .dbname(&address.database)
        .application_name("millpond")
        .ssl_mode(match address.ssl_mode {
            SslMode::Disable => WireSslMode::Disable,
            SslMode::Require => WireSslMode::Require,
        })
        // Never a replica: what it says may be older than what was acknowledged.
        .target_session_attrs(TargetSessionAttrs::ReadWrite)
        .connect_timeout(CONNECT)
        .keepalives_idle(Duration::from_secs(5))
        .keepalives_interval(Duration::from_secs(2))
        .keepalives_retries(3)
        .tcp_user_timeout(Duration::from_secs(10));
    config
}
