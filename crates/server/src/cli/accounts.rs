//! `millpond user`, `key`, `policy` and `sts`: who may use a running server, over its management API.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use base64::Engine;
use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;
use md5::Digest;
use model::name::BucketName;
use oss::sign::presign::Signer;
use serde_json::{Value, json};

use super::client::{Call, Client};
use super::wire::Trust;
use crate::clock::Clock;
use crate::management::{BUCKET, NONCE, PURPOSE};
use crate::root_key::RootKey;

/// Where the server is, and whose key is used.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The management API.
    #[arg(long, env = "MILLPOND_ADMIN", default_value = "http://127.0.0.1:9001", value_name = "URL")]
    admin: String,
    #[command(flatten)]
    trust: Trust,
    /// Folder of a server whose generated key is used when OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET are not set.
    #[arg(long, env = "MILLPOND_DATA_DIR", value_name = "DIR", default_value = "./millpond-data")]
    data_dir: PathBuf,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(super) json: bool,
}

/// A name with where to use it.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// The user.
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    server: Server,
}

/// What to do with users.
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Make a user, who may do nothing until a policy is attached.
    Create(Named),
    /// List the users.
    List(Server),
    /// Delete a user with all keys and sessions.
    Delete(Named),
    /// Let a disabled user act again.
    Enable(Named),
    /// Refuse everything that is signed with a key of the user.
    Disable(Named),
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Make a key and print it with its secret, which is not shown again. A second key makes rotating easy.
    Create {
        #[command(flatten)]
        named: Named,
        /// What the key is for.
        #[arg(long, default_value = "", value_name = "TEXT")]
        description: String,
    },
    /// List the keys of a user.
    List(Named),
    /// Let a disabled key be used again.
    Enable(OneKey),
    /// Refuse what is signed with the key.
    Disable(OneKey),
    /// Delete the key.
    Delete(OneKey),
}

/// One key of a user.
#[derive(Debug, Args)]
pub(crate) struct OneKey {
    #[command(flatten)]
    named: Named,
    /// The id of the key.
    #[arg(value_name = "ACCESS_KEY_ID")]
    id: String,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Attach a policy to a user, or replace it: a document, or AliyunOSSFullAccess or AliyunOSSReadOnlyAccess without one.
    Put {
        #[command(flatten)]
        one: OnePolicy,
        /// File with the JSON document; - reads standard input.
        #[arg(long, value_name = "FILE")]
        document: Option<PathBuf>,
    },
    /// List the policies of a user.
    List(Named),
    /// Take a policy away from a user.
    Delete(OnePolicy),
}

/// One policy of a user.
#[derive(Debug, Args)]
pub(crate) struct OnePolicy {
    #[command(flatten)]
    named: Named,
    /// The name of the policy.
    #[arg(value_name = "POLICY")]
    policy: String,
}

/// What to do with temporary keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Sts {
    /// Make a temporary key for a user, or for the account itself, whose name here is root.
    Assume {
        #[command(flatten)]
        named: Named,
        /// How long it is valid, seconds.
        #[arg(long, default_value_t = 3600, value_parser = clap::value_parser!(u32).range(1..=43_200))]
        duration: u32,
        /// The name of the session in bucket policies.
        #[arg(long, default_value = "session", value_name = "NAME")]
        session_name: String,
        /// File with a JSON policy that narrows what the key may do; - reads standard input.
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
}

