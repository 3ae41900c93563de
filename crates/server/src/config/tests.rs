//! What the parts of the configuration say together.

use super::*;

#[test]
fn unknown_keys_are_refused() {
    for (text, fault) in [
        ("listen = [\"127.0.0.1:0\"]\n[live]\nsegmenting = \"strict\"\n", None),
        ("lisen = []\n", Some("lisen")),
        ("[live]\nend_list = 3\n", Some("end_list")),
        ("[live]\nsegmenting = \"sometimes\"\n", Some("sometimes")),
    ] {
        let read = toml::from_str::<Config>(text);
        assert_eq!(read.as_ref().err().map(|e| e.to_string().contains(fault.unwrap_or("-"))), fault.map(|_| true));
    }
}

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("millpond.toml");
    std::fs::write(&path, "region = \"cn-beijing\"\nlisten = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n").unwrap();
    let args = ConfigArgs { config: Some(path), region: Some("cn-shanghai".to_owned()), ..Default::default() };
    let config = Config::load(&args).unwrap();
    assert_eq!(config.region, "cn-shanghai");
    assert_eq!(config.listen.len(), 2);
    assert_eq!(config.live, LiveConfig::default());
}

#[test]
fn a_name_of_a_server_is_short_and_for_those_that_share_a_map() {
    let named = |instance: &str, meta: Option<&str>| {
        let args = ConfigArgs { instance: Some(instance.to_owned()), ..Default::default() };
        Config::load(&ConfigArgs { meta: meta.map(str::to_owned), ..args }).map(|config| config.instance)
    };
    let shared = Some("postgres://u@h/d");
    for name in ["a", "pond-1", "0123456789ABCDEF", &"x".repeat(32)] {
        assert_eq!(named(name, shared).unwrap().as_deref(), Some(name));
    }
    for name in ["", "a b", "a/b", "a.b", "é", &"x".repeat(33)] {
        assert!(named(name, shared).unwrap_err().to_string().contains("1 to 32"), "{name:?}");
    }
    for meta in [None, Some("")] {
        assert!(named("pond-1", meta).unwrap_err().to_string().contains("set `meta` too"));
    }
}

#[test]
fn the_reference_names_every_setting() {
    let reference = include_str!("../../../../docs/config.md");
    let text = toml::to_string(&Config {
        meta: Some(String::new()),
        blobs: Some(String::new()),
        instance: Some(String::new()),
        public_endpoint: Some(String::new()),
        internal_endpoint: Some(String::new()),
        public_rtmp: Some(String::new()),
        max_connections: Some(1),
        max_unproven_per_address: Some(0),
        secrets_key_file: Some(PathBuf::new()),
        console_listen: Some(SocketAddr::from(([127, 0, 0, 1], 1))),
        custom_domains: BTreeMap::new(),
        tls: TlsConfig { certificate: Some(PathBuf::new()), key: Some(PathBuf::new()) },
        live: LiveConfig { end_list_after_s: Some(0), default_bucket: Some(String::new()), ..LiveConfig::default() },
        snapshots: SnapshotsConfig { ffmpeg: Some(PathBuf::new()), ..SnapshotsConfig::default() },
        ..Config::default()
    })
    .unwrap();
    for line in text.lines() {
        if let Some((key, _)) = line.split_once(" = ") {
            assert!(reference.contains(&format!("`{key}`")), "docs/config.md does not name {key}");
        }
    }
}
