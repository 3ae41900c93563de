//! HTTP: connections, the pipeline every request goes through, bodies in and out, and the pages under `/-/`.

mod access_log_entry;
mod active;
mod ambiguity;
mod around;
mod body;
mod body_timeout;
mod connection;
mod door;
mod file_stream;
mod interpret;
mod lifetime;
mod linger;
mod logged_body;
pub(crate) mod management;
mod page;
pub(crate) mod pipeline;
mod render;
mod reports;

pub(crate) use connection::{serve_plain, serve_secure};
pub(crate) use door::Door;
pub(crate) use lifetime::{Lifetime, WhileOpen, builder, run};
