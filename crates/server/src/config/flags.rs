//! The flags of the command line, and how they are joined with the file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::{Config, Durability, Segmenting, TlsConfig};

/// The flags of `serve` and `demo`; each overrides its variable, its line in the file and its default.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// TOML file with settings.
    #[arg(long, env = "MILLPOND_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder for objects and metadata [default: ./millpond-data].
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Map that several servers share, in PostgreSQL: `postgres://USER@HOST:PORT[,HOST:PORT]/DATABASE`. The password
    /// comes from PGPASSWORD or a PGPASSFILE.
    #[arg(long, env = "MILLPOND_META", value_name = "URL", hide_env_values = true)]
    pub(crate) meta: Option<String>,
    /// Blobs that several servers share, on an S3-compatible store: `s3://BUCKET[/PREFIX]?endpoint=URL`. Keys come from
    /// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    #[arg(long, env = "MILLPOND_BLOBS", value_name = "URL", hide_env_values = true)]
    pub(crate) blobs: Option<String>,
    /// Serve what is in the data directory and refuse what would change it, while `millpond migrate` copies it.
    #[arg(long, env = "MILLPOND_READ_ONLY")]
    pub(crate) read_only: bool,
    /// Name of this server among those that share a map, which no other one has: 1 to 32 letters, digits and dashes
    /// [default: a random one in the data directory].
    #[arg(long, env = "MILLPOND_INSTANCE", value_name = "NAME")]
    pub(crate) instance: Option<String>,
    /// Address for HTTP and RTMP; may be repeated [default: 127.0.0.1:9000].
    #[arg(long, env = "MILLPOND_LISTEN", value_name = "ADDR", value_parser = crate::address::parse, value_delimiter = ',')]
    pub(crate) listen: Vec<SocketAddr>,
    /// Further address for RTMP; may be repeated [default: 127.0.0.1:1935].
    #[arg(long, env = "MILLPOND_RTMP_LISTEN", value_name = "ADDR", value_parser = crate::address::parse, value_delimiter = ',')]
    pub(crate) rtmp_listen: Vec<SocketAddr>,
    /// Address for /healthz, /readyz and /metrics [default: 127.0.0.1:9001].
    #[arg(long, env = "MILLPOND_ADMIN_LISTEN", value_name = "ADDR", value_parser = crate::address::parse)]
    pub(crate) admin_listen: Option<SocketAddr>,
    /// Address for the console and the management API, which the other addresses then do not have.
    #[arg(long, env = "MILLPOND_CONSOLE_LISTEN", value_name = "ADDR", value_parser = crate::address::parse)]
    pub(crate) console_listen: Option<SocketAddr>,
    /// Endpoint domain: bucket.HOST then names a bucket; may be repeated.
    #[arg(long = "domain", env = "MILLPOND_DOMAIN", value_name = "HOST", value_delimiter = ',')]
    pub(crate) domains: Vec<String>,
    /// Region shown to clients [default: cn-hangzhou].
    #[arg(long, env = "MILLPOND_REGION", value_name = "REGION")]
    pub(crate) region: Option<String>,
    /// Host and port encoders should push to, when it differs from the API's.
    #[arg(long, env = "MILLPOND_PUBLIC_RTMP", value_name = "HOST[:PORT]")]
    pub(crate) public_rtmp: Option<String>,
    /// PEM file with the certificate of HTTPS and RTMPS; read again when it changes.
    #[arg(long, env = "MILLPOND_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// PEM file with the private key of the certificate.
    #[arg(long, env = "MILLPOND_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Wrong signatures a minute from one address before further ones are answered with 503 [default: 600].
    #[arg(long, env = "MILLPOND_AUTH_FAILURES_PER_MINUTE", value_name = "COUNT")]
    pub(crate) auth_failures_per_minute: Option<u32>,
    /// File with the key that secrets are sealed with [default: secrets.key in the data directory].
    #[arg(long, env = "MILLPOND_SECRETS_KEY_FILE", value_name = "FILE")]
    pub(crate) secrets_key_file: Option<PathBuf>,
    /// Network of a reverse proxy whose word about addresses counts; may be repeated.
    #[arg(long = "trusted-proxy", env = "MILLPOND_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    pub(crate) trusted_proxies: Vec<String>,
    /// Where segments are cut when a key frame comes late [default: oss].
    #[arg(long, env = "MILLPOND_SEGMENTING", value_enum)]
    pub(crate) segmenting: Option<Segmenting>,
    /// What a power cut may take [default: full].
    #[arg(long, env = "MILLPOND_DURABILITY", value_enum)]
    pub(crate) durability: Option<Durability>,
}

impl Config {
    /// Joins defaults, file, environment and flags.
    ///
    /// # Errors
    /// When the file cannot be read or has an unknown key, or a value is out of its bounds.
    pub(crate) fn load(args: &ConfigArgs) -> anyhow::Result<Self> {
        let mut config = match &args.config {
            Some(path) => Self::read(path)?,
            None => Self::default(),
        };
        fn replace<T: Clone>(target: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                target.clone_from(value);
            }
        }
        fn replace_list<T: Clone>(target: &mut Vec<T>, values: &[T]) {
            if !values.is_empty() {
                *target = values.to_vec();
            }
        }
        replace(&mut config.data_dir, &args.data_dir);
        if args.meta.is_some() {
            config.meta.clone_from(&args.meta);
        }
        if args.blobs.is_some() {
            config.blobs.clone_from(&args.blobs);
        }
        config.read_only |= args.read_only;
        if args.instance.is_some() {
            config.instance.clone_from(&args.instance);
        }
        replace_list(&mut config.listen, &args.listen);
        replace_list(&mut config.rtmp_listen, &args.rtmp_listen);
        replace(&mut config.admin_listen, &args.admin_listen);
        if args.console_listen.is_some() {
            config.console_listen = args.console_listen;
        }
        replace_list(&mut config.domains, &args.domains);
        replace(&mut config.region, &args.region);
        if args.public_rtmp.is_some() {
            config.public_rtmp.clone_from(&args.public_rtmp);
        }
        if args.tls_cert.is_some() {
            config.tls = TlsConfig { certificate: args.tls_cert.clone(), key: args.tls_key.clone() };
        }
        if args.secrets_key_file.is_some() {
            config.secrets_key_file.clone_from(&args.secrets_key_file);
        }
        replace_list(&mut config.trusted_proxies, &args.trusted_proxies);
        replace(&mut config.auth_failures_per_minute, &args.auth_failures_per_minute);
        replace(&mut config.live.segmenting, &args.segmenting);
        replace(&mut config.storage.durability, &args.durability);
        config.check()?;
        Ok(config)
    }
}
