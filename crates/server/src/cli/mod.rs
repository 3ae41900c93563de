//! The subcommands, one file each.

pub(crate) mod accounts;
pub(crate) mod backup;
pub(crate) mod channel;
pub(crate) mod check;
pub(crate) mod check_hls;
mod client;
pub(crate) mod demo;
pub(crate) mod lifecycle;
pub(crate) mod migrate;
pub(crate) mod publish;
pub(crate) mod ready;
pub(crate) mod restore;
pub(crate) mod serve;
mod side;
pub(crate) mod sign;
pub(crate) mod store;
pub(crate) mod usage;
mod wire;

/// A runtime for a command that only asks a server something.
fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
