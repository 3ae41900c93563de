//! The story of a run: open the stores, repair what a crash left, listen, wait, close in order.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use metrics_exporter_prometheus::PrometheusHandle;
use model::name::BucketName;
use oss::request::{Addressing, HostFallback};
use store::blob::{BlobIds, FileBlobs};
use store::clock::Randomness;
use store::kv::{BeforeFlush, SqliteKv, SqliteOptions};
use store::meta::Meta;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::access_log::{self};
use crate::clock::Clock;
use crate::config::{Config, Durability, UnknownHost};
use crate::data_dir;
use crate::descriptors::{self, Shares};
use crate::edge::{Edge, Parts};
use crate::listen::{self, Fallback};
use crate::live::{self};
use crate::root_key::RootKey;
use crate::secrets::KeySource;
use crate::shutdown::{Shutdown, ShutdownTrigger};
use crate::tls::{self, Tls};

/// How long running pushes and requests may take to end once the server stops.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A server that listens.
pub(crate) struct Running {
    /// Addresses for HTTP and RTMP, with their real ports.
    pub(crate) http: Vec<SocketAddr>,
    /// Further addresses for RTMP.
    pub(crate) rtmp: Vec<SocketAddr>,
    /// Address of the console and the management API, when they have one of their own.
    pub(crate) console: Option<SocketAddr>,
    /// Address of the operators' pages.
    pub(crate) admin: SocketAddr,
    /// Its parts.
    pub(crate) edge: Arc<Edge>,
    trigger: ShutdownTrigger,
    accepting: Vec<JoinHandle<()>>,
    _lock: File,
}

/// The stores of a data directory, held by this process alone.
pub(crate) struct Stores {
    pub(crate) meta: Meta,
    pub(crate) blobs: Arc<dyn store::blob::BlobStore>,
    pub(crate) lock: File,
}

/// What to do about stores that are not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A new installation begins.
    Make,
    /// Who looks for something does not make it.
    Refuse,
}

/// Opens the stores below `data_dir`.
///
/// # Errors
/// When another process has them, a part of them is missing, or the disk refuses.
pub(crate) fn open_stores(data_dir: &Path, durability: Durability, missing: Missing) -> anyhow::Result<Stores> {
    if missing == Missing::Refuse {
        ensure!(data_dir.is_dir(), "there is no data directory {}", data_dir.display());
        data_dir::check_is_whole(data_dir)?;
        ensure!(data_dir::has_metadata(data_dir)?, "there is no metadata in {}", data_dir.display());
    }
    data_dir::close_to_others(data_dir)?;
    let lock_path = data_dir.join(data_dir::LOCK);
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&lock_path)
        .with_context(|| format!("cannot open {}", lock_path.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            bail!("another millpond runs on {}; stop it first, or use another --data-dir", data_dir.display())
        }
        Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the data directory"),
    }
    // Again, now that nobody else is at it.
    let was_here = data_dir::check_is_whole(data_dir)?;
    let is_full = durability == Durability::Full;
    let clock = store::clock::Clock::system();
    let randomness = Randomness::new(|buffer| {
        for chunk in buffer.chunks_mut(16) {
            chunk.copy_from_slice(&crate::ids::random::<16>()[..chunk.len()]);
        }
    });
    let blobs = FileBlobs::open(&data_dir.join(data_dir::BLOBS), BlobIds::new(clock.clone(), randomness))
        .context("cannot open the blob store")?;
    let options = SqliteOptions {
        durability: if is_full { store::kv::Durability::Full } else { store::kv::Durability::Relaxed },
        // The lock says so.
        is_alone: true,
        must_exist: was_here || missing == Missing::Refuse,
        max_readers: descriptors::store_readers(descriptors::limit()),
        before_flush: (!is_full).then(|| {
            let blobs = blobs.clone();
            BeforeFlush::new(move || blobs.flush_late())
        }),
        ..SqliteOptions::default()
    };
    let kv = SqliteKv::open(&data_dir.join(data_dir::METADATA), &options, clock.clone())
        .context("cannot open the metadata store")?;
    Ok(Stores { meta: Meta::new(Arc::new(kv), clock), blobs: Arc::new(blobs), lock })
}

