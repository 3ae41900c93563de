//! The story of a run: open the stores, repair what a crash left, listen, wait, close in order.

use std::fs::File;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use metrics_exporter_prometheus::PrometheusHandle;
use model::name::BucketName;
use oss::request::{Addressing, HostFallback};
use store::meta::Meta;
use store::meta::peer::ProcessRecord;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::access_log::{self};
use crate::admin::thread as admin;
use crate::clock::Clock;
use crate::config::{Config, UnknownHost};
use crate::connections::Connections;
use crate::data_dir;
use crate::descriptors::{self, Shares};
use crate::edge::{Edge, Parts};
use crate::listen::{self, Fallback, Inherited};
use crate::live::{self};
use crate::peers::Peers;
use crate::places::Places;
use crate::root_key::RootKey;
use crate::secrets::KeySource;
use crate::shutdown::{Shutdown, ShutdownTrigger};
use crate::space::Disk;
use crate::stores::{Missing, Stores};
use crate::tls::{self, Tls};

/// How long running pushes may take to end once the server stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// How long tasks and the last access logs may take after the requests.
const TASKS_TIMEOUT: Duration = Duration::from_secs(3);
const LOGS_TIMEOUT: Duration = Duration::from_secs(5);
/// When the process has left at the latest, counted from when requests may not take longer.
const LEAVE_AFTER: Duration = Duration::from_secs(20);
/// How long connections whose last answer was sent may take to close.
const LAST_BYTES: Duration = Duration::from_secs(1);

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
    /// Given first: the server will stop soon.
    leaves: ShutdownTrigger,
    trigger: ShutdownTrigger,
    /// Given to those who serve until the end.
    ends: ShutdownTrigger,
    accepting: Vec<JoinHandle<()>>,
    _lock: File,
}

