//! Reverse proxies: from where a request really comes, and whether it was encrypted on its way. Only the word of
//! configured proxies counts; whatever anybody else writes into these headers is ignored.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;
use model::access::network::Network;
use serde::{Deserialize, Serialize};

/// The header in which reverse proxies say from where a request comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ForwardedHeader {
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The proxies whose word counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct TrustedProxies {
    networks: Vec<Network>,
    header: ForwardedHeader,
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The address of the client; the port is 0 when a proxy sent the address without one.
    pub(crate) address: SocketAddr,
    /// Whether the client spoke TLS.
    pub(crate) is_secure: bool,
}

impl TrustedProxies {
    /// Proxies in these networks, which say it in this header. Texts that are no network are `None`.
    pub(crate) fn new(networks: &[String], header: ForwardedHeader) -> Option<Self> {
        let networks = networks.iter().map(|text| Network::parse(text)).collect::<Option<_>>()?;
        Some(Self { networks, header })
    }

    /// The origin of a request that arrived from `peer`. Each proxy appends the address it was reached from, so the list
    /// is read from its end, and the first address that is no proxy's is the client's. An entry that is no address ends
    /// the reading: what stands before it was written by a stranger.
    pub(crate) fn origin(&self, peer: SocketAddr, is_secure: bool, headers: &HeaderMap) -> Origin {
        let mut origin = Origin { address: peer, is_secure };
        if !self.trusts(peer.ip()) {
            return origin;
        }
        let hops = match self.header {
            ForwardedHeader::XForwardedFor => x_forwarded(headers),
            ForwardedHeader::Forwarded => forwarded(headers),
        };
        for hop in hops.into_iter().rev() {
            if let Some(is_secure) = hop.is_secure {
                origin.is_secure = is_secure;
            }
            let Some(address) = hop.address else { break };
            origin.address = address;
            if !self.trusts(address.ip()) {
                break;
            }
        }
        origin
    }

    /// Whether an address is one of these proxies.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address))
    }
}

/// What one proxy says of whom it was reached from.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hop {
    address: Option<SocketAddr>,
    is_secure: Option<bool>,
}

/// `X-Forwarded-For: client, proxy` with `X-Forwarded-Proto: https`, of which the last value is the nearest proxy's.
fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let mut hops: Vec<Hop> =
        values(headers, "x-forwarded-for").map(|text| Hop { address: parse_address(text), is_secure: None }).collect();
    let is_secure = values(headers, "x-forwarded-proto").last().and_then(parse_scheme);
    match hops.last_mut() {
        Some(nearest) => nearest.is_secure = is_secure,
        None => hops.push(Hop { address: None, is_secure }),
    }
    hops
}

/// `Forwarded: for=192.0.2.60;proto=http, for="[2001:db8::1]:4711"` (RFC 7239).
fn forwarded(headers: &HeaderMap) -> Vec<Hop> {
    values(headers, "forwarded")
        .map(|element| {
            let mut hop = Hop::default();
            for (name, value) in element.split(';').filter_map(|pair| pair.split_once('=')) {
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => hop.address = parse_address(value.trim()),
                    "proto" => hop.is_secure = parse_scheme(value.trim().trim_matches('"')),
                    _ => {}
                }
            }
            hop
        })
        .collect()
}

/// The comma-separated values of all headers of a name. A header that is no text counts as one strange value.
fn values<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h str> {
    headers.get_all(name).iter().flat_map(|value| value.to_str().unwrap_or("?").split(',').map(str::trim))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `"[2001:db8::1]:80"`.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let text = text.trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0)).or_else(|_| text.parse()).ok()?;
    Some(SocketAddr::new(address.ip().to_canonical(), address.port()))
}

