//! MISP warning lists from files: a list, a directory of them, packed ones; what is bad, gone or too large.

use crate::sim::Sim;
use engine::guards::WARNING_LIST_BYTES;
use engine::{ConfigFile, Engine};
use flate2::Compression;
use flate2::write::GzEncoder;
use intel::guard::LIST_PATTERNS;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use store::Store;
use tempfile::TempDir;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn list(how: &str, entries: &[&str]) -> Value {
    json!({ "name": "a list", "type": how, "version": 20260811, "list": entries, "matching_attributes": ["domain", "ip-dst"] })
}

fn put(dir: &Path, path: &str, bytes: &[u8]) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn apply(engine: &Engine, path: &Path) -> Result<(), String> {
    let file: ConfigFile =
        serde_json::from_value(json!({ "guard": [{ "name": "misp", "class": "popular", "warninglist": path }] }))
            .unwrap();
    engine.apply(&file, "test", false).map(drop).map_err(|error| error.to_string())
}

fn stopped(engine: &Engine, value: &str) -> bool {
    engine.guard_check(value, None, None).unwrap().stopped
}

/// A directory of warning lists, plain and packed, each under its own name; entries that cannot be used are counted and
/// shown. What was read stays in force when the directory is gone, over a restart, and when a list in it is broken: then
/// `apply` says which file.
#[test]
fn warning_lists_are_read_from_a_directory_and_kept() {
    let dir = TempDir::new().unwrap();
    let data = TempDir::new().unwrap();
    let lists = dir.path().join("lists");
    put(&lists, "names/list.json", list("hostname", &["shop.example.org", "a b"]).to_string().as_bytes());
    put(&lists, "nets/list.json.gz", &packed(list("cidr", &["192.0.2.0/24", "nonsense"]).to_string().as_bytes()));
    let sim = Sim::new(1).reading(dir.path());
    let store = Arc::new(Store::in_memory().unwrap());
    let engine = sim.open(Arc::clone(&store), data.path()).unwrap();
    apply(&engine, &lists).unwrap();
    assert!(stopped(&engine, "shop.example.org") && stopped(&engine, "192.0.2.0/24"));
    assert!(!stopped(&engine, "192.0.2.7"), "popular: only flagged");
    let shown = engine.guard_lists().unwrap();
    for (name, values) in [("misp/names", 1), ("misp/nets", 1)] {
        let list = shown.iter().find(|list| list.name == name).unwrap();
        assert_eq!((list.values, list.rejected, list.examples.len()), (values, 1, 1), "{list:?}");
        assert_eq!((list.class, &*list.date), ("popular", "20260811"));
    }
    // Half a list: nothing of it is taken, what was read before stays.
    put(&lists, "names/list.json", b"{\"type\": \"hostname\", \"list\": [\"other.exam");
    let said = apply(&engine, &lists).unwrap_err();
    assert!(said.contains("names/list.json") && said.contains("stays in force"), "{said}");
    assert!(stopped(&engine, "shop.example.org"));
    fs::remove_dir_all(&lists).unwrap();
    assert!(apply(&engine, &lists).is_err());
    drop(engine);
    let engine = sim.open(store, data.path()).unwrap();
    assert!(stopped(&engine, "shop.example.org") && stopped(&engine, "192.0.2.0/24"), "over a restart");
    // A newer list takes the place of the older.
    put(&lists, "names.json", list("hostname", &["other.example.org"]).to_string().as_bytes());
    apply(&engine, &lists).unwrap();
    assert!(stopped(&engine, "other.example.org") && !stopped(&engine, "shop.example.org"));
}

/// What would cost too much is refused with the name of the file and the bound: a bomb, a list of 100 MB, a million
/// regular expressions, an expression that is huge once compiled.
#[test]
fn warning_lists_that_are_too_large_are_refused() {
    let dir = TempDir::new().unwrap();
    let data = TempDir::new().unwrap();
    let engine = Sim::new(1).reading(dir.path()).open(Store::in_memory().unwrap(), data.path()).unwrap();
    let path = |name: &str| dir.path().join(name);
    put(dir.path(), "bomb.json.gz", &packed(&vec![b' '; 8 << 20]));
    let said = apply(&engine, &path("bomb.json.gz")).unwrap_err();
    assert!(said.contains("bomb.json.gz"), "{said}");
    let mut large = b"{\"type\": \"hostname\", \"list\": [\"a.example\"".to_vec();
    large.resize(100 << 20, b' ');
    put(dir.path(), "large.json", &large);
    let said = apply(&engine, &path("large.json")).unwrap_err();
    assert!(said.contains("large.json") && said.contains(&format!("{} MiB", WARNING_LIST_BYTES >> 20)), "{said}");
    let many = format!("{{\"type\": \"regex\", \"list\": [{}\"/last/\"]}}", "\"/x/\",".repeat(1_000_000));
    put(dir.path(), "many.json", many.as_bytes());
    let said = apply(&engine, &path("many.json")).unwrap_err();
    assert!(said.contains("1000001 patterns") && said.contains(&format!("at most {LIST_PATTERNS} ")), "{said}");
    put(dir.path(), "huge.json", list("regex", &["/(a{1000}){1000}/", "/ok\\.example/"]).to_string().as_bytes());
    apply(&engine, &path("huge.json")).unwrap();
    let shown = engine.guard_lists().unwrap();
    let huge = shown.iter().find(|list| list.name == "misp/huge").unwrap();
    assert_eq!((huge.values, huge.rejected), (1, 1), "{huge:?}");
    assert!(huge.examples[0].contains("KiB when compiled"), "{huge:?}");
    assert!(engine.guard_lists().unwrap().iter().all(|list| !list.name.ends_with("bomb")));
}
