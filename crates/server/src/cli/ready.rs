//! `millpond ready`: whether the server of this machine is ready, for health checks where there is no other client.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use http_body_util::Full;
use hyper::Method;
use hyper::header::HOST;

use super::wire::{Endpoint, Trust};

/// The longest answer that is read; the words of `/readyz` are one line.
const MAX_BYTES: usize = 4096;
/// How long the server may take; `/readyz` itself gives up on its store after three seconds.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The flags of `ready`.
#[derive(Debug, Args)]
pub(crate) struct Ready {
    /// Where the server's admin listener is: the same variable as that of the server.
    #[arg(
        long,
        env = "MILLPOND_ADMIN_LISTEN",
        value_name = "ADDR",
        value_parser = crate::address::parse,
        default_value = "127.0.0.1:9001"
    )]
    admin_listen: SocketAddr,
}

impl Ready {
    /// Prints what `/readyz` says.
    ///
    /// # Errors
    /// When nobody answers, or the server is not ready; the error says what it says.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let address = own(self.admin_listen);
        let said = super::small_runtime()?.block_on(async {
            let asked = tokio::time::timeout(TIMEOUT, ask(address)).await;
            asked.with_context(|| format!("the server at {address} does not answer"))?
        })?;
        say!("{said}");
        Ok(ExitCode::SUCCESS)
    }
}

/// Where a listener of all addresses is reached from its own machine.
fn own(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

async fn ask(address: SocketAddr) -> anyhow::Result<String> {
    let endpoint = Endpoint::parse(&format!("http://{address}/readyz"), &Trust::default())?;
    let address = endpoint.address();
    let request = address.request(Method::GET).header(HOST, address.authority()).body(Full::default())?;
    let answer = endpoint.send(request).await?;
    let status = answer.status();
    let said = String::from_utf8_lossy(&answer.body(MAX_BYTES).await?).trim().to_owned();
    if !status.is_success() {
        bail!("not ready: {said}");
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_all_addresses_is_asked_at_loopback() {
        for (listener, expected) in
            [("0.0.0.0:9001", "127.0.0.1:9001"), ("[::]:9001", "[::1]:9001"), ("10.0.0.7:9001", "10.0.0.7:9001")]
        {
            assert_eq!(own(listener.parse().unwrap()), expected.parse().unwrap());
        }
    }
}