/// Starts everything that a configuration asks for.
///
/// # Errors
/// When something a server cannot do without is missing; nothing is left running then.
pub(crate) async fn start(config: Config, inherited: Inherited, numbers: PrometheusHandle) -> anyhow::Result<Running> {
    let clock = Clock::steady();
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
    let places = Places::of(&config)?;
    places.check_secrets(config.secrets_key_file.as_deref())?;
    if places.are_local() {
        // Before anything is made that would look like a remainder.
        data_dir::check_is_whole(&config.data_dir)?;
    }
    let root = RootKey::obtain(&config.data_dir)?;
    let tls = Tls::load(&config.tls)?.map(Arc::new);
    // From here on a SIGHUP does not end the process any more, whatever is configured.
    let hang_up = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let missing = if config.read_only { Missing::Refuse } else { Missing::Make };
    let mut stores = places.open(&config.data_dir, &config.storage, missing, &clock).await?;
    if config.read_only {
        stores = stores.read_only()?;
        tracing::warn!("read-only: what is there is served, and whatever would change it is refused, pushes included");
    }
    let Stores { meta, blobs, lock } = stores;
    crate::places::refuse_unfinished(&meta).await?;
    let key = KeySource::new(&config.data_dir, config.secrets_key_file.as_deref());
    let meta = if config.read_only { key.open(meta).await? } else { key.unlock(meta).await? };
    let addressing = addressing(&config)?;
    let grace_ms = i64::try_from(config.storage.garbage_grace_s.saturating_mul(1000)).unwrap_or(i64::MAX);
    let directory = data_dir::instance_name(&config.data_dir)?;
    let instance = config.instance.clone().unwrap_or_else(|| directory.clone());
    let admin_runtime = admin::Own::make().context("no runtime for the admin listener")?;
    let shares = shares(descriptors::open_now().unwrap_or(descriptors::ASSUMED_OPEN))?;
    if config.max_connections.is_some_and(|wanted| wanted > shares.connections) {
        tracing::warn!(
            max_connections = config.max_connections,
            connections = shares.connections,
            limit = limit.now,
            "the limit of open files allows fewer connections than configured"
        );
    }
    // Servers on one map have rows of their own.
    let shard = instance.bytes().fold(0_u8, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte));
    let meta = meta.with_garbage_grace_ms(grace_ms).with_usage_shard(shard);
    let (meta, peers) = if places.has_shared_map() {
        let meta = meta.with_counted_readers();
        let record = ProcessRecord { directory, ..process(&instance, config.instance.is_some(), &clock) };
        let joined = Peers::join(meta.clone(), instance.clone(), record).await;
        let peers = joined.context("cannot tell the other servers that this one is here")?;
        // A name that was made in a data directory is nobody else's.
        if config.instance.is_some() {
            refuse_namesake(&peers).await?;
        }
        (meta, peers)
    } else {
        (meta.clone(), Peers::alone(meta, instance))
    };
    if !places.has_shared_blobs() {
        refuse_others(&meta, &peers).await?;
    }
    let peers = Arc::new(peers);
    let edge = Arc::new(Edge::new(Parts {
        meta: meta.clone(),
        blobs: blobs.clone(),
        root,
        peers: peers.clone(),
        shares,
        tls: tls.clone(),
        addressing,
        clock: clock.clone(),
        config,
    })?);
    let is_read_only = edge.config.read_only;
    if !is_read_only && meta.begin_usage().await.context("cannot count what is stored")? {
        tracing::info!("usage is counted from here on; what is stored counts from now");
    }
    let mut disk = Disk::new(places.local_folder(&edge.config.data_dir), edge.config.storage.reserve_mib);
    disk.begin();
    // What a crash left stays as it is, and a move says so.
    if !is_read_only {
        live::recover(&edge.live).await.context("cannot repair what a crash left")?;
    }

    let (trigger, shutdown) = crate::shutdown::channel();
    let (leaves, leaving) = crate::shutdown::channel();
    let (ends, ending) = crate::shutdown::channel();
    let mut accepting = Vec::new();
    let mut http = Vec::new();
    for listener in sockets(inherited.http, &edge.config.listen)? {
        http.push(open(listener, Fallback::Http, &edge, &shutdown, &mut accepting)?);
    }
    let mut rtmp = Vec::new();
    for listener in sockets(inherited.rtmp, &edge.config.rtmp_listen)? {
        rtmp.push(open(listener, Fallback::Rtmp, &edge, &shutdown, &mut accepting)?);
    }
    let mut console = None;
    for listener in sockets(inherited.console, edge.config.console_listen.as_slice())? {
        let address = listener.local_addr()?;
        let public_port = http.first().map_or(address.port(), SocketAddr::port);
        console = Some(open(listener, Fallback::Console { public_port }, &edge, &shutdown, &mut accepting)?);
    }
    let listener = match inherited.admin {
        Some(socket) => listen::adopt(socket).context("cannot listen on the inherited socket")?,
        None => bind(edge.config.admin_listen)?,
    };
    let admin = listener.local_addr()?;
    let pages = admin::start(admin_runtime, listener, edge.clone(), numbers, leaving.clone(), ending.clone());
    accepting.push(pages.context("no thread for the admin listener")?);
    crate::panics::spawn("watchdog", crate::notify::keep_alive(ending.clone()));
    accepting.push(crate::panics::spawn("certificate", tls::watch(tls, hang_up, shutdown.clone())));
    if !is_read_only {
        accepting.push(crate::panics::spawn("sessions", edge.accounts.clone().forget_sessions(shutdown.clone())));
        accepting.push(crate::panics::spawn("usage", edge.usage.clone().keep(shutdown.clone())));
        accepting.push(crate::panics::spawn("upkeep", live::upkeep(edge.live.clone(), shutdown.clone())));
        crate::panics::spawn("end lists", live::resume_end_lists(edge.live.clone()));
        let interval = Duration::from_secs(edge.config.storage.lifecycle_interval_s);
        accepting.push(crate::panics::spawn(
            "lifecycle",
            crate::objects::lifecycle::watch(
                meta.clone(),
                edge.clock.clone(),
                peers.clone(),
                interval,
                shutdown.clone(),
            ),
        ));
    }
    accepting.push(crate::panics::spawn("memory", crate::memory::watch(edge.memory.clone(), shutdown.clone())));
    accepting.push(crate::panics::spawn("disk", disk.watch(shutdown.clone())));
    accepting.push(crate::panics::spawn("dependencies", edge.dependencies.clone().watch(shutdown.clone())));
    accepting.push(crate::panics::spawn("room", crate::space::keep_room(blobs.clone(), shutdown.clone())));
    accepting.push(crate::panics::spawn("clock", crate::clock::watch(clock, shutdown.clone())));
    accepting.push(crate::panics::spawn("strangers", crate::log::strangers::tell(shutdown.clone())));
    if places.has_shared_map() {
        accepting.push(crate::panics::spawn("reaper", live::reap(edge.live.clone(), shutdown.clone())));
        let presence = live::presence(edge.live.clone(), leaving, ending.clone());
        accepting.push(crate::panics::spawn("presence", presence));
        let end_lists = live::keep_end_lists(edge.live.clone(), shutdown.clone());
        accepting.push(crate::panics::spawn("end lists of others", end_lists));
    }
    accepting.extend(edge.stills.start());
    accepting.push(crate::panics::spawn("access log", access_log::deliver(edge.access_log.clone(), shutdown.clone())));
    let damage = crate::damage::watch(meta.clone(), blobs.clone(), shutdown.clone());
    accepting.push(crate::panics::spawn("damage", damage));
    let pace = edge.config.storage.scrub_mib_per_s;
    let scrub = crate::damage::scrub_forever(meta, blobs, peers.clone(), pace, shutdown.clone());
    accepting.push(crate::panics::spawn("scrub", scrub));
    let mut listening: Vec<(&'static str, SocketAddr)> = http.iter().map(|address| ("http", *address)).collect();
    listening.extend(rtmp.iter().map(|address| ("rtmp", *address)));
    listening.extend(console.iter().map(|address| ("console", *address)));
    listening.push(("admin", admin));
    peers.listens(listening.iter().map(|(what, address)| ((*what).to_owned(), address.to_string())).collect());
    let _ = edge.listening.set(listening);
    Ok(Running { http, rtmp, console, admin, edge, leaves, trigger, ends, accepting, _lock: lock })
}

