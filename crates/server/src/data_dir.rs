//! The data directory: whose it is, who may read it, and whether everything is there that was there.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The map of everything (`store::kv`).
pub(crate) const METADATA: &str = "meta.sqlite";
/// The bytes of larger objects (`store::blob`).
pub(crate) const BLOBS: &str = "blobs";
/// The name of this directory, under which its server holds leases unless the configuration names it otherwise.
pub(crate) const INSTANCE: &str = "instance";
/// The file that keeps servers apart.
pub(crate) const LOCK: &str = "lock";
/// One of the folders that the store of blobs makes before anything else.
const FIRST_FOLDER_OF_BLOBS: &str = "blobs/0";
/// The log of the metadata.
const LOG: &str = "meta.sqlite-wal";
/// What is made by whoever starts on a directory, beside those that are secret in themselves.
const OURS: [&str; 7] = [METADATA, LOG, "meta.sqlite-shm", "meta.sqlite-stamp", BLOBS, INSTANCE, LOCK];
/// Permissions of everybody else, and with them those of the group.
const OTHERS: u32 = 0o007;
const GROUP_AND_OTHERS: u32 = 0o077;

/// Makes the data directory, private to its owner.
///
/// # Errors
/// The operating system's refusal.
pub(crate) fn make(path: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the data directory {}", path.display()))
}

/// Keeps metadata and blobs from everybody else, whatever the mode of the directory: it may hold files of others, so
/// that it is not ours to close. What this process makes from here on is private, and what is there is made so. In a
/// directory that is closed to others and open to its group, such as one for backups, the group may go on reading.
///
/// # Errors
/// When the directory cannot be read.
pub(crate) fn close_to_others(path: &Path) -> anyhow::Result<()> {
    let directory = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mode = directory.permissions().mode();
    let closed = if mode & OTHERS == 0 && mode & 0o050 == 0o050 { OTHERS } else { GROUP_AND_OTHERS };
    make_private_from_here_on(closed);
    let mut tightened = Vec::new();
    for name in OURS {
        let file = path.join(name);
        let Ok(metadata) = fs::metadata(&file) else { continue };
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & closed == 0 {
            continue;
        }
        match fs::set_permissions(&file, Permissions::from_mode(mode & !closed)) {
            Ok(()) => tightened.push(name),
            Err(error) => tracing::warn!(
                file = %file.display(), mode = format!("{mode:o}"), %error,
                "others may read this file, and this server may not change that"
            ),
        }
    }
    if !tightened.is_empty() {
        tracing::warn!(
            directory = %path.display(), files = tightened.join(", "),
            "others could read the data directory; these were made private"
        );
    }
    Ok(())
}

/// What this process makes from here on is private to its owner.
pub(crate) fn keep_private() {
    make_private_from_here_on(GROUP_AND_OTHERS);
}

fn make_private_from_here_on(closed: u32) {
    use rustix::fs::Mode;
    use rustix::process::umask;
    // What was closed before stays closed. The mask can only be read by setting it.
    let before = umask(Mode::from_raw_mode(GROUP_AND_OTHERS));
    umask(before | Mode::from_raw_mode(closed));
}

/// Refuses a directory of which a part is missing that was there: without its metadata, every blob would look like one
/// that nothing names, and a server would start empty and in silence. Nothing is changed.
///
/// Says whether an installation was here before.
///
/// # Errors
/// What is missing, and what to do.
pub(crate) fn check_is_whole(path: &Path) -> anyhow::Result<bool> {
    let shown = path.display();
    let remains = remains(path)?;
    if has_metadata(path)? {
        // Other disks are often mounted here; what is not mounted now is hidden from those who write meanwhile.
        if path.join(INSTANCE).exists() && !path.join(FIRST_FOLDER_OF_BLOBS).is_dir() {
            bail!(
                "{shown} has metadata, but no {BLOBS}: mount it, or put it back from your backup; if those bytes are \
                 lost for good, make the folder {FIRST_FOLDER_OF_BLOBS}, and `millpond check` will say which objects \
                 went with them"
            );
        }
        // A log alone is what a first start leaves that was cut off while it made the metadata.
        return Ok(remains.iter().any(|name| *name != LOG));
    }
    if !remains.is_empty() {
        bail!(
            "{shown} has no metadata ({METADATA} is missing or empty), but what belongs to it: {}. Put {METADATA} back \
             from your backup, with the files that are named like it. To start anew instead, move the remains away",
            remains.join(", ")
        );
    }
    Ok(false)
}

/// What is made after the metadata, and so tells of it.
fn remains(path: &Path) -> anyhow::Result<Vec<&'static str>> {
    let mut remains = Vec::new();
    if has_blobs(&path.join(BLOBS)).with_context(|| format!("cannot read {}", path.join(BLOBS).display()))? {
        remains.push(BLOBS);
    }
    for name in [INSTANCE, crate::secrets::FILE, LOG] {
        if len(&path.join(name))? > 0 {
            remains.push(name);
        }
    }
    Ok(remains)
}