/// Starts everything that a configuration asks for.
///
/// # Errors
/// When something a server cannot do without is missing; nothing is left running then.
pub(crate) async fn start(config: Config, numbers: PrometheusHandle) -> anyhow::Result<Running> {
    let limit = descriptors::raise();
    tracing::info!(limit = limit.now, before = limit.before, "limit of open files");
    let listeners = config.listen.len() + config.rtmp_listen.len() + usize::from(config.console_listen.is_some()) + 1;
    let shares = |open| {
        Shares::new(limit.now, open, listeners, config.max_connections).with_context(|| {
            format!(
                "{} open files are too few for {listeners} listeners and a push: {} is the least; raise the limit \
                 (`ulimit -n`, or LimitNOFILE= of a systemd unit)",
                limit.now,
                descriptors::MINIMUM
            )
        })
    };
    // Before anything is made or opened, so that the reason is not an error of the store.
    shares(0)?;
    data_dir::make(&config.data_dir)?;
    // Before anything is made that would look like a remainder.
    data_dir::check_is_whole(&config.data_dir)?;
    let root = RootKey::obtain(&config.data_dir)?;
    let tls = Tls::load(&config.tls)?.map(Arc::new);
    // From here on a SIGHUP does not end the process any more, whatever is configured.
    let hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let Stores { meta, blobs, lock } = open_stores(&config.data_dir, config.storage.durability, Missing::Make)?;
    let meta = KeySource::new(&config.data_dir, config.secrets_key_file.as_deref()).unlock(meta).await?;
    let addressing = addressing(&config)?;
    let grace_ms = i64::try_from(config.storage.garbage_grace_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let holder = data_dir::instance_name(&config.data_dir)?;
    let shares = shares(descriptors::open_now().unwrap_or(descriptors::ASSUMED_OPEN))?;
    if config.max_connections.is_some_and(|wanted| wanted > shares.connections) {
        tracing::warn!(
            max_connections = config.max_connections,
            connections = shares.connections,
            limit = limit.now,
            "the limit of open files allows fewer connections than configured"
        );
    }
    let meta = meta.with_garbage_grace_ms(grace_ms);
    let edge = Arc::new(Edge::new(Parts {
        meta: meta.clone(),
        blobs: blobs.clone(),
        root,
        holder,
        shares,
        tls: tls.clone(),
        addressing,
        clock: Clock::system(),
        config,
    })?);
    live::recover(&edge.live).await.context("cannot repair what a crash left")?;

    let (trigger, shutdown) = crate::shutdown::channel();
    let mut accepting = Vec::new();
    let mut http = Vec::new();
    for address in &edge.config.listen {
        http.push(open(*address, Fallback::Http, &edge, &shutdown, &mut accepting)?);
    }
    let mut rtmp = Vec::new();
    for address in &edge.config.rtmp_listen {
        rtmp.push(open(*address, Fallback::Rtmp, &edge, &shutdown, &mut accepting)?);
    }
    let console = match edge.config.console_listen {
        Some(address) => {
            let public_port = http.first().map_or(address.port(), SocketAddr::port);
            Some(open(address, Fallback::Console { public_port }, &edge, &shutdown, &mut accepting)?)
        }
        None => None,
    };
    let listener = bind(edge.config.admin_listen)?;
    let admin = listener.local_addr()?;
    accepting
        .push(crate::panics::spawn("admin", crate::admin::serve(listener, edge.clone(), numbers, shutdown.clone())));
    accepting.push(crate::panics::spawn("certificate", tls::watch(tls, hang_up, shutdown.clone())));
    accepting.push(crate::panics::spawn("sessions", edge.accounts.clone().forget_sessions(shutdown.clone())));
    accepting.push(crate::panics::spawn("memory", crate::memory::watch(edge.memory.clone(), shutdown.clone())));
    accepting.push(crate::panics::spawn("upkeep", live::upkeep(edge.live.clone(), shutdown.clone())));
    accepting.push(crate::panics::spawn("strangers", crate::log::strangers::tell(shutdown.clone())));
    crate::panics::spawn("end lists", live::resume_end_lists(edge.live.clone()));
    accepting.push(crate::panics::spawn("access log", access_log::deliver(edge.access_log.clone(), shutdown.clone())));
    let interval = Duration::from_secs(edge.config.storage.lifecycle_interval_s);
    accepting.push(crate::panics::spawn(
        "lifecycle",
        crate::lifecycle::watch(meta.clone(), edge.clock.clone(), interval, shutdown.clone()),
    ));
    let damage = crate::damage::watch(meta.clone(), blobs.clone(), shutdown.clone());
    accepting.push(crate::panics::spawn("damage", damage));
    let pace = edge.config.storage.scrub_mib_per_s;
    accepting.push(crate::panics::spawn("scrub", crate::damage::scrub_forever(meta, blobs, pace, shutdown.clone())));
    Ok(Running { http, rtmp, console, admin, edge, trigger, accepting, _lock: lock })
}

impl Running {
    /// Stops listening, ends pushes with their last segment listed, lets requests finish, writes access logs, and closes.
    pub(crate) async fn stop(self) {
        self.trigger.fire();
        self.edge.live.stop_all(STOP_PATIENCE).await;
        for task in self.accepting {
            let _ = tokio::time::timeout(STOP_PATIENCE, task).await;
        }
        self.edge.access_log.flush().await;
    }
}

fn bind(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    listen::bind(address).with_context(|| format!("cannot listen on {address}"))
}

fn open(
    address: SocketAddr,
    fallback: Fallback,
    edge: &Arc<Edge>,
    shutdown: &Shutdown,
    accepting: &mut Vec<JoinHandle<()>>,
) -> anyhow::Result<SocketAddr> {
    let listener = bind(address)?;
    let real = listener.local_addr()?;
    accepting.push(crate::panics::spawn("accept", listen::accept(listener, fallback, edge.clone(), shutdown.clone())));
    Ok(real)
}

fn addressing(config: &Config) -> anyhow::Result<Addressing> {
    let mut cnames = Vec::new();
    for (domain, bucket) in &config.custom_domains {
        let bucket = BucketName::parse(bucket).map_err(|error| anyhow::anyhow!("{bucket}: {error}"))?;
        cnames.push((domain.to_ascii_lowercase(), bucket));
    }
    Ok(Addressing {
        base_domains: config.domains.iter().map(|domain| domain.to_ascii_lowercase()).collect(),
        cnames,
        host_fallback: match config.host_fallback {
            UnknownHost::Path => HostFallback::Path,
            UnknownHost::Reject => HostFallback::Reject,
        },
        force_virtual_hosted: config.force_virtual_hosted,
    })
}
