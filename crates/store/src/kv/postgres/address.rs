//! `postgres://USER@HOST:PORT[,HOST:PORT]/DATABASE?…`: where the map is. Never a password, so that an address can be shown,
//! logged and be seen in a list of processes.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result, Subject};

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Not at all.
    Disable,
    /// By TLS, with a certificate that was verified. This is stricter than `require` of other clients, which take any.
    Require,
}

/// Where a map on PostgreSQL is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresAddress {
    /// The role.
    pub user: Option<String>,
    /// Servers to be tried in turn until one takes writes; a host that starts with `/` is the directory of a socket.
    pub hosts: Vec<(String, u16)>,
    /// The database.
    pub database: String,
    /// The schema that the map has to itself.
    pub schema: String,
    /// How connections are protected.
    pub ssl_mode: SslMode,
    /// A PEM file with the certificates that may vouch for the server, instead of those of the system.
    pub ssl_root_certificate: Option<PathBuf>,
}

const PORT: u16 = 5432;
const SCHEMA: &str = "millpond";

impl PostgresAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// `Corrupt` (engine) with what is wrong with it, which repeats no part that may be a secret.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::corrupt(Subject::Engine, format!("the address of the map {why}"));
        let rest = ["postgres://", "postgresql://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .ok_or_else(|| refuse("does not begin with postgres://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(refuse(
                "has a password, which others could see; put it into PGPASSWORD or a PGPASSFILE instead",
            ));
        }
        let mut address = Self {
            user: user.filter(|user| !user.is_empty()).map(decode).transpose()?,
            hosts: hosts.split(',').filter(|host| !host.is_empty()).map(host).collect::<Result<_>>()?,
            database: decode(database)?,
            schema: SCHEMA.to_owned(),
            ssl_mode: SslMode::Disable,
            ssl_root_certificate: None,
        };
        if address.database.is_empty() {
            return Err(refuse("names no database"));
        }
        let mut ssl_mode = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value)?;
            match name {
                "sslmode" => ssl_mode = Some(mode(&value)?),
                "sslrootcert" => address.ssl_root_certificate = Some(PathBuf::from(value)),
                "schema" => address.schema = schema(value)?,
                "host" => address.hosts.push((value, PORT)),
                "port" => {
                    let port = value.parse().map_err(|_| refuse("has a port that is none"))?;
                    address.hosts.iter_mut().for_each(|host| host.1 = port);
                }
                "password" => return Err(refuse("has a password; put it into PGPASSWORD or a PGPASSFILE instead")),
                _ => {
                    return Err(refuse(
                        "has a parameter that is not known: sslmode, sslrootcert, schema, host, port are",
                    ));
                }
            }
        }
        if address.hosts.is_empty() {
            return Err(refuse("names no host"));
        }
        address.ssl_mode = ssl_mode.unwrap_or_else(|| match address.hosts.iter().all(|(host, _)| is_here(host)) {
            true => SslMode::Disable,
            false => SslMode::Require,
        });
        Ok(address)
    }
}

impl fmt::Display for PostgresAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (host, port)) in self.hosts.iter().enumerate() {
            write!(f, "{}{host}:{port}", if index == 0 { "" } else { "," })?;
        }
        write!(f, "/{} (schema {})", self.database, self.schema)
    }
}

fn mode(value: &str) -> Result<SslMode> {
    match value {
        "disable" => Ok(SslMode::Disable),
        "require" | "verify-full" => Ok(SslMode::Require),
        _ => Err(Error::corrupt(
            Subject::Engine,
            "sslmode is disable, require or verify-full (the last two both verify the certificate)",
        )),
    }
}

/// The name is put into SQL, so it is one that needs no quotes.
fn schema(value: String) -> Result<String> {
    let is_plain = value.len() <= 40
        && value.starts_with(|c: char| c.is_ascii_lowercase())
        && value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !value.starts_with("pg_");
    if is_plain {
        return Ok(value);
    }
    Err(Error::corrupt(Subject::Engine, "a schema is up to 40 of a-z, 0-9 and _, beginning with a letter"))
}

fn host(text: &str) -> Result<(String, u16)> {
    let refuse = || Error::corrupt(Subject::Engine, "the address of the map has a port that is none");
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(refuse)?;
        let port = port.strip_prefix(':').map_or(Ok(PORT), |port| port.parse().map_err(|_| refuse()))?;
        return Ok((address.to_owned(), port));
    }
    match text.rsplit_once(':') {
        Some((name, port)) => Ok((decode(name)?, port.parse().map_err(|_| refuse())?)),
        None => Ok((decode(text)?, PORT)),
    }
}

/// Whether a host is this machine.
fn is_here(host: &str) -> bool {
    host.starts_with('/')
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn decode(text: &str) -> Result<String> {
    let refuse = || Error::corrupt(Subject::Engine, "the address of the map has a % that is no escape");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().ok_or_else(refuse)?, rest.next().ok_or_else(refuse)?];
        let digits = std::str::from_utf8(&digits).map_err(|_| refuse())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refuse())?);
    }
    String::from_utf8(bytes).map_err(|_| refuse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address = PostgresAddress::parse("postgres://mill@db1:6432,db2/pond?schema=other").unwrap();
        assert_eq!(address.user.as_deref(), Some("mill"));
        assert_eq!(address.hosts, [("db1".to_owned(), 6432), ("db2".to_owned(), 5432)]);
        assert_eq!((address.database.as_str(), address.schema.as_str()), ("pond", "other"));
        assert_eq!(address.ssl_mode, SslMode::Require, "over a network");
        assert_eq!(address.to_string(), "db1:6432,db2:5432/pond (schema other)");
        for here in
            ["postgres://localhost/a", "postgres://u@127.0.0.1:1/a", "postgres://[::1]:2/a", "postgres://%2Frun%2Fpg/a"]
        {
            assert_eq!(PostgresAddress::parse(here).unwrap().ssl_mode, SslMode::Disable, "{here}");
        }
        let socket = PostgresAddress::parse("postgresql:///a?host=/run/pg&port=7&sslmode=disable").unwrap();
        assert_eq!(socket.hosts, [("/run/pg".to_owned(), 7)]);
    }

    #[test]
    fn what_is_wrong_is_named_and_secrets_are_not_repeated() {
        for (text, part) in [
            ("mysql://a/b", "postgres://"),
            ("postgres://u:s3cret@h/d", "PGPASSWORD"),
            ("postgres://h/d?password=s3cret", "PGPASSWORD"),
            ("postgres://h", "database"),
            ("postgres:///d", "host"),
            ("postgres://h/d?sslmode=prefer", "sslmode"),
            ("postgres://h/d?schema=a%3Bb", "schema"),
            ("postgres://h/d?schema=pg_x", "schema"),
            ("postgres://h:x/d", "port"),
            ("postgres://h/d?what=1", "parameter"),
            ("postgres://h/d%2", "escape"),
        ] {
            let error = PostgresAddress::parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }
}