/// Whether there is metadata at all.
///
/// # Errors
/// When that cannot be found out.
pub(crate) fn has_metadata(path: &Path) -> anyhow::Result<bool> {
    // An empty file is what is left of a start that was cut off before it made anything.
    Ok(len(&path.join(METADATA))? > 0)
}

fn len(path: &Path) -> anyhow::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Whether there is a file in one of the folders that the store of blobs makes, two folders deep. What else lies there is
/// not ours: a disk that is mounted has a `lost+found` that only root may read.
fn has_blobs(path: &Path) -> io::Result<bool> {
    for first in folders(path, 1)? {
        for second in folders(&first, 2)? {
            if fs::read_dir(second)?.next().transpose()?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The folders in `path` whose names are so many hex digits.
fn folders(path: &Path, digits: usize) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let is_ours = |name: &OsStr| {
        name.to_str().is_some_and(|name| name.len() == digits && name.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_ours(&entry.file_name()) && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The name of this directory, made at its first start: under it leases are held, and found again after a crash, unless the configuration has another name.
///
/// # Errors
/// The operating system's refusal.
pub(crate) fn instance_name(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(INSTANCE);
    match fs::read_to_string(&path) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
        _ => {}
    }
    let name = model::hex_upper(&crate::ids::random::<8>());
    // Under its name there is never half of it: what a crash leaves is another file.
    let write = || -> io::Result<()> {
        let new = data_dir.join("instance.new");
        fs::write(&new, format!("{name}\n"))?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(data_dir)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))?;
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with files of these names and lengths; a name that ends in `/` is a folder.
    fn directory(files: &[(&str, usize)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, len) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(if name.ends_with('/') { &path } else { path.parent().unwrap() }).unwrap();
            if !name.ends_with('/') {
                fs::write(path, vec![b'x'; *len]).unwrap();
            }
        }
        folder
    }

    #[test]
    fn what_belongs_together_is_there_or_nothing_is() {
        let blob = ("blobs/0/1f/0123", 1);
        for (files, fault) in [
            (&[][..], None),
            (&[(METADATA, 1)], None),
            // Cut off in its first start.
            (&[(METADATA, 0), (LOCK, 0), ("root-key.json", 9), ("blobs/0/", 0), ("blobs/0/1f/", 0)], None),
            (&[(METADATA, 1), ("blobs/0/", 0), (INSTANCE, 17), ("secrets.key", 65)], None),
            (&[(METADATA, 1), ("blobs/0/", 0), blob], None),
            (&[blob], Some(": blobs.")),
            (&[(METADATA, 0), blob], Some(": blobs.")),
            (&[(INSTANCE, 17), ("secrets.key", 65), blob], Some(": blobs, instance, secrets.key.")),
            (&[("secrets.key", 65)], Some(": secrets.key.")),
            (&[(INSTANCE, 17)], Some(": instance.")),
            (&[(INSTANCE, 0)], None),
            (&[(METADATA, 0), ("meta.sqlite-wal", 4152)], Some(": meta.sqlite-wal.")),
            (&[(METADATA, 1), (INSTANCE, 17)], Some("mount it")),
            (&[(METADATA, 1), (INSTANCE, 17), ("blobs/", 0)], Some("mount it")),
        ] {
            let folder = directory(files);
            let told = check_is_whole(folder.path()).err().map(|error| error.to_string());
            assert_eq!(told.is_some(), fault.is_some(), "{files:?}: {told:?}");
            assert!(told.unwrap_or_default().contains(fault.unwrap_or_default()), "{files:?}");
        }
    }

    #[test]
    fn what_is_there_is_closed_but_to_a_group_that_the_directory_is_open_to() {
        for (directory_mode, expected) in [(0o755, 0o600), (0o777, 0o600), (0o700, 0o600), (0o750, 0o640)] {
            let folder = directory(&[(METADATA, 1), ("blobs/0/", 0), ("notes.txt", 1)]);
            let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
            for (name, mode) in [("", directory_mode), (METADATA, 0o644), ("notes.txt", 0o644), (BLOBS, 0o755)] {
                fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
            }
            close_to_others(folder.path()).unwrap();
            assert_eq!(mode(METADATA), expected, "{directory_mode:o}");
            assert_eq!(mode(BLOBS), expected | (expected & 0o444) >> 2, "{directory_mode:o}");
            assert_eq!((mode(""), mode("notes.txt")), (directory_mode, 0o644), "not ours to change");
        }
    }

    #[test]
    fn an_installation_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let name = instance_name(folder.path()).unwrap();
        assert_eq!((name.len(), instance_name(folder.path()).unwrap()), (16, name));
    }
}
