//! HTTP: connections, the pipeline every request goes through, bodies in and out, and the pages under `/-/`.

mod active;
mod around;
mod body;
mod connection;
mod door;
mod file_stream;
mod interpret;
mod lifetime;
mod line;
mod linger;
mod logged;
pub(crate) mod management;
mod page;
mod patience;
pub(crate) mod pipeline;
mod render;
mod reports;
mod shape;

pub(crate) use connection::{serve_plain, serve_secure};
pub(crate) use door::Door;
pub(crate) use lifetime::{Lifetime, WhileOpen, builder, run};