impl User {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            User::Create(named) => {
                let body = json!({"name": named.user}).to_string();
                named.server.call(Method::POST, "users", body)?;
            }
            User::List(server) => {
                server.list(Method::GET, "users", "users", |user| {
                    let policies: Vec<&str> =
                        user["policies"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                    format!(
                        "{:<24} {}  {:<8} {}",
                        text(user, "name"),
                        text(user, "uid"),
                        state(user),
                        policies.join(", ")
                    )
                })?;
            }
            User::Delete(named) => named.server.call(Method::DELETE, &named.path(""), String::new())?,
            User::Enable(named) => named.server.call(Method::PATCH, &named.path(""), enabled(true))?,
            User::Disable(named) => named.server.call(Method::PATCH, &named.path(""), enabled(false))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Key {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Key::Create { named, description } => {
                let body = json!({"description": description}).to_string();
                named.server.show_key(Method::POST, &named.path("/keys"), body)?;
            }
            Key::List(named) => {
                named.server.list(Method::GET, &named.path("/keys"), "keys", |key| {
                    let created = text(key, "created");
                    format!("{} {:<8} {created}  {}", text(key, "access_key_id"), state(key), text(key, "description"))
                })?;
            }
            Key::Enable(key) => key.named.server.call(Method::PATCH, &key.path(), enabled(true))?,
            Key::Disable(key) => key.named.server.call(Method::PATCH, &key.path(), enabled(false))?,
            Key::Delete(key) => key.named.server.call(Method::DELETE, &key.path(), String::new())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Policy {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Policy::Put { one, document } => {
                let body = document.as_deref().map(read).transpose()?.unwrap_or_default();
                one.named.server.call(Method::PUT, &one.path(), body)?;
            }
            Policy::List(named) => {
                named.server.list(Method::GET, &named.path("/policies"), "policies", |policy| {
                    let document = match &policy["document"] {
                        Value::Null => "predefined".to_owned(),
                        document => document.to_string(),
                    };
                    format!("{:<24} {document}", text(policy, "name"))
                })?;
            }
            Policy::Delete(one) => one.named.server.call(Method::DELETE, &one.path(), String::new())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Sts {
    /// Does it.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Sts::Assume { named, duration, session_name, policy } = self;
        let policy = policy.as_deref().map(read).transpose()?;
        let body = json!({
            "user": named.user, "duration_s": duration, "session_name": session_name, "policy": policy,
        });
        named.server.show_key(Method::POST, "sessions", body.to_string())?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Named {
    fn path(&self, rest: &str) -> String {
        format!("users/{}{rest}", self.user)
    }
}

impl OneKey {
    fn path(&self) -> String {
        self.named.path(&format!("/keys/{}", self.id))
    }
}

impl OnePolicy {
    fn path(&self) -> String {
        self.named.path(&format!("/policies/{}", self.policy))
    }
}

impl Server {
    /// Sends a request and gives what the answer says.
    ///
    /// # Errors
    /// When the server cannot be reached, or refuses.
    pub(super) fn request(&self, method: Method, path: &str, body: String) -> anyhow::Result<Value> {
        let answer = self.answer(method, path, &[], body)?;
        if answer.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&answer).context("the server's answer is no JSON; is this the management API?")
    }

    /// The answer to a request as it comes.
    pub(super) fn answer(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, Option<&str>)],
        body: String,
    ) -> anyhow::Result<Bytes> {
        let root = RootKey::find(&self.data_dir)?;
        let signer = Signer { access_key: root.id.clone(), secret: root.secret.clone(), token: None };
        let client = Client::new(&self.admin, &self.trust, signer)?;
        let body = Bytes::from(body);
        let nonce = model::hex_upper(&crate::ids::random::<16>());
        let mut headers =
            vec![(PURPOSE.0.to_owned(), PURPOSE.1.as_bytes().to_vec()), (NONCE.to_owned(), nonce.into_bytes())];
        if !body.is_empty() {
            let md5 = base64::engine::general_purpose::STANDARD.encode(md5::Md5::digest(&body));
            headers.push(("content-md5".to_owned(), md5.into_bytes()));
        }
        let call = Call {
            method,
            bucket: &BucketName::parse(BUCKET)?,
            key: &format!("v1/{path}"),
            query,
            headers: &headers,
            body,
        };
        super::small_runtime()?.block_on(client.call(call, Clock::system().now_s()))
    }

    /// Sends a request whose answer says nothing new.
    fn call(&self, method: Method, path: &str, body: String) -> anyhow::Result<()> {
        let answer = self.request(method, path, body)?;
        if self.json {
            say!("{answer}");
        } else if let Some(name) = answer["name"].as_str() {
            say!("{name} {} {}", text(&answer, "uid"), state(&answer));
        }
        Ok(())
    }

    /// Prints a line for each item of an answer.
    pub(super) fn list(
        &self,
        method: Method,
        path: &str,
        name: &str,
        line: impl Fn(&Value) -> String,
    ) -> anyhow::Result<()> {
        let answer = self.request(method, path, String::new())?;
        if self.json {
            say!("{answer}");
            return Ok(());
        }
        let Some(items) = answer[name].as_array() else { bail!("the server's answer has no {name}") };
        if let (true, Some(hint)) = (items.is_empty(), nothing(name)) {
            // On standard error, so that what is piped on is a list of nothing.
            complain!("{hint}");
        }
        for item in items {
            say!("{}", line(item).trim_end());
        }
        Ok(())
    }

    /// Prints a new key as the variables that clients read.
    fn show_key(&self, method: Method, path: &str, body: String) -> anyhow::Result<()> {
        let answer = self.request(method, path, body)?;
        if self.json {
            say!("{answer}");
            return Ok(());
        }
        say!("export {}={}", crate::root_key::ID_VARIABLE, text(&answer, "access_key_id"));
        say!("export {}={}", crate::root_key::SECRET_VARIABLE, text(&answer, "access_key_secret"));
        if let Some(token) = answer["security_token"].as_str() {
            say!("export OSS_SESSION_TOKEN={token}");
            say!("# until {}", text(&answer, "expiration"));
        }
        Ok(())
    }
}

/// What is said of a list that is empty.
fn nothing(name: &str) -> Option<&'static str> {
    Some(match name {
        "users" => "There are no users yet; the account itself is not one. Make one with: millpond user create NAME",
        "keys" => {
            "No keys. (The first key of the account comes from its environment or from root-key.json, and is not listed.)"
        }
        "policies" => "No policies: this user may do nothing. Attach one with: millpond policy put USER POLICY",
        "sessions" => "Nobody has pushed to this channel yet.",
        _ => return None,
    })
}

/// A member that is a text; empty when it is none.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn state(value: &Value) -> &'static str {
    if value["enabled"] == Value::Bool(false) { "disabled" } else { "enabled" }
}

fn enabled(enabled: bool) -> String {
    json!({"enabled": enabled}).to_string()
}

fn read(path: &std::path::Path) -> anyhow::Result<String> {
    if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
