//! What the running server says: a page for people on a terminal, or one JSON object a line for machines. Secrets and
//! query strings never enter it.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people: short lines, coloured by level on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the log on standard error; `MILLPOND_LOG` chooses levels (default `info`).
pub(crate) fn start(format: LogFormat, default_level: &str) {
    let filter = EnvFilter::try_from_env("MILLPOND_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start (in tests, or when a library was faster) changes nothing; there is nobody to tell.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
}
