//! The data directory: whether everything is there that was there.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, bail};

/// The map of everything (`store::kv`).
pub(crate) const METADATA: &str = "meta.sqlite";
/// The bytes of larger objects (`store::blob`).
pub(crate) const BLOBS: &str = "blobs";
/// The name under which this installation holds leases.
pub(crate) const INSTANCE: &str = "instance";
/// The file that keeps servers apart.
pub(crate) const LOCK: &str = "lock";
/// One of the folders that the store of blobs makes before anything else.
const FIRST_FOLDER_OF_BLOBS: &str = "blobs/0";

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
        return Ok(!remains.is_empty());
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
    for name in [INSTANCE, crate::secrets::FILE, "meta.sqlite-wal"] {
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

/// Whether there is a file below: blobs stand two folders deep.
fn has_blobs(path: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        if !entry.file_type()?.is_dir() || has_blobs(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The name of this installation, made at its first start: under it leases are held, and found again after a crash.
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
    let name = oss::model::hex_upper(&crate::ids::random::<8>());
    let write = || -> io::Result<()> {
        fs::write(&path, format!("{name}\n"))?;
        File::open(&path)?.sync_all()?;
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
    fn an_installation_keeps_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let name = instance_name(folder.path()).unwrap();
        assert_eq!((name.len(), instance_name(folder.path()).unwrap()), (16, name));
    }
}
