//! The graph of the modules of each crate, computed from the sources. Modules that form a circle can only be understood, tested and
//! changed together, so there are no circles. In the server every module has its layer, and every arrow points down.
//!
//! `cargo test -p millpond-acceptance --test module_graph -- --nocapture` prints the graph and the lines of code.

#![allow(clippy::unwrap_used, reason = "a failed expectation of a test is a panic")]

#[path = "support/sources.rs"]
mod sources;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use sources::{code, crates_folder, sources};

/// Which modules each top-level module of a crate names.
type Graph = BTreeMap<String, BTreeSet<String>>;

fn graph(name: &str) -> Graph {
    let folder = crates_folder().join(name).join("src");
    let mut graph = Graph::new();
    for file in sources(&folder) {
        let inside = file.strip_prefix(&folder).unwrap();
        let module =
            inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let named = graph.entry(module.clone()).or_default();
        for (_, line) in code(&file) {
            named.extend(names(&line));
        }
        named.remove(&module);
    }
    let modules: BTreeSet<String> = graph.keys().cloned().collect();
    for named in graph.values_mut() {
        named.retain(|name| modules.contains(name));
    }
    graph
}

/// The modules that a line names after `crate::`.
fn names(line: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    let mut found = Vec::new();
    for rest in line.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(group) => {
                found.extend(group.split('}').next().unwrap_or_default().split(',').map(|name| word(name.trim())))
            }
            None => found.push(word(rest)),
        }
    }
    found
}

/// Modules that reach each other, in groups of two or more.
fn circles(graph: &Graph) -> Vec<BTreeSet<String>> {
    let reach = |from: &str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from.to_owned()];
        while let Some(module) = next.pop() {
            for named in graph.get(&module).into_iter().flatten() {
                if seen.insert(named.clone()) {
                    next.push(named.clone());
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|module| (module, reach(module))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (module, far) in &reached {
        let circle: BTreeSet<String> = far.iter().filter(|other| reached[other].contains(*module)).cloned().collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// Fails when modules of a crate form a circle.
fn check(name: &str) {
    let graph = graph(name);
    let folder = crates_folder().join(name).join("src");
    let lines: usize = sources(&folder).iter().map(|file| code(file).len()).sum();
    println!("{name}: {} modules, {lines} lines without tests, comments and empty ones", graph.len());
    for (module, named) in &graph {
        println!("  {module} -> {}", named.iter().cloned().collect::<Vec<_>>().join(", "));
    }
    let found = circles(&graph);
    assert!(found.is_empty(), "modules of {name} form circles: {found:?}");
}

#[test]
fn the_modules_of_no_crate_form_a_circle() {
    for entry in fs::read_dir(crates_folder()).unwrap() {
        check(&entry.unwrap().file_name().to_string_lossy());
    }
}

/// The layers of the server from the bottom up. Every module is in one, and names only those of layers before its own.
const LAYERS: &[&[&str]] = &[
    // What the process runs on: names, numbers, tasks, descriptors.
    &["address", "certificate", "descriptors", "ids", "metrics", "proxies", "shutdown"],
    &["auth_failures", "clock", "config", "notify", "panics", "peers", "publisher", "root_key", "secrets", "space"],
    &["checksums", "damage", "data_dir", "http_client", "log", "memory", "metering", "tls"],
    &["callback", "connections", "stores"],
    &["files", "places"],
    // Services.
    &["objects"],
    &["accounts", "access_log", "dependencies", "stills"],
    &["live"],
    // Operations, and the wire of them.
    &["ops", "management"],
    &["dialect"],
    // The edge, and what starts it.
    &["edge"],
    &["http", "ingest"],
    &["listen"],
    &["admin"],
    &["startup"],
    &["cli"],
    &["main"],
];

#[test]
fn every_arrow_points_down() {
    let graph = graph("server");
    let listed: Vec<&str> = LAYERS.iter().flat_map(|layer| layer.iter().copied()).collect();
    let unlisted: Vec<_> = graph.keys().filter(|module| !listed.contains(&module.as_str())).collect();
    assert!(unlisted.is_empty(), "these modules have no layer: {unlisted:?}");
    let unknown: Vec<_> = listed.iter().filter(|name| !graph.contains_key(**name)).collect();
    assert!(unknown.is_empty(), "there are no such modules: {unknown:?}");
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut upwards = Vec::new();
    for (module, named) in &graph {
        let above = named.iter().filter(|name| layer(name) >= layer(module));
        upwards.extend(above.map(|name| format!("{module} -> {name}")));
    }
    assert!(upwards.is_empty(), "a module knows what is above it or beside it:\n{}", upwards.join("\n"));
}

#[test]
fn circles_are_found() {
    let graph: Graph = [("a", &["b"][..]), ("b", &["c"]), ("c", &["b", "d"]), ("d", &[]), ("e", &["a"])]
        .iter()
        .map(|(name, named)| ((*name).to_owned(), named.iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    assert_eq!(circles(&graph), [BTreeSet::from(["b".to_owned(), "c".to_owned()])]);
    assert_eq!(names("use crate::{http, ingest};"), ["http", "ingest"]);
    assert_eq!(names("let x = crate::ops::internal(crate::live::y);"), ["ops", "live"]);
}
