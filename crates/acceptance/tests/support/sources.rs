//! The sources of the project, for tests that read them.

use std::fs;
use std::path::{Path, PathBuf};

/// The folder of all crates.
pub(crate) fn crates_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Rust source below a folder that is not only compiled for tests.
pub(crate) fn sources(folder: &Path) -> Vec<PathBuf> {
    let all = all_sources(folder);
    let mut test_modules = vec!["tests".to_owned()];
    for file in &all {
        let text = fs::read_to_string(file).unwrap();
        for after in text.split("#[cfg(test)]\nmod ").skip(1) {
            if let Some((name, _)) = after.split_once(';').filter(|(name, _)| !name.contains(' ')) {
                test_modules.push(name.to_owned());
            }
        }
    }
    let is_test = |file: &PathBuf| {
        file.components().any(|part| {
            let part = part.as_os_str().to_string_lossy();
            test_modules.iter().any(|name| part == name.as_str() || part == format!("{name}.rs"))
        })
    };
    all.into_iter().filter(|file| !is_test(&file.strip_prefix(folder).unwrap().to_owned())).collect()
}

fn all_sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a source that are code and stand before its tests.
pub(crate) fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.trim().to_owned()))
        .filter(|(_, line)| !line.starts_with("//"))
        .collect()
}
