//! The layering of `docs/architecture.md`, kept true by reading the sources: who may import whom, and which crates do
//! no IO.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

#[path = "support/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use model::OperationKind;
use sources::{code, crates_folder, lines_of_code, sources};

/// Fails when a source below `folder` mentions one of `words`.
fn check(folder: &Path, words: &[&str]) {
    let files = if folder.is_dir() { sources(folder) } else { vec![folder.to_owned()] };
    assert!(!files.is_empty(), "{} has no sources", folder.display());
    let mut broken = Vec::new();
    for file in files {
        for (number, line) in code(&file) {
            for word in words {
                if line.contains(word) {
                    broken.push(format!("{}:{number}: {word}", file.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "the layering is broken:\n{}", broken.join("\n"));
}

/// What a crate without IO, clock, randomness and tasks does not mention.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net::Tcp",
    "std::net::Udp",
    "std::thread",
    "std::process",
    "std::env",
    "SystemTime::now",
    "Instant::now",
    "tokio",
    "getrandom",
    "rand::",
    "println!",
    "eprintln!",
    "static mut",
];

#[test]
fn media_is_pure_and_imports_nothing_of_ours() {
    let folder = crates_folder().join("media/src");
    check(&folder, IMPURE);
    check(&folder, &["use oss", "oss::", "use store", "store::", "use model", "model::"]);
}

#[test]
fn model_is_pure_and_imports_nothing_of_ours() {
    let folder = crates_folder().join("model/src");
    check(&folder, IMPURE);
    check(&folder, &["use media", "media::", "use oss", "oss::", "use store", "store::", "hyper", "http::"]);
}

#[test]
fn oss_is_pure_and_imports_the_model_only() {
    let folder = crates_folder().join("oss/src");
    check(&folder, IMPURE);
    check(&folder, &["use media", "media::", "use store", "store::"]);
}

/// It knows `usage`, which is arithmetic and knows nothing: what a commit counts is added to the rows of its hour and month by the
/// commit itself, so the rows are the store's.
#[test]
fn store_knows_no_protocol() {
    check(&crates_folder().join("store/src"), &["use media", "media::", "use oss", "oss::", "hyper", "axum", "http::"]);
}

#[test]
fn pictures_know_media_only_and_usage_is_pure() {
    check(
        &crates_folder().join("pictures/src"),
        &["use oss", "oss::", "use store", "store::", "model::", "hyper", "http::"],
    );
    let usage = crates_folder().join("usage/src");
    check(&usage, IMPURE);
    check(&usage, &["media::", "use oss", "oss::", "use store", "store::", "model::"]);
}

/// Which crates of ours each crate may depend on, for the program and for its tests.
const DEPENDENCIES: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("model", &[]),
    ("oss", &["model"]),
    ("store", &["model", "usage"]),
    ("pictures", &["media"]),
    ("usage", &[]),
    ("server", &["media", "model", "oss", "pictures", "store", "usage"]),
    ("acceptance", &["media", "model", "oss"]),
];

/// The manifests decide who can import whom. That of the server has no library, so whoever looks at it from outside, as
/// `acceptance` does, can start the binary and no more.
#[test]
fn crates_depend_on_whom_the_table_says() {
    let known: BTreeMap<&str, &[&str]> = DEPENDENCIES.iter().copied().collect();
    for entry in fs::read_dir(crates_folder()).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        // `millpond` is the package of the server, and those of all others begin so.
        let is_ours = |dependency: &str| known.contains_key(dependency) || dependency.starts_with("millpond");
        let depended: BTreeSet<&str> = manifest
            .split("\n[")
            .filter(|section| section.split(']').next().is_some_and(|title| title.ends_with("dependencies")))
            .flat_map(|section| section.lines().skip(1))
            .map(|line| line.split(['.', ' ', '=']).next().unwrap_or_default())
            .filter(|dependency| is_ours(dependency))
            .collect();
        let allowed: Option<BTreeSet<&str>> = known.get(name.as_str()).map(|names| names.iter().copied().collect());
        assert_eq!(Some(depended), allowed, "the dependencies of {name}");
    }
    assert!(!crates_folder().join("server/src/lib.rs").exists(), "the server is a binary");
}

/// What only those mention who know HTTP libraries or sockets.
const WIRE: &[&str] = &[
    "hyper",
    "http_body",
    "axum",
    "tokio::net",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "UnixDatagram",
    "socket2",
    "rustix::net",
];

/// The modules of the server that know HTTP libraries or sockets, and what for. `docs/architecture.md` has them too.
const WIRED: &[(&str, &str)] = &[
    ("http", "the edge: requests and answers"),
    ("listen", "the edge: ports, and the first byte"),
    ("connections", "the edge: how many there are, and what is in use"),
    ("ingest", "the edge: the sockets of encoders"),
    ("admin", "the edge: metrics and health on a port of their own"),
    ("proxies", "the edge: headers of proxies in front"),
    ("tls", "the edge: the handshake"),
    ("startup", "opens the ports"),
    ("notify", "tells systemd that the server is ready"),
    ("cli", "commands that ask a running server"),
    ("http_client", "requests that the server makes itself"),
    ("callback", "requests to the applications of users"),
    ("publisher", "pushes to a server: the demo and `publish`"),
];

#[test]
fn only_who_is_named_knows_http_and_sockets() {
    let server = crates_folder().join("server/src");
    let module = |file: &Path| {
        let first = file.strip_prefix(&server).unwrap().components().next().unwrap();
        first.as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned()
    };
    let mut idle: BTreeSet<&str> = WIRED.iter().map(|(name, _)| *name).collect();
    for file in sources(&server) {
        let module = module(&file);
        match WIRED.iter().find(|(name, _)| *name == module) {
            None => check(&file, WIRE),
            Some((name, _)) => {
                if code(&file).iter().any(|(_, line)| WIRE.iter().any(|word| line.contains(word))) {
                    idle.remove(name);
                }
            }
        }
    }
    assert!(idle.is_empty(), "these need no exception any more: {idle:?}");
}

/// An operation takes a typed request and gives a typed outcome; a second dialect needs a parser and a renderer, no more.
#[test]
fn operations_know_no_wire() {
    let ops = crates_folder().join("server/src/ops");
    check(
        &ops,
        &[
            "oss::",
            "RawRequest",
            "Answer",
            "crate::http",
            "crate::dialect",
            "x-oss-",
            "xml",
            "Xml",
            "\"etag\"",
            // Names of headers: whoever writes one down says so with this.
            ".header(",
            "query: String",
            // Documents are understood where they are read.
            "document: &[u8]",
            "Policy::parse",
        ],
    );
}

/// Objects are reached by those who show a grant; the metadata store is behind the doors of the services.
#[test]
fn operations_reach_data_through_services_only() {
    let server = crates_folder().join("server/src");
    for module in ["ops", "dialect", "http", "management"] {
        check(&server.join(module), &["Meta>", ": Meta", "&Meta", ".meta.", "dyn BlobStore"]);
    }
}

/// What writes, relabels or deletes objects is called where the grant for it is looked at, and nowhere else.
#[test]
fn objects_change_behind_the_doors_of_objects_only() {
    let server = crates_folder().join("server/src");
    let changes = [
        ".put_object(",
        ".put_object_from(",
        ".update_object(",
        ".delete_object(",
        ".delete_objects(",
        ".delete_unchanged(",
        ".initiate_upload(",
        ".put_part(",
        ".put_part_from(",
        ".complete_upload(",
        ".abort_upload(",
        "meta.commit_segment(",
        "meta.commit_playlist(",
    ];
    let mut broken = Vec::new();
    for file in sources(&server).into_iter().filter(|file| !file.starts_with(server.join("objects"))) {
        for (number, line) in code(&file) {
            // A door of `Objects` may have the name of what it does.
            let line = line.replace("call.objects().", "");
            if changes.iter().any(|change| line.contains(change)) {
                broken.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "objects are changed beside the doors:\n{}", broken.join("\n"));
}

/// So many operations may a source name that asks about single ones; who names more is in [`LISTS`].
const MAX_NAMED: usize = 3;

/// Who names more operations, how many at most, and why. `docs/design/operations.md` has them too.
const LISTS: &[(&str, usize, &str)] = &[
    ("model/src/operation.rs", usize::MAX, "the table"),
    ("server/src/dialect/mod.rs", usize::MAX, "the match that carries operations out"),
    ("oss/src/request/route.rs", usize::MAX, "reads addresses: what selects an operation beside names in the query"),
    ("oss/src/request/sub_resource.rs", usize::MAX, "reads addresses: the names in the query"),
    ("model/src/access/mod.rs", 10, "sentences of access control 2 that are about one operation each"),
    ("server/src/management/table.rs", 6, "calls of the management API that need the right to an operation"),
    ("server/src/http/interpret.rs", 4, "spellings that clients have for reads and listings"),
    ("server/src/http/pipeline.rs", 4, "preflights, web sites, and the list of nobody's buckets"),
];

/// The row of an operation says what it is; nothing else tells operations apart but the one `match` that carries them out,
/// and what reads addresses.
#[test]
fn operations_are_listed_once() {
    let mut places = Vec::new();
    let mut idle: BTreeSet<&str> = LISTS.iter().map(|(name, ..)| *name).collect();
    for folder in ["server/src", "model/src", "oss/src", "store/src", "usage/src", "pictures/src"] {
        for file in sources(&crates_folder().join(folder)) {
            let count = operations_named(&code(&file)).len();
            let named = file.strip_prefix(crates_folder()).unwrap().display().to_string();
            let exception = LISTS.iter().find(|(name, ..)| *name == named);
            if count > exception.map_or(MAX_NAMED, |(_, most, _)| *most) {
                places.push(format!("{named}: {count}"));
            } else if let Some((name, ..)) = exception
                && count > MAX_NAMED
            {
                idle.remove(name);
            }
        }
    }
    assert!(places.is_empty(), "operations are listed in further places:\n{}", places.join("\n"));
    assert!(idle.is_empty(), "these need no exception any more: {idle:?}");
}

/// The operations that a source tells apart: as values under whatever name the type has there, and as text, by their names and
/// their actions.
fn operations_named(code: &[(usize, String)]) -> BTreeSet<&str> {
    let lines: Vec<&str> = code.iter().map(|(_, line)| line.as_str()).collect();
    // With the operations in scope by themselves nobody could tell what a word means.
    let is_open = |line: &&str| line.contains("OperationKind::{") || line.contains("OperationKind::*");
    assert!(!lines.iter().any(is_open), "operations are named with their type");
    let aliases = lines.iter().filter_map(|line| line.split("OperationKind as ").nth(1)).map(word);
    let types: Vec<String> = aliases.chain(["OperationKind"]).map(|name| format!("{name}::")).collect();
    let mut words = BTreeSet::new();
    for line in lines {
        for name in &types {
            words.extend(line.split(name.as_str()).skip(1).map(word));
        }
        if let Some((_, methods)) = line.split_once("methods![") {
            words.extend(methods.split(' ').map(word));
        }
        words.extend(line.split('"').map(|text| text.trim_start_matches("oss:")));
    }
    let actions = OperationKind::ALL.iter().map(|kind| kind.action().trim_start_matches("oss:"));
    let known: BTreeSet<&str> = OperationKind::ALL.iter().map(|kind| kind.name()).chain(actions).collect();
    words.retain(|word| known.contains(word));
    words
}

/// The name at the beginning of a text.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[test]
fn operations_are_found_under_any_name() {
    let count = |text: &str| operations_named(&lines_of_code(text)).len();
    assert_eq!(count("matches!(kind, OperationKind::GetObject | OperationKind::HeadObject)"), 2);
    assert_eq!(count("use model::OperationKind as K;\nK::GetObject => 1,\nOther::PutObject"), 1);
    assert_eq!(count("\"oss:PutBucketAcl\" => 1,\n\"ListParts\" => 2,"), 2);
    assert_eq!(count("const M: Methods = methods![GET GetObject, PUT PutObject];"), 2);
    assert_eq!(count("let x = GetObject { range };\n// OperationKind::PutObject"), 0);
}

/// What stands behind a test is read as well as what stands before it.
#[test]
fn only_tests_are_left_out() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\n\nfn b() {\n    #[cfg(test)]\n    let c = {\n        1\n    };\n    \
                d();\n}\n#[cfg(test)]\n#[allow(\n    x\n)]\nmod more {\n    fn e() {}\n}\n// f\nfn g() {}\n#[cfg(all(test, unix))]\nmod \
                h {}\nfn i() {}";
    let left: Vec<String> = lines_of_code(text).into_iter().map(|(_, line)| line).collect();
    assert_eq!(left, ["use a;", "fn b() {", "d();", "}", "fn g() {}", "fn i() {}"]);
}

/// A request that opened a blob beside its share could take the descriptor of somebody's segment.
#[test]
fn requests_open_files_out_of_their_share() {
    check(&crates_folder().join("server/src/ops"), &["blobs.open", "blobs.create", "blobs.recover", "blobs.clone"]);
}

#[test]
fn only_the_store_knows_how_things_are_kept() {
    check(&crates_folder().join("server/src"), &["rusqlite", "rmp_serde", "SELECT ", "INSERT "]);
}

/// Documents name files and tests; what they name must exist.
#[test]
fn links_in_documents_lead_somewhere() {
    let root = crates_folder().parent().unwrap().to_owned();
    let mut documents: Vec<_> = fs::read_dir(root.join("docs"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    documents.push(root.join("README.md"));
    let mut broken = Vec::new();
    for document in documents {
        let text = fs::read_to_string(&document).unwrap();
        let folder = document.parent().unwrap();
        for piece in text.split("](").skip(1) {
            let target = piece.split(')').next().unwrap_or_default();
            if target.contains("://") || target.starts_with('#') {
                continue;
            }
            let path = target.split('#').next().unwrap_or_default();
            if !folder.join(path).exists() {
                broken.push(format!("{}: {target}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "links lead nowhere:\n{}", broken.join("\n"));
}
