//! RTMP URLs, split the way ffmpeg splits them.

use thiserror::Error;

/// The port of RTMP where a URL names none.
pub const DEFAULT_PORT: u16 = 1935;

/// Where a publisher connects to and what it says there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtmpUrl {
    /// Whether the scheme is `rtmps`.
    pub is_secure: bool,
    /// The host as written, an IPv6 address without its brackets.
    pub host: String,
    /// The port; 1935 or, for `rtmps`, 443 when the URL has none.
    pub port: u16,
    /// The application: the first path segment, or the first two when there are more.
    pub app: String,
    /// The publish name with its query, undecoded.
    pub name: String,
    /// The URL of the application, with the port always shown.
    pub tc_url: String,
}

/// Why a text is not an RTMP URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// It begins with neither `rtmp://` nor `rtmps://`.
    #[error("an RTMP URL begins with rtmp:// or rtmps://")]
    Scheme,
    /// There is no host.
    #[error("the URL has no host")]
    Host,
    /// The port is not a number up to 65535.
    #[error("the port is not a number up to 65535")]
    Port,
}

impl RtmpUrl {
    /// Splits `rtmp://host[:port]/app/name?query`.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let is_secure = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(UrlError::Scheme),
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (host, port) = split_authority(authority)?;
        let port = port.unwrap_or(if is_secure { 443 } else { DEFAULT_PORT });
        let (app, name) = split_path(path.strip_prefix('/').unwrap_or(path));
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let tc_url = format!("{}://{shown}:{port}/{app}", if is_secure { "rtmps" } else { "rtmp" });
        Ok(Self { is_secure, host: host.to_owned(), port, app: app.to_owned(), name, tc_url })
    }
}

/// Splits `[user@]host[:port]`, where an IPv6 address stands in brackets.
pub(super) fn split_authority(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').ok_or(UrlError::Port)?)),
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if host.is_empty() {
        return Err(UrlError::Host);
    }
    let port = port.filter(|port| !port.is_empty()).map(str::parse).transpose().map_err(|_| UrlError::Port)?;
    Ok((host, port))
}

/// Splits a path as ffmpeg does: a query counts as path, and a colon before the second slash begins the name.
fn split_path(path: &str) -> (&str, String) {
    let Some((first, rest)) = path.split_once('/') else { return (path, String::new()) };
    let (app, name) = match rest.split_once('/') {
        Some((second, name)) if !second.contains(':') => {
            (path.get(..first.len() + 1 + second.len()).unwrap_or(first), name)
        }
        _ => (first, rest),
    };
    let extension = name.len().checked_sub(4).and_then(|start| name.get(start..));
    let name = match extension {
        Some(".f4v" | ".mp4") if !name.contains(':') => format!("mp4:{name}"),
        Some(".flv") => name.strip_suffix(".flv").unwrap_or(name).to_owned(),
        _ => name.to_owned(),
    };
    (app, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, app: &str, name: &str, tc_url: &str) {
        let url = RtmpUrl::parse(text).unwrap();
        assert_eq!((url.app.as_str(), url.name.as_str(), url.tc_url.as_str()), (app, name, tc_url), "{text}");
    }

    #[test]
    fn urls_split_as_in_ffmpeg() {
        check("rtmp://h/live/c?p=1&Signature=a%2Fb", "live", "c?p=1&Signature=a%2Fb", "rtmp://h:1935/live");
        check("rtmp://127.0.0.1:9000/b/live/c?p=1", "b/live", "c?p=1", "rtmp://127.0.0.1:9000/b/live");
        check("rtmp://h/live/c?Signature=a/b=", "live/c?Signature=a", "b=", "rtmp://h:1935/live/c?Signature=a");
        check("rtmp://h/live/c?t=1:2&s=a/b", "live", "c?t=1:2&s=a/b", "rtmp://h:1935/live");
        check("rtmp://h/live/x.flv", "live", "x", "rtmp://h:1935/live");
        check("rtmp://h/live/x.mp4", "live", "mp4:x.mp4", "rtmp://h:1935/live");
        check("rtmp://h/live/x.flv?a", "live", "x.flv?a", "rtmp://h:1935/live");
        check("rtmp://h/a/b/c/d", "a/b", "c/d", "rtmp://h:1935/a/b");
        check("rtmp://h/live", "live", "", "rtmp://h:1935/live");
        check("rtmp://h", "", "", "rtmp://h:1935/");
        check("RTMPS://[::1]:8443/live/c", "live", "c", "rtmps://[::1]:8443/live");
        check("rtmps://user@h/live/c", "live", "c", "rtmps://h:443/live");
    }

    #[test]
    fn other_texts_are_refused() {
        assert_eq!(RtmpUrl::parse("http://h/live/c"), Err(UrlError::Scheme));
        assert_eq!(RtmpUrl::parse("h/live/c"), Err(UrlError::Scheme));
        assert_eq!(RtmpUrl::parse("rtmp:///live/c"), Err(UrlError::Host));
        assert_eq!(RtmpUrl::parse("rtmp://h:70000/live"), Err(UrlError::Port));
        assert_eq!(RtmpUrl::parse("rtmp://[::1]x/live"), Err(UrlError::Port));
    }
}
