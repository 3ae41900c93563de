//! Millpond: a live-streaming recorder and an object store in one binary.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "Millpond runs on Linux only: sendfile, low-water marks of sockets, O_DIRECT and fallocate are its ground"
);

/// Prints a line for people; that nobody reads it (a closed pipe) is no reason to fail.
macro_rules! say {
    ($($arg:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($arg)*);
    }};
}

/// The same on standard error, and without waiting for whoever reads it where a log runs.
macro_rules! complain {
    ($($arg:tt)*) => { $crate::log::complain(&format!($($arg)*)) };
}

#[macro_use]
mod log;

mod access_log;
mod accounts;
mod address;
mod admin;
mod auth_failures;
mod callback;
mod certificate;
mod checksums;
mod cli;
mod clock;
mod config;
mod connections;
mod damage;
mod data_dir;
mod dependencies;
mod descriptors;
mod dialect;
mod edge;
mod files;
mod http;
mod http_client;
mod ids;
mod ingest;
mod listen;
mod live;
mod management;
mod memory;
mod metering;
mod metrics;
mod notify;
mod objects;
mod ops;
mod panics;
mod peers;
mod places;
mod proxies;
mod publisher;
mod root_key;
mod secrets;
mod shutdown;
mod space;
mod startup;
mod stills;
mod stores;
mod tls;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Small allocations come and go with every message; this allocator gives them back to the system, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A live-streaming recorder and an object store in one binary: RTMP in, HLS objects out, the API of Alibaba Cloud OSS
/// around them.
#[derive(Debug, Parser)]
#[command(name = "millpond", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(cli::serve::Serve),
    /// Say whether the server of this machine is ready, for health checks of containers.
    Ready(cli::ready::Ready),
    /// Run the server with a bucket, a channel and a built-in publisher: a picture plays at once.
    Demo(cli::demo::Demo),
    /// Print a signed URL.
    #[command(subcommand)]
    Sign(cli::sign::Sign),
    /// Users of the account: make, list, delete, enable, disable.
    #[command(subcommand)]
    User(cli::accounts::User),
    /// Access keys of users, or of the account itself, whose name here is root.
    #[command(subcommand)]
    Key(cli::accounts::Key),
    /// What users may do.
    #[command(subcommand)]
    Policy(cli::accounts::Policy),
    /// Temporary keys.
    #[command(subcommand)]
    Sts(cli::accounts::Sts),
    /// Make LiveChannels over the API.
    #[command(subcommand)]
    Channel(cli::channel::Channel),
    /// Push a file or the built-in sample to an RTMP URL.
    Publish(cli::publish::Publish),
    /// Look for dangling names and orphaned bytes, or try a database and a bucket for what servers need of them.
    Check(cli::check::Check),
    /// Look at a playlist, here or anywhere, for what Apple's authoring rules for HLS want.
    CheckHls(cli::check_hls::CheckHls),
    /// Copy a data directory, also of a running server, into a folder of backups.
    Backup(cli::backup::Backup),
    /// Make a data directory from a backup.
    Restore(cli::restore::Restore),
    /// Copy an installation between any two stores: a data directory, or PostgreSQL and an S3-compatible store.
    Migrate(cli::migrate::Migrate),
    /// Print what a month costs by a table of prices, or what was used.
    Usage(cli::usage::Usage),
    /// Prepare the database and the bucket that several servers share.
    #[command(subcommand)]
    Store(cli::store::Store),
    /// Run the lifecycle rules of an installation once, or say what they would do.
    Lifecycle(cli::lifecycle::Lifecycle),
}

fn main() -> ExitCode {
    // A decoder of pictures is no server: nothing of one may run in it.
    if std::env::args_os().nth(1).is_some_and(|name| name == stills::WORKER) {
        return match pictures::worker_main(std::io::stdin().lock(), std::io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    // Threads that each touch a little of a huge page would hold megabytes that nobody uses. Where this is refused the
    // process is larger and otherwise the same.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Serve(serve) => serve.run(),
        Command::Ready(ready) => ready.run(),
        Command::Demo(demo) => demo.run(),
        Command::Sign(sign) => sign.run(),
        Command::User(user) => user.run(),
        Command::Key(key) => key.run(),
        Command::Policy(policy) => policy.run(),
        Command::Sts(sts) => sts.run(),
        Command::Channel(channel) => channel.run(),
        Command::Publish(publish) => publish.run(),
        Command::Check(check) => check.run(),
        Command::CheckHls(check) => check.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Migrate(migrate) => migrate.run(),
        Command::Usage(usage) => usage.run(),
        Command::Store(store) => store.run(),
        Command::Lifecycle(lifecycle) => lifecycle.run(),
    };
    let code = outcome.unwrap_or_else(|error| {
        complain!("millpond: {error:#}");
        ExitCode::FAILURE
    });
    log::finish();
    code
}
