//! Writes what libFuzzer starts from: `fuzzing FOLDER [FILES…]` makes `FOLDER/corpus/TARGET/` and `FOLDER/TARGET.dict`.
//!
//! Files and folders named after it are looked through for more: published feeds, by the ends of their names. Called
//! by `cargo xtask fuzz`, which knows where.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a developer's tool speaks through them")]

use fuzzing::{Target, corpus};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Pieces taken into one corpus from outside the repository.
const PIECES: usize = 400;
/// Bytes of one piece.
const PIECE_BYTES: u64 = 32 << 10;

/// `(ends of names, target, what goes before the piece)`.
const WHERE: &[(&[&str], &str, &str)] = &[
    (&["txt", "hosts", "netset", "ipset", "ip"], "feed_text", "\0"),
    (&["md", "adoc", "txt"], "extract", ""),
    (&["md", "html"], "api_extract", "\0"),
    (&["csv", "tsv"], "feed_csv", "\x01"),
    (&["json"], "feed_json", "\x03"),
    (&["json", "stix", "stix2"], "stix", ""),
    (&["json"], "misp", ""),
    (&["xml"], "stix1", ""),
    (&["ioc"], "openioc", ""),
    (&["gz", "zip", "zst"], "unpack", "\0"),
    (&["toml"], "config", ""),
];

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let Some(folder) = args.next() else {
        eprintln!("which folder? `fuzzing FOLDER [FILES…]`");
        return ExitCode::FAILURE;
    };
    match write(&folder, &args.collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path, more: &[PathBuf]) -> std::io::Result<()> {
    for target in fuzzing::ALL {
        let into = folder.join("corpus").join(target.name);
        std::fs::create_dir_all(&into)?;
        for (at, seed) in corpus::seeds(target).iter().enumerate() {
            std::fs::write(into.join(format!("seed-{at}")), seed)?;
        }
        for (name, case) in corpus::cases(target) {
            std::fs::write(into.join(format!("case-{name}")), case)?;
        }
        std::fs::write(folder.join(format!("{}.dict", target.name)), corpus::dictionary(target))?;
        println!("{}", target.name);
    }
    for (ends, name, before) in WHERE {
        let Some(target) = fuzzing::find(name) else { continue };
        let mut found = Vec::new();
        more.iter().for_each(|path| files(path, ends, &mut found));
        found.sort();
        // Evenly over all of them, so that one publisher does not fill the corpus.
        let step = found.len().div_ceil(PIECES).max(1);
        for (at, path) in found.iter().step_by(step).enumerate() {
            let into = folder.join("corpus").join(name).join(format!("found-{at}"));
            std::fs::write(into, [before.as_bytes(), &piece(target, path)?].concat())?;
        }
    }
    Ok(())
}

fn piece(target: &Target, path: &Path) -> std::io::Result<Vec<u8>> {
    let mut piece = Vec::new();
    std::fs::File::open(path)?.take(PIECE_BYTES.min(target.longest as u64)).read_to_end(&mut piece)?;
    Ok(piece)
}

fn files(path: &Path, ends: &[&str], found: &mut Vec<PathBuf>) {
    if path.is_dir() {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.for_each(|entry| files(&entry.path(), ends, found));
    } else if path.extension().is_some_and(|end| ends.iter().any(|known| end == *known)) {
        found.push(path.to_path_buf());
    }
}
