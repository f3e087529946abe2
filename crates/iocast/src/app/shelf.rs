//! Served lists: which there are, who may fetch them, and their compressed twins.
//!
//! A list answers before everything known is loaded: what the store pointed to at start is kept here until the engine
//! can be asked. What a damaged disk has done to a body is found out by reading it once at start; such a list answers
//! "later" and never a shorter list than was published.

use super::App;
use engine::lists::{Body, ServedList};
use ipnet::IpNet;
use kit::render::ListFormat;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use store::Store;

/// Who may fetch a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Access {
    /// No token is asked for.
    pub(crate) is_open: bool,
    /// Only peers in these networks; empty: all, or with `is_open` this machine only.
    pub(crate) allow_from: Vec<IpNet>,
}

/// What a peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Comes in as it is.
    Open,
    /// Comes in with a token.
    WithToken,
    /// Does not come in.
    No,
}

impl Access {
    /// From the target's parameters. A network that cannot be read admits nobody.
    fn of(params: &Value) -> Access {
        let allow_from = params.get("allow_from").and_then(Value::as_array);
        let networks: Vec<Option<IpNet>> =
            allow_from.into_iter().flatten().map(|net| net.as_str().and_then(network)).collect();
        let is_open = params.get("access").and_then(Value::as_str) == Some("open");
        let unreadable = networks.iter().any(Option::is_none);
        let allow_from: Vec<IpNet> = networks.into_iter().flatten().collect();
        Access { is_open: is_open && !(unreadable && allow_from.is_empty()), allow_from }
    }

    pub(crate) fn admits(&self, peer: IpAddr) -> Admission {
        let peer = peer.to_canonical();
        match (self.allow_from.is_empty(), self.allow_from.iter().any(|net| net.contains(&peer)), self.is_open) {
            (false, false, _) => Admission::No,
            (false, true, true) => Admission::Open,
            (true, _, true) if peer.is_loopback() => Admission::Open,
            _ => Admission::WithToken,
        }
    }
}

/// A network, or an address for itself.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// A list that there is by configuration.
#[derive(Debug, Clone)]
pub(crate) struct Shelved {
    /// Who may fetch it.
    pub(crate) access: Access,
    /// None: never published yet.
    pub(crate) list: Option<Arc<ServedList>>,
    /// Its body is not what was published.
    pub(crate) is_damaged: bool,
}

/// A body that is compressed and whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    /// SHA-256 of the compressed bytes, in hex.
    pub(crate) sha256: String,
}

/// The lists as they were at start, and what was compressed since.
pub(crate) struct Shelf {
    early: BTreeMap<String, Shelved>,
    /// By name and file: a body made anew of the same entries has the same digest, and another file.
    damaged: Mutex<BTreeSet<(String, PathBuf)>>,
    /// Where compressed twins are kept; None in memory.
    packed_dir: Option<PathBuf>,
    /// By list: the digest of the body, and its twin once that is whole.
    packed: Mutex<BTreeMap<String, (String, Option<Packed>)>>,
}

impl Shelf {
    /// Reads the store's pointers. Compressed twins of another life are removed.
    pub(crate) fn open(store: &Store, dir: Option<&Path>, packed_dir: Option<PathBuf>) -> anyhow::Result<Shelf> {
        let mut published = BTreeMap::new();
        if let Some(dir) = dir {
            for row in store.all_published()? {
                let path = dir.join(&row.file);
                let Some(format) = ListFormat::parse(&row.format) else { continue };
                let list = ServedList {
                    name: row.name.clone(),
                    sha256: row.sha256,
                    entries: row.lines,
                    bytes: row.bytes,
                    at: row.at,
                    format,
                    body: Body::File(path),
                };
                published.insert(row.name, Arc::new(list));
            }
        }
        let mut early = BTreeMap::new();
        for doc in store.docs("target")? {
            let Ok(body) = serde_json::from_str::<Value>(&doc.body) else { continue };
            let access = Access::of(body.get("params").unwrap_or(&Value::Null));
            let list = published.get(&doc.name).cloned();
            early.insert(doc.name, Shelved { access, list, is_damaged: false });
        }
        if let Some(dir) = &packed_dir {
            // A twin is made again when it is asked for.
            let _ = fs::remove_dir_all(dir);
        }
        Ok(Shelf { early, damaged: Mutex::default(), packed_dir, packed: Mutex::default() })
    }

    /// Reads every body found at start once, and remembers those that are not what was published.
    pub(crate) fn verify(&self) {
        for list in self.early.values().filter_map(|shelved| shelved.list.as_ref()) {
            if let Err(why) = intact(list) {
                self.is_damaged(list, &why);
            }
        }
    }

    /// Remembers that a body is not what was published.
    fn is_damaged(&self, list: &ServedList, why: &str) {
        let is_news = lock(&self.damaged).insert(place(list));
        if is_news {
            let list = &list.name;
            tracing::error!(list, why, "a served list is damaged: it answers 503 until it is published again");
        }
    }

    /// Forgets a compressed twin that is not what was made.
    pub(crate) fn drop_packed(&self, list: &ServedList) {
        let old = lock(&self.packed).remove(&list.name);
        if let Some((_, Some(old))) = old {
            let _ = fs::remove_file(old.path);
        }
    }

