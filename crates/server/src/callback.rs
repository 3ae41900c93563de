//! The requests that this server makes: callbacks to applications (HTTP API 13). The address comes from whoever may
//! upload, so that it must not lead into the server's own network unless the operator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Method;
use rustls::ClientConfig;
use tokio::net::TcpStream;

use crate::http_client::{self, Address, Answer, BodyError, Connected};

/// How long one address has for its whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why an address is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreachable {
    /// It is no address.
    Malformed,
    /// It leads into the network of the server.
    Private,
}

/// Whether an address may be called. A name that cannot be resolved now is not refused: calling it will fail.
///
/// # Errors
/// See [`Unreachable`].
pub(crate) async fn check_address(url: &str, allow_private: bool) -> Result<(), Unreachable> {
    let target = Address::parse(url).ok_or(Unreachable::Malformed)?;
    for address in resolve(&target).await {
        if !may_call(address.ip(), allow_private) {
            return Err(Unreachable::Private);
        }
    }
    Ok(())
}

/// What is posted to each address of a callback.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Post<'a> {
    /// The `Host` header, when it is not that of the address.
    pub(crate) host: Option<&'a str>,
    /// The type of the body.
    pub(crate) content_type: &'a str,
    /// The body.
    pub(crate) body: &'a Bytes,
    /// Whether a TLS server gets its name (SNI) before it shows a certificate (`callbackSNI`).
    pub(crate) sni: bool,
    /// Whether loopback and private addresses may be called.
    pub(crate) allow_private: bool,
}

/// Posts to an address and gives the JSON that came back.
///
/// # Errors
/// A sentence that the client of the upload gets to read.
pub(crate) async fn post(url: &str, post: Post<'_>) -> Result<Bytes, String> {
    let exchange = exchange(url, post);
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(outcome) => outcome,
        Err(_) => Err("The callback server did not answer in time.".to_owned()),
    }
}

/// Posts to an address; any status of success will do, and what comes back is not read.
///
/// # Errors
/// A sentence for the log.
pub(crate) async fn notify(url: &str, post: Post<'_>) -> Result<(), String> {
    let call = async {
        let answer = call(url, post).await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(format!("Error status : {}.", status.as_u16())),
        }
    };
    tokio::time::timeout(TIMEOUT, call).await.unwrap_or_else(|_| Err("No answer came in time.".to_owned()))
}

async fn call(url: &str, post: Post<'_>) -> Result<Answer, String> {
    let invalid = || "The callback address is not valid.".to_owned();
    let target = Address::parse(url).ok_or_else(invalid)?;
    let stream = connect(&target, post).await?;
    let request = target
        .request(Method::POST)
        .header("host", post.host.unwrap_or(target.authority()))
        .header("content-type", post.content_type)
        .header("content-length", post.body.len())
        .header("user-agent", "http-client/0.0.1")
        .header("connection", "close")
        .body(Full::new(post.body.clone()))
        .map_err(|_| invalid())?;
    http_client::send(stream, request).await.map_err(lost)
}

fn lost(_: hyper::Error) -> String {
    "The connection to the callback server was lost.".to_owned()
}

async fn exchange(url: &str, post: Post<'_>) -> Result<Bytes, String> {
    let answer = call(url, post).await?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(format!("Error status : {status}."));
    }
    if !answer.headers().contains_key(hyper::header::CONTENT_LENGTH) {
        return Err("Response header has no content length.".to_owned());
    }
    let whole = answer.body(MAX_ANSWER_BYTES).await.map_err(|error| match error {
        BodyError::Lost(error) => lost(error),
        BodyError::TooLong(_) => "Response body is too long.".to_owned(),
    })?;
    match serde_json::from_slice::<serde::de::IgnoredAny>(&whole) {
        Ok(_) => Ok(whole),
        Err(_) => Err("Response body is not valid json format.".to_owned()),
    }
}

