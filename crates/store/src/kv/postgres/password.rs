//! The password of the map's role, from where every client of PostgreSQL looks for it.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::address::PostgresAddress;

/// A password, which is never shown.
#[derive(Clone)]
pub struct Password(String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl Password {
    /// This password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What `PGPASSWORD` says, else what `PGPASSFILE` or `~/.pgpass` says of this address. A file that others may read is
    /// passed over, with a warning.
    pub fn find(address: &PostgresAddress) -> Option<Self> {
        if let Some(password) = std::env::var("PGPASSWORD").ok().filter(|password| !password.is_empty()) {
            return Some(Self(password));
        }
        let file = match std::env::var_os("PGPASSFILE") {
            Some(file) => PathBuf::from(file),
            None => Path::new(&std::env::var_os("HOME")?).join(".pgpass"),
        };
        let mode = std::fs::metadata(&file).ok()?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(file = %file.display(), "others may read this password file, so it is not used");
            return None;
        }
        let text = std::fs::read_to_string(&file).ok()?;
        text.lines().find_map(|line| matching(line, address)).map(Self)
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

/// The password of a line `host:port:database:user:password` that is about this address.
fn matching(line: &str, address: &PostgresAddress) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let [host, port, database, user, password] = <[String; 5]>::try_from(fields(line)).ok()?;
    let is = |pattern: &str, value: &str| pattern == "*" || pattern == value;
    let is_host = address.hosts.iter().any(|(name, number)| is(&host, name) && is(&port, &number.to_string()));
    let is_user = is(&user, address.user.as_deref().unwrap_or_default());
    (is_host && is(&database, &address.database) && is_user).then_some(password)
}

/// Splits at colons that have no backslash in front.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            ':' if fields.len() < 5 => fields.push(String::new()),
            c => {
                let c = if c == '\\' { rest.next() } else { Some(c) };
                if let (Some(field), Some(c)) = (fields.last_mut(), c) {
                    field.push(c);
                }
            }
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_match_addresses() {
        let address = PostgresAddress::parse("postgres://mill@db1:6432,db2/pond").unwrap();
        for (line, password) in [
            ("db2:5432:pond:mill:a\\:b\\\\", Some("a:b\\")),
            ("*:*:*:*:any:thing", Some("any:thing")),
            ("db1:5432:pond:mill:x", None),
            ("db2:5432:pond:other:x", None),
            ("# db2:5432:pond:mill:x", None),
            ("db2:5432", None),
        ] {
            assert_eq!(matching(line, &address).as_deref(), password, "{line}");
        }
        assert_eq!(format!("{:?}", Password::new("secret")), "Password");
    }
}