impl Running {
    /// Says that it will stop, and after `leave_s` stops listening, ends pushes with their last segment listed, lets requests in flight finish for as long as the
    /// settings say or until `hurry` ends, writes access logs, and closes. From here on the process ends in a bounded time.
    pub(crate) async fn stop(self, hurry: impl Future<Output = ()>) {
        let drain = Duration::from_secs(self.edge.config.drain_s);
        let leave = Duration::from_secs(self.edge.config.leave_s);
        crate::shutdown::leave_within(leave.saturating_add(drain).saturating_add(LEAVE_AFTER));
        crate::notify::tell("STOPPING=1");
        self.leaves.fire();
        let mut hurry = pin!(hurry);
        let is_hurried = !leave.is_zero() && tokio::time::timeout(leave, hurry.as_mut()).await.is_ok();
        let hurry = async {
            if !is_hurried {
                hurry.await;
            }
        };
        self.trigger.fire();
        let requests = drained(&self.edge.connections, drain, hurry);
        let ((), cut) = tokio::join!(self.edge.live.stop_all(STOP_TIMEOUT), requests);
        self.edge.stills.close();
        if cut > 0 {
            tracing::warn!(requests = cut, "requests that were not through in time are cut");
        }
        self.ends.fire();
        let tasks = async {
            for task in self.accepting {
                let _ = task.await;
            }
        };
        let _ = tokio::time::timeout(TASKS_TIMEOUT, tasks).await;
        if tokio::time::timeout(LOGS_TIMEOUT, self.edge.access_log.flush()).await.is_err() {
            tracing::warn!("the last access logs could not be written in time");
        }
        match tokio::time::timeout(TASKS_TIMEOUT, self.edge.usage.write()).await {
            Ok(Ok(())) => {}
            _ => tracing::warn!("the last requests could not be counted as usage in time"),
        }
        // Last, because what this server holds is free from here on.
        match tokio::time::timeout(TASKS_TIMEOUT, self.edge.peers.leave()).await {
            Ok(Ok(())) => {}
            _ => tracing::warn!("the other servers could not be told that this one has left; they will find out"),
        }
    }
}

