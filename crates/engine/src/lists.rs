//! Bodies of the lists we serve: whole files, named by their content, pointed to by the store.
//!
//! A body is written and synced under a new name; the transaction that settles the ledger lines also moves the pointer.
//! So what is served and what the ledger says never differ, whatever happens between. Old bodies are removed after.

use crate::error::EngineError;
use crate::unpoison;
use intel::{RunId, Timestamp};
use kit::render::{ListFormat, Written};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use store::{Published, Store, StoreError};

/// A list as it is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedList {
    /// The target's name.
    pub name: String,
    /// SHA-256 of the body in hex: its ETag.
    pub sha256: String,
    /// Entries in it.
    pub entries: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// When it was published.
    pub at: Timestamp,
    /// Its form.
    pub format: ListFormat,
    /// Where its bytes are.
    pub body: Body,
}

/// The bytes of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A file that is never changed, only replaced by another name.
    File(PathBuf),
    /// In memory.
    Bytes(Arc<[u8]>),
}

impl Body {
    /// Reads it whole.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        match self {
            Body::File(path) => fs::read(path),
            Body::Bytes(bytes) => Ok(bytes.to_vec()),
        }
    }
}

/// A body that is written but not yet pointed to.
pub(crate) struct Draft {
    pub(crate) list: ServedList,
    pub(crate) published: Published,
}

/// All served lists, and where their bodies live.
pub(crate) struct Bodies {
    dir: Option<PathBuf>,
    served: RwLock<BTreeMap<String, Arc<ServedList>>>,
}

impl Bodies {
    /// Reads the pointers of the store; bodies nobody points to are removed.
    pub(crate) fn open(dir: Option<&Path>, store: &Store) -> Result<Bodies, EngineError> {
        let mut served = BTreeMap::new();
        let mut kept = Vec::new();
        if let Some(dir) = dir {
            fs::create_dir_all(dir).map_err(|e| io(dir, &e))?;
            for published in store.all_published()? {
                let path = dir.join(&published.file);
                let Some(format) = ListFormat::parse(&published.format).filter(|_| path.is_file()) else { continue };
                kept.push(published.file.clone());
                let list = served_list(&published, format, Body::File(path));
                served.insert(published.name, Arc::new(list));
            }
            for entry in fs::read_dir(dir).map_err(|e| io(dir, &e))?.flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if !kept.contains(&name) && entry.path().is_file() {
                    // A body whose transaction never came: nobody was promised it.
                    let _ = fs::remove_file(entry.path());
                }
            }
        }
        Ok(Bodies { dir: dir.map(Path::to_path_buf), served: RwLock::new(served) })
    }

    /// A list by its target's name.
    pub(crate) fn get(&self, name: &str) -> Option<Arc<ServedList>> {
        unpoison(self.served.read()).get(name).cloned()
    }

    /// Serves a list no more, and removes its body.
    pub(crate) fn forget(&self, name: &str) {
        let old = unpoison(self.served.write()).remove(name);
        if let Some(Body::File(path)) = old.as_ref().map(|old| &old.body) {
            // The next start removes what could not be removed here.
            let _ = fs::remove_file(path);
        }
    }

    /// Serves a body no more that is not what was published; the next pass makes it anew. Nothing happens where another
    /// one has been published meanwhile.
    pub(crate) fn distrust(&self, name: &str, sha256: &str) {
        let mut served = unpoison(self.served.write());
        if served.get(name).is_some_and(|list| list.sha256 == sha256) {
            served.remove(name);
        }
    }

    /// Writes a body durably, without pointing to it.
    pub(crate) fn draft(
        &self,
        name: &str,
        format: ListFormat,
        at: Timestamp,
        run: RunId,
        write: impl FnOnce(&mut dyn Write) -> io::Result<Written>,
    ) -> Result<Draft, EngineError> {
        let file = format!("{name}.{run}.{}", format.as_str());
        let (rendered, body) = match &self.dir {
            Some(dir) => {
                let path = dir.join(&file);
                let written = (|| {
                    let mut out = BufWriter::with_capacity(1 << 18, File::create(&path)?);
                    let rendered = write(&mut out)?;
                    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
                    File::open(dir)?.sync_all()?;
                    Ok(rendered)
                })();
                (written.map_err(|e| io(&path, &e))?, Body::File(path))
            }
            None => {
                let mut out = Vec::new();
                let rendered = write(&mut out).map_err(|e| io(Path::new(&file), &e))?;
                (rendered, Body::Bytes(out.into()))
            }
        };
        let published = Published {
            name: name.to_owned(),
            file,
            format: format.as_str().to_owned(),
            sha256: rendered.sha256_hex(),
            lines: rendered.lines,
            bytes: rendered.bytes,
            at,
        };
        Ok(Draft { list: served_list(&published, format, body), published })
    }

    /// Serves a draft whose transaction has been committed, and removes the body it replaces.
    pub(crate) fn serve(&self, draft: Draft) {
        let name = draft.list.name.clone();
        let old = unpoison(self.served.write()).insert(name, Arc::new(draft.list));
        if let Some(old) = old
            && let Body::File(path) = &old.body
        {
            // A reader that has it open keeps it; the next start removes what could not be removed here.
            let _ = fs::remove_file(path);
        }
    }
}

fn served_list(published: &Published, format: ListFormat, body: Body) -> ServedList {
    ServedList {
        name: published.name.clone(),
        sha256: published.sha256.clone(),
        entries: published.lines,
        bytes: published.bytes,
        at: published.at,
        format,
        body,
    }
}

fn io(path: &Path, error: &io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => EngineError::Store(StoreError::Full),
        _ => EngineError::Invalid(format!("{}: {error}", path.display())),
    }
}
