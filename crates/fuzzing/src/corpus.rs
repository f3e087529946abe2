//! What mutations start from: seeds from the repository, and the cases that once broke something.

use crate::{Seed, Target};
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The seeds of a target, read.
///
/// # Panics
/// Where a file named by a seed is missing: the list is wrong then.
pub fn seeds(target: &Target) -> Vec<Vec<u8>> {
    target.seeds.iter().map(|seed| bytes_of(seed, target.longest)).collect()
}

fn bytes_of(seed: &Seed, longest: usize) -> Vec<u8> {
    match seed {
        Seed::Text(text) => text.as_bytes().to_vec(),
        Seed::File { before, path, most } => {
            let whole = root().join(path);
            let found = std::fs::read(&whole).unwrap_or_else(|error| panic!("{}: {error}", whole.display()));
            let most = (*most).min(longest.saturating_sub(before.len()));
            let mut kept = &found[..found.len().min(most)];
            if kept.len() < found.len()
                && let Some(end) = kept.iter().rposition(|byte| *byte == b'\n')
            {
                kept = &kept[..=end];
            }
            [before.as_bytes(), kept].concat()
        }
    }
}

/// Inputs that once broke a law, minimised, by file name; kept in `fuzz/cases/<target>`.
///
/// # Panics
/// Where a case cannot be read.
pub fn cases(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = root().join("fuzz/cases").join(target.name);
    let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
    let mut cases: Vec<(String, Vec<u8>)> = entries
        .map(|entry| {
            let path = entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
        })
        .collect();
    cases.sort();
    cases
}

/// A dictionary as libFuzzer reads it.
pub fn dictionary(target: &Target) -> String {
    let quoted = |word: &&str| {
        let bytes: String = word
            .bytes()
            .map(|byte| match byte {
                b'"' | b'\\' => format!("\\{}", char::from(byte)),
                b' '..=b'~' => char::from(byte).to_string(),
                _ => format!("\\x{byte:02x}"),
            })
            .collect();
        format!("\"{bytes}\"\n")
    };
    target.words.iter().filter(|word| !word.is_empty()).map(quoted).collect()
}