    /// The compressed twin of a body, if it is whole; else whether the caller is to make it: only one does at a time.
    pub(crate) fn packed(&self, list: &ServedList) -> Result<Packed, Option<PathBuf>> {
        let Some(dir) = &self.packed_dir else { return Err(None) };
        let mut packed = lock(&self.packed);
        match packed.get(&list.name) {
            Some((sha256, twin)) if *sha256 == list.sha256 => match twin {
                Some(twin) => Ok(twin.clone()),
                None => Err(None),
            },
            _ => {
                let old = packed.insert(list.name.clone(), (list.sha256.clone(), None));
                if let Some((_, Some(old))) = old {
                    let _ = fs::remove_file(old.path);
                }
                let _ = fs::create_dir_all(dir);
                Err(Some(dir.join(format!("{}.{}.gz", list.name, list.sha256))))
            }
        }
    }

    /// Says how the making of a twin ended.
    pub(crate) fn pack_ended(&self, list: &ServedList, twin: Option<Packed>) {
        let mut packed = lock(&self.packed);
        match packed.get_mut(&list.name) {
            Some(slot) if slot.0 == list.sha256 => match twin {
                Some(twin) => slot.1 = Some(twin),
                // Another caller may try again.
                None => drop(packed.remove(&list.name)),
            },
            _ => {
                if let Some(twin) = twin {
                    let _ = fs::remove_file(twin.path);
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A list and where its body is.
fn place(list: &ServedList) -> (String, PathBuf) {
    let path = match &list.body {
        Body::File(path) => path.clone(),
        Body::Bytes(_) => PathBuf::new(),
    };
    (list.name.clone(), path)
}

/// Whether the body is what was published.
fn intact(list: &ServedList) -> Result<(), String> {
    let Body::File(path) = &list.body else { return Ok(()) };
    let mut file = fs::File::open(path).map_err(|error| error.to_string())?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer).map_err(|error| error.to_string())? {
            0 => break,
            n => {
                bytes += n as u64;
                hash.update(&buffer[..n]);
            }
        }
    }
    if bytes != list.bytes {
        return Err(format!("{bytes} bytes instead of {}", list.bytes));
    }
    let digest: [u8; 32] = hash.finalize().into();
    if kit::render::hex(&digest) == list.sha256 { Ok(()) } else { Err("another digest".to_owned()) }
}

impl App {
    /// A list by name; None where no target of this name is served.
    pub(crate) fn shelved(&self, name: &str) -> Option<Shelved> {
        let mut shelved = match self.engine() {
            Err(_) => self.shelf.early.get(name)?.clone(),
            Ok(engine) => {
                let config = engine.config();
                let target = config.target(name).filter(|t| t.action.delivery == kit::manifest::Delivery::Hosted)?;
                Shelved { access: Access::of(&target.params), list: engine.list(name), is_damaged: false }
            }
        };
        let damaged = lock(&self.shelf.damaged);
        shelved.is_damaged = match &shelved.list {
            Some(list) => damaged.contains(&place(list)),
            // Found damaged and not made anew yet.
            None => damaged.iter().any(|(damaged, _)| damaged == name),
        };
        drop(damaged);
        // Found by whoever read it, perhaps before everything was loaded.
        if let (true, Some(list), Ok(engine)) = (shelved.is_damaged, &shelved.list, self.engine()) {
            engine.distrust_list(&list.name, &list.sha256);
            self.hurry();
        }
        Some(shelved)
    }

    /// A body was found not to be what was published: it is served no more, and made anew soon.
    pub(crate) fn list_damaged(&self, list: &ServedList, why: &str) {
        self.shelf.is_damaged(list, why);
        self.shelved(&list.name);
    }

    /// Every served list, by name.
    pub(crate) fn all_shelved(&self) -> Vec<(String, Shelved)> {
        let names: Vec<String> = match self.engine() {
            Err(_) => self.shelf.early.keys().cloned().collect(),
            Ok(engine) => engine.config().targets.values().map(|target| target.doc.name.clone()).collect(),
        };
        let mut all: Vec<_> = names.into_iter().filter_map(|name| self.shelved(&name).map(|s| (name, s))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn who_may_fetch() {
        let inside = "10.1.2.3";
        for (params, peer, expect) in [
            (json!({}), inside, Admission::WithToken),
            (json!({ "access": "token" }), "127.0.0.1", Admission::WithToken),
            (json!({ "access": "open" }), "127.0.0.1", Admission::Open),
            (json!({ "access": "open" }), "::1", Admission::Open),
            (json!({ "access": "open" }), inside, Admission::WithToken),
            (json!({ "access": "open", "allow_from": ["10.0.0.0/8"] }), inside, Admission::Open),
            (json!({ "access": "open", "allow_from": ["10.0.0.0/8"] }), "::ffff:10.1.2.3", Admission::Open),
            (json!({ "access": "open", "allow_from": ["10.1.2.3"] }), inside, Admission::Open),
            (json!({ "access": "open", "allow_from": ["10.0.0.0/8"] }), "127.0.0.1", Admission::No),
            (json!({ "access": "token", "allow_from": ["10.0.0.0/8"] }), inside, Admission::WithToken),
            (json!({ "access": "token", "allow_from": ["10.0.0.0/8"] }), "11.0.0.1", Admission::No),
            (json!({ "access": "open", "allow_from": ["nonsense"] }), "127.0.0.1", Admission::WithToken),
        ] {
            assert_eq!(Access::of(&params).admits(peer.parse().unwrap()), expect, "{params} from {peer}");
        }
    }
}