fn parse_scheme(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "https" => Some(true),
        "http" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn check(header: ForwardedHeader, peer: &str, sent: &[(&'static str, &str)], address: &str, is_secure: bool) {
        let proxies = TrustedProxies::new(&["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()], header).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let origin = proxies.origin(peer.parse().unwrap(), false, &headers);
        assert_eq!(origin, Origin { address: address.parse().unwrap(), is_secure }, "{peer} {sent:?}");
    }

    #[test]
    fn only_configured_proxies_are_believed() {
        let check = |peer, sent: &[(&'static str, &str)], address, is_secure| {
            check(ForwardedHeader::XForwardedFor, peer, sent, address, is_secure);
        };
        let lie = [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        check("203.0.113.5:1000", &lie, "203.0.113.5:1000", false);
        check("10.0.0.1:1000", &lie, "192.0.2.1:0", true);
        check("[::ffff:10.0.0.1]:1000", &lie, "192.0.2.1:0", true);
        check("[fd00::1]:1000", &lie, "192.0.2.1:0", true);
        check("10.0.0.1:1000", &[], "10.0.0.1:1000", false);
        // What the client wrote stands before what the proxies wrote.
        check("10.0.0.1:1", &[("x-forwarded-for", "1.1.1.1, 192.0.2.1, 10.0.0.2")], "192.0.2.1:0", false);
        check("10.0.0.1:1", &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1")], "192.0.2.1:0", false);
        check("10.0.0.1:1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")], "10.0.0.3:0", false);
        check("10.0.0.1:1", &[("x-forwarded-for", "192.0.2.1, unknown")], "10.0.0.1:1", false);
        check("10.0.0.1:1", &[("x-forwarded-for", "192.0.2.1, unknown, 10.0.0.2")], "10.0.0.2:0", false);
        check("10.0.0.1:1", &[("x-forwarded-for", "192.0.2.1, \u{e9}")], "10.0.0.1:1", false);
        check("10.0.0.1:1", &[("x-forwarded-for", "192.0.2.1:4711")], "192.0.2.1:4711", false);
        check("10.0.0.1:1", &[("x-forwarded-for", "::ffff:192.0.2.1")], "192.0.2.1:0", false);
        check("10.0.0.1:1", &[("x-forwarded-proto", "https")], "10.0.0.1:1", true);
        check("10.0.0.1:1", &[("x-forwarded-proto", "https, http")], "10.0.0.1:1", false);
        check("10.0.0.1:1", &[("x-forwarded-proto", "gopher")], "10.0.0.1:1", false);
        check("10.0.0.1:1", &[("forwarded", "for=192.0.2.1;proto=https")], "10.0.0.1:1", false);
    }

    #[test]
    fn the_standard_header_is_read_when_it_is_chosen() {
        let check = |sent: &str, address, is_secure| {
            check(ForwardedHeader::Forwarded, "10.0.0.1:1", &[("forwarded", sent)], address, is_secure);
        };
        check("for=192.0.2.60;proto=https;by=203.0.113.43", "192.0.2.60:0", true);
        check("For=\"[2001:db8:cafe::17]:4711\"", "[2001:db8:cafe::17]:4711", false);
        check("for=1.1.1.1;proto=http, for=192.0.2.1 ; proto=https, for=10.0.0.2;proto=http", "192.0.2.1:0", true);
        check("for=192.0.2.1, for=_hidden", "10.0.0.1:1", false);
        check("for=unknown;proto=https", "10.0.0.1:1", true);
        check("", "10.0.0.1:1", false);
        let both = [("forwarded", "for=192.0.2.2"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https")];
        super::tests::check(ForwardedHeader::Forwarded, "10.0.0.1:1", &both, "192.0.2.2:0", false);
    }

    #[test]
    fn networks_must_be_networks() {
        assert!(TrustedProxies::new(&["10.0.0.0/8".to_owned()], ForwardedHeader::default()).is_some());
        assert!(TrustedProxies::new(&["proxy.example".to_owned()], ForwardedHeader::default()).is_none());
    }
}
