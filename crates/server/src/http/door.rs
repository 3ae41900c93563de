//! By which listener a request came in, and what that listener is for.

use model::{Error, ErrorCode};
use oss::request::{RawRequest, bare_host};

use crate::config::Config;

/// The listener that a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// One of `listen` and `rtmp_listen`: everything, and the console unless it has a listener of its own.
    Public,
    /// `console_listen`: the console, its calls, and the management API.
    Console {
        /// The port of the first public listener, where players and encoders go.
        public_port: u16,
    },
}

impl Door {
    /// Whether the console and the call for reports are answered here.
    pub(super) fn has_console(self, config: &Config) -> bool {
        config.http.console && (self != Door::Public || config.console_listen.is_none())
    }

    /// Refuses what has no business at the console's listener: a browser that follows a link, or a form, sends no
    /// `Authorization`, so nothing that is stored can come to be a page there.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(super) fn check(self, raw: &RawRequest) -> Result<(), Error> {
        match self {
            Door::Console { .. } if raw.header("authorization").is_none() => Err(Error::new(ErrorCode::AccessDenied)
                .message("This address is the console's: calls need an Authorization header here.")),
            _ => Ok(()),
        }
    }

    /// The request as answers are to see it that name hosts: players and encoders do not go to the console's listener.
    pub(super) fn as_public(self, raw: &RawRequest, config: &Config) -> Option<RawRequest> {
        self.public_host(raw, config).map(|host| RawRequest { host, ..raw.clone() })
    }

    /// Host and port at which the public listener is reached; `None` when they are those of the request.
    pub(super) fn public_host(self, raw: &RawRequest, config: &Config) -> Option<String> {
        let Door::Console { public_port } = self else { return None };
        Some(match &config.public_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("{}:{public_port}", bare_host(&raw.host)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_is_behind_one_door() {
        let console = Door::Console { public_port: 9000 };
        let config = |console, listens: bool| {
            let mut config = Config::default();
            config.http.console = console;
            config.console_listen = listens.then(|| std::net::SocketAddr::from(([127, 0, 0, 1], 9002)));
            config
        };
        for (door, config, expected) in [
            (Door::Public, config(true, false), true),
            (Door::Public, config(false, false), false),
            (Door::Public, config(true, true), false),
            (console, config(true, true), true),
            (console, config(false, true), false),
        ] {
            assert_eq!(door.has_console(&config), expected, "{door:?}");
        }
    }

    #[test]
    fn addresses_in_answers_are_those_of_the_public_listener() {
        let raw = |host: &str| RawRequest { host: host.to_owned(), ..RawRequest::default() };
        let door = Door::Console { public_port: 9000 };
        let config = Config::default();
        for (host, expected) in
            [("10.0.0.1:9002", "10.0.0.1:9000"), ("[::1]:9002", "[::1]:9000"), ("media.example", "media.example:9000")]
        {
            assert_eq!(door.public_host(&raw(host), &config).as_deref(), Some(expected));
        }
        assert_eq!(Door::Public.public_host(&raw("a:1"), &config), None);
        let named = Config { public_endpoint: Some("oss.example.com".to_owned()), ..Config::default() };
        assert_eq!(door.as_public(&raw("a:1"), &named).map(|raw| raw.host).as_deref(), Some("oss.example.com"));
    }

    #[test]
    fn what_a_browser_follows_is_refused_there() {
        let door = Door::Console { public_port: 9000 };
        let mut raw = RawRequest::default();
        assert!(Door::Public.check(&raw).is_ok());
        assert_eq!(door.check(&raw).map_err(|error| error.code), Err(ErrorCode::AccessDenied));
        raw.headers.push(("authorization".to_owned(), b"OSS a:b".to_vec()));
        assert!(door.check(&raw).is_ok());
    }
}
