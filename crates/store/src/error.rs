//! What can go wrong, as what the caller can do about it.

use std::path::PathBuf;

/// A failure of the store. A failed operation has changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk. Free some; the next operation may succeed.
    #[error(
        "the disk that holds the data directory is full: free some space, then try again (nothing was half written)"
    )]
    Full,
    /// Another program holds a lock on the database file, such as an open transaction in an SQL shell.
    #[error("the database is locked by another program: close it or end its transaction, then try again")]
    Locked,
    /// Another process works on this data directory.
    #[error("the data directory {} is in use by {holder}: stop it, or talk to it through its address instead", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The file is not what we wrote. It is left as it is.
    #[error("the database is damaged: {0}; it was left untouched: restore a backup into a new data directory")]
    Damaged(String),
    /// A newer program has written this database.
    #[error(
        "the database has schema {found}, this program knows up to {known}: use the newer program, or restore an older backup"
    )]
    Newer {
        /// What the file has.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// The SQLite library or its settings cannot be trusted with the data.
    #[error("refusing to open the database: {0}")]
    Unfit(String),
    /// What was asked contradicts what is there; the text names both.
    #[error("{0}")]
    Conflict(String),
    /// A number that protects something is reached.
    #[error("{0}")]
    Limit(String),
    /// The disk or file system failed. After a failed write the store refuses further writes until it is reopened.
    #[error("{doing}: {error}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// Anything else the database said: a bug of ours.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
}

impl StoreError {
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> StoreError {
        let doing = doing.into();
        move |error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => StoreError::Full,
            _ => StoreError::Io { doing, error },
        }
    }

    pub(crate) fn damaged(what: impl Into<String>) -> StoreError {
        StoreError::Damaged(what.into())
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StoreError::Damaged(error.to_string()),
            Some(ErrorCode::SystemIoFailure) => database_io(std::io::ErrorKind::Other, &error),
            Some(ErrorCode::CannotOpen) => database_io(std::io::ErrorKind::NotFound, &error),
            Some(ErrorCode::ReadOnly) => database_io(std::io::ErrorKind::ReadOnlyFilesystem, &error),
            Some(ErrorCode::PermissionDenied) => database_io(std::io::ErrorKind::PermissionDenied, &error),
            _ => StoreError::Sqlite(error),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> StoreError {
        StoreError::io("data directory")(error)
    }
}

fn database_io(kind: std::io::ErrorKind, error: &rusqlite::Error) -> StoreError {
    StoreError::Io { doing: "database file".into(), error: std::io::Error::new(kind, error.to_string()) }
}

/// What every operation gives.
pub(crate) type Result<T, E = StoreError> = std::result::Result<T, E>;

impl StoreError {
    /// Whether the system below failed in a write, so that what the disk holds is unknown until the store is reopened.
    pub(crate) fn is_fatal(&self) -> bool {
        matches!(self, StoreError::Io { error, .. } if error.kind() == std::io::ErrorKind::Other)
    }
}
