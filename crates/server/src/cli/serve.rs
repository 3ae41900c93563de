//! `millpond serve`: run until asked to stop, and say where things are.

use std::fmt::Write;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use crate::config::{Config, ConfigArgs};
use crate::listen::Inherited;
use crate::log::{self, LogFormat};
use crate::root_key::RootKey;
use crate::shutdown::Signals;
use crate::startup::{self, Running};

/// The flags of `serve`.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    #[command(flatten)]
    config: ConfigArgs,
    /// How the log is written.
    #[arg(long, env = "MILLPOND_LOG_FORMAT", value_enum, default_value_t)]
    log_format: LogFormat,
}

impl Serve {
    /// Runs the server until an interrupt or a termination request.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let inherited = Inherited::take()?;
        log::start(self.log_format, "info")?;
        let config = Config::load(&self.config)?;
        let numbers = crate::metrics::install()?;
        run(async {
            let mut signals = Signals::listen()?;
            let running = startup::start(config, inherited, numbers).await?;
            announce(&running, self.log_format);
            crate::notify::tell("READY=1");
            signals.wait().await;
            tracing::info!("stopping");
            running.stop(signals.wait()).await;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Runs a server until its end; what waits for a disk then is not waited for.
pub(crate) fn run<T>(server: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = runtime()?;
    let outcome = runtime.block_on(server);
    runtime.shutdown_timeout(LAST_WORK);
    outcome
}

/// How long the last work on the disk may take once everything else has ended.
const LAST_WORK: std::time::Duration = std::time::Duration::from_secs(3);

/// The runtime of a server.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("millpond")
        // Blocking calls wait for disks; more threads than that only cost memory.
        .max_blocking_threads(32)
        .thread_keep_alive(std::time::Duration::from_secs(5))
        .build()
}

/// Says on standard output what listens where, and a new key once.
pub(crate) fn announce(running: &Running, format: LogFormat) {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match format {
        LogFormat::Json => announce_json(running, &mut text),
        LogFormat::Text => announce_text(running, &mut text),
    };
    log::print(&text);
}

fn announce_json(running: &Running, out: &mut String) -> std::fmt::Result {
    let root = running.edge.accounts.root();
    if root.is_new {
        let line = serde_json::json!({
            "level": "INFO", "message": "root key generated",
            "access_key_id": root.id.as_str(), "access_key_secret": root.text,
        });
        writeln!(out, "{line}")?;
    }
    let line = serde_json::json!({
        "level": "INFO", "message": "listening", "version": env!("CARGO_PKG_VERSION"),
        "http": running.http, "rtmp": running.rtmp, "console": running.console, "admin": running.admin,
        "open_without_tls": open_without_tls(running), "data_dir": running.edge.config.data_dir, "pid": std::process::id(),
    });
    writeln!(out, "{line}")
}

fn announce_text(running: &Running, out: &mut String) -> std::fmt::Result {
    let (bold, plain) = if std::io::stdout().is_terminal() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let root = running.edge.accounts.root();
    writeln!(out, "{bold}Millpond {}{plain}", env!("CARGO_PKG_VERSION"))?;
    let mut row = |name: &str, value: String| writeln!(out, "  {name:<14} {value}");
    for address in &running.http {
        row("HTTP and RTMP", format!("http://{0}  rtmp://{0}", shown(*address)))?;
    }
    for address in &running.rtmp {
        row("RTMP", format!("rtmp://{}", shown(*address)))?;
    }
    row("Admin", format!("http://{}/metrics", shown(running.admin)))?;
    let first = running.http.first().map_or_else(String::new, |a| shown(*a).to_string());
    row("Player", format!("http://{first}/-/play"))?;
    if running.edge.config.http.console {
        let console = running.console.map_or(first, |address| shown(address).to_string());
        row("Console", format!("http://{console}/-/console"))?;
    }
    if let Some(address) = running.console {
        row("Management", format!("http://{}/api/v1", shown(address)))?;
    }
    row("Data", running.edge.config.data_dir.display().to_string())?;
    if root.is_new {
        writeln!(out, "\n  A root access key was made. It is shown this once and kept in the data directory:")?;
        writeln!(out, "  export {}={}", crate::root_key::ID_VARIABLE, root.id)?;
        writeln!(out, "  export {}={}", crate::root_key::SECRET_VARIABLE, root.text)?;
    } else {
        let secret = RootKey::place_of_secret(&running.edge.config.data_dir);
        writeln!(out, "  {:<14} {} (its secret: {secret})", "Access key", root.id)?;
    }
    for address in open_without_tls(running) {
        writeln!(
            out,
            "\n  {address} is open to whoever reaches this machine, and without TLS: what is pushed, played and stored \
             can be\n  read on its way, signed addresses too. Turn TLS on with --tls-cert FILE --tls-key FILE, or keep \
             to this machine\n  with 127.0.0.1:{}.",
            address.port()
        )?;
    }
    writeln!(out)
}

/// Listeners that other machines may reach in clear.
fn open_without_tls(running: &Running) -> Vec<SocketAddr> {
    if running.edge.tls.is_some() {
        return Vec::new();
    }
    let listening = running.edge.listening.get().map(Vec::as_slice).unwrap_or_default();
    listening.iter().map(|(_, address)| *address).filter(|address| !address.ip().is_loopback()).collect()
}

/// An address as a person on this machine would use it.
pub(crate) fn shown(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], address.port())) } else { address }
}
