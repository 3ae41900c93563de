//! Addresses to listen on, as people type them.

use std::net::SocketAddr;

/// Reads `IP:PORT`; what is something else is answered with what to type.
///
/// # Errors
/// A sentence for whoever typed it.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Ok(ip) = text.parse::<std::net::IpAddr>() {
        return Err(format!("the port is missing: type {}", SocketAddr::new(ip, 9000)));
    }
    let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
    let choice = |port: u16| {
        format!("type 127.0.0.1:{port} for this machine alone, or 0.0.0.0:{port} for whoever reaches this machine")
    };
    Err(match (port, text.rsplit_once(':')) {
        (Some(port), None | Some(("" | "*", _))) => format!("a port alone is no address: {}", choice(port)),
        (Some(port), Some((host, _))) => {
            format!("{host:?} is no IP address, and names are not looked up: {}", choice(port))
        }
        (None, _) => "an address is IP:PORT, such as 127.0.0.1:9000".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_says_what_to_type() {
        for good in ["127.0.0.1:9000", "0.0.0.0:0", "[::1]:9000", "[::]:443"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for (text, expected) in [
            ("9000", "a port alone is no address: type 127.0.0.1:9000"),
            (":9000", "a port alone is no address: type 127.0.0.1:9000"),
            ("*:80", "or 0.0.0.0:80 for whoever"),
            ("localhost:9000", "\"localhost\" is no IP address, and names are not looked up"),
            ("0.0.0.0", "the port is missing: type 0.0.0.0:9000"),
            ("::1", "the port is missing: type [::1]:9000"),
            ("somewhere", "an address is IP:PORT"),
            ("127.0.0.1:99999", "an address is IP:PORT"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(expected), "{text}: {said}");
        }
    }
}
