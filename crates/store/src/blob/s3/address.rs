//! `s3://BUCKET[/PREFIX]?endpoint=URL&region=NAME&style=path|virtual&profile=NAME`: where blobs are. Never a key, so that an address can
//! be shown, logged and be seen in a list of processes.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use object_store::aws::AmazonS3Builder;

use crate::error::{Error, Result, Subject};

/// Where blobs on an S3-compatible store are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct S3Address {
    /// The bucket.
    pub bucket: String,
    /// What every name begins with, without a slash at its end; may be empty.
    pub prefix: String,
    /// The URL of the service; `None` is AWS.
    pub endpoint: Option<String>,
    /// The region; `None` is what the environment says.
    pub region: Option<String>,
    /// Whether the bucket is part of the host instead of the path.
    pub is_virtual_hosted: bool,
    /// The profile of the shared credentials file that has the keys; `None` is what the environment says.
    pub profile: Option<String>,
}

impl S3Address {
    /// Reads an address.
    ///
    /// # Errors
    /// `Corrupt` (blob) with what is wrong with it, which repeats no part that may be a secret.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = |why: &str| Error::corrupt(Subject::Blob, format!("the address of the blobs {why}"));
        let rest = text.strip_prefix("s3://").ok_or_else(|| refuse("does not begin with s3://"))?;
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if place.contains('@') {
            return Err(refuse(
                "has keys, which others could see; put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ));
        }
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let is_plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b));
        if bucket.is_empty() || !is_plain(bucket) || !is_plain(prefix) || prefix.contains("//") {
            return Err(refuse("needs a bucket, and a prefix of letters, digits, '-', '_', '.' and single '/'"));
        }
        let mut address = Self {
            bucket: bucket.to_owned(),
            prefix: prefix.trim_matches('/').to_owned(),
            endpoint: None,
            region: None,
            is_virtual_hosted: false,
            profile: None,
        };
        let mut style = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("endpoint", url) => address.endpoint = Some(endpoint(url)?),
                ("region", region) => address.region = Some(region.to_owned()),
                ("profile", name) if !name.is_empty() => address.profile = Some(name.to_owned()),
                ("style", "path") => style = Some(false),
                ("style", "virtual") => style = Some(true),
                _ => {
                    return Err(refuse(
                        "has a parameter that is not known: endpoint, region, profile, style=path|virtual are",
                    ));
                }
            }
        }
        address.is_virtual_hosted = style.unwrap_or(address.endpoint.is_none());
        Ok(address)
    }

    /// A client's builder, with credentials from the environment, the shared credentials file, or the role of the machine.
    pub(super) fn builder(&self) -> Result<AmazonS3Builder> {
        // Keys of a profile are not mixed with those of the environment.
        let mut builder = match &self.profile {
            Some(_) => AmazonS3Builder::new(),
            None => AmazonS3Builder::from_env(),
        };
        builder = builder
            .with_bucket_name(&self.bucket)
            .with_virtual_hosted_style_request(self.is_virtual_hosted)
            // Some stores know no tags; nothing here has any.
            .with_disable_tagging(true);
        if let Some(endpoint) = &self.endpoint {
            builder = builder.with_endpoint(endpoint).with_allow_http(endpoint.starts_with("http://"));
        }
        let in_environment = || std::env::var("AWS_REGION").or_else(|_| std::env::var("AWS_DEFAULT_REGION")).ok();
        let region = self.region.clone().or_else(in_environment).filter(|region| !region.is_empty());
        builder = builder.with_region(region.unwrap_or_else(|| "us-east-1".to_owned()));
        let is_in_environment = self.profile.is_none() && std::env::var_os("AWS_ACCESS_KEY_ID").is_some();
        let keys = if is_in_environment { None } else { shared_credentials(self.profile.as_deref())? };
        if let (None, Some(profile)) = (&keys, &self.profile) {
            let detail = format!("the shared credentials file has no keys of the profile {profile}");
            return Err(Error::unavailable(Subject::Blob, detail));
        }
        if let Some(keys) = keys {
            builder = builder.with_access_key_id(keys.id).with_secret_access_key(keys.secret);
            if let Some(token) = keys.token {
                builder = builder.with_token(token);
            }
        }
        Ok(builder)
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)?;
        match &self.endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

fn endpoint(url: &str) -> Result<String> {
    let url = url.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/").replace("%2f", "/");
    let is_http = url.starts_with("http://") || url.starts_with("https://");
    if !is_http || url.contains('@') {
        return Err(Error::corrupt(
            Subject::Blob,
            "the endpoint of the blobs is an http:// or https:// URL without keys",
        ));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

struct Keys {
    id: String,
    secret: String,
    token: Option<String>,
}

/// The keys of `AWS_SHARED_CREDENTIALS_FILE` or `~/.aws/credentials`, of this profile, else `AWS_PROFILE`, else `default`.
fn shared_credentials(profile: Option<&str>) -> Result<Option<Keys>> {
    let chosen = std::env::var_os("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let Some(file) = chosen.clone().or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".aws/credentials")))
    else {
        return Ok(None);
    };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if chosen.is_some() => {
            return Err(Error::unavailable(Subject::Blob, format!("cannot read {}: {error}", file.display())));
        }
        Err(_) => return Ok(None),
    };
    let usual = || std::env::var("AWS_PROFILE").unwrap_or_else(|_| "default".to_owned());
    Ok(profile_keys(&text, &profile.map_or_else(usual, str::to_owned)))
}

fn profile_keys(text: &str, profile: &str) -> Option<Keys> {
    let mut is_ours = false;
    let mut found: HashMap<&str, &str> = HashMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_ours = name.trim() == profile;
        } else if is_ours && let Some((name, value)) = line.split_once('=') {
            found.insert(name.trim(), value.trim());
        }
    }
    let get = |name: &str| found.get(name).map(|value| (*value).to_owned());
    Some(Keys { id: get("aws_access_key_id")?, secret: get("aws_secret_access_key")?, token: get("aws_session_token") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let address = S3Address::parse("s3://pond/a/b/?endpoint=http://127.0.0.1:8333/").unwrap();
        assert_eq!((address.bucket.as_str(), address.prefix.as_str()), ("pond", "a/b"));
        assert_eq!(address.endpoint.as_deref(), Some("http://127.0.0.1:8333"));
        assert!(!address.is_virtual_hosted);
        assert!(S3Address::parse("s3://pond").unwrap().is_virtual_hosted);
        assert!(!S3Address::parse("s3://pond?style=path").unwrap().is_virtual_hosted);
        assert_eq!(S3Address::parse("s3://pond?profile=old").unwrap().profile.as_deref(), Some("old"));
    }

    #[test]
    fn what_is_wrong_is_named_and_secrets_are_not_repeated() {
        for text in [
            "gs://pond",
            "s3://",
            "s3://AKID:s3cret@pond/a",
            "s3://pond?endpoint=http://AKID:s3cret@host",
            "s3://pond?secret=s3cret",
            "s3://pond?endpoint=host",
            "s3://pond/a//b",
        ] {
            let error = S3Address::parse(text).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && !error.contains("AKID"), "{error}");
        }
    }

    #[test]
    fn keys_of_a_profile_are_found() {
        let text = "[default]\naws_access_key_id=A\naws_secret_access_key = B\n[other]\naws_access_key_id=C\n";
        let keys = profile_keys(text, "default").unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str(), keys.token), ("A", "B", None));
        assert!(profile_keys(text, "other").is_none());
    }
}