/// Refuses to start beside another server of the same name, when that goes on living.
///
/// # Errors
/// Which server it is, and what to do.
async fn refuse_namesake(peers: &Peers) -> anyhow::Result<()> {
    let Some(other) = peers.namesake().await.context("cannot find out whether another server has this name")? else {
        return Ok(());
    };
    let _ = peers.leave().await;
    let addresses: Vec<&str> = other.record.addresses.iter().map(|(_, address)| address.as_str()).collect();
    let place = match addresses.is_empty() {
        true => "it does not listen yet".to_owned(),
        false => format!("at {}", addresses.join(", ")),
    };
    bail!(
        "another server named {:?} is running ({place}): give each its own `instance` (MILLPOND_INSTANCE, --instance), or stop that one \
         first",
        peers.instance()
    )
}

/// Refuses to start beside others on one map when blobs are in the data directory, where only one server finds them.
async fn refuse_others(meta: &Meta, peers: &Peers) -> anyhow::Result<()> {
    for other in peers.processes().await?.into_iter().filter(|other| !peers.has_life(&other.life)) {
        if meta.lives_until_ms(&other.life).await?.is_none() {
            continue;
        }
        peers.leave().await.context("cannot tell the other servers that this one does not start")?;
        anyhow::bail!(
            "server {} shares this map, and blobs in a data directory would be seen by one of them only: give all the same \
             --blobs s3://…",
            other.record.name
        );
    }
    Ok(())
}

/// What this server tells the others of itself.
fn process(instance: &str, is_named: bool, clock: &Clock) -> ProcessRecord {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { "server" } else { host.trim() };
    let name = match is_named {
        true => instance.to_owned(),
        // Several servers may run on one machine.
        false => format!("{host}-{}", instance.chars().take(4).collect::<String>()),
    };
    ProcessRecord {
        name,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        layout: u32::try_from(store::kv::postgres::LAYOUT).unwrap_or_default(),
        started_ms: clock.now_ms(),
        ..ProcessRecord::default()
    }
}

/// Waits until no request is in flight, and returns how many still are after `limit`.
async fn drained(connections: &Connections, limit: Duration, hurry: impl Future<Output = ()>) -> usize {
    let (mut hurry, mut late) = (pin!(hurry), pin!(tokio::time::sleep(limit)));
    let mut looks = tokio::time::interval(Duration::from_millis(50));
    let begun = connections.census().in_request;
    if begun > 0 {
        tracing::info!(requests = begun, limit_s = limit.as_secs(), "requests in flight may finish");
    }
    let mut sent_at = None;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = late.as_mut() => return connections.census().in_request,
            () = hurry.as_mut() => return connections.census().in_request,
        }
        let census = connections.census();
        if census.in_request > 0 {
            sent_at = None;
            continue;
        }
        // What was answered may still be on its way into the socket.
        let since = *sent_at.get_or_insert_with(Instant::now);
        if census.idle == 0 || since.elapsed() >= LAST_BYTES {
            return 0;
        }
    }
}

/// The sockets that were inherited, or else those of the settings.
fn sockets(
    inherited: impl IntoIterator<Item = std::net::TcpListener>,
    addresses: &[SocketAddr],
) -> anyhow::Result<Vec<tokio::net::TcpListener>> {
    let adopted = inherited.into_iter().map(listen::adopt).collect::<Result<Vec<_>, _>>();
    let adopted = adopted.context("cannot listen on an inherited socket")?;
    if !adopted.is_empty() {
        return Ok(adopted);
    }
    addresses.iter().map(|address| bind(*address)).collect()
}

fn bind(address: SocketAddr) -> anyhow::Result<tokio::net::TcpListener> {
    listen::bind(address).map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => format!(
                "another program has this port, perhaps another millpond (`ss -ltnp sport = :{}` shows it): stop it, or \
                 choose others with --listen, --rtmp-listen, --admin-listen, --console-listen",
                address.port()
            ),
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need the right to take them (CAP_NET_BIND_SERVICE), or choose another".to_owned()
            }
            std::io::ErrorKind::AddrNotAvailable => {
                "this machine has no such address; 0.0.0.0 stands for all it has".to_owned()
            }
            _ => error.to_string(),
        };
        anyhow::Error::from(error).context(format!("cannot listen on {address}: {hint}"))
    })
}

fn open(
    listener: tokio::net::TcpListener,
    fallback: Fallback,
    edge: &Arc<Edge>,
    shutdown: &Shutdown,
    accepting: &mut Vec<JoinHandle<()>>,
) -> anyhow::Result<SocketAddr> {
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
