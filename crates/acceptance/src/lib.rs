//! The real binary as a process. Here and not in the tests of the package `millpond`, so that a run of all tests does not build the
//! server once more for itself: it takes the binary that `MILLPOND_BIN` names, or builds one the usual way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed expectation of a test is a panic")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

/// What a server is started with, beside what every one is: a folder of its own, ports of the system's choice, and a log of JSON.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The account's key and its secret.
    pub key: (&'a str, &'a str),
    /// Further arguments of `serve`.
    pub arguments: &'a [&'a str],
    /// Levels of the log; those of the program when empty.
    pub log_levels: &'a str,
    /// The text of a configuration file.
    pub settings: &'a str,
}

/// One `millpond serve` over a temporary folder; it ends with the value.
#[derive(Debug)]
pub struct Server {
    process: Child,
    /// Where it speaks HTTP.
    pub http: String,
    /// Where it speaks RTMP.
    pub rtmp: String,
    /// Where its numbers and the management API are.
    pub admin: String,
    folder: tempfile::TempDir,
}

impl Server {
    /// Starts a server and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(start: Start<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = folder.path().join("millpond.toml");
        std::fs::write(&settings, start.settings).unwrap();
        let log = File::create(folder.path().join("server.log")).unwrap();
        let mut command = Command::new(binary());
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--rtmp-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json"])
            .args(start.arguments)
            .arg("--data-dir")
            .arg(folder.path().join("data"))
            .arg("--config")
            .arg(&settings)
            .env("OSS_ACCESS_KEY_ID", start.key.0)
            .env("OSS_ACCESS_KEY_SECRET", start.key.1)
            .stdout(Stdio::piped())
            .stderr(log);
        if !start.log_levels.is_empty() {
            command.env("MILLPOND_LOG", start.log_levels);
        }
        let mut process = command.spawn().unwrap();
        let listening = BufReader::new(process.stdout.take().unwrap())
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str::<Value>(&line).ok())
            .find(|message| message["message"] == "listening");
        let Some(listening) = listening else {
            let log = std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default();
            panic!("the server did not start:\n{log}");
        };
        let address = |value: &Value| value.as_str().unwrap().to_owned();
        let (http, rtmp) = (address(&listening["http"][0]), address(&listening["rtmp"][0]));
        Self { process, http, rtmp, admin: address(&listening["admin"]), folder }
    }

    /// All that it logged so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.folder.path().join("server.log")).unwrap()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if !std::thread::panicking() {
            let log = self.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// The binary that `MILLPOND_BIN` names, or one that cargo builds now.
///
/// # Panics
/// When there is none.
pub fn binary() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let Some(named) = std::env::var_os("MILLPOND_BIN") else { return BUILT.get_or_init(build).clone() };
    let path = PathBuf::from(named);
    assert!(path.exists(), "{} is missing: build it, or unset MILLPOND_BIN", path.display());
    path
}

fn build() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    // Of two trees of dependencies the one that the tests themselves were built in.
    let is_release = std::env::current_exe().unwrap().ancestors().any(|folder| folder.ends_with("release"));
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--locked", "--package", "millpond", "--bin", "millpond", "--message-format", "json"])
        .args(is_release.then_some("--release"))
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo cannot build the server");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    let built = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    built.unwrap_or_else(|| panic!("cargo does not say where the server is:\n{messages}"))
}