/// Connects to an address that was checked, not to a name that might mean another one a moment later.
async fn connect(target: &Address, post: Post<'_>) -> Result<Connected, String> {
    let mut fault = "The callback host cannot be resolved.".to_owned();
    for address in resolve(target).await {
        if !may_call(address.ip(), post.allow_private) {
            return Err("Private address is forbidden to callback.".to_owned());
        }
        match TcpStream::connect(address).await {
            Ok(stream) if target.is_secure() => return secure(target, stream, post.sni).await,
            Ok(stream) => return Ok(Box::new(stream)),
            Err(_) => fault = "The callback server cannot be connected to.".to_owned(),
        }
    }
    Err(fault)
}

/// Shakes hands with the server at the other end, which has to show a certificate for its host that an authority known to
/// the operating system has signed.
async fn secure(target: &Address, plain: TcpStream, sni: bool) -> Result<Connected, String> {
    let authorities = http_client::authorities().await;
    if authorities.is_empty() {
        tracing::warn!(
            "https callbacks fail: this machine has no certificates of authorities (package ca-certificates)"
        );
        return Err("There are no authorities to check the callback server with.".to_owned());
    }
    let mut config = ClientConfig::builder().with_root_certificates(authorities).with_no_client_auth();
    config.enable_sni = sni;
    target.secure(plain, config).await.map_err(|error| format!("The callback server cannot be trusted: {error}."))
}

async fn resolve(target: &Address) -> Vec<SocketAddr> {
    match tokio::time::timeout(TIMEOUT, tokio::net::lookup_host((target.host(), target.port()))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        _ => Vec::new(),
    }
}

/// Whether an address lies outside, or inside where the operator allows it. Those of services that tell machines their
/// secrets, and every address of a link, nothing opens; nor does it help to wrap them into another address.
fn may_call(ip: IpAddr, allow_private: bool) -> bool {
    let place = match ip {
        IpAddr::V4(v4) => place_of_v4(v4),
        IpAddr::V6(v6) => {
            wrapped(v6).map(place_of_v4).into_iter().chain([place_of_v6(v6)]).max().unwrap_or(Place::Never)
        }
    };
    match place {
        Place::Outside => true,
        Place::Inside => allow_private,
        Place::Never => false,
    }
}

/// Where an address leads, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Outside,
    /// Into the server's own network.
    Inside,
    /// Where no callback has anything to do.
    Never,
}

fn place_of_v4(ip: Ipv4Addr) -> Place {
    match ip.octets() {
        // Metadata of Alibaba Cloud, and what answers for the host of an Azure machine: the one in a range of networks,
        // the other in the middle of the Internet. Oracle's older clouds have the third.
        [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, 192] => Place::Never,
        // "This" network, links (where AWS, Azure, Google, Tencent and others keep their metadata), groups and the rest.
        [0, ..] | [169, 254, ..] | [224..=255, ..] => Place::Never,
        [10 | 127, ..] | [172, 16..32, ..] | [192, 168, ..] | [100, 64..128, ..] => Place::Inside,
        _ => Place::Outside,
    }
}

