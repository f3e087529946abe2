//! What whoever keeps an exchange looks after: copies of the store, and how large everything is.

use super::App;
use crate::api::Problem;
use crate::tokens::Caller;
use intel::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Where copies lie that were asked for over the network, below the data directory.
const BACKUPS: &str = "backups";

/// A copy of the store.
#[derive(Serialize, JsonSchema)]
pub(crate) struct BackupMade {
    /// Where it lies on the server.
    pub(crate) path: String,
    /// Its length.
    pub(crate) bytes: u64,
}

/// A copy that lies among the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackupShown {
    /// The name of its file.
    pub(crate) name: String,
    /// Its length.
    pub(crate) bytes: u64,
    /// When it was written, by the machine's clock.
    pub(crate) at: Option<Timestamp>,
}

/// What lies in the data directory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DataSize {
    /// The database, with what is not yet worked into it.
    pub(crate) database: u64,
    /// Bodies of served lists.
    pub(crate) lists: u64,
    /// Copies.
    pub(crate) backups: u64,
    /// Everything.
    pub(crate) all: u64,
}

/// The length of everything below a folder; what cannot be looked at counts for nothing.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |meta| meta.len()),
            _ => 0,
        })
        .sum()
}

impl App {
    /// Writes a copy of the store to a new file.
    ///
    /// # Errors
    /// A place that will not do; a file that is there; a disk that does not take it.
    pub(crate) fn back_up(&self, caller: &Caller, path: &Path) -> Result<BackupMade, Problem> {
        let engine = self.engine()?;
        let store = engine.store();
        // Over the network a caller names a file, and the server says where it lies: who holds a token must not
        // thereby write anywhere on the machine.
        let path = match (caller.is_local, path.file_name(), store.path()) {
            (true, _, _) => path.to_owned(),
            (false, Some(name), Some(dir)) if Some(name) == path.as_os_str().into() => {
                let dir = dir.join(BACKUPS);
                fs::create_dir_all(&dir).map_err(|error| Problem::internal(error.to_string()))?;
                dir.join(name)
            }
            _ => {
                return Err(Problem::invalid(
                    "path: a plain name; the server puts it in the backups of its data directory",
                ));
            }
        };
        store.backup(&path).map_err(|error| match error {
            store::StoreError::Io { .. } if caller.is_local => Problem::invalid(error.to_string()),
            error => error.into(),
        })?;
        let now = engine.world().now();
        store.audit(&caller.name, "backup", &path.display().to_string(), "{}", now)?;
        let bytes = fs::metadata(&path).map_or(0, |meta| meta.len());
        Ok(BackupMade { path: path.display().to_string(), bytes })
    }

    /// Where the copies lie that are asked for over the network. None: everything is in memory.
    pub(crate) fn backups_dir(&self) -> Option<PathBuf> {
        self.store().path().map(|dir| dir.join(BACKUPS))
    }

    /// These copies, the latest first.
    pub(crate) fn backups(&self) -> Vec<BackupShown> {
        let entries = self.backups_dir().and_then(|dir| fs::read_dir(dir).ok()).into_iter().flatten().flatten();
        let shown = entries.filter_map(|entry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let at = meta.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            let name = entry.file_name().to_string_lossy().into_owned();
            Some(BackupShown { name, bytes: meta.len(), at: at.map(|since| Timestamp::EPOCH.after(since)) })
        });
        let mut shown: Vec<BackupShown> = shown.collect();
        shown.sort_by(|a, b| (b.at, &b.name).cmp(&(a.at, &a.name)));
        shown
    }

    /// How much lies in the data directory. None: everything is in memory.
    pub(crate) fn data_size(&self) -> Option<DataSize> {
        let dir = self.store().path()?;
        let files = fs::read_dir(dir).into_iter().flatten().flatten();
        let is_database = |entry: &fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            matches!(name.as_str(), "iocast.db" | "iocast.db-wal" | "iocast.db-shm")
        };
        let database = files.filter(is_database).filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum();
        Some(DataSize {
            database,
            lists: size_of(&dir.join("lists")) + size_of(&dir.join("lists-gzip")),
            backups: size_of(&dir.join(BACKUPS)),
            all: size_of(dir),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_large_as_all_its_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("deep")).unwrap();
        fs::write(folder.path().join("a"), [0; 10]).unwrap();
        fs::write(folder.path().join("deep/b"), [0; 7]).unwrap();
        assert_eq!(size_of(folder.path()), 17);
        assert_eq!(size_of(&folder.path().join("none")), 0);
    }
}
