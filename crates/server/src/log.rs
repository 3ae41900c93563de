//! What the running server says: a page for people on a terminal, or one JSON object a line for machines. Secrets and
//! query strings never enter it. Nothing waits for whoever reads it, and nothing fails when nobody can (D28).

mod output;
#[macro_use]
pub(crate) mod strangers;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use self::output::Output;

/// How long the end of the process waits for lines that nobody takes.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Both once the log was started. Each has a descriptor of its own, so that a thread that hangs in it does not hold the
/// lock of the standard library's.
static STDERR: OnceLock<Output> = OnceLock::new();
static STDOUT: OnceLock<Output> = OnceLock::new();

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
///
/// # Errors
/// When the process may not have another descriptor or thread.
pub(crate) fn start(format: LogFormat, default_level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("MILLPOND_LOG").unwrap_or_else(|_| EnvFilter::new(default_level));
    let notice: output::Notice = match format {
        LogFormat::Text => |lines| format!("{}  WARN {lines} log lines lost\n", now()),
        LogFormat::Json => |lines| json_line("WARN", &format!("{lines} log lines lost")),
    };
    let open = || -> anyhow::Result<Output> {
        let stderr = File::from(std::io::stderr().as_fd().try_clone_to_owned()?);
        Ok(Output::start("log", stderr, Some(notice))?)
    };
    let stderr = open().context("cannot start the log")?;
    let _ = STDERR.set(stderr.clone());
    // The library's own complaints would go to standard error by the way that blocks and panics.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(move || stderr.clone());
    // A second start (in tests, or when a library was faster) changes nothing; there is nobody to tell.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).with_ansi(std::io::stderr().is_terminal()).compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(false).try_init(),
    };
    std::panic::set_hook(Box::new(move |panic| say_panic(format, panic)));
    Ok(())
}

/// Prints text on standard output without waiting for whoever reads it: where the server listens, with a line feed at
/// its end. That nobody can read it is no reason to fail.
pub(crate) fn print(text: &str) {
    if STDOUT.get().is_none()
        && let Ok(stdout) = std::io::stdout().as_fd().try_clone_to_owned()
        && let Ok(output) = Output::start("output", File::from(stdout), None)
    {
        let _ = STDOUT.set(output);
    }
    if let Some(stdout) = STDOUT.get() {
        stdout.push(text.as_bytes());
    }
}

/// Says a line on standard error that is no line of the log, such as why the program ends.
pub(crate) fn complain(line: &str) {
    match STDERR.get() {
        Some(stderr) => stderr.push(format!("{line}\n").as_bytes()),
        // Commands that only ask something have no log, and nobody who would wait.
        None => {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
}

/// Waits shortly until what was said is written. The last thing that a process does.
pub(crate) fn finish() {
    let deadline = Instant::now() + LAST_LINES;
    for output in [&STDERR, &STDOUT] {
        if let Some(output) = output.get() {
            output.flush(deadline);
        }
    }
}

/// A panic, as the standard library's hook would tell it, but without waiting.
fn say_panic(format: LogFormat, panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let mut text = format!("thread '{}' {panic}", thread.name().unwrap_or("<unnamed>"));
    let backtrace = std::backtrace::Backtrace::capture();
    if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
        text.push_str(&format!("\n{backtrace}"));
    }
    match format {
        LogFormat::Text => complain(&text),
        LogFormat::Json => complain(json_line("ERROR", &text).trim_end()),
    }
    // The process ends with this one: with its first thread, or because a panic met another panic.
    let is_last =
        thread.name() == Some("main") || panic.payload_as_str().is_some_and(|text| text.starts_with("panic in a "));
    if is_last {
        finish();
    }
}

fn now() -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn json_line(level: &str, message: &str) -> String {
    let line = serde_json::json!({"timestamp": now(), "level": level, "message": message, "target": "millpond::log"});
    format!("{line}\n")
}