fn place_of_v6(ip: Ipv6Addr) -> Place {
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Place::Never,
        [0, 0, 0, 0, 0, 0, 0, 1] => Place::Inside,
        // What AWS serves to its machines (metadata at ::254), then the metadata of Google, Oracle and Scaleway.
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..] | [0xfd00, 0xc1, ..] | [0xfd00, 0x42, ..] => Place::Never,
        // Links and groups; NAT64 with a prefix of one's own, and Teredo, which hide an IPv4 address in other ways.
        [0xfe80..0xfec0, ..] | [0xff00..=0xffff, ..] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] => Place::Never,
        [0xfc00..0xfe00, ..] | [0xfec0..0xff00, ..] => Place::Inside,
        _ => Place::Outside,
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, translated, through NAT64, 6to4 or ISATAP.
fn wrapped(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => return None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_own_network_are_not_called() {
        for (ip, usual, private) in [
            ("8.8.8.8", true, true),
            ("2606:4700::1111", true, true),
            ("127.0.0.1", false, true),
            ("10.1.2.3", false, true),
            ("172.16.0.1", false, true),
            ("172.32.0.1", true, true),
            ("192.168.0.1", false, true),
            ("100.100.100.200", false, false),
            ("100.100.100.201", false, true),
            ("168.63.129.16", false, false),
            ("168.63.129.17", true, true),
            ("192.0.0.192", false, false),
            ("100.128.0.1", true, true),
            ("169.254.169.254", false, false),
            ("0.0.0.0", false, false),
            ("224.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("::", false, false),
            ("::1", false, true),
            ("fe80::1", false, false),
            ("fd00::1", false, true),
            ("fd00:ec2::254", false, false),
            ("fd00:ec3::254", false, true),
            ("fd20:ce::254", false, false),
            ("fd00:c1::a9fe:a9fe", false, false),
            ("fd00:42::42", false, false),
            ("fec0::1", false, true),
            ("ff02::1", false, false),
            ("fe80::a9fe:a9fe", false, false),
            ("169.254.0.23", false, false),
            ("::ffff:127.0.0.1", false, true),
            // The same address in other clothes.
            ("::ffff:169.254.169.254", false, false),
            ("::ffff:100.100.100.200", false, false),
            ("::ffff:168.63.129.16", false, false),
            ("::168.63.129.16", false, false),
            ("::ffff:0:168.63.129.16", false, false),
            ("64:ff9b::168.63.129.16", false, false),
            ("64:ff9b:1:a9fe:a9:fe00::", false, false),
            ("2002:a83f:8110::1", false, false),
            ("2001:0:1:2:3:4:5:6", false, false),
            ("2606:4700::5efe:168.63.129.16", false, false),
            ("2606:4700::200:5efe:10.0.0.1", false, true),
            ("fd00:ec2::5efe:8.8.8.8", false, false),
            ("64:ff9b::8.8.8.8", true, true),
            ("64:ff9b::a9fe:a9fe", false, false),
            ("2002:7f00:1::", false, true),
        ] {
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!((may_call(ip, false), may_call(ip, true)), (usual, private), "{ip}");
        }
    }

    #[tokio::test]
    async fn addresses_are_judged_before_they_are_called() {
        for (url, expected) in [
            ("http://127.0.0.1:1/x", Err(Unreachable::Private)),
            ("http://[::1]/", Err(Unreachable::Private)),
            ("http://localhost/", Err(Unreachable::Private)),
            ("https://8.8.8.8/", Ok(())),
            ("https://127.0.0.1/", Err(Unreachable::Private)),
            ("ftp://8.8.8.8/", Err(Unreachable::Malformed)),
            ("http://8.8.8.8:99/x?y", Ok(())),
            ("http://:80/", Err(Unreachable::Malformed)),
        ] {
            assert_eq!(check_address(url, false).await, expected, "{url}");
        }
    }

    /// The resolver knows the old spellings of addresses, so the judgement has to come after it.
    #[tokio::test]
    async fn no_switch_and_no_spelling_opens_the_metadata_of_a_cloud() {
        for host in [
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "[fd00:ec2::254]",
            "[::ffff:a9fe:a9fe]",
            "[::ffff:168.63.129.16]",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "169.254.43518",
            "0xa83f8110",
            "2822734096",
            "0250.077.0201.020",
            "1684301000",
            "0144.0144.0144.0310",
        ] {
            for url in [format!("http://{host}/latest/meta-data/"), format!("https://user@{host}:8443/")] {
                let judged = check_address(&url, true).await;
                // A resolver that does not know a spelling finds nobody to call.
                let is_unknown = resolve(&Address::parse(&url).unwrap()).await.is_empty();
                assert!(judged == Err(Unreachable::Private) || is_unknown, "{url}: {judged:?}");
            }
        }
    }
}
