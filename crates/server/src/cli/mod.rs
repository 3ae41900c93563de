//! The subcommands, one file each.

pub(crate) mod accounts;
pub(crate) mod channel;
pub(crate) mod check;
mod client;
pub(crate) mod demo;
pub(crate) mod lifecycle;
pub(crate) mod publish;
pub(crate) mod serve;
pub(crate) mod sign;

/// A runtime for a command that only asks a server something.
fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
